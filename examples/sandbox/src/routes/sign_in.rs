//! Pages on which people sign in, and the tokens that applications get for them: OAuth 2.0 with PKCE, as portals have it.

use super::tokens::application_token;
use crate::answer::{Answer, Rest, RestError};
use crate::ids::{CLIENT_ID, PASSWORD, USER};
use crate::lock::lock;
use crate::request::Call;
use crate::sign_ins::Asked;
use crate::state::State;
use serde_json::json;
use std::time::Instant;
use url::Url;

/// The redirect uri of who has the code shown.
const SHOWN: &str = "urn:ietf:wg:oauth:2.0:oob";
/// An application that every portal knows: Esri's own client of Python signs in to it.
const KNOWN_EVERYWHERE: &str = "pythonapi";

/// Answers below `oauth2/`.
pub(super) fn answer(state: &State, call: &Call, what: &str) -> Answer {
    match (what, call.method.as_str()) {
        ("authorize", "GET") => authorize(state, call),
        ("signin", "POST") => sign_in(state, call),
        ("approval", "GET") => approval(call.text("code").unwrap_or_default()),
        ("token", _) => token(state, call),
        ("revoketoken", "POST") => revoke(state, call),
        _ => Answer::NotFound,
    }
}

/// Whose the token of a call is (`community/self`).
pub(super) fn user(state: &State, call: &Call) -> Rest<Answer> {
    let token = call.token().ok_or_else(|| RestError::new(499, "Token Required"))?;
    let is_good = lock(&state.tokens).get(&token).is_some_and(|t| t.until > Instant::now() && t.server.is_none());
    match is_good {
        true => Ok(person()),
        false => Err(RestError::new(498, "Invalid token.")),
    }
}

/// The one user of the portal.
pub(super) fn person() -> Answer {
    Answer::Json(json!({"username": USER, "fullName": "Sandbox Surveyor", "role": "org_user", "privileges": []}))
}

fn is_known(client_id: &str) -> bool {
    [CLIENT_ID, KNOWN_EVERYWHERE].contains(&client_id)
}

