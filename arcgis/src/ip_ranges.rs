//! What kind of network an IP address belongs to.
//!
//! Sources: the IANA special-purpose address registries for IPv4 and IPv6 (RFC 6890), and the documentation of the cloud
//! providers for the addresses of their metadata services.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Which addresses a rule is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scope {
    /// Reached from everywhere.
    Public,
    /// This machine, a local network, or not assigned to anybody.
    Private,
    /// Never that of a map service: link-local, metadata of a cloud, unspecified, multicast, broadcast.
    Never,
}

type V4 = (Ipv4Addr, u32);
type V6 = (Ipv6Addr, u32);

const fn v4(a: u8, b: u8, c: u8, d: u8, prefix: u32) -> V4 {
    (Ipv4Addr::new(a, b, c, d), prefix)
}

const fn v6(head: [u16; 4], tail: [u16; 4], prefix: u32) -> V6 {
    (Ipv6Addr::new(head[0], head[1], head[2], head[3], tail[0], tail[1], tail[2], tail[3]), prefix)
}

const NEVER_V4: [V4; 7] = [
    // "This network"; 0.0.0.0 reaches the own machine on Linux.
    v4(0, 0, 0, 0, 8),
    v4(169, 254, 0, 0, 16),
    v4(224, 0, 0, 0, 4),
    v4(255, 255, 255, 255, 32),
    // Metadata outside of the link-local range: Azure's host, Alibaba Cloud, Oracle Cloud.
    v4(168, 63, 129, 16, 32),
    v4(100, 100, 100, 200, 32),
    v4(192, 0, 0, 192, 32),
];

const PRIVATE_V4: [V4; 12] = [
    v4(10, 0, 0, 0, 8),
    v4(100, 64, 0, 0, 10),
    v4(127, 0, 0, 0, 8),
    v4(172, 16, 0, 0, 12),
    v4(192, 0, 0, 0, 24),
    v4(192, 0, 2, 0, 24),
    v4(192, 88, 99, 0, 24),
    v4(192, 168, 0, 0, 16),
    v4(198, 18, 0, 0, 15),
    v4(198, 51, 100, 0, 24),
    v4(203, 0, 113, 0, 24),
    v4(240, 0, 0, 0, 4),
];

const NEVER_V6: [V6; 5] = [
    v6([0; 4], [0; 4], 128),
    v6([0xfe80, 0, 0, 0], [0; 4], 10),
    v6([0xff00, 0, 0, 0], [0; 4], 8),
    // Metadata outside of the link-local range: Amazon, Google.
    v6([0xfd00, 0x0ec2, 0, 0], [0; 4], 32),
    v6([0xfd20, 0x00ce, 0, 0], [0, 0, 0, 0x0254], 128),
];

/// Unicast that is assigned at all; everything else is not public.
const GLOBAL_V6: V6 = v6([0x2000, 0, 0, 0], [0; 4], 3);

const PRIVATE_V6: [V6; 4] = [
    // IETF protocol assignments; Teredo is in it.
    v6([0x2001, 0, 0, 0], [0; 4], 23),
    v6([0x2001, 0x0db8, 0, 0], [0; 4], 32),
    v6([0x2002, 0, 0, 0], [0; 4], 16),
    v6([0x3fff, 0, 0, 0], [0; 4], 20),
];

fn lies_in_v4(address: Ipv4Addr, (net, prefix): V4) -> bool {
    (address.to_bits() ^ net.to_bits()).checked_shr(32 - prefix).unwrap_or(0) == 0
}

fn lies_in_v6(address: Ipv6Addr, (net, prefix): V6) -> bool {
    (address.to_bits() ^ net.to_bits()).checked_shr(128 - prefix).unwrap_or(0) == 0
}

fn scope_v4(address: Ipv4Addr) -> Scope {
    if NEVER_V4.iter().any(|net| lies_in_v4(address, *net)) {
        Scope::Never
    } else if PRIVATE_V4.iter().any(|net| lies_in_v4(address, *net)) {
        Scope::Private
    } else {
        Scope::Public
    }
}

