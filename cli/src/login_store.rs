//! Where sign-ins are kept: one file for each portal, with the refresh token in it or, where there is a keyring, there.

use crate::keyring;
use crate::login_arguments::Keep;
use crate::login_directory::{check_private, directory, make};
use crate::terminal::note;
use async_trait::async_trait;
use offmap::arcgis::{Credentials, SignInStore, UserSignIn};
use offmap::{Failure, FailureKind, FailureOwner, FailureStage, run_blocking};
use offmap_disk::{atomic_file, safe_path};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::io::{ErrorKind, Read as _, Write as _};
use std::path::PathBuf;
use std::sync::Arc;

/// Largest file of a sign-in, in bytes.
const LARGEST: u64 = 64 << 10;
/// The form of the file.
const VERSION: u32 = 1;
/// The secret's key in the JSON of a sign-in.
const SECRET: &str = "refreshToken";

/// A file of a sign-in.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Record {
    version: u32,
    in_keyring: bool,
    /// Without its secret where that is in the keyring.
    sign_in: Value,
}

/// A sign-in, and where its secret is kept.
pub(crate) struct Kept {
    pub(crate) sign_in: UserSignIn,
    pub(crate) in_keyring: bool,
}

/// The sign-ins of this user.
#[derive(Clone)]
pub(crate) struct LoginStore {
    directory: PathBuf,
}

fn failed(message: String) -> Failure {
    Failure::new(FailureOwner::Credentials, FailureKind::Unauthorized, FailureStage::Read, message)
}

/// The name of a portal's file: its url, with what no file's name holds as hexadecimal digits.
fn file_name(portal: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-');
    let bytes = portal.strip_prefix("https://").unwrap_or(portal).bytes();
    let name: String =
        bytes.map(|b| if plain(b.into()) { char::from(b).to_string() } else { format!("_{b:02x}") }).collect();
    format!("{name}.json")
}

impl LoginStore {
    /// # Errors
    /// If the user has no home.
    pub(crate) fn open() -> Result<Self, Failure> {
        let no_home = "there is no place to keep a sign-in in: set HOME or XDG_CONFIG_HOME to a directory of yours";
        Ok(Self { directory: directory().ok_or_else(|| failed(no_home.to_owned()))? })
    }

    /// The file of a portal's sign-in.
    pub(crate) fn path(&self, portal: &str) -> PathBuf {
        self.directory.join(file_name(portal))
    }

    fn read(&self, portal: &str) -> Result<Option<Record>, Failure> {
        let path = self.path(portal);
        let io =
            |e: &std::io::Error| Failure::io(FailureStage::Read, format!("cannot read the sign-in {}", path.display()), e);
        match self.directory.symlink_metadata() {
            Err(e) if e.kind() == ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(io(&e)),
            Ok(metadata) => check_private(&self.directory, &metadata)?,
        }
        let file = match safe_path::open_file(&path) {
            Err(e) if e.kind() == ErrorKind::NotFound => return Ok(None),
            file => file.map_err(|e| io(&e))?,
        };
        check_private(&path, &file.metadata().map_err(|e| io(&e))?)?;
        let mut text = Vec::new();
        file.take(LARGEST).read_to_end(&mut text).map_err(|e| io(&e))?;
        // What the reader says may quote the file.
        let record = serde_json::from_slice::<Record>(&text).ok().filter(|record| record.version == VERSION);
        let unread = || failed(format!("{} is no sign-in that this offmap can read; sign in again", path.display()));
        record.map(Some).ok_or_else(unread)
    }

    /// The sign-in at a portal.
    ///
    /// # Errors
    /// If it is there and cannot be read, or others may read it.
    pub(crate) fn load(&self, portal: &str) -> Result<Option<Kept>, Failure> {
        let Some(Record { in_keyring, mut sign_in, .. }) = self.read(portal)? else { return Ok(None) };
        if in_keyring {
            let secret = keyring::load(portal).map_err(|why| {
                failed(format!("the sign-in at {portal} is in the system's keyring, which cannot be asked: {why}; unlock it, or sign in again"))
            })?;
            let gone = || failed(format!("the sign-in at {portal} is not in the system's keyring any more; sign in again"));
            let secret = secret.ok_or_else(gone)?;
            if let Some(fields) = sign_in.as_object_mut() {
                fields.insert(SECRET.to_owned(), Value::String(secret));
            }
        }
        let sign_in: Option<UserSignIn> = serde_json::from_value(sign_in).ok();
        let sign_in = sign_in.filter(|sign_in| sign_in.portal() == portal);
        let unread = || failed(format!("{} is not the sign-in at {portal}; sign in again", self.path(portal).display()));
        Ok(Some(Kept { sign_in: sign_in.ok_or_else(unread)?, in_keyring }))
    }

