//! People sign in with the browser, and the other commands use that: by loopback and by a pasted code, kept where only they can read
//! it, shown nowhere.
use crate::support::{AREA, names, run, sandbox, words};
use offmap_sandbox::{Browser, CLIENT_ID, FIELD_MAP, Fault, FaultAction, PASSWORD, Sandbox, SandboxOptions, USER};
use serde_json::{Value, json};
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

/// The home of somebody without a keyring.
struct Home(tempfile::TempDir);

impl Home {
    fn new() -> Self {
        Self(offmap_sandbox::tempdir().expect("a directory"))
    }

    fn offmap(&self, arguments: &[&str]) -> Command {
        let mut command = crate::support::offmap(arguments);
        command.env("HOME", self.0.path()).env("XDG_CONFIG_HOME", self.0.path().join("config")).env("OFFMAP_LOG", "trace");
        for name in ["DISPLAY", "WAYLAND_DISPLAY"] {
            command.env_remove(name);
        }
        command.env("DBUS_SESSION_BUS_ADDRESS", "unix:path=/nonexistent").env("PATH", "");
        command
    }

    fn run(&self, arguments: &[&str]) -> Output {
        run(self.offmap(arguments))
    }

    fn sign_ins(&self) -> PathBuf {
        self.0.path().join("config/offmap/sign-ins")
    }

    /// The one file of a sign-in.
    fn file(&self) -> PathBuf {
        let names = names(&self.sign_ins());
        assert_eq!(names.len(), 1, "{names:?}");
        self.sign_ins().join(&names[0])
    }
}

/// A sign-in that waits for its person.
struct Waiting {
    child: Child,
    url: String,
    /// What it has said so far.
    said: String,
    stderr: BufReader<std::process::ChildStderr>,
}

impl Waiting {
    fn begin(home: &Home, portal: &str, more: &[&str]) -> Self {
        let mut command = home.offmap(&["login", "--portal", portal, "--client-id", CLIENT_ID]);
        command.args(more);
        Self::start(command)
    }

    fn start(mut command: Command) -> Self {
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("starts");
        let mut stderr = BufReader::new(child.stderr.take().expect("stderr"));
        let mut said = String::new();
        let url = tokio::task::block_in_place(|| {
            loop {
                let mut line = String::new();
                assert!(stderr.read_line(&mut line).expect("reads") > 0, "no url: {said}");
                said.push_str(&line);
                if let Some((_, url)) = line.split_once("sign in with ").and_then(|(_, rest)| rest.split_once(": ")) {
                    return url.trim().to_owned();
                }
            }
        });
        Self { child, url, said, stderr }
    }

    /// Gives it a line, and waits for its end.
    fn end(mut self, line: &str) -> (Option<i32>, String) {
        tokio::task::block_in_place(|| {
            // One that has ended already reads nothing.
            if let Err(error) = writeln!(self.child.stdin.take().expect("stdin"), "{line}") {
                assert_eq!(error.kind(), std::io::ErrorKind::BrokenPipe, "{error}");
            }
            self.stderr.read_to_string(&mut self.said).expect("reads");
            self.child.stdout.take().expect("stdout").read_to_string(&mut self.said).expect("reads");
            (self.child.wait().expect("ends").code(), self.said)
        })
    }
}

/// The code that the portal shows.
async fn shown_code(url: &str) -> String {
    let approval = Browser.sign_in(url, USER, PASSWORD).await.expect("signs in");
    let page = Browser.open(&approval).await.expect("a page").text;
    page.split_once("SUCCESS code=").and_then(|(_, rest)| rest.split_once('<')).expect("a code").0.to_owned()
}

async fn login_by_code(home: &Home, sandbox: &Sandbox) -> String {
    let waiting = Waiting::begin(home, &sandbox.portal_url(), &["--no-browser"]);
    let code = shown_code(&waiting.url).await;
    let (exit, said) = waiting.end(&code);
    assert_eq!(exit, Some(0), "{said}");
    assert!(said.contains(&format!("as {USER} until ")) && !said.contains(&code), "{said}");
    said
}

fn secured() -> SandboxOptions {
    SandboxOptions { secured: true, echo: true, ..SandboxOptions::default() }
}

fn old_token() -> FaultAction {
    FaultAction::Body(json!({"error": {"code": 498, "message": "Invalid token.", "details": []}}))
}

