//! Names by which tests and examples know what the portal has: items, the user, the OAuth application.

/// Web map with all that can go offline, on services in the ArcGIS Server dialect.
pub const FIELD_MAP: &str = "f1e1d0a9000000000000000000000001";
/// The same on services in the ArcGIS Online dialect; its vector tiles are given by a style on a portal item.
pub const HOSTED_MAP: &str = "f1e1d0a9000000000000000000000002";
/// A map with layers that cannot go offline beside some that can.
pub const MIXED_MAP: &str = "f1e1d0a9000000000000000000000003";
/// A map that has all of it: groups in groups, one service in several groups, one service layer twice, a subtype group, a feature
/// collection, tables, overridden symbols, layers of kinds without an offline form, and its author's offline settings.
pub const FULL_MAP: &str = "f1e1d0a9000000000000000000000006";
/// A map whose layers each break another rule for going offline.
pub const AWKWARD_MAP: &str = "f1e1d0a9000000000000000000000007";
/// A map of tiled services that have every level to 19, anywhere on earth.
pub const DETAIL_MAP: &str = "f1e1d0a9000000000000000000000008";

/// User, password and OAuth application that the portal knows.
pub const USER: &str = "surveyor";
/// See [`USER`].
pub const PASSWORD: &str = "not-a-secret";
/// A second user, who gets tokens by `generateToken` only: the service `Fieldwork` is not shared with that one.
pub const VISITOR: &str = "visitor";
/// See [`VISITOR`].
pub const VISITOR_PASSWORD: &str = "no-secret-either";
/// OAuth client id.
pub const CLIENT_ID: &str = "sandbox-app";
/// OAuth client secret.
pub const CLIENT_SECRET: &str = "sandbox-secret";

/// An item that is no web map.
pub const SERVICE_ITEM: &str = "f1e1d0a9000000000000000000000004";
/// A vector tile style.
pub const STYLE_ITEM: &str = "f1e1d0a9000000000000000000000005";
