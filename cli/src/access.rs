//! From the options of access to a client: credentials, and which hosts may be asked.

use crate::access_arguments::AccessArguments;
use crate::chosen_portal::ARCGIS_ONLINE;
use crate::inputs::{place_of, read_text};
use crate::known_secrets::know_client;
use crate::login_store;
use crate::stop::Stop;
use offmap::arcgis::portal::{self, MapPlace};
use offmap::arcgis::{ArcGisClient, ClientOptions, Credentials, HostPolicy, parse_host, parse_http};
use offmap::model::failure::check_no_user;
use std::time::Duration;

fn secret(variable: &str, option: &str) -> Result<String, Stop> {
    match std::env::var(variable) {
        Ok(secret) if !secret.is_empty() => Ok(secret),
        _ => Err(Stop::usage(format!("{option} needs the environment variable {variable}, which is not set"))),
    }
}

fn host_of(text: &str, option: &str) -> Result<String, Stop> {
    parse_host(text).map_err(|failure| Stop::usage(format!("{option}: {failure}")))
}

fn credentials(arguments: &AccessArguments) -> Result<Credentials, Stop> {
    let portal = arguments.portal.as_deref().map(portal::portal_root).transpose()?;
    let portal_or_none = portal.as_deref().unwrap_or_default();
    let mut credentials = if let Some(variable) = &arguments.token_env {
        let token = Credentials::token(secret(variable, "--token-env")?);
        match &portal {
            Some(portal) => token.for_portal(portal)?,
            None => token,
        }
    } else if let Some(user) = &arguments.user {
        let referer = arguments.referer.as_deref().unwrap_or(portal_or_none);
        Credentials::user(portal_or_none, user, &secret("OFFMAP_PASSWORD", "--user")?, referer)?
    } else if let Some(id) = &arguments.client_id {
        match secret("OFFMAP_CLIENT_SECRET", "--client-id") {
            Ok(secret) => Credentials::application(portal_or_none, id, &secret)?,
            // Without its secret it is the application by which a person signed in.
            Err(missing) => login_store::credentials(portal_or_none, Some(id))?.ok_or(missing)?,
        }
    } else {
        let portal = portal.as_deref().unwrap_or(ARCGIS_ONLINE);
        login_store::credentials(portal, None)?.unwrap_or_else(Credentials::none)
    };
    arguments.referer.as_deref().map_or(Ok(()), check_no_user)?;
    let bound = |credentials: Credentials| match &arguments.referer {
        Some(referer) => credentials.with_referer(referer),
        None => credentials,
    };
    credentials = bound(credentials);
    for host in &arguments.trust_host {
        credentials = credentials.for_host(&host_of(host, "--trust-host HOST")?);
    }
    for pair in &arguments.token_for {
        let Some((host, variable)) =
            pair.split_once('=').filter(|(host, variable)| !host.is_empty() && !variable.is_empty())
        else {
            return Err(Stop::usage(format!("--token-for is HOST=VAR, not {pair:?}")));
        };
        credentials = credentials.and(bound(
            Credentials::token(secret(variable, "--token-for")?).for_host(&host_of(host, "--token-for HOST=VAR")?),
        ));
    }
    if credentials.is_for_nobody() {
        return Err(Stop::usage("a token is given and no host may see it: name the --portal or a --trust-host"));
    }
    Ok(credentials)
}

/// Which hosts may be asked. What the command line itself names may be asked in any case.
fn hosts(arguments: &AccessArguments, web_map: Option<&str>) -> Result<HostPolicy, Stop> {
    let mut policy = HostPolicy::any();
    if !arguments.allow_host.is_empty() {
        let mut listed = arguments.allow_host.clone();
        let is_url = |map: &&str| matches!(place_of(map), MapPlace::Url(_));
        for url in [arguments.portal.as_deref(), web_map.filter(is_url)].into_iter().flatten() {
            let url = parse_http(url)?;
            let host = url.host_str().unwrap_or_default();
            listed.push(url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}")));
        }
        policy = HostPolicy::allow_hosts(listed)?;
    }
    Ok(if arguments.deny_private == Some(true) { policy.and_deny_private() } else { policy })
}

/// The client that the options of access describe.
pub(crate) fn client(arguments: &AccessArguments, web_map: Option<&str>) -> Result<ArcGisClient, Stop> {
    let mut options = ClientOptions {
        request_timeout: Duration::from_secs(arguments.request_timeout.unwrap_or(60).max(1)),
        retry_time: Duration::from_secs(arguments.retry_time.unwrap_or(300)),
        attempts: arguments.attempts.map_or(usize::MAX, |attempts| attempts.max(1)),
        job_timeout: Duration::from_secs(arguments.job_timeout.unwrap_or(3600).max(1)),
        hosts: hosts(arguments, web_map)?,
        ..ClientOptions::default()
    };
    if let Some(path) = &arguments.ca_cert {
        options.ca_certificates.push(read_text(path, "the CA certificate")?.into_bytes());
    }
    let client = ArcGisClient::new(options, credentials(arguments)?)?;
    know_client(&client);
    Ok(client)
}
