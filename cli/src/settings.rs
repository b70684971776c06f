//! The settings file: options of sign-in, network and run by their names. Options of the command line win over it. It holds no
//! secrets.

use crate::access_arguments::AccessArguments;
use crate::arguments::{MapArguments, ProgressStyle, RunArguments};
use crate::inputs::read_text;
use crate::login_arguments::Login;
use crate::stop::Stop;
use serde::Deserialize;
use std::path::{Path, PathBuf};

/// The environment variable that names the file.
const VARIABLE: &str = "OFFMAP_SETTINGS";

/// What a settings file may say.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) struct Settings {
    portal: Option<String>,
    token_env: Option<String>,
    user: Option<String>,
    client_id: Option<String>,
    referer: Option<String>,
    trust_host: Option<Vec<String>>,
    token_for: Option<Vec<String>>,
    allow_host: Option<Vec<String>>,
    deny_private: Option<bool>,
    ca_cert: Option<PathBuf>,
    request_timeout: Option<u64>,
    retry_time: Option<u64>,
    attempts: Option<usize>,
    job_timeout: Option<u64>,
    reduced_fonts: Option<Vec<String>>,
    export_host: Option<Vec<String>>,
    keep: Option<bool>,
    time_limit: Option<u64>,
    progress: Option<ProgressStyle>,
}

/// The directory of offmap's settings: `$XDG_CONFIG_HOME/offmap` or `~/.config/offmap`, on macOS below
/// `~/Library/Application Support`, on Windows below `%APPDATA%`.
pub(crate) fn directory() -> Option<PathBuf> {
    let absolute = |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let base = match () {
        () if cfg!(windows) => absolute("APPDATA"),
        () => absolute("XDG_CONFIG_HOME").or_else(|| {
            let below = if cfg!(target_os = "macos") { "Library/Application Support" } else { ".config" };
            absolute("HOME").map(|home| home.join(below))
        }),
    };
    base.map(|base| base.join("offmap"))
}

/// Reads the settings: of the file that is named by option or environment, which must be there, else of the usual place.
pub(crate) fn read(named: Option<&Path>) -> Result<Settings, Stop> {
    if let Some(path) = named {
        return parse(path, &read_text(path, "the settings file")?);
    }
    if let Some(path) = std::env::var_os(VARIABLE) {
        // Set to nothing it says that there are no settings.
        return match path.is_empty() {
            true => Ok(Settings::default()),
            false => read(Some(Path::new(&path))),
        };
    }
    match directory().map(|directory| directory.join("settings.toml")) {
        Some(path) if path.symlink_metadata().is_ok() => read(Some(&path)),
        _ => Ok(Settings::default()),
    }
}

/// What to do in place of a secret in the file, by its key.
fn way_out(key: &str) -> Option<&'static str> {
    let key = key.to_ascii_lowercase().replace('_', "-");
    match key.as_str() {
        "token-env" | "token-for" => None,
        _ if key.contains("password") => Some("set the environment variable OFFMAP_PASSWORD"),
        _ if key.contains("secret") => Some("set the environment variable OFFMAP_CLIENT_SECRET"),
        _ if key.contains("token") || key.contains("key") => {
            Some("put it into an environment variable, and name that variable by `token-env`")
        }
        _ => None,
    }
}

fn parse(path: &Path, text: &str) -> Result<Settings, Stop> {
    let shown = path.display();
    // The reader's own text quotes the file, in which a secret may stand by mistake.
    let refused = |error: toml::de::Error| {
        let start = error.span().map_or(0, |span| span.start);
        let line = text.get(..start).unwrap_or_default().matches('\n').count() + 1;
        Stop::usage(format!("the settings file {shown}, line {line}: {}", error.message().replace('\n', " ")))
    };
    let table: toml::Table = text.parse().map_err(refused)?;
    if let Some((key, way)) = table.keys().find_map(|key| way_out(key).map(|way| (key, way))) {
        return Err(Stop::usage(format!("the settings file {shown} has `{key}`, and secrets do not belong in it: {way}")));
    }
    let mut settings: Settings = toml::from_str(text).map_err(refused)?;
    if settings.time_limit == Some(0) {
        return Err(Stop::usage(format!("the settings file {shown}: time-limit is 0, expected 1 or more seconds")));
    }
    let ways = [&settings.token_env, &settings.user, &settings.client_id];
    if ways.into_iter().flatten().count() > 1 {
        let message = "has more than one of token-env, user and client-id; keep one of them";
        return Err(Stop::usage(format!("the settings file {shown} {message}")));
    }
    // A certificate is named from the file's own place.
    if let (Some(certificate), Some(directory)) = (&mut settings.ca_cert, path.parent()) {
        *certificate = directory.join(&*certificate);
    }
    Ok(settings)
}

