//! Which hosts may be asked: the host program decides, not a map, an answer or a redirect.
//!
//! 1. Every request is judged by its url before it is sent, each step of a redirect by itself ([`HostPolicy::judge_url`]).
//! 2. Every name is judged by the addresses that it resolves to ([`PolicyResolver`]). The connection is made to the addresses
//!    that passed, so that a name which resolves to something else a moment later changes nothing.
//!
//! An `http` proxy of the environment resolves names by itself, so it is used with [`HostPolicy::any`] only.

use crate::ip_ranges::{Scope, scope};
use crate::urls::host_of;
use offmap_model::{Failure, FailureKind, FailureOwner, FailureStage};
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use url::{Host, Url};

/// Which hosts a client may ask. Link-local addresses, metadata services of clouds, multicast, broadcast and unspecified
/// addresses are refused by every policy.
///
/// ```
/// use offmap_arcgis::{ClientOptions, HostPolicy};
/// let hosts = HostPolicy::allow_hosts(["*.arcgis.com", "gis.city.example", "gis.city.example:6443"])?;
/// let options = ClientOptions { hosts, ..ClientOptions::default() };
/// # Ok::<(), offmap_model::Failure>(())
/// ```
#[derive(Debug, Clone, Default)]
pub struct HostPolicy {
    /// The hosts that may be asked; `None` for all.
    listed: Option<Arc<[Entry]>>,
    only_public: bool,
}

/// An entry of an allow-list.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Entry {
    /// As in a url, without a dot at the end; after `*.` if `below`.
    name: String,
    below: bool,
    port: Port,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Port {
    /// 80 by `http`, 443 by `https`.
    Default,
    Any,
    Only(u16),
}

impl HostPolicy {
    /// Any public or private host that a map names. The default.
    #[must_use]
    pub fn any() -> Self {
        Self::default()
    }

    /// Hosts with public addresses only: not this machine, no local network, no reserved range.
    #[must_use]
    pub fn deny_private() -> Self {
        Self { listed: None, only_public: true }
    }

    /// Only these hosts: `host` or `*.suffix`, which is every host below the suffix. Without a port the default one is meant;
    /// `host:6443` is that port, `host:*` all of them.
    ///
    /// A host that is named as a whole may have a private address. A `*.suffix` gives public addresses only, since who may
    /// make names below it may let them resolve to anything.
    ///
    /// # Errors
    /// If an entry is none of these forms.
    pub fn allow_hosts<I>(hosts: I) -> Result<Self, Failure>
    where
        I: IntoIterator,
        I::Item: AsRef<str>,
    {
        let listed = hosts.into_iter().map(|h| Entry::parse(h.as_ref())).collect::<Result<Vec<_>, _>>()?;
        Ok(Self { listed: Some(listed.into()), only_public: false })
    }

    /// The same policy, for public addresses only: a host that is named as a whole must have one, too.
    #[must_use]
    pub fn and_deny_private(self) -> Self {
        Self { only_public: true, ..self }
    }

    /// Whether every host may be asked, so that a proxy may be left to find it.
    pub(crate) fn allows_proxies(&self) -> bool {
        self.listed.is_none() && !self.only_public
    }

    /// The widest scope of the addresses that a host may have. `port` is `None` where it was judged before.
    fn widest(&self, host: &str, port: Option<(u16, bool)>) -> Result<Scope, Why> {
        let Some(listed) = &self.listed else {
            return Ok(if self.only_public { Scope::Public } else { Scope::Private });
        };
        let fits: Vec<&Entry> = listed.iter().filter(|entry| entry.fits(host, port)).collect();
        match fits.is_empty() {
            true => Err(Why::NotListed),
            false if self.only_public || fits.iter().all(|entry| entry.below) => Ok(Scope::Public),
            false => Ok(Scope::Private),
        }
    }

    fn judge_address(&self, host: &str, address: IpAddr, widest: Scope) -> Result<(), HostRefused> {
        let why = match (scope(address), widest) {
            (Scope::Never, _) => Why::Never,
            (Scope::Private, Scope::Public) if self.only_public => Why::Private,
            (Scope::Private, Scope::Public) => Why::PrivateBelow,
            _ => return Ok(()),
        };
        Err(HostRefused { host: host.to_owned(), address: Some(address), why })
    }

