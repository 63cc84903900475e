//! Options as JSON: whatever they are, they are refused or valid, and nothing in them or in a request ends a header line early.
//!
//! The pieces of the input: the options, and the lines of a request.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sockeye::fuzzing::Options;
use sockeye::fuzzing::http::{Cookie, Cors, Envelope, Head, HeadLimits, HeaderLines, HttpCompression, parse_head};
use sockeye_fuzz::pieces;

const DATE: &[u8; 29] = b"Thu, 01 Jan 1970 00:00:00 GMT";

fuzz_target!(|data: &[u8]| {
    let mut pieces = pieces(data);
    let Ok(json) = std::str::from_utf8(pieces.next().unwrap_or_default()) else { return };
    let request = [b"OPTIONS / HTTP/1.1\r\nHost: h\r\n", pieces.next().unwrap_or_default(), b"\r\n\r\n"].concat();
    let head = parse_head(&request, &HeadLimits::default()).ok().flatten().map(|(head, _)| head);
    if let Ok(options) = Options::from_json(json) {
        if let Some(cors) = &options.cors {
            check_cors(cors, head.as_ref());
        }
        if let Some(cookie) = &options.cookie {
            check_cookie(cookie);
        }
        // A folder of the machine that fuzzes is none of its business.
        if options.client_dir.is_none() {
            drop(options.into_configs());
        }
    }
    // The same texts without the object around them, which are far easier to hit upon.
    if let Ok(cors) = serde_json::from_str::<Cors>(json) {
        check_cors(&cors, head.as_ref());
    }
    if let Ok(cookie) = serde_json::from_str::<Cookie>(json) {
        check_cookie(&cookie);
    }
    if let Ok(lines) = HeaderLines::from_json(json) {
        are_lines(lines.as_bytes());
    }
    drop(serde_json::from_str::<HttpCompression>(json));
});

fn check_cookie(cookie: &Cookie) {
    let mut line = Vec::new();
    cookie.set_cookie_line("a b\r\n;c", &mut line);
    are_lines(&line);
    assert_eq!(line.iter().filter(|byte| **byte == b'\n').count(), 1);
}

fn check_cors(cors: &Cors, head: Option<&Head>) {
    let Some(head) = head else { return };
    let mut lines = Vec::new();
    cors.apply(head, &mut lines);
    are_lines(&lines);
    let mut answer = Vec::new();
    let envelope = Envelope { extra_lines: b"", keep_alive: true, date: DATE };
    if cors.preflight(head, &envelope, &mut answer) {
        let lines = answer.strip_suffix(b"\r\n").expect("an empty line");
        let first = lines.iter().position(|byte| *byte == b'\n').expect("a status line");
        are_lines(&lines[first + 1..]);
    }
}

/// Whether it is header lines and nothing else: each a name, a colon, a value without control characters, and CRLF.
#[track_caller]
fn are_lines(lines: &[u8]) {
    let Some(lines) = lines.strip_suffix(b"\r\n") else {
        assert!(lines.is_empty(), "{lines:?}");
        return;
    };
    for line in lines.split(|byte| *byte == b'\n') {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let colon = line.iter().position(|byte| *byte == b':').expect("a name");
        assert!(colon > 0 && line[..colon].iter().all(|byte| byte.is_ascii_graphic()));
        assert!(line.iter().all(|byte| *byte == b'\t' || *byte >= 0x20 && *byte != 0x7f), "{line:?}");
    }
}
