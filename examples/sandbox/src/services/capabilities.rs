//! Capabilities of feature services.

/// Of one that is edited and synchronised.
pub(crate) const EDITABLE: &str = "Create,Delete,Query,Sync,Update,Editing";
/// Of one that is read only, and synchronised.
pub(crate) const READ_ONLY: &str = "Query,Sync";
/// Of one that is only asked online.
pub(crate) const ONLINE_ONLY: &str = "Query";
