//! The client's address behind proxies that are trusted to tell it: the option `trustedProxies`, and the headers `Forwarded` (RFC 7239)
//! and `X-Forwarded-For`.
//!
//! Each proxy adds the address of its own peer at the right, and whatever a client wrote itself stays at the left: hops are read from the
//! right, as long as they are trusted proxies, and the first that is none is the client. Nothing left of it, or of a value that is no
//! address, is believed.
//!
//! A proxy writes one of the two headers and often passes the other on as the client sent it. If both are there and lead to different
//! addresses nobody can tell which is the proxy's, so neither is believed, and the address is the proxy's own.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use ipnet::IpNet;
use serde::Deserialize;

use super::http::Head;

/// The option: addresses and networks, `["10.0.0.0/8", "::1"]`; `0.0.0.0` is a peer without an address. None by default.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(try_from = "Vec<String>")]
pub struct TrustedProxies {
    networks: Vec<IpNet>,
}

impl TryFrom<Vec<String>> for TrustedProxies {
    type Error = String;

    fn try_from(texts: Vec<String>) -> Result<TrustedProxies, String> {
        let network = |text: &String| {
            let address = || text.parse().ok().map(|address: IpAddr| IpNet::from(address.to_canonical()));
            text.parse()
                .ok()
                .or_else(address)
                .ok_or_else(|| format!("{text:?} is no address and no network like 10.0.0.0/8"))
        };
        Ok(TrustedProxies { networks: texts.iter().map(network).collect::<Result<_, _>>()? })
    }
}

impl TrustedProxies {
    /// Whether this address is a trusted proxy's.
    pub fn contain(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.networks.iter().any(|network| network.contains(&address))
    }

    /// The client's address, as far as it can be believed; the peer's if that is no trusted proxy, or tells nothing.
    pub fn client_of(&self, peer: IpAddr, head: &Head) -> IpAddr {
        if !self.contain(peer) {
            return peer;
        }
        let lines = |name: &str| {
            let lines = head.raw_headers().filter(|(field, _)| field.eq_ignore_ascii_case(name.as_bytes()));
            let lines = lines.map(|(_, value)| std::str::from_utf8(value).unwrap_or_default());
            lines.collect::<Vec<_>>()
        };
        let (forwarded, x_forwarded_for) = (lines("forwarded"), lines("x-forwarded-for"));
        let by_forwarded = || self.walk(peer, forwarded.iter().rev().flat_map(|line| forwarded_hops(line)));
        let by_x_forwarded_for =
            || self.walk(peer, x_forwarded_for.iter().rev().flat_map(|line| line.rsplit(',').map(node)));
        match (forwarded.is_empty(), x_forwarded_for.is_empty()) {
            (true, true) => peer,
            (false, true) => by_forwarded(),
            (true, false) => by_x_forwarded_for(),
            (false, false) => Some(by_forwarded()).filter(|client| *client == by_x_forwarded_for()).unwrap_or(peer),
        }
    }

    fn walk(&self, peer: IpAddr, hops: impl Iterator<Item = Option<IpAddr>>) -> IpAddr {
        let mut client = peer;
        for address in hops.map_while(|hop| hop) {
            client = address;
            if !self.contain(address) {
                break;
            }
        }
        client
    }
}

/// The hops of a `Forwarded` line from its right; of one that is not well formed, one that is unknown: where its parts end is in doubt.
fn forwarded_hops(line: &str) -> Vec<Option<IpAddr>> {
    let mut hops = elements(line).unwrap_or_else(|| vec![None]);
    hops.reverse();
    hops
}

/// The address of each element, `for=…;by=…;proto=…`; `None` if the line is not well formed.
fn elements(line: &str) -> Option<Vec<Option<IpAddr>>> {
    let (mut hops, mut hop, mut rest) = (Vec::new(), None, line.trim());
    loop {
        let (name, after) = rest.split_once('=')?;
        let name = name.trim_start();
        if name.is_empty()
            || !name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte))
        {
            return None;
        }
        let (value, after) = match after.strip_prefix('"') {
            Some(quoted) => quoted.split_once('"').filter(|(value, _)| !value.contains('\\'))?,
            None => after.split_at(after.find([';', ',']).unwrap_or(after.len())),
        };
        if value.contains('"') {
            return None;
        }
        if name.eq_ignore_ascii_case("for") {
            hop = node(value);
        }
        let after = after.trim_start();
        let delimiter = after.chars().next();
        rest = after.get(1..).unwrap_or_default();
        match delimiter {
            Some(';') => continue,
            Some(',') => hops.push(hop.take()),
            Some(_) => return None,
            None => {
                hops.push(hop);
                return Some(hops);
            }
        }
    }
}

