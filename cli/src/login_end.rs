//! `offmap logout` and `offmap whoami`.

use crate::interrupt::or_interrupted;
use crate::login_arguments::{Logout, Whoami};
use crate::login_client::client;
use crate::login_store::{Kept, LoginStore};
use crate::stop::{INCOMPLETE, Stop};
use crate::terminal::{self, note, out};
use offmap::arcgis::portal::portal_root;
use offmap::arcgis::{ArcGisClient, Credentials, read_portal_user};
use offmap::{Failure, FailureKind, FailureOwner, FailureStage, run_blocking};
use serde_json::{Value, json};
use std::path::Path;
use std::sync::Arc;

fn nobody(at: Option<&str>) -> Failure {
    let at = at.map(|portal| format!(" at {portal}")).unwrap_or_default();
    let message = format!("nobody is signed in{at}; sign in with `offmap login --portal URL --client-id ID`");
    Failure::new(FailureOwner::Credentials, FailureKind::Unauthorized, FailureStage::Read, message)
}

/// The portal that is named, else all that somebody is signed in to.
async fn portals(named: Option<&str>, store: &LoginStore) -> Result<Vec<String>, Stop> {
    if let Some(named) = named {
        return Ok(vec![portal_root(named)?]);
    }
    let store = store.clone();
    let all = run_blocking(move || store.portals()).await?;
    if all.is_empty() { Err(nobody(None).into()) } else { Ok(all) }
}

pub(crate) async fn logout(arguments: &Logout) -> Result<u8, Stop> {
    let store = LoginStore::open()?;
    let portals = portals(arguments.portal.as_deref(), &store).await?;
    let [portal] = portals.as_slice() else {
        return Err(Stop::usage(format!("there are several sign-ins, name one by --portal: {}", portals.join(", "))));
    };
    let ended = end(&store, portal, arguments.ca_cert.as_deref()).await;
    let (own, at) = (store.clone(), portal.clone());
    if !run_blocking(move || own.remove(&at)).await? {
        return Err(nobody(Some(portal)).into());
    }
    match ended {
        Ok(()) => {
            out!("signed out at {portal}");
            Ok(0)
        }
        Err(stop) => {
            out!("the sign-in at {portal} is removed here");
            note!("offmap: it was not ended at the portal: {}", stop.message);
            Ok(INCOMPLETE)
        }
    }
}

/// Ends a sign-in at its portal.
async fn end(store: &LoginStore, portal: &str, ca_cert: Option<&Path>) -> Result<(), Stop> {
    let (own, at) = (store.clone(), portal.to_owned());
    let Some(kept) = run_blocking(move || own.load(&at)).await? else { return Ok(()) };
    let client = client(ca_cert, Credentials::sign_in(kept.sign_in.clone(), Arc::new(store.clone()))?)?;
    or_interrupted(kept.sign_in.revoke(&client.token_client())).await
}

/// Loads a sign-in off the async threads: a keyring may ask its user for a password.
async fn load(store: &LoginStore, portal: &str) -> Result<Kept, Failure> {
    let (own, at) = (store.clone(), portal.to_owned());
    run_blocking(move || own.load(&at)).await?.ok_or_else(|| nobody(Some(portal)))
}

/// What the portal says of a sign-in, for programs and for people.
async fn who(store: &LoginStore, portal: &str, client: &ArcGisClient) -> Result<(Value, String), Stop> {
    let user = or_interrupted(read_portal_user(client, portal)).await?;
    // Asking may have renewed it.
    let Kept { sign_in, in_keyring } = load(store, portal).await?;
    let json = json!({"portal": portal, "user": user, "clientId": sign_in.client_id(), "until": sign_in.expires_at(),
        "keptIn": if in_keyring { "keyring" } else { "file" }, "failure": null});
    let name = user.full_name.map(|name| format!(" ({name})")).unwrap_or_default();
    let role = user.role.map(|role| format!(", {role}")).unwrap_or_default();
    let until = sign_in.expires_on().map(|end| format!(", until {end}")).unwrap_or_default();
    let place = if in_keyring { "the system's keyring" } else { "a file" };
    Ok((json, format!("{portal}  {}{name}{role}{until}, kept in {place}", user.username)))
}

pub(crate) async fn whoami(arguments: &Whoami) -> Result<u8, Stop> {
    let store = LoginStore::open()?;
    let (mut credentials, mut loaded) = (Credentials::none(), Vec::new());
    for portal in portals(arguments.portal.as_deref(), &store).await? {
        let own = load(&store, &portal).await.and_then(|kept| Credentials::sign_in(kept.sign_in, Arc::new(store.clone())));
        loaded.push((portal, own.map(|own| credentials = std::mem::take(&mut credentials).and(own))));
    }
    // One client for all: it knows the secrets of each.
    let client = client(arguments.ca_cert.as_deref(), credentials)?;
    let (mut told, mut last) = (Vec::new(), None);
    for (portal, is_loaded) in loaded {
        let answer = match is_loaded {
            Ok(()) => who(&store, &portal, &client).await,
            Err(failure) => Err(failure.into()),
        };
        match answer {
            Ok((json, _)) if arguments.json => told.push(json),
            Ok((_, words)) => out!("{words}"),
            Err(stop) if stop.failure().is_cancelled() => return Err(stop),
            // One that has ended does not hide the others.
            Err(stop) => {
                told.push(json!({"portal": portal, "failure": stop.failure()}));
                if let Some(before) = last.replace(stop) {
                    note!("offmap: {}", before.message);
                }
            }
        }
    }
    if arguments.json {
        terminal::json(&json!({"signIns": told}));
    }
    last.map_or(Ok(0), Err)
}
