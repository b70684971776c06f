//! Hosts that may see a token.

use url::Url;

/// A host that may see a token, and by which ports.
#[derive(Debug, Clone)]
pub(crate) struct NamedHost {
    pub(crate) name: String,
    ports: Ports,
    /// It was named by an `https` url, so no token goes there in the clear.
    pub(crate) only_https: bool,
}

/// Ports at which a named host may see a token. What listens at another port of the host may be anybody's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ports {
    /// `http` at 80, `https` at 443.
    Default,
    One(u16),
}

impl NamedHost {
    /// Reads `host` or `host:port`; `[…]` around an IPv6 address.
    pub(crate) fn read(text: &str) -> Self {
        let text = text.trim();
        let split = text.rsplit_once(':').filter(|(name, _)| !name.contains(':') || name.ends_with(']'));
        let port = split.and_then(|(_, port)| port.parse().ok());
        let name = match (split, port) {
            (Some((name, _)), Some(_)) => name,
            _ => text,
        };
        // As urls spell it; what is no host's name is nobody's.
        let spelt = url::Host::parse(name).map(|host| host.to_string()).unwrap_or_default();
        Self { name: spelt, ports: port.map_or(Ports::Default, Ports::One), only_https: false }
    }

    /// The host of a url. One by `http` is named by `https` as well, where both are on the default ports.
    pub(crate) fn of(url: &Url) -> Self {
        let name = url.host_str().unwrap_or_default().to_owned();
        Self { name, ports: url.port().map_or(Ports::Default, Ports::One), only_https: url.scheme() == "https" }
    }

    /// Whether a url is on this host and port, by whatever scheme.
    pub(crate) fn is_of(&self, url: &Url) -> bool {
        let port = url.port_or_known_default();
        let is_port = match self.ports {
            Ports::Default => url.port().is_none(),
            Ports::One(one) => port == Some(one),
        };
        is_port && url.host_str() == Some(self.name.as_str())
    }

    /// Whether it is named without a port.
    pub(crate) fn is_default(&self) -> bool {
        self.ports == Ports::Default
    }
}
