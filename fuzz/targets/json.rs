//! The JSON check and what is cut out of JSON, against serde_json. The pieces of the input: a JSON text, and a JSON pointer.
#![no_main]

use libfuzzer_sys::fuzz_target;
use serde_json::Value;
use sockeye::proto::json::{self, JsonError};
use sockeye_fuzz::{SLACK, bounded, is_json, pieces};

fuzz_target!(|data: &[u8]| {
    let mut texts = pieces(data).filter_map(|piece| std::str::from_utf8(piece).ok());
    let (Some(text), pointer) = (texts.next(), texts.next().unwrap_or("/0")) else { return };
    let valid = bounded(SLACK + text.len(), || json::validate(text)).is_ok();
    assert_eq!(valid, is_json(text), "{text}");
    if valid {
        let depth = depth(text);
        assert!(json::validate_within(text, depth).is_ok());
        assert_eq!(json::validate_within(text, depth.saturating_sub(1)).is_err(), depth > 0);
    }
    let trimmed = json::trim(text);
    assert_eq!(json::object(text).is_ok(), valid && trimmed.starts_with('{'));
    assert_eq!(json::array(text).is_ok(), valid && trimmed.starts_with('['));
    string(text);
    event(text);
    get(text, pointer);
});

/// How deep the arrays and objects of valid JSON are nested.
fn depth(text: &str) -> u32 {
    let (mut depth, mut deepest, mut quoted, mut escaped) = (0, 0, false, false);
    for byte in text.bytes() {
        match (quoted, byte) {
            _ if escaped => escaped = false,
            (true, b'\\') => escaped = true,
            (_, b'"') => quoted = !quoted,
            (false, b'[' | b'{') => depth += 1,
            (false, b']' | b'}') => depth -= 1,
            _ => {}
        }
        deepest = deepest.max(depth);
    }
    deepest
}

fn string(text: &str) {
    let decoded = bounded(4 * text.len() + SLACK, || json::string(text));
    // Another reader refuses lone surrogates.
    if let Ok(expected) = serde_json::from_str::<String>(text) {
        assert_eq!(decoded.as_deref(), Ok(&*expected));
    }
    let Ok(plain) = decoded else { return };
    let mut quoted = Vec::new();
    json::write_string(&plain, &mut quoted);
    let quoted = String::from_utf8(quoted).expect("JSON is text");
    assert_eq!(json::string(&quoted), Ok(plain));
}

fn event(text: &str) {
    let split = bounded(4 * text.len() + SLACK, || json::split_event(text, u32::MAX));
    if json::array(text).is_err() {
        assert!(split.is_err());
        return;
    }
    let args = |span| {
        let mut out = Vec::new();
        json::write_args(text, span, &mut out);
        String::from_utf8(out).expect("a part of the text")
    };
    let all = args(json::split_args(text, u32::MAX).expect("it is an array"));
    assert!(is_json(&all));
    let Ok(Value::Array(mut values)) = serde_json::from_str(text) else { return };
    assert_eq!(serde_json::from_str::<Vec<Value>>(&all).ok().as_ref(), Some(&values));
    match split {
        Ok(event) => {
            let name = values.remove(0);
            assert_eq!(event.name_is_number, name.is_number());
            assert!(event.name_is_number || name == *event.name);
            assert_eq!(serde_json::from_str::<Vec<Value>>(&args(event.args)).ok(), Some(values));
        }
        Err(error) => {
            assert_eq!(error, JsonError::NoEventName);
            assert!(!matches!(values.first(), Some(Value::String(_) | Value::Number(_))));
        }
    }
}

fn get(text: &str, pointer: &str) {
    let found = bounded(4 * (text.len() + pointer.len()) + SLACK, || json::get(text, pointer));
    if let (Ok(found), Ok(value)) = (found, serde_json::from_str::<Value>(text)) {
        let found = found.map(|part| serde_json::from_str::<Value>(part).expect("a part of JSON is JSON"));
        assert_eq!(found.as_ref(), value.pointer(pointer));
    }
}
