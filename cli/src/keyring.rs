//! The system's keyring: Secret Service on Linux, Keychain on macOS, Credential Manager on Windows.
//!
//! Everything here blocks, for a while at most: a keyring that is locked asks its user for a password.

/// How long a keyring is waited for, which may ask its user for a password.
#[cfg(feature = "keyring")]
const LONGEST_WAIT: std::time::Duration = std::time::Duration::from_secs(60);

/// Does work with the entry of a portal.
#[cfg(feature = "keyring")]
fn with_entry<T: Send + 'static>(
    portal: &str,
    work: impl FnOnce(keyring_core::Entry) -> keyring_core::Result<T> + Send + 'static,
) -> Result<T, String> {
    use keyring_core::{CredentialStore, Entry};
    use std::sync::{Arc, mpsc};

    #[cfg(target_os = "macos")]
    use apple_native_keyring_store::keychain::Store;
    #[cfg(all(unix, not(target_vendor = "apple")))]
    use dbus_secret_service_keyring_store::Store;
    #[cfg(windows)]
    use windows_native_keyring_store::Store;

    let (portal, (sender, receiver)) = (portal.to_owned(), mpsc::channel());
    // On a thread of its own: one that waits for ever does not keep the program.
    std::thread::spawn(move || {
        let done = Store::new().and_then(|store| {
            let store: Arc<CredentialStore> = store;
            work(Entry::new_in_store(&store, "offmap", &portal)?)
        });
        // Nobody waits any more.
        let _ = sender.send(done.map_err(|e| e.to_string()));
    });
    receiver.recv_timeout(LONGEST_WAIT).unwrap_or_else(|_| Err(format!("it did not answer within {LONGEST_WAIT:?}")))
}

/// Keeps the secret of a portal.
///
/// # Errors
/// Why there is no keyring that keeps it.
#[cfg(feature = "keyring")]
pub(crate) fn save(portal: &str, secret: &str) -> Result<(), String> {
    let secret = secret.to_owned();
    with_entry(portal, move |entry| entry.set_password(&secret))
}

/// The secret of a portal; `None` if the keyring has none.
///
/// # Errors
/// Why the keyring cannot be asked.
#[cfg(feature = "keyring")]
pub(crate) fn load(portal: &str) -> Result<Option<String>, String> {
    with_entry(portal, |entry| match entry.get_password() {
        Ok(secret) => Ok(Some(secret)),
        Err(keyring_core::Error::NoEntry) => Ok(None),
        Err(error) => Err(error),
    })
}

/// Removes the secret of a portal.
///
/// # Errors
/// Why the keyring cannot be asked.
#[cfg(feature = "keyring")]
pub(crate) fn remove(portal: &str) -> Result<(), String> {
    with_entry(portal, |entry| match entry.delete_credential() {
        Err(keyring_core::Error::NoEntry) => Ok(()),
        removed => removed,
    })
}

#[cfg(not(feature = "keyring"))]
mod without {
    const NONE: &str = "this offmap was built without it";

    pub(crate) fn save(_: &str, _: &str) -> Result<(), String> {
        Err(NONE.to_owned())
    }

    pub(crate) fn load(_: &str) -> Result<Option<String>, String> {
        Err(NONE.to_owned())
    }

    pub(crate) fn remove(_: &str) -> Result<(), String> {
        Err(NONE.to_owned())
    }
}

#[cfg(not(feature = "keyring"))]
pub(crate) use without::{load, remove, save};
