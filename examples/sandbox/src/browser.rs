//! Plays the person in front of a browser, for tests of sign-ins: by http, without following where it is led.

use std::io::{Error, Result};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use url::{Url, form_urlencoded};

/// A browser, and who sits in front of it.
#[derive(Debug, Clone, Copy, Default)]
pub struct Browser;

/// What a browser got.
#[derive(Debug, Clone, Default)]
pub struct Page {
    /// HTTP status.
    pub status: u16,
    /// The url that it is led to, where it is.
    pub location: Option<String>,
    /// The page itself.
    pub text: String,
}

fn failed(what: &str) -> Error {
    Error::other(what.to_owned())
}

impl Browser {
    /// Opens a url.
    ///
    /// # Errors
    /// If nobody answers.
    pub async fn open(self, url: &str) -> Result<Page> {
        self.send(url, "GET", "").await
    }

    /// Opens the page to sign in at, fills in its form, and answers the url that the portal then leads to, which is not opened yet.
    ///
    /// # Errors
    /// If there is no such form, or the portal does not accept what is filled in.
    pub async fn sign_in(self, authorize_url: &str, user: &str, password: &str) -> Result<String> {
        self.fill_in(authorize_url, &[("username", user), ("password", password)]).await
    }

    /// The same for who presses the button to cancel.
    ///
    /// # Errors
    /// If there is no such form.
    pub async fn refuse(self, authorize_url: &str) -> Result<String> {
        self.fill_in(authorize_url, &[("cancel", "true")]).await
    }

    async fn fill_in(self, authorize_url: &str, fields: &[(&str, &str)]) -> Result<String> {
        let form = self.open(authorize_url).await?;
        let hidden = form.text.split_once("name=\"oauth_state\" value=\"").and_then(|(_, rest)| rest.split_once('"'));
        let (state, _) = hidden.ok_or_else(|| failed(&format!("no form to sign in: {}", form.text)))?;
        let to = Url::parse(authorize_url).and_then(|url| url.join("signin")).map_err(Error::other)?;
        let body =
            form_urlencoded::Serializer::new(String::new()).append_pair("oauth_state", state).extend_pairs(fields).finish();
        let page = self.send(to.as_str(), "POST", &body).await?;
        page.location.ok_or_else(|| failed(&format!("not signed in: {}", page.text)))
    }

    async fn send(self, url: &str, method: &str, body: &str) -> Result<Page> {
        let url = Url::parse(url).map_err(Error::other)?;
        let (host, port) = (url.host_str().unwrap_or_default(), url.port_or_known_default().unwrap_or(80));
        let mut stream = TcpStream::connect((host, port)).await?;
        let head = format!(
            "{method} {} HTTP/1.0\r\nHost: {host}:{port}\r\nContent-Type: application/x-www-form-urlencoded\r\n\
             Content-Length: {}\r\n\r\n{body}",
            &url[url::Position::BeforePath..url::Position::AfterQuery],
            body.len()
        );
        stream.write_all(head.as_bytes()).await?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await?;
        let answer = String::from_utf8_lossy(&answer);
        let (head, text) = answer.split_once("\r\n\r\n").ok_or_else(|| failed("no answer of HTTP"))?;
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or_default();
        let location =
            head.lines().filter_map(|line| line.split_once(": ")).find(|(name, _)| name.eq_ignore_ascii_case("location"));
        Ok(Page { status, location: location.map(|(_, to)| to.to_owned()), text: text.to_owned() })
    }
}