    /// Judges a request before it is sent: its host by name and port, and an IP address as such.
    pub(crate) fn judge_url(&self, url: &Url) -> Result<(), HostRefused> {
        let host = url.host_str().map(plain).unwrap_or_default();
        let refused = |why| HostRefused { host: host_of(url), address: None, why };
        let port = url.port_or_known_default().map(|port| (port, url.port().is_none()));
        let widest = self.widest(&host, port).map_err(refused)?;
        match url.host() {
            Some(Host::Ipv4(address)) => self.judge_address(&host_of(url), address.into(), widest),
            Some(Host::Ipv6(address)) => self.judge_address(&host_of(url), address.into(), widest),
            Some(Host::Domain(_)) => Ok(()),
            None => Err(refused(Why::NotListed)),
        }
    }

    /// The addresses of a name that may be connected to.
    fn judge_resolved(&self, name: &str, addresses: Vec<SocketAddr>) -> Result<Vec<SocketAddr>, HostRefused> {
        let host = plain(name);
        let widest = self.widest(&host, None).map_err(|why| HostRefused { host: host.clone(), address: None, why })?;
        let mut passed = Vec::new();
        let mut refused = None;
        for address in addresses {
            match self.judge_address(&host, address.ip(), widest) {
                Ok(()) => passed.push(address),
                Err(why) => refused = Some(why),
            }
        }
        match refused {
            Some(refused) if passed.is_empty() => Err(refused),
            _ => Ok(passed),
        }
    }
}

/// A host name as it is compared: lower case, without the dot that says that it is a whole name.
fn plain(host: &str) -> String {
    host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase()
}

impl Entry {
    fn parse(text: &str) -> Result<Self, Failure> {
        let bad = || {
            Failure::invalid_parameter(format!(
                "`{}` is not a host that can be allowed; expected `host`, `host:port`, `host:*` or `*.suffix`, without a \
                 scheme and a path",
                text.escape_debug()
            ))
        };
        let (host, port) = match text.rsplit_once(':') {
            _ if text.parse::<Ipv6Addr>().is_ok() => (format!("[{text}]"), Port::Default),
            Some((host, port)) if !text.ends_with(']') => match port {
                "*" => (host.to_owned(), Port::Any),
                digits => (host.to_owned(), Port::Only(digits.parse().ok().filter(|p| *p > 0).ok_or_else(bad)?)),
            },
            _ => (text.to_owned(), Port::Default),
        };
        let (name, below) = host.strip_prefix("*.").map_or((host.as_str(), false), |suffix| (suffix, true));
        let is_name = !name.is_empty()
            && !name.starts_with('.')
            && !name.contains(|c: char| c.is_whitespace() || c.is_control() || "/\\?#@*,;%".contains(c));
        // As in a url, so that every way of writing an IP address is the same host.
        let url = Url::parse(&format!("http://{name}/")).ok().filter(|_| is_name).ok_or_else(bad)?;
        match url.host() {
            Some(Host::Domain(name)) if url.port().is_none() => Ok(Self { name: plain(name), below, port }),
            Some(host) if !below => Ok(Self { name: host.to_string(), below, port }),
            _ => Err(bad()),
        }
    }

