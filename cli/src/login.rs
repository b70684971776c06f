//! `offmap login`: signs in with the browser, by loopback or by a pasted code.

use crate::chosen_portal::ARCGIS_ONLINE;
use crate::interrupt::or_interrupted;
use crate::login_arguments::Login;
use crate::login_client::client;
use crate::login_store::LoginStore;
use crate::stop::Stop;
use crate::terminal::{note, out};
use offmap::arcgis::portal::portal_root;
use offmap::arcgis::{AuthorizationCode, Credentials, LoopbackRedirect, SignInRequest};
use offmap::{Failure, FailureStage, run_blocking};
use std::process::{Command, Stdio};

/// Longest line that is read at the prompt, in bytes.
const LONGEST_LINE: u64 = 16 << 10;

pub(crate) async fn run(arguments: &Login) -> Result<u8, Stop> {
    let portal = portal_root(arguments.portal.as_deref().unwrap_or(ARCGIS_ONLINE))?;
    let client_id = arguments.client_id.as_deref().ok_or_else(|| {
        Stop::usage("no application is named to sign in by: give --client-id, or client-id in the settings file")
    })?;
    let store = LoginStore::open()?;
    let client = client(arguments.ca_cert.as_deref(), Credentials::none())?;
    let (request, code) = match arguments.no_browser {
        true => pasted(&portal, client_id).await?,
        false => by_loopback(&portal, client_id, arguments.redirect_port).await?,
    };
    let sign_in = or_interrupted(request.finish(&client.token_client(), &code)).await?;
    let (kept, keep) = (sign_in.clone(), arguments.store);
    let (path, in_keyring) = run_blocking(move || Ok((store.path(kept.portal()), store.save(&kept, keep)?))).await?;
    let user = sign_in.username().unwrap_or("a user that the portal does not name");
    let until = sign_in.expires_on().map(|end| format!(" until {end}")).unwrap_or_default();
    match in_keyring {
        true => out!("signed in at {portal} as {user}{until}; kept in the system's keyring"),
        false => out!("signed in at {portal} as {user}{until}; kept in {}", path.display()),
    }
    Ok(0)
}

/// The portal leads the browser back to this machine.
async fn by_loopback(portal: &str, client_id: &str, port: u16) -> Result<(SignInRequest, AuthorizationCode), Stop> {
    let redirect = LoopbackRedirect::bind(port).await?;
    let request = SignInRequest::new(portal, client_id, redirect.uri())?;
    let url = request.authorize_url();
    note!("sign in with the browser, which leads back here: {url}");
    open_browser(&url);
    note!("waiting for it; without a browser on this machine, end this with Ctrl-C and take --no-browser");
    let code = or_interrupted(redirect.code(&request)).await?;
    Ok((request, code))
}

/// The portal shows the code.
async fn pasted(portal: &str, client_id: &str) -> Result<(SignInRequest, AuthorizationCode), Stop> {
    let request = SignInRequest::with_pasted_code(portal, client_id)?;
    note!("sign in with a browser on any machine: {}", request.authorize_url());
    note!("paste the code that the portal shows:");
    let line = run_blocking(|| {
        let mut line = String::new();
        let read = std::io::BufRead::read_line(&mut std::io::Read::take(std::io::stdin().lock(), LONGEST_LINE), &mut line);
        read.map_err(|e| Failure::io(FailureStage::Read, "cannot read the code", &e))?;
        Ok(line)
    });
    let code = request.pasted_code(&or_interrupted(line).await?)?;
    Ok((request, code))
}

/// Opens the browser, where there is one; the url is told in any case.
fn open_browser(url: &str) {
    let has_screen =
        || ["DISPLAY", "WAYLAND_DISPLAY"].iter().any(|name| std::env::var_os(name).is_some_and(|v| !v.is_empty()));
    let command: &[&str] = match () {
        () if cfg!(target_os = "macos") => &["open"],
        () if cfg!(windows) => &["rundll32", "url.dll,FileProtocolHandler"],
        () if has_screen() => &["xdg-open"],
        () => return,
    };
    let Some((program, first)) = command.split_first() else { return };
    let quiet = || Stdio::null();
    let mut command = Command::new(program);
    // Where none opens, the person opens the url that was told.
    let _ = command.args(first).arg(url).stdin(quiet()).stdout(quiet()).stderr(quiet()).spawn();
}
