//! Which client an address is one of: where the sessions of one client are bounded, and where its users are holders of their own.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

/// The bits of an IPv6 address that are one client's network.
const NETWORK: u128 = u128::MAX << 64;

/// The client of an address: one IPv4 address, one IPv6 network of 64 bits; what is neither is a client of its own.
pub(crate) fn client_of(address: &str) -> Arc<str> {
    let address = address.trim();
    match parse(address) {
        Some(IpAddr::V4(address)) => address.to_string().into(),
        Some(IpAddr::V6(address)) => match address.to_ipv4_mapped() {
            Some(address) => address.to_string().into(),
            None => format!("{}/64", Ipv6Addr::from_bits(address.to_bits() & NETWORK)).into(),
        },
        None => address.into(),
    }
}

/// An address as proxies and sockets write it: alone, in brackets, with a port, with a zone.
fn parse(address: &str) -> Option<IpAddr> {
    if let Ok(with_port) = address.parse::<SocketAddr>() {
        return Some(with_port.ip());
    }
    let bare = match address.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((inner, "")) => inner,
        Some((inner, port)) => {
            let port = port.strip_prefix(':')?;
            port.parse::<u16>().ok()?;
            inner
        }
        None => address,
    };
    let bare = bare.split_once('%').map_or(bare, |(bare, _zone)| bare);
    bare.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_is_an_address_without_a_port_or_a_network_of_ipv6() {
        for (address, client) in [
            ("10.0.0.1", "10.0.0.1"),
            (" 10.0.0.1:8080", "10.0.0.1"),
            ("::ffff:10.0.0.1", "10.0.0.1"),
            ("[::ffff:10.0.0.1]:443", "10.0.0.1"),
            ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
            ("2001:DB8:1:2::9", "2001:db8:1:2::/64"),
            ("[2001:db8:1:2::9]", "2001:db8:1:2::/64"),
            ("[2001:db8:1:2::9]:80", "2001:db8:1:2::/64"),
            ("fe80::1%eth0", "fe80::/64"),
            ("[fe80::1%eth0]:80", "fe80::/64"),
            ("kiosk-7", "kiosk-7"),
            ("[kiosk]:x", "[kiosk]:x"),
            ("", ""),
        ] {
            assert_eq!(&*client_of(address), client, "{address}");
        }
    }
}
