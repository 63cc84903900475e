//! Request heads: what is accepted has one meaning only, reads the same when it is read again, and came whole or not at all.
//!
//! The input: limits in two bytes, then the bytes of a connection.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sockeye::fuzzing::http::{BodyKind, EngineQuery, Head, HeadLimits, parse_head, query};
use sockeye_fuzz::{SLACK, bounded, byte, is_json};

/// Prefixes are tried for heads up to this length: beyond it, that would take most of the time.
const PREFIXES_MAX: usize = 300;

fuzz_target!(|data: &[u8]| {
    let mut data = data;
    let limits = HeadLimits {
        bytes_max: match byte(&mut data) {
            0 => HeadLimits::default().bytes_max,
            n => usize::from(n) * 8,
        },
        headers_max: match byte(&mut data) {
            0 => HeadLimits::default().headers_max,
            n => usize::from(n),
        },
    };
    let parsed = bounded(2 * data.len() + SLACK, || parse_head(data, &limits));
    if let Err(error) = &parsed {
        assert!([400, 417, 431, 501, 505].contains(&error.status), "{error}");
    }
    if data.len() <= PREFIXES_MAX {
        prefixes(data, &limits, parsed.as_ref().map(|parsed| parsed.as_ref().map(|(_, len)| *len)).ok());
    }
    if let Ok(Some((head, len))) = parsed {
        assert!(len <= data.len().min(limits.bytes_max));
        check(&head, &limits);
    }
});

/// A head that is complete after `len` bytes was not before; one that is refused may be refused early, and stays refused.
fn prefixes(data: &[u8], limits: &HeadLimits, parsed: Option<Option<usize>>) {
    let mut refused = false;
    for end in 0..data.len() {
        match parse_head(&data[..end], limits) {
            Ok(None) => assert!(!refused),
            Err(_) => {
                assert!(parsed.is_none(), "a beginning was refused and the whole was not");
                refused = true;
            }
            Ok(Some((_, len))) => assert_eq!(parsed, Some(Some(len))),
        }
    }
}

fn check(head: &Head, limits: &HeadLimits) {
    let raw = head.raw();
    assert!(raw.ends_with(b"\r\n\r\n"));
    let lines: Vec<&[u8]> = raw.split(|byte| *byte == b'\n').collect();
    assert!(lines.iter().rev().skip(1).all(|line| line.ends_with(b"\r")), "each line ends in CRLF");
    assert_eq!(raw.iter().filter(|byte| **byte == b'\r').count(), lines.len() - 1);
    assert!(lines.len() - 3 <= limits.headers_max);
    framing(head, &lines[1..lines.len() - 2]);
    let again = parse_head(raw, &HeadLimits::CEILING);
    if let Ok(Some((again, len))) = again {
        assert_eq!((again.target(), again.body_kind(), len), (head.target(), head.body_kind(), raw.len()));
        assert_eq!(
            (again.keep_alive(), again.is_websocket_upgrade(), again.expects_continue()),
            (head.keep_alive(), head.is_websocket_upgrade(), head.expects_continue())
        );
    } else {
        panic!("a head that was accepted is refused");
    }
    let mut json = String::new();
    // A byte becomes at most six characters.
    bounded(32 * raw.len() + SLACK, || head.headers_json(&mut json));
    assert!(is_json(&json), "{json}");
    assert!(head.target().contains(head.query_text()));
    EngineQuery::parse(head.query_text());
    let mut json = String::new();
    bounded(256 * raw.len() + SLACK, || query::query_json(head.query_text(), &mut json));
    assert!(is_json(&json), "{json}");
    assert!(!head.path().contains(['?', '#', ' ']));
}

/// What decides where the body ends is there once and plainly.
fn framing(head: &Head, lines: &[&[u8]]) {
    let values = |name: &str| -> Vec<String> {
        let fields = lines.iter().filter_map(|line| {
            let at = line.iter().position(|byte| *byte == b':')?;
            let (field, value) = line.split_at(at);
            field
                .eq_ignore_ascii_case(name.as_bytes())
                .then(|| String::from_utf8_lossy(&value[1..]).trim().to_lowercase())
        });
        fields.collect()
    };
    let (lengths, codings) = (values("content-length"), values("transfer-encoding"));
    match head.body_kind() {
        BodyKind::None => assert!(lengths.is_empty() && codings.is_empty(), "{codings:?}"),
        BodyKind::Length(length) => {
            assert!(codings.is_empty() && !lengths.is_empty());
            assert!(lengths.iter().all(|text| text.parse() == Ok(length)), "{lengths:?}");
        }
        BodyKind::Chunked => assert_eq!((codings.as_slice(), lengths.len()), (&["chunked".to_owned()][..], 0)),
    }
    assert!(values("host").len() <= 1);
    if head.is_websocket_upgrade() {
        assert!(matches!(head.body_kind(), BodyKind::None | BodyKind::Length(0)));
    }
}