    fn fits(&self, host: &str, port: Option<(u16, bool)>) -> bool {
        let named = match self.below {
            true => host.strip_suffix(&self.name).is_some_and(|head| head.len() > 1 && head.ends_with('.')),
            false => host == self.name,
        };
        let at = match (self.port, port) {
            (Port::Any, _) | (_, None) => true,
            (Port::Default, Some((_, is_default))) => is_default,
            (Port::Only(own), Some((asked, _))) => own == asked,
        };
        named && at
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Why {
    Never,
    NotListed,
    /// Only public addresses may be asked.
    Private,
    /// The host is allowed by a `*.suffix` only.
    PrivateBelow,
}

impl Why {
    /// The reason for people, with the way out.
    fn explain(self, host: &str) -> String {
        match self {
            Self::Never => {
                "link-local, metadata, multicast and unspecified addresses are refused by every policy; correct the url"
                    .to_owned()
            }
            Self::NotListed => format!("it is not among the hosts that may be asked; allow it by `--allow-host {host}`"),
            Self::Private => format!(
                "its address is private and only public ones may be asked (`--deny-private`); leave that out and name the \
                 hosts that may be asked (`--allow-host {host}`)"
            ),
            Self::PrivateBelow => format!(
                "its address is private, and an entry with `*.` allows public ones only; allow it by its whole name, \
                 `--allow-host {host}`"
            ),
        }
    }
}

/// A host that the policy refuses.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{host}{} is not asked: {}", in_brackets(.address, .host), .why.explain(.host))]
pub(crate) struct HostRefused {
    host: String,
    address: Option<IpAddr>,
    why: Why,
}

/// The address that a host resolved to, where its name does not show it.
fn in_brackets(address: &Option<IpAddr>, host: &str) -> String {
    let shown = address.map(|address| address.to_string()).filter(|address| !host.contains(address.as_str()));
    shown.map(|address| format!(" ({address})")).unwrap_or_default()
}

impl HostRefused {
    /// The refusal in an error of the HTTP client, if that is its cause.
    pub(crate) fn cause_of(error: &reqwest::Error) -> Option<Self> {
        let mut cause = std::error::Error::source(error);
        while let Some(inner) = cause {
            if let Some(refused) = inner.downcast_ref::<Self>() {
                return Some(refused.clone());
            }
            cause = inner.source();
        }
        None
    }

    /// The failure of the request to `url`; it never passes by itself.
    pub(crate) fn into_failure(self, stage: FailureStage, url: &Url) -> Failure {
        let named = Self { host: host_of(url), ..self };
        Failure::new(FailureOwner::Caller, FailureKind::NotSupported, stage, named.to_string()).with_url(url.as_str())
    }
}

/// Resolves names with the system's resolver and hands on only the addresses that the policy allows.
#[derive(Debug)]
pub(crate) struct PolicyResolver(pub(crate) HostPolicy);

impl Resolve for PolicyResolver {
    fn resolve(&self, name: Name) -> Resolving {
        let policy = self.0.clone();
        Box::pin(async move {
            // Port 0 is replaced by the url's.
            let found: Vec<SocketAddr> = tokio::net::lookup_host((name.as_str(), 0)).await?.collect();
            let passed = policy.judge_resolved(name.as_str(), found)?;
            Ok(Box::new(passed.into_iter()) as Addrs)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(text: &str) -> Url {
        crate::urls::parse_http(text).expect("a url")
    }

    fn judged(policy: &HostPolicy, text: &str) -> Result<(), String> {
        policy.judge_url(&url(text)).map_err(|refused| refused.to_string())
    }

    fn list(hosts: &[&str]) -> HostPolicy {
        HostPolicy::allow_hosts(hosts).expect("hosts")
    }

    #[test]
    fn an_ip_address_is_the_same_host_in_every_way_of_writing() {
        let ways = ["2130706433", "0x7f.1", "0177.0.0.1", "127.1", "0x7f000001", "127.0.0.1.", "0x7f.1."];
        let ways = ways.into_iter().chain(["[::ffff:127.0.0.1]", "[::1]", "[::ffff:7f00:1]", "１２７.０.０.１"]);
        for way in ways {
            let text = format!("http://{way}:8080/x");
            let message = judged(&HostPolicy::deny_private(), &text).expect_err(way);
            assert!(
                message.contains("is private") && message.contains("127.0.0.1") | message.contains("::"),
                "{way}: {message}"
            );
            assert!(judged(&HostPolicy::any(), &text).is_ok(), "{way}");
        }
        assert!(judged(&list(&["127.0.0.1:*"]), "http://0177.0.0.1:9/").is_ok());
        assert!(judged(&list(&["0x7f.1"]), "http://127.0.0.1/").is_ok());
        // A zone is no part of a url's host.
        for zone in ["http://[fe80::1%25eth0]/", "http://[fe80::1%eth0]/"] {
            assert!(crate::urls::parse_http(zone).is_err(), "{zone}");
        }
    }

    #[test]
    fn addresses_of_metadata_services_are_refused_by_every_policy() {
        for text in [
            "http://169.254.169.254/latest/meta-data/",
            "http://[::ffff:169.254.169.254]/",
            "http://0xA9FEA9FE/",
            "http://0/",
            "http://[fe80::1]/",
            "http://[fd00:ec2::254]/",
        ] {
            let host = url(text).host_str().map(str::to_owned).expect("a host");
            for policy in [HostPolicy::any(), HostPolicy::deny_private(), list(&[&host])] {
                let message = judged(&policy, text).expect_err(text);
                assert!(message.contains("refused by every policy"), "{text}: {message}");
            }
        }
    }

    #[test]
    fn an_allow_list_compares_whole_names_and_ports() {
        let policy = list(&["*.arcgis.com", "GIS.city.example", "gis.city.example:6443", "open.example:*", "::1"]);
        for allowed in [
            "https://services1.arcgis.com/x",
            "https://a.b.arcgis.com./x",
            "http://gis.city.example/x",
            "https://gis.city.example./x",
            "https://gis.city.example:443/x",
            "https://gis.city.example:6443/x",
            "http://open.example:9200/",
            "http://[::1]/",
        ] {
            assert_eq!(judged(&policy, allowed), Ok(()), "{allowed}");
        }
        for refused in [
            "https://arcgis.com/",
            "https://.arcgis.com/",
            "https://evilarcgis.com/",
            "https://services1.arcgis.com:8443/",
            "https://arcgis.com.evil.example/",
            "https://services1.arcgis.com@evil.example/",
            "http://gis.city.example:22/",
            "https://gis.city.example:80/",
            "https://x.gis.city.example/",
            "http://127.0.0.1/",
            "http://[::2]/",
        ] {
            let message = match crate::urls::parse_http(refused) {
                Ok(url) => policy.judge_url(&url).expect_err(refused).to_string(),
                Err(_) => continue,
            };
            assert!(message.contains("not among the hosts") && message.contains("--allow-host"), "{refused}: {message}");
        }
    }

    #[test]
    fn what_is_no_host_cannot_be_allowed() {
        let bad = ["", "*", ".", "*.", "*.*", "a.*.b", "https://h", "h/path", "u@h", "h:0", "h:65536", "h:x", "h:", "a b"];
        for text in bad.into_iter().chain(["*.127.0.0.1", "[fe80::1%eth0]", "h?x", "h#x", "*.[::1]", "h,i", ":443", "*a.b"])
        {
            let failure = HostPolicy::allow_hosts([text]).expect_err(text);
            assert_eq!(failure.kind, FailureKind::InvalidParameter, "{text}");
            assert!(failure.message.contains("is not a host that can be allowed"), "{text}: {failure}");
        }
    }

    #[tokio::test]
    async fn the_resolver_hands_on_what_passed() {
        let resolve = |policy: HostPolicy| PolicyResolver(policy).resolve("localhost".parse().expect("a name"));
        assert!(resolve(HostPolicy::any()).await.expect("this machine").all(|a| a.ip().is_loopback()));
        let error = resolve(HostPolicy::deny_private()).await.err().expect("refused");
        assert_eq!(error.downcast_ref::<HostRefused>().map(|refused| refused.why), Some(Why::Private));
    }

    #[test]
    fn a_name_is_connected_to_at_the_addresses_that_passed_only() {
        let at = |ip: &str| SocketAddr::new(ip.parse().expect("an address"), 0);
        let mixed = || vec![at("10.0.0.7"), at("8.8.8.8"), at("::1"), at("169.254.169.254"), at("2606:4700::1111")];
        let passed = |policy: &HostPolicy| policy.judge_resolved("gis.city.example", mixed());
        let public = vec![at("8.8.8.8"), at("2606:4700::1111")];
        assert_eq!(passed(&HostPolicy::deny_private()).expect("some"), public);
        assert_eq!(passed(&HostPolicy::any()).expect("some").len(), 4, "all but the metadata service");
        assert_eq!(passed(&list(&["gis.city.example:6443"])).expect("some").len(), 4);
        assert_eq!(passed(&list(&["*.city.example"])).expect("some"), public);
        assert_eq!(passed(&list(&["gis.city.example"]).and_deny_private()).expect("some"), public);
        let message = passed(&list(&["other.example"])).expect_err("not listed").to_string();
        assert!(message.contains("not among the hosts"), "{message}");
        for (policy, expected) in [
            (HostPolicy::deny_private(), "gis.city.example (10.0.0.7) is not asked: its address is private"),
            (list(&["*.city.example"]), "allow it by its whole name, `--allow-host gis.city.example`"),
        ] {
            let refused = policy.judge_resolved("gis.city.example.", vec![at("10.0.0.7")]).expect_err("private");
            assert!(refused.to_string().contains(expected), "{refused}");
        }
    }
}