/// An address as hops are written: with or without a port, an IPv6 one with or without brackets. `unknown` and made-up names are none.
fn node(text: &str) -> Option<IpAddr> {
    let text = text.trim();
    let bracketed = || text.strip_prefix('[')?.strip_suffix(']')?.parse::<Ipv6Addr>().ok().map(IpAddr::V6);
    let with_port = || text.parse::<SocketAddr>().ok().map(|address| address.ip());
    let address: Option<IpAddr> = text.parse().ok().or_else(bracketed).or_else(with_port);
    address.map(|address| address.to_canonical())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::http::{HeadLimits, parse_head};
    use super::*;

    fn client(lines: &str) -> String {
        client_of("127.0.0.1", lines)
    }

    /// The client behind a peer, with 10.0.0.0/8, 127.0.0.1 and fd00::/8 trusted.
    fn client_of(peer: &str, lines: &str) -> String {
        let trusted: TrustedProxies = serde_json::from_str(r#"["10.0.0.0/8","127.0.0.1","fd00::/8"]"#).unwrap();
        let text = format!("GET / HTTP/1.1\r\nHost: h\r\n{lines}\r\n");
        let (head, _) = parse_head(text.as_bytes(), &HeadLimits::default()).unwrap().unwrap();
        trusted.client_of(peer.parse().unwrap(), &head).to_string()
    }

    #[test]
    fn only_a_trusted_peer_is_believed() {
        let lines = "X-Forwarded-For: 1.2.3.4\r\nForwarded: for=1.2.3.4\r\n";
        assert_eq!(client_of("192.0.2.1", lines), "192.0.2.1");
        assert_eq!(client_of("10.9.9.9", lines), "1.2.3.4");
        assert_eq!(client_of("::ffff:10.9.9.9", lines), "1.2.3.4");
        assert_eq!(client_of("10.9.9.9", ""), "10.9.9.9");
    }

    #[test]
    fn x_forwarded_for_is_read_from_the_right_past_trusted_hops() {
        for (value, expected) in [
            ("1.2.3.4", "1.2.3.4"),
            ("6.6.6.6, 1.2.3.4", "1.2.3.4"),
            ("6.6.6.6, 1.2.3.4, 10.0.0.1 ,fd00::5", "1.2.3.4"),
            ("6.6.6.6, nonsense, 10.0.0.1", "10.0.0.1"),
            ("6.6.6.6, 10.0.0.2, 10.0.0.1,", "127.0.0.1"),
            ("10.0.0.2, 10.0.0.1", "10.0.0.2"),
            ("1.2.3.4:5678", "1.2.3.4"),
            ("[2001:db8::1]:5678", "2001:db8::1"),
            ("2001:db8::1", "2001:db8::1"),
            ("[2001:db8::1]", "2001:db8::1"),
            ("::ffff:1.2.3.4", "1.2.3.4"),
            ("unknown", "127.0.0.1"),
            ("", "127.0.0.1"),
        ] {
            assert_eq!(client(&format!("X-Forwarded-For: {value}\r\n")), expected, "{value}");
        }
        assert_eq!(client("X-Forwarded-For: 6.6.6.6\r\nX-Forwarded-For: 1.2.3.4, 10.0.0.1\r\n"), "1.2.3.4");
    }

    #[test]
    fn forwarded_is_read_from_the_right_past_trusted_hops() {
        for (value, expected) in [
            ("for=1.2.3.4", "1.2.3.4"),
            ("For=\"1.2.3.4:80\" ; proto=https;by=10.0.0.1", "1.2.3.4"),
            ("for=6.6.6.6, for=1.2.3.4;proto=http, for=10.0.0.1", "1.2.3.4"),
            ("for=6.6.6.6,proto=http;for=\"[2001:db8:cafe::17]:4711\"", "2001:db8:cafe::17"),
            ("for=6.6.6.6, for=_hidden, for=10.0.0.1", "10.0.0.1"),
            ("for=6.6.6.6, by=10.0.0.2", "127.0.0.1"),
            ("by=\"a,for=6.6.6.6\", for=1.2.3.4", "1.2.3.4"),
        ] {
            assert_eq!(client(&format!("Forwarded: {value}\r\n")), expected, "{value}");
        }
    }

    #[test]
    fn a_client_cannot_hide_what_its_proxy_adds() {
        for (sent, added) in [
            ("for=6.6.6.6;x=\"", ", for=1.2.3.4"),
            ("for=6.6.6.6;x=\"", ", for=\"[2001:db8::1]\""),
            ("for=6.6.6.6;x=\"\\", ", for=\"1.2.3.4\""),
            ("for=6.6.6.6;", ", for=1.2.3.4"),
            ("for=6.6.6.6;x=", ", for=\"1.2.3.4\""),
            ("for=6.6.6.6,", ", for=\"1.2.3.4\""),
        ] {
            let told = client(&format!("Forwarded: {sent}{added}\r\n"));
            assert!(["127.0.0.1", "1.2.3.4"].contains(&told.as_str()), "{sent}{added}: {told}");
        }
    }

    proptest! {
        #[test]
        fn whatever_a_client_sends_its_proxy_is_believed_or_nobody(
            sent in r#"[ ,;="\\\[\]:.f16]{0,12}|for=6\.6\.6\.6[ ,;="\\a]{0,8}"#,
            quoted in any::<bool>(),
        ) {
            let added = if quoted { "for=\"[2001:db8::1]:80\"" } else { "for=1.2.3.4;proto=http" };
            let told = client(&format!("Forwarded: {sent}, {added}\r\n"));
            prop_assert!(["127.0.0.1", "1.2.3.4", "2001:db8::1"].contains(&told.as_str()), "{}", told);
            prop_assert_eq!(client(&format!("X-Forwarded-For: {sent}, 1.2.3.4\r\n")), "1.2.3.4");
        }
    }

    #[test]
    fn two_headers_that_differ_are_not_believed() {
        assert_eq!(client("Forwarded: for=6.6.6.6\r\nX-Forwarded-For: 1.2.3.4\r\n"), "127.0.0.1");
        assert_eq!(client("Forwarded: for=1.2.3.4\r\nX-Forwarded-For: 6.6.6.6, 1.2.3.4\r\n"), "1.2.3.4");
    }

    #[test]
    fn wrong_options_are_refused() {
        for option in [r#"["10.0.0.0/33"]"#, r#"["proxy.example"]"#, r#"[""]"#, r#""10.0.0.1""#, "[7]"] {
            assert!(serde_json::from_str::<TrustedProxies>(option).is_err(), "{option}");
        }
    }
}
