//! JSONP: polling for browsers without CORS (engine-io.md §7). Payloads travel as scripts, and come as forms.

use std::borrow::Cow;

use super::http::query;
use crate::proto::json;

/// Digits of the index that are kept: browsers count from 0, and what a peer sends is sent back.
const INDEX_MAX: usize = 16;

/// The callback index of a session, if its first request asked for JSONP.
pub fn index_of(j: Option<&str>) -> Option<Box<str>> {
    let j = j.filter(|j| !j.is_empty())?;
    Some(j.chars().filter(char::is_ascii_digit).take(INDEX_MAX).collect::<String>().into())
}

/// Appends `___eio[index]("payload");`.
pub fn wrap(index: &str, payload: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(b"___eio[");
    out.extend_from_slice(index.as_bytes());
    out.extend_from_slice(b"](");
    let mut text = Vec::new();
    json::write_string(&String::from_utf8_lossy(payload), &mut text);
    // Two characters that JSON allows in a string, and JavaScript once did not.
    let text = String::from_utf8_lossy(&text).replace('\u{2028}', "\\u2028").replace('\u{2029}', "\\u2029");
    out.extend_from_slice(text.as_bytes());
    out.extend_from_slice(b");");
}

/// The payload of a form's field `d`; `None` if it has none. A backslash and an `n` are a newline, and two backslashes and an `n`
/// are a backslash and an `n`: the client escapes what a form's lines would lose.
pub fn unwrap(form: &str) -> Option<String> {
    let d: Cow<'_, str> = query::param(form, "d")?;
    let mut payload = String::with_capacity(d.len());
    let mut rest = &*d;
    while let Some(at) = rest.find("\\n") {
        let (before, after) = (rest.get(..at)?, rest.get(at + 2..)?);
        match before.strip_suffix('\\') {
            Some(before) => {
                payload.push_str(before);
                payload.push_str("\\n");
            }
            None => {
                payload.push_str(before);
                payload.push('\n');
            }
        }
        rest = after;
    }
    payload.push_str(rest);
    Some(payload)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_payload_becomes_a_script() {
        let mut out = Vec::new();
        wrap("12", "4a\"\u{2028}\u{1e}4b".as_bytes(), &mut out);
        assert_eq!(String::from_utf8(out).unwrap(), "___eio[12](\"4a\\\"\\u2028\\u001e4b\");");
    }

    #[test]
    fn a_form_becomes_a_payload() {
        assert_eq!(unwrap("d=4a%5Cnb").as_deref(), Some("4a\nb"));
        assert_eq!(unwrap("d=4a%5C%5Cnb").as_deref(), Some("4a\\nb"));
        assert_eq!(unwrap("x=1"), None);
    }

    #[test]
    fn the_index_keeps_digits_alone() {
        assert_eq!(index_of(Some("1a2")).as_deref(), Some("12"));
        assert_eq!(index_of(Some("")), None);
    }
}