/// The code is shown, or goes to a program on this machine, at whatever port.
fn is_registered(redirect_uri: &str) -> bool {
    let is_local = |url: Url| url.scheme() == "http" && matches!(url.host_str(), Some("127.0.0.1" | "localhost" | "[::1]"));
    redirect_uri == SHOWN || Url::parse(redirect_uri).is_ok_and(is_local)
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

/// A page; `info` is what the portal's own script reads, and clients that play a browser.
fn page(status: u16, title: &str, info: &serde_json::Value, body: &str) -> Answer {
    let head = format!("<!DOCTYPE html><html lang=\"en\"><head><meta charset=\"utf-8\"><title>{}</title>", escaped(title));
    let script = format!("<script>var oAuthInfo = {};</script>", info.to_string().replace('<', "\\u003c"));
    Answer::Page(status, format!("{head}{script}</head><body>{body}</body></html>"))
}

fn error_page(message: &str) -> Answer {
    let info = json!({"error": {"code": 400, "message": message}});
    page(400, &format!("Error: {message}"), &info, &format!("<h1>Error: {}</h1>", escaped(message)))
}

/// The form, with what went wrong at the last try.
fn form(id: &str, client_id: &str, problem: Option<&str>) -> Answer {
    let info = json!({"oauth_state": id, "client_id": client_id, "appTitle": "offmap", "messages": problem.into_iter().collect::<Vec<_>>()});
    let problem = problem.map(|words| format!("<p role=\"alert\">{words}</p>")).unwrap_or_default();
    let body = format!(
        "<h1>Sign in to the sandbox</h1><p>The application <b>{}</b> wants to use your account.</p>{problem}\
         <form method=\"post\" action=\"signin\"><input type=\"hidden\" name=\"oauth_state\" value=\"{id}\">\
         <p><label>User name <input name=\"username\" autofocus></label></p>\
         <p><label>Password <input name=\"password\" type=\"password\"></label></p>\
         <p><button>Sign in</button> <button name=\"cancel\" value=\"true\">Cancel</button></p></form>",
        escaped(client_id)
    );
    page(200, "Sign in", &info, &body)
}

fn authorize(state: &State, call: &Call) -> Answer {
    let text = |name: &str| call.text(name).map(str::to_owned);
    let (client_id, redirect_uri) = (text("client_id").unwrap_or_default(), text("redirect_uri").unwrap_or_default());
    if !is_known(&client_id) {
        return error_page("Invalid client_id");
    }
    if !is_registered(&redirect_uri) {
        return error_page("Invalid redirect_uri");
    }
    let challenge = text("code_challenge");
    if call.text("response_type") != Some("code") {
        return error_page("Invalid response_type");
    }
    if challenge.is_some() && call.text("code_challenge_method") != Some("S256") {
        return error_page("Invalid code_challenge_method");
    }
    let asked = Asked { client_id: client_id.clone(), redirect_uri, state: text("state"), challenge };
    let id = lock(&state.sign_ins).open(asked);
    form(&id, &client_id, None)
}

fn sign_in(state: &State, call: &Call) -> Answer {
    let id = call.text("oauth_state").unwrap_or_default();
    let mut sign_ins = lock(&state.sign_ins);
    let Some(asked) = sign_ins.page(id).cloned() else { return error_page("Invalid oauth_state") };
    if call.flag("cancel", false) {
        sign_ins.close(id);
        return back(state, &asked, &[("error", "access_denied"), ("error_description", "The user denied your request.")]);
    }
    if call.text("username") != Some(USER) || call.text("password") != Some(PASSWORD) {
        return form(id, &asked.client_id, Some("Invalid username or password."));
    }
    sign_ins.close(id);
    let code = sign_ins.code(asked.clone(), state.options.code_life);
    back(state, &asked, &[("code", &code)])
}

/// Leads the browser back to the application, or to the page that shows the code.
fn back(state: &State, asked: &Asked, pairs: &[(&str, &str)]) -> Answer {
    let shown = format!("{}/portal/sharing/rest/oauth2/approval", state.base());
    let to = if asked.redirect_uri == SHOWN { &shown } else { &asked.redirect_uri };
    let Ok(mut url) = Url::parse(to) else { return error_page("Invalid redirect_uri") };
    url.query_pairs_mut().extend_pairs(pairs).extend_pairs(asked.state.iter().map(|state| ("state", state)));
    Answer::Redirect(url.into())
}

fn approval(code: &str) -> Answer {
    let (title, words) = match code.is_empty() {
        true => ("Denied".to_owned(), "<p>Nobody was signed in.</p>".to_owned()),
        false => (
            format!("SUCCESS code={code}"),
            format!("<p>Please copy this code: <input id=\"code\" value=\"{}\"></p>", escaped(code)),
        ),
    };
    page(200, &title, &json!({"code": code}), &words)
}

fn refused((code, message): (i64, &str)) -> Answer {
    Answer::Json(json!({"error": {"code": code, "error": "invalid_request", "error_description": message,
        "message": message, "details": []}}))
}

fn token(state: &State, call: &Call) -> Answer {
    let client_id = call.text("client_id").unwrap_or_default();
    let grant = call.text("grant_type").unwrap_or_default();
    if grant == "client_credentials" {
        return application_token(state, call);
    }
    if call.method != "POST" || !is_known(client_id) {
        return refused((400, "Invalid client_id"));
    }
    let text = |name: &str| call.text(name).unwrap_or_default();
    let life = state.options.refresh_life;
    let mut sign_ins = lock(&state.sign_ins);
    let refresh = match grant {
        "authorization_code" => {
            let by =
                Asked { client_id: client_id.to_owned(), redirect_uri: text("redirect_uri").to_owned(), ..Asked::default() };
            sign_ins.redeem(text("code"), &by, call.text("code_verifier")).map(|()| true).map_err(|message| (400, message))
        }
        "refresh_token" => sign_ins.check(text("refresh_token"), client_id).map(|()| false),
        "exchange_refresh_token" => sign_ins.check(text("refresh_token"), client_id).map(|()| {
            sign_ins.revoke(text("refresh_token"));
            true
        }),
        _ => Err((400, "Invalid grant_type")),
    };
    let with_refresh = match refresh {
        Ok(with_refresh) => with_refresh,
        Err(refusal) => return refused(refusal),
    };
    let (token, _) = state.mint(None, None);
    let mut answer = json!({"access_token": token, "expires_in": state.options.token_life.as_secs(), "username": USER,
        "ssl": state.options.tls});
    if with_refresh && let Some(answer) = answer.as_object_mut() {
        answer.insert("refresh_token".to_owned(), json!(sign_ins.refresh_token(client_id, life)));
        answer.insert("refresh_token_expires_in".to_owned(), json!(life.as_secs()));
    }
    Answer::Json(answer)
}

fn revoke(state: &State, call: &Call) -> Answer {
    let (token, client_id) = (call.text("auth_token").unwrap_or_default(), call.text("client_id").unwrap_or_default());
    let mut sign_ins = lock(&state.sign_ins);
    match sign_ins.check(token, client_id) {
        Ok(()) => Answer::Json(json!({"success": sign_ins.revoke(token)})),
        Err(refusal) => refused(refusal),
    }
}