    /// Keeps a sign-in; answers whether its secret is in the keyring.
    ///
    /// # Errors
    /// If there is no keyring though it is wanted, or the file cannot be written.
    pub(crate) fn save(&self, sign_in: &UserSignIn, keep: Keep) -> Result<bool, Failure> {
        make(&self.directory)?;
        let in_keyring = match keep {
            Keep::File => false,
            _ => match keyring::save(sign_in.portal(), sign_in.refresh_token()) {
                Ok(()) => true,
                Err(why) if keep == Keep::Keyring => {
                    return Err(failed(format!(
                        "the system's keyring cannot be used: {why}; keep the sign-in with --store file"
                    )));
                }
                Err(why) => {
                    note!("note: the system's keyring cannot be used ({why}); the sign-in is kept in a file");
                    false
                }
            },
        };
        let path = self.path(sign_in.portal());
        let io =
            |e: &std::io::Error| Failure::io(FailureStage::Run, format!("cannot keep the sign-in in {}", path.display()), e);
        let json = |e: serde_json::Error| Failure::internal(format!("a sign-in is not JSON: {e}"));
        let mut record = Record { version: VERSION, in_keyring, sign_in: serde_json::to_value(sign_in).map_err(json)? };
        if let (true, Some(fields)) = (in_keyring, record.sign_in.as_object_mut()) {
            fields.remove(SECRET);
        }
        let text = serde_json::to_vec_pretty(&record).map_err(json)?;
        atomic_file::write(&path, io, |file| {
            #[cfg(unix)]
            {
                let only_owner = std::os::unix::fs::PermissionsExt::from_mode(0o600);
                file.set_permissions(only_owner).map_err(|e| io(&e))?;
            }
            file.write_all(&text).map_err(|e| io(&e))
        })?;
        Ok(in_keyring)
    }

    /// Removes the sign-in at a portal, also one that cannot be read; answers whether there was one.
    ///
    /// # Errors
    /// If it cannot be removed.
    pub(crate) fn remove(&self, portal: &str) -> Result<bool, Failure> {
        let path = self.path(portal);
        if self.read(portal).is_ok_and(|record| record.is_some_and(|record| record.in_keyring))
            && let Err(why) = keyring::remove(portal)
        {
            note!("note: the sign-in at {portal} may still be in the system's keyring, which cannot be asked: {why}");
        }
        match std::fs::remove_file(&path) {
            Ok(()) => Ok(true),
            Err(e) if e.kind() == ErrorKind::NotFound => Ok(false),
            Err(e) => Err(Failure::io(FailureStage::Run, format!("cannot remove {}", path.display()), &e)),
        }
    }

    /// The portals that this user is signed in to.
    ///
    /// # Errors
    /// If the directory cannot be read.
    pub(crate) fn portals(&self) -> Result<Vec<String>, Failure> {
        let io =
            |e: std::io::Error| Failure::io(FailureStage::Read, format!("cannot read {}", self.directory.display()), &e);
        let entries = match std::fs::read_dir(&self.directory) {
            Err(e) if e.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries.map_err(io)?,
        };
        let mut portals = Vec::new();
        for entry in entries {
            let name = entry.map_err(io)?.file_name();
            portals.extend(name.to_str().and_then(portal_of));
        }
        portals.sort();
        Ok(portals)
    }
}

/// The portal of a file's name.
fn portal_of(name: &str) -> Option<String> {
    let mut bytes = Vec::new();
    let mut rest = name.strip_suffix(".json")?.as_bytes();
    while let Some((first, mut more)) = rest.split_first() {
        let mut byte = *first;
        if byte == b'_' {
            byte = u8::from_str_radix(std::str::from_utf8(more.get(..2)?).ok()?, 16).ok()?;
            more = more.get(2..)?;
        }
        bytes.push(byte);
        rest = more;
    }
    let portal = String::from_utf8(bytes).ok()?;
    Some(if portal.starts_with("http://") { portal } else { format!("https://{portal}") })
}

#[async_trait]
impl SignInStore for LoginStore {
    async fn load(&self, portal: &str) -> Result<Option<UserSignIn>, Failure> {
        let (store, portal) = (self.clone(), portal.to_owned());
        Ok(run_blocking(move || store.load(&portal)).await?.map(|kept| kept.sign_in))
    }

    async fn save(&self, sign_in: &UserSignIn) -> Result<(), Failure> {
        let (store, sign_in) = (self.clone(), sign_in.clone());
        run_blocking(move || {
            // Where it was; a keyring that is gone since is no reason to lose it.
            let in_keyring = store.read(sign_in.portal())?.is_some_and(|record| record.in_keyring);
            store.save(&sign_in, if in_keyring { Keep::Auto } else { Keep::File }).map(drop)
        })
        .await
    }

    async fn remove(&self, portal: &str) -> Result<bool, Failure> {
        let (store, portal) = (self.clone(), portal.to_owned());
        run_blocking(move || store.remove(&portal)).await
    }
}

/// The credentials of who is signed in at a portal, by this application if one is named; `None` where nobody is.
///
/// # Errors
/// If there is a sign-in that cannot be used.
pub(crate) fn credentials(portal: &str, client_id: Option<&str>) -> Result<Option<Credentials>, Failure> {
    let Some(directory) = directory() else { return Ok(None) };
    let store = LoginStore { directory };
    // A keyring may ask its user for a password.
    let kept = tokio::task::block_in_place(|| store.load(portal))?;
    let kept = kept.filter(|kept| client_id.is_none_or(|id| kept.sign_in.client_id() == id));
    kept.map(|kept| Credentials::sign_in(kept.sign_in, Arc::new(store))).transpose()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_of_a_file_tells_the_portal_and_no_two_portals_share_one() {
        for (portal, name) in [
            ("https://gis.city.example/portal", "gis.city.example_2fportal.json"),
            ("http://localhost:7070/portal", "http_3a_2f_2flocalhost_3a7070_2fportal.json"),
            ("https://h/a_2fb", "h_2fa_5f2fb.json"),
            ("https://h/../x", "h_2f.._2fx.json"),
        ] {
            assert_eq!(file_name(portal), name);
            assert_eq!(portal_of(name).as_deref(), Some(portal));
        }
        for name in ["x.json.new", "x_2.json", "x_zz.json", "x_ff.json", "notes"] {
            assert_eq!(portal_of(name), None, "{name}");
        }
    }
}