/// Every secret that the sandbox was shown or gave away for people: codes, verifiers, refresh and access tokens.
fn secrets(sandbox: &Sandbox) -> Vec<String> {
    let names = ["code", "code_verifier", "refresh_token", "auth_token", "token"];
    let of = |r: &offmap_sandbox::LoggedRequest| names.map(|name| r.parameters.get(name).cloned());
    let mut all: Vec<String> = sandbox.requests().iter().flat_map(of).flatten().chain(sandbox.refresh_tokens()).collect();
    all.sort();
    all.dedup();
    all
}

fn assert_nowhere_below(dir: &Path, secrets: &[String]) {
    for name in names(dir) {
        let path = dir.join(&name);
        if path.is_dir() {
            assert_nowhere_below(&path, secrets);
            continue;
        }
        let bytes = std::fs::read(&path).expect("reads");
        for secret in secrets {
            let found = memchr::memmem::find(&bytes, secret.as_bytes()).is_some();
            assert!(!found, "a secret is in {}", path.display());
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sign_in_by_loopback_is_used_by_take_and_shown_nowhere() {
    let sandbox = sandbox(secured()).await;
    let (home, dir, portal) = (Home::new(), offmap_sandbox::tempdir().expect("a directory"), sandbox.portal_url());
    let out = dir.path().join("out").to_string_lossy().into_owned();
    let mut take = vec!["take", "--portal", &portal, "--item", FIELD_MAP, "--out", &out, "--keep", "--progress", "plain"];
    take.extend(AREA);
    let refused = home.run(&take);
    assert_ne!(refused.status.code(), Some(0), "nobody is signed in: {}", words(&refused));
    let waiting = Waiting::begin(&home, &portal, &[]);
    let back = Browser.sign_in(&waiting.url, USER, PASSWORD).await.expect("signs in");
    assert!(back.starts_with("http://127.0.0.1:"), "{back}");
    // The state of another sign-in is turned away, and the wait goes on.
    let foreign = back.split_once("&state=").map(|(start, _)| format!("{start}&state=another"));
    assert_eq!(Browser.open(&foreign.expect("a state")).await.expect("a page").status, 400);
    assert_eq!(Browser.open(&back).await.expect("a page").status, 200);
    let (exit, mut said) = waiting.end("");
    assert_eq!(exit, Some(0), "{said}");
    // A job that fails and is kept, with its ledger.
    sandbox.fault(Fault::always("reference/featureserver/createreplica", old_token()));
    let mut failing = take.clone();
    failing.push("--stop-on-error");
    let failed = home.run(&failing);
    assert_eq!(failed.status.code(), Some(1), "{}", words(&failed));
    said.push_str(&words(&failed));
    assert!(!names(dir.path()).is_empty(), "the work is kept");
    assert_nowhere_below(dir.path(), &secrets(&sandbox));
    sandbox.heal();
    let resume = ["resume", &out, "--portal", &portal, "--progress", "plain"];
    for output in [home.run(&resume), home.run(&["whoami"]), home.run(&["whoami", "--json"])] {
        assert_eq!(output.status.code(), Some(0), "{}", words(&output));
        said.push_str(&words(&output));
    }
    assert!(said.contains(&format!("{portal}  {USER} (Sandbox Surveyor), org_user, until ")), "{said}");
    let known = secrets(&sandbox);
    assert!(known.len() >= 5, "a code, a verifier, a refresh token, and access tokens: {}", known.len());
    for secret in &known {
        assert!(!said.contains(secret.as_str()), "a secret was shown");
    }
    assert_nowhere_below(dir.path(), &known);
    let file = std::fs::read_to_string(home.file()).expect("reads");
    let kept: Vec<_> = known.iter().filter(|secret| file.contains(secret.as_str())).collect();
    assert_eq!(kept, sandbox.refresh_tokens().iter().collect::<Vec<_>>(), "the refresh token is kept, and nothing else");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sign_in_by_code_is_kept_for_its_user_only_and_not_used_when_others_may_read_it() {
    let sandbox = sandbox(secured()).await;
    let (home, portal) = (Home::new(), sandbox.portal_url());
    let said = login_by_code(&home, &sandbox).await;
    assert!(said.contains("the sign-in is kept in a file"), "{said}");
    let mode = |path: &Path| path.metadata().expect("there").permissions().mode() & 0o777;
    assert_eq!((mode(&home.file()), mode(&home.sign_ins())), (0o600, 0o700));
    let set = |path: &Path, mode| std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).expect("sets");
    for (path, bad, good) in [(home.file(), 0o640, 0o600), (home.file(), 0o604, 0o600), (home.sign_ins(), 0o755, 0o700)] {
        set(&path, bad);
        for arguments in [&["whoami"][..], &["check", "--portal", &portal, "--item", FIELD_MAP, "--area", "2,43,20,52"]] {
            let output = home.run(arguments);
            assert_eq!(output.status.code(), Some(1), "{}", words(&output));
            let said = words(&output);
            assert!(said.contains("others may look into") && said.contains("offmap logout"), "{said}");
        }
        set(&path, good);
        assert_eq!(home.run(&["whoami"]).status.code(), Some(0));
    }
    // A link to a file of somebody's is not followed.
    let (file, elsewhere) = (home.file(), home.0.path().join("elsewhere"));
    std::fs::rename(&file, &elsewhere).expect("moves");
    std::os::unix::fs::symlink(&elsewhere, &file).expect("links");
    assert_eq!(home.run(&["whoami"]).status.code(), Some(1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_code_a_refusal_and_a_portal_in_the_clear_leave_nobody_signed_in() {
    let sandbox = sandbox(secured()).await;
    let (home, portal) = (Home::new(), sandbox.portal_url());
    let own = Waiting::begin(&home, &portal, &["--no-browser"]);
    let other = Waiting::begin(&home, &portal, &["--no-browser"]);
    let code = shown_code(&own.url).await;
    for (waiting, line, why) in [
        (other, code.as_str(), "Invalid code_verifier"),
        (own, code.as_str(), "Invalid authorization code"),
        (Waiting::begin(&home, &portal, &["--no-browser"]), "two words", "no code"),
        (Waiting::begin(&home, &portal, &["--no-browser"]), "", "no code"),
        (Waiting::begin(&home, &portal, &["--no-browser"]), "http://127.0.0.1/?code=abc&state=guessed", "`state`"),
    ] {
        let (exit, said) = waiting.end(line);
        assert_eq!(exit, Some(1), "{said}");
        assert!(said.contains(why) && !said.contains(&code), "{said}");
    }
    let waiting = Waiting::begin(&home, &portal, &[]);
    Browser.open(&Browser.refuse(&waiting.url).await.expect("leads back")).await.expect("a page");
    let (exit, said) = waiting.end("");
    assert_eq!(exit, Some(1), "{said}");
    assert!(said.contains("refused in the browser (access_denied"), "{said}");
    let clear = home.run(&["login", "--portal", "http://gis.city.example/portal", "--client-id", "field", "--no-browser"]);
    assert_eq!(clear.status.code(), Some(2), "{}", words(&clear));
    assert!(words(&clear).contains("by https only"), "{}", words(&clear));
    let nobody = home.run(&["whoami"]);
    assert_eq!(nobody.status.code(), Some(1), "{}", words(&nobody));
    assert!(words(&nobody).contains("offmap login"), "{}", words(&nobody));
    assert!(!home.sign_ins().exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn two_portals_stand_side_by_side_and_each_is_signed_out_by_itself() {
    let (one, two) = (sandbox(secured()).await, sandbox(secured()).await);
    let home = Home::new();
    login_by_code(&home, &one).await;
    login_by_code(&home, &two).await;
    let who = home.run(&["whoami", "--json"]);
    let told: Value = serde_json::from_slice(&who.stdout).expect("JSON");
    let portals: Vec<&Value> = told["signIns"].as_array().expect("a list").iter().map(|s| &s["portal"]).collect();
    assert!(
        portals.len() == 2 && portals.contains(&&json!(one.portal_url())) && portals.contains(&&json!(two.portal_url())),
        "{told}"
    );
    assert!(
        told["signIns"].as_array().expect("a list").iter().all(|s| s["user"]["username"] == USER && s["keptIn"] == "file"),
        "{told}"
    );
    let several = home.run(&["logout"]);
    assert_eq!(several.status.code(), Some(2), "{}", words(&several));
    let ended = home.run(&["logout", "--portal", &one.portal_url()]);
    assert_eq!(ended.status.code(), Some(0), "{}", words(&ended));
    assert!(one.refresh_tokens().is_empty() && two.refresh_tokens().len() == 1, "ended at its own portal");
    // One that an administrator ended is told with the way out, and goes away all the same.
    two.end_sign_ins();
    let over = home.run(&["whoami", "--portal", &two.portal_url()]);
    assert_eq!(over.status.code(), Some(1), "{}", words(&over));
    let way = format!("offmap login --portal {} --client-id {CLIENT_ID}", two.portal_url());
    assert!(words(&over).contains("is not accepted any more") && words(&over).contains(&way), "{}", words(&over));
    let last = home.run(&["logout"]);
    assert_eq!(last.status.code(), Some(3), "it could not be ended at the portal: {}", words(&last));
    assert!(names(&home.sign_ins()).is_empty());
    assert_eq!(home.run(&["logout", "--portal", &two.portal_url()]).status.code(), Some(1));
}

#[tokio::test(flavor = "multi_thread")]
async fn other_credentials_win_over_a_sign_in_and_one_that_has_ended_names_the_way_out() {
    let sandbox = sandbox(SandboxOptions { refresh_life: std::time::Duration::ZERO, ..secured() }).await;
    let (home, portal) = (Home::new(), sandbox.portal_url());
    login_by_code(&home, &sandbox).await;
    let ask = ["check", "--portal", &portal, "--item", FIELD_MAP, "--area", "2,43,20,52"];
    let over = home.run(&ask);
    assert_eq!(over.status.code(), Some(1), "{}", words(&over));
    assert!(words(&over).contains("ended on ") && words(&over).contains("`offmap login --portal"), "{}", words(&over));
    let mut command = home.offmap(&ask);
    command.args(["--token-env", "MY_TOKEN"]).env("MY_TOKEN", sandbox.token());
    let output = run(command);
    assert_eq!(output.status.code(), Some(0), "{}", words(&output));
}

#[tokio::test(flavor = "multi_thread")]
async fn portal_and_application_of_a_sign_in_are_named_as_for_the_other_commands() {
    let sandbox = sandbox(secured()).await;
    let (home, portal) = (Home::new(), sandbox.portal_url());
    let settings = home.0.path().join("settings.toml");
    std::fs::write(&settings, format!("portal = \"{portal}\"\nclient-id = \"{CLIENT_ID}\"\n")).expect("writes");
    let by_file = |arguments: &[&str]| {
        let mut command = home.offmap(arguments);
        command.env("OFFMAP_SETTINGS", &settings);
        command
    };
    let ask = ["check", "--item", FIELD_MAP, "--area", "2,43,20,52"];
    let nobody = run(by_file(&ask));
    assert_eq!(nobody.status.code(), Some(2), "{}", words(&nobody));
    assert!(words(&nobody).contains("OFFMAP_CLIENT_SECRET"), "{}", words(&nobody));
    let waiting = Waiting::start(by_file(&["login", "--no-browser"]));
    let code = shown_code(&waiting.url).await;
    let (exit, said) = waiting.end(&code);
    assert_eq!(exit, Some(0), "{said}");
    for arguments in [&ask[..], &["whoami"]] {
        let output = run(by_file(arguments));
        assert_eq!(output.status.code(), Some(0), "{}", words(&output));
    }
    // A sign-in by another application is not the one that is meant.
    let mut other = by_file(&ask);
    other.args(["--client-id", "other"]);
    assert_eq!(run(other).status.code(), Some(2));
    let mut elsewhere = by_file(&["logout"]);
    elsewhere.env("OFFMAP_PORTAL", "https://gis.city.example/portal");
    let output = run(elsewhere);
    assert_eq!(output.status.code(), Some(1), "the environment wins: {}", words(&output));
    assert!(words(&output).contains("nobody is signed in at https://gis.city.example/portal"), "{}", words(&output));
    let mut named = home.offmap(&["whoami"]);
    named.env("OFFMAP_PORTAL", &portal);
    assert_eq!(run(named).status.code(), Some(0));
    assert_eq!(run(by_file(&["logout"])).status.code(), Some(0));
    let no_application = home.run(&["login", "--no-browser"]);
    assert_eq!(no_application.status.code(), Some(2), "{}", words(&no_application));
    assert!(words(&no_application).contains("give --client-id"), "{}", words(&no_application));
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_portal_the_sign_in_is_that_of_arcgis_online() {
    let home = Home::new();
    let waiting = Waiting::start(home.offmap(&["login", "--client-id", CLIENT_ID, "--no-browser"]));
    assert!(waiting.url.starts_with("https://www.arcgis.com/sharing/rest/oauth2/authorize?"), "{}", waiting.url);
    assert_eq!(waiting.end("").0, Some(1));
    // It is looked for by commands that need no portal, too: one that may not be used is told.
    let (sign_ins, file) = (home.sign_ins(), home.sign_ins().join("www.arcgis.com.json"));
    std::fs::create_dir_all(&sign_ins).and_then(|()| std::fs::write(&file, "{}")).expect("writes");
    for (path, mode) in [(&sign_ins, 0o700), (&file, 0o640)] {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).expect("sets");
    }
    let place = home.0.path().display().to_string();
    let clean = home.run(&["clean", "--dry-run", &place]);
    assert_eq!(clean.status.code(), Some(1), "{}", words(&clean));
    assert!(words(&clean).contains("others may look into"), "{}", words(&clean));
}
