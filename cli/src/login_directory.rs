//! The directory that sign-ins are kept in: beside the settings, for its user only.

use crate::settings;
use offmap::{Failure, FailureKind, FailureOwner, FailureStage};
use std::fs::Metadata;
use std::path::{Path, PathBuf};

/// Where sign-ins are kept; `None` for a user without a home.
pub(crate) fn directory() -> Option<PathBuf> {
    settings::directory().map(|settings| settings.join("sign-ins"))
}

fn not_private(message: String) -> Failure {
    Failure::new(FailureOwner::Credentials, FailureKind::Unauthorized, FailureStage::Read, message)
}

/// Whether only this user may look at what has these metadata.
///
/// # Errors
/// Who else may, and the way out.
pub(crate) fn check_private(path: &Path, metadata: &Metadata) -> Result<(), Failure> {
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt as _;
        let (own, shown) = (rustix::process::geteuid().as_raw(), path.display());
        if metadata.uid() != own {
            let owner = metadata.uid();
            return Err(not_private(format!(
                "{shown} belongs to user {owner}, expected user {own}; remove it and sign in again"
            )));
        }
        let (mode, right) = (metadata.mode() & 0o777, if metadata.is_dir() { "700" } else { "600" });
        if mode & 0o077 != 0 {
            return Err(not_private(format!(
                "others may look into {shown} (mode {mode:o}, expected {right}), so what is kept there is not used: end it with \
                 `offmap logout` and sign in again, or, if nobody read it, `chmod {right} {shown}`"
            )));
        }
    }
    #[cfg(not(unix))]
    let _ = (path, metadata, not_private);
    Ok(())
}

/// Makes the directory, for this user only.
///
/// # Errors
/// If it cannot be made, or is there and others may look into it.
pub(crate) fn make(path: &Path) -> Result<(), Failure> {
    let failed = |e: std::io::Error| {
        Failure::io(FailureStage::Run, format!("cannot make the directory {} to keep the sign-in in", path.display()), &e)
    };
    std::fs::create_dir_all(path.parent().unwrap_or(path)).map_err(failed)?;
    let mut builder = std::fs::DirBuilder::new();
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    match builder.create(path) {
        Err(e) if e.kind() != std::io::ErrorKind::AlreadyExists => return Err(failed(e)),
        _ => {}
    }
    let metadata = path.symlink_metadata().map_err(failed)?;
    match metadata.is_dir() {
        true => check_private(path, &metadata),
        false => Err(not_private(format!("{} is no directory; remove it and sign in again", path.display()))),
    }
}