/// The IPv4 addresses that an IPv6 address stands for or is routed to, and whether the form is one that reaches public addresses.
fn embedded(address: Ipv6Addr) -> Option<(Vec<Ipv4Addr>, bool)> {
    let s = address.segments();
    let of = |high: u16, low: u16| Ipv4Addr::from_bits(u32::from(high) << 16 | u32::from(low));
    let last = of(s[6], s[7]);
    match s {
        // ::1 and :: are no embedded addresses.
        [0, 0, 0, 0, 0, 0, 0, 0 | 1] => None,
        // Mapped (RFC 4291), compatible (the same, deprecated), translated (RFC 2765).
        [0, 0, 0, 0, 0, 0xffff, ..] => Some((vec![last], true)),
        [0, 0, 0, 0, 0, 0, ..] | [0, 0, 0, 0, 0xffff, 0, ..] => Some((vec![last], false)),
        // NAT64 (RFC 6052), and its local-use prefix (RFC 8215).
        [0x64, 0xff9b, 0, 0, 0, 0, ..] => Some((vec![last], true)),
        [0x64, 0xff9b, 1, ..] => Some((vec![last], false)),
        // 6to4 (RFC 3056).
        [0x2002, high, low, ..] => Some((vec![of(high, low)], true)),
        // Teredo (RFC 4380): the server, and the client with its bits turned over.
        [0x2001, 0, high, low, ..] => Some((vec![of(high, low), of(!s[6], !s[7])], false)),
        // ISATAP (RFC 5214).
        [_, _, _, _, 0 | 0x0200, 0x5efe, ..] => Some((vec![last], false)),
        _ => None,
    }
}

fn scope_v6(address: Ipv6Addr) -> Scope {
    if NEVER_V6.iter().any(|net| lies_in_v6(address, *net)) {
        return Scope::Never;
    }
    if let Some((inner, reaches_public)) = embedded(address) {
        return match inner.into_iter().map(scope_v4).max_by_key(|scope| *scope as u8) {
            Some(Scope::Never) => Scope::Never,
            Some(Scope::Public) if reaches_public => Scope::Public,
            _ => Scope::Private,
        };
    }
    let is_public = lies_in_v6(address, GLOBAL_V6) && !PRIVATE_V6.iter().any(|net| lies_in_v6(address, *net));
    if is_public { Scope::Public } else { Scope::Private }
}

/// Judges an address; an IPv6 address that stands for an IPv4 address is judged by that.
pub(crate) fn scope(address: IpAddr) -> Scope {
    match address {
        IpAddr::V4(address) => scope_v4(address),
        IpAddr::V6(address) => scope_v6(address),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(expected: Scope, addresses: &[&str]) {
        for text in addresses {
            assert_eq!(scope(text.parse().expect("an address")), expected, "{text}");
        }
    }

    #[test]
    fn link_local_metadata_multicast_and_unspecified_addresses_are_never_asked() {
        all(Scope::Never, &["169.254.169.254", "169.254.0.1", "0.0.0.0", "0.1.2.3", "224.0.0.1", "255.255.255.255"]);
        all(Scope::Never, &["168.63.129.16", "100.100.100.200", "192.0.0.192", "fd00:ec2::254", "fd20:ce::254"]);
        all(Scope::Never, &["::", "fe80::1", "febf::1", "ff02::1", "::ffff:169.254.169.254", "::169.254.169.254"]);
        all(Scope::Never, &["64:ff9b::169.254.169.254", "64:ff9b:1::a9fe:a9fe", "2002:a9fe:a9fe::1"]);
        all(Scope::Never, &["2001:0:808:808::5601:5601", "fe80::5efe:10.0.0.1", "2606:4700::5efe:169.254.169.254"]);
        all(Scope::Never, &["::ffff:0:169.254.169.254"]);
    }

    #[test]
    fn addresses_of_this_machine_of_local_networks_and_of_nobody_are_private() {
        all(Scope::Private, &["127.0.0.1", "127.255.255.254", "10.0.0.1", "172.16.0.1", "172.31.255.255", "192.168.1.1"]);
        all(Scope::Private, &["100.64.0.1", "100.127.255.255", "192.0.0.1", "192.0.2.1", "198.18.0.1", "198.19.255.255"]);
        all(Scope::Private, &["198.51.100.1", "203.0.113.1", "240.0.0.1", "192.88.99.1"]);
        all(Scope::Private, &["::1", "fc00::1", "fdff::1", "fec0::1", "2001:db8::1", "3fff::1", "5f00::1", "100::1"]);
        all(Scope::Private, &["::ffff:127.0.0.1", "::ffff:10.0.0.1", "::127.0.0.1", "::8.8.8.8", "64:ff9b::10.0.0.1"]);
        all(Scope::Private, &["2002:7f00:1::", "2002:0a00:1::1", "2001:0:4136:e378::f5ff:fffe", "2001:2::1", "4000::1"]);
        all(Scope::Private, &["64:ff9b:1::8.8.8.8", "::ffff:0:8.8.8.8"]);
    }

    #[test]
    fn addresses_of_the_internet_are_public() {
        all(Scope::Public, &["8.8.8.8", "1.1.1.1", "172.15.255.255", "172.32.0.1", "100.63.255.255", "100.128.0.1"]);
        all(Scope::Public, &["192.0.1.1", "198.17.255.255", "198.20.0.1", "223.255.255.255", "169.253.1.1", "11.0.0.1"]);
        all(
            Scope::Public,
            &["2606:4700::1111", "2a00:1450:4001::1", "::ffff:8.8.8.8", "64:ff9b::8.8.8.8", "2002:808:808::1"],
        );
    }
}
