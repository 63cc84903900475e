//! Texts inside of requests: queries and forms, payloads as JSONP in both directions, and what browsers accept for an encoding.
//!
//! The pieces of the input: a query, the index of a JSONP request, a payload, an Accept-Encoding.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sockeye::fuzzing::http::{Encoding, HttpCompression, query};
use sockeye::fuzzing::jsonp;
use sockeye_fuzz::{SLACK, bounded, is_json, pieces};

fuzz_target!(|data: &[u8]| {
    let mut pieces = pieces(data);
    let mut next = || String::from_utf8_lossy(pieces.next().unwrap_or_default()).into_owned();
    let (query, index, payload, accepted) = (next(), next(), next(), next());
    parameters(&query);
    script(&index, &payload);
    form(&query, &payload);
    let encoding = HttpCompression::default().choose(Some(accepted.as_bytes()), 1 << 20);
    let names = accepted.to_ascii_lowercase();
    assert!(
        encoding == Encoding::Identity
            || names.contains('*')
            || encoding.name().is_some_and(|name| names.contains(name))
    );
});

fn parameters(text: &str) {
    let read = bounded(16 * text.len() + SLACK, || query::EngineQuery::parse(text));
    let fields =
        [("EIO", &read.eio), ("transport", &read.transport), ("sid", &read.sid), ("b64", &read.b64), ("j", &read.j)];
    for (name, value) in fields {
        assert_eq!(query::param(text, name), *value);
    }
    let mut json = String::new();
    bounded(256 * text.len() + SLACK, || query::query_json(text, &mut json));
    assert!(is_json(&json), "{json}");
    let object: serde_json::Map<String, serde_json::Value> = serde_json::from_str(&json).expect("an object");
    for (name, value) in &object {
        assert_eq!(query::param(text, name).as_deref(), value.as_str());
    }
    assert!(query::pairs(text).all(|(name, _)| object.contains_key(&*name)));
}

/// An answer is one call of a function with one string, and no byte of it could end a script element's string early.
fn script(index: &str, payload: &str) {
    let index = jsonp::index_of(Some(index));
    let index = index.as_deref().unwrap_or("");
    assert!(index.len() <= 16 && index.bytes().all(|byte| byte.is_ascii_digit()));
    let mut out = Vec::new();
    bounded(32 * payload.len() + SLACK, || jsonp::wrap(index, payload.as_bytes(), &mut out));
    let out = String::from_utf8(out).expect("a script is text");
    let string = out.strip_prefix(&format!("___eio[{index}](")).and_then(|rest| rest.strip_suffix(");"));
    assert_eq!(serde_json::from_str::<String>(string.expect("a call")).as_deref().ok(), Some(payload));
    assert!(!out.contains(['\n', '\r', '\u{2028}', '\u{2029}']));
}

/// What a client's form says comes back: it escapes the newlines that are in the payload, and those that only look so.
fn form(text: &str, payload: &str) {
    bounded(16 * text.len() + SLACK, || jsonp::unwrap(text));
    // As the client of Engine.IO escapes: "\n" as a backslash and an n, and a backslash and an n with one more backslash.
    let escaped = payload.replace("\\n", "\\\\n").replace('\n', "\\n");
    let encoded: String = escaped.bytes().map(|byte| format!("%{byte:02x}")).collect();
    let back = jsonp::unwrap(&format!("d={encoded}"));
    // A backslash in front of a newline is the one thing that this escaping cannot say.
    if !payload.contains("\\\n") {
        assert_eq!(back.as_deref(), Some(payload));
    }
}