/// Takes what the command line does not say.
fn fill<T: Clone>(option: &mut Option<T>, setting: &Option<T>) {
    if option.is_none() {
        option.clone_from(setting);
    }
}

fn fill_list(option: &mut Vec<String>, setting: &Option<Vec<String>>) {
    if option.is_empty() {
        *option = setting.clone().unwrap_or_default();
    }
}

impl Settings {
    /// The portal that the file names.
    pub(crate) fn portal(&self) -> Option<&str> {
        self.portal.as_deref()
    }

    /// Fills the options of access, but for the portal; answers whether the credentials are those of the file.
    pub(crate) fn fill_access(&self, access: &mut AccessArguments) -> bool {
        let signs_in = access.signs_in();
        if !signs_in {
            access.token_env.clone_from(&self.token_env);
            access.user.clone_from(&self.user);
            access.client_id.clone_from(&self.client_id);
        }
        fill(&mut access.referer, &self.referer);
        fill_list(&mut access.trust_host, &self.trust_host);
        fill_list(&mut access.token_for, &self.token_for);
        fill_list(&mut access.allow_host, &self.allow_host);
        fill(&mut access.deny_private, &self.deny_private);
        fill(&mut access.ca_cert, &self.ca_cert);
        fill(&mut access.request_timeout, &self.request_timeout);
        fill(&mut access.retry_time, &self.retry_time);
        fill(&mut access.attempts, &self.attempts);
        fill(&mut access.job_timeout, &self.job_timeout);
        !signs_in && access.signs_in()
    }

    /// Fills the options of a sign-in by a person.
    pub(crate) fn fill_login(&self, login: &mut Login) {
        fill(&mut login.client_id, &self.client_id);
    }

    /// Fills the certificate of a sign-in.
    pub(crate) fn fill_ca_cert(&self, ca_cert: &mut Option<PathBuf>) {
        fill(ca_cert, &self.ca_cert);
    }

    /// Fills the options of a map.
    pub(crate) fn fill_map(&self, map: &mut MapArguments) {
        fill_list(&mut map.reduced_fonts, &self.reduced_fonts);
        fill_list(&mut map.export_host, &self.export_host);
    }

    /// Fills the options of a job that runs.
    pub(crate) fn fill_run(&self, run: &mut RunArguments) {
        self.fill_fetch(&mut run.keep, &mut run.time_limit, &mut run.progress);
    }

    /// Fills the same options of a job without a package.
    pub(crate) fn fill_fetch(
        &self,
        keep: &mut Option<bool>,
        time_limit: &mut Option<u64>,
        progress: &mut Option<ProgressStyle>,
    ) {
        fill(keep, &self.keep);
        fill(time_limit, &self.time_limit);
        fill(progress, &self.progress);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Settings, String> {
        parse(Path::new("/etc/offmap/settings.toml"), text).map_err(|stop| stop.message)
    }

    #[test]
    fn secrets_and_unknown_keys_are_refused_by_name_and_never_quoted() {
        for (text, expected) in [
            ("password = \"hunter2\"", "OFFMAP_PASSWORD"),
            ("client_secret = \"hunter2\"", "OFFMAP_CLIENT_SECRET"),
            ("client-secret = 'hunter2", "line 1"),
            ("token = \"hunter2\"", "`token-env`"),
            ("api-key = \"hunter2\"", "`token-env`"),
            ("\nportl = \"hunter2\"", "line 2: unknown field `portl`, expected one of `portal`, `token-env`"),
            ("user = \"a\"\nclient-id = \"b\"", "keep one"),
            ("time-limit = 0", "1 or more"),
        ] {
            let message = read(text).expect_err("refused");
            assert!(message.contains(expected), "{text}: {message}");
            assert!(!message.contains("hunter2"), "{message}");
        }
    }

    #[test]
    fn a_certificate_is_named_from_the_place_of_the_file() {
        let settings = read("ca-cert = \"ca.pem\"").expect("reads");
        assert_eq!(settings.ca_cert, Some(PathBuf::from("/etc/offmap/ca.pem")));
    }
}
