//! The client's address behind trusted proxies: whatever a request's headers say, it is the peer's own unless that is trusted, and a trusted
//! proxy's word only reaches as far as addresses that are written plainly.
//!
//! The input: the lines of a request.
#![no_main]

use std::net::IpAddr;

use libfuzzer_sys::fuzz_target;
use sockeye::fuzzing::http::{HeadLimits, parse_head};
use sockeye::fuzzing::proxies::TrustedProxies;
use sockeye_fuzz::{SLACK, bounded};

fuzz_target!(|data: &[u8]| {
    let request = [b"GET / HTTP/1.1\r\nHost: h\r\n", data, b"\r\n\r\n"].concat();
    let Ok(Some((head, _))) = parse_head(&request, &HeadLimits::default()) else { return };
    let proxies = TrustedProxies::try_from(["10.0.0.0/8", "::1"].map(str::to_owned).to_vec()).expect("addresses");
    let (stranger, proxy) = (IpAddr::from([1, 2, 3, 4]), IpAddr::from([10, 0, 0, 1]));
    assert_eq!(proxies.client_of(stranger, &head), stranger);
    let client = bounded(64 * request.len() + SLACK, || proxies.client_of(proxy, &head));
    let nobody = TrustedProxies::default();
    assert_eq!(nobody.client_of(proxy, &head), proxy);

    let lines: Vec<&[u8]> = head.raw().split(|byte| *byte == b'\n').collect();
    let of = |name: &str| {
        let named = |line: &&&[u8]| line.len() > name.len() && line[..name.len()].eq_ignore_ascii_case(name.as_bytes());
        lines.iter().filter(named).map(|line| String::from_utf8_lossy(&line[name.len()..])).collect::<Vec<_>>()
    };
    let (forwarded, x_forwarded_for) = (of("forwarded:"), of("x-forwarded-for:"));
    if forwarded.is_empty() && x_forwarded_for.is_empty() {
        assert_eq!(client, proxy);
    }
    // The last hop that a list of plain addresses names is believed, for the trusted peer wrote it.
    if let ([line], true) = (x_forwarded_for.as_slice(), forwarded.is_empty()) {
        let hops: Option<Vec<IpAddr>> = line.split(',').map(|hop| hop.trim().parse().ok()).collect();
        if let Some(hops) = hops {
            let hops: Vec<_> = hops.iter().map(IpAddr::to_canonical).collect();
            let expected = hops.iter().rev().find(|hop| !proxies.contain(**hop)).or(hops.first());
            assert_eq!(Some(&client), expected);
        }
    }
});
