//! JSON text from what a request says: string literals, and the headers as Node shows them.
//!
//! Written by hand because header values are ISO-8859-1 and are joined on the way; nothing is parsed here.

use super::Head;
use std::borrow::Cow;

/// Headers of which Node's `IncomingMessage.headers` keeps the first occurrence; others are joined.
const FIRST_WINS: [&str; 18] = [
    "age",
    "authorization",
    "content-length",
    "content-type",
    "etag",
    "expires",
    "from",
    "host",
    "if-modified-since",
    "if-unmodified-since",
    "last-modified",
    "location",
    "max-forwards",
    "proxy-authorization",
    "referer",
    "retry-after",
    "server",
    "user-agent",
];

/// Appends a JSON string literal, quotes included. Only what JSON demands is escaped.
pub(crate) fn push_json_string(out: &mut String, text: &str) {
    out.push('"');
    push_escaped(out, text);
    out.push('"');
}

fn push_escaped(out: &mut String, text: &str) {
    const HEX: [char; 16] = ['0', '1', '2', '3', '4', '5', '6', '7', '8', '9', 'a', 'b', 'c', 'd', 'e', 'f'];
    let mut rest = text;
    while let Some(at) = rest.bytes().position(|byte| matches!(byte, b'"' | b'\\' | 0..=0x1f)) {
        let (clean, tail) = rest.split_at_checked(at).unwrap_or((rest, ""));
        out.push_str(clean);
        match tail.bytes().next() {
            Some(byte @ (b'"' | b'\\')) => out.extend(['\\', char::from(byte)]),
            Some(byte) => {
                out.push_str("\\u00");
                let nibble = |n: u8| HEX.get(usize::from(n)).copied();
                out.extend([byte >> 4, byte & 15].into_iter().filter_map(nibble));
            }
            None => {}
        }
        rest = tail.get(1..).unwrap_or_default();
    }
    out.push_str(rest);
}

/// The text of an ISO-8859-1 header value: what values are to Node and to browsers.
fn latin1(value: &[u8]) -> Cow<'_, str> {
    match std::str::from_utf8(value) {
        Ok(text) if text.is_ascii() => Cow::Borrowed(text),
        _ => Cow::Owned(value.iter().map(|byte| char::from(*byte)).collect()),
    }
}

impl Head {
    /// Appends the headers as a JSON object in the manner of Node's `IncomingMessage.headers`: lower-case names in order
    /// of first appearance, `set-cookie` an array, `cookie` joined with `; `, single fields first wins, others joined with
    /// `, `; values are read as ISO-8859-1.
    pub fn headers_json(&self, out: &mut String) {
        out.push('{');
        let mut separator = "";
        for (index, (name, value)) in self.raw_headers().enumerate() {
            let same = |(other, _): &(&[u8], &[u8])| other.eq_ignore_ascii_case(name);
            if self.raw_headers().take(index).any(|field| same(&field)) {
                continue;
            }
            out.push_str(separator);
            separator = ",";
            let name = latin1(name).to_ascii_lowercase();
            push_json_string(out, &name);
            out.push(':');
            let later = || self.raw_headers().skip(index + 1).filter(same).map(|(_, value)| value);
            match name.as_str() {
                "set-cookie" => push_values(out, value, later(), ["[\"", "\",\"", "\"]"]),
                "cookie" => push_values(out, value, later(), ["\"", "; ", "\""]),
                single if FIRST_WINS.contains(&single) => push_json_string(out, &latin1(value)),
                _ => push_values(out, value, later(), ["\"", ", ", "\""]),
            }
        }
        out.push('}');
    }
}

/// Appends the values of one name between `[before, separator, after]`.
fn push_values<'a>(
    out: &mut String,
    first: &[u8],
    later: impl Iterator<Item = &'a [u8]>,
    [before, separator, after]: [&str; 3],
) {
    out.push_str(before);
    push_escaped(out, &latin1(first));
    for value in later {
        out.push_str(separator);
        push_escaped(out, &latin1(value));
    }
    out.push_str(after);
}

#[cfg(test)]
mod tests {
    use super::super::{HeadLimits, parse_head};
    use super::*;

    #[test]
    fn strings_escape_quotes_backslashes_and_controls() {
        let cases = ["", "plain", "a\"\\\t\u{e9}", "\u{1}\u{1f}\u{2028}", "\"", "end\n"];
        for text in cases {
            let mut out = String::new();
            push_json_string(&mut out, text);
            assert_eq!(serde_json::from_str::<String>(&out).unwrap(), text);
        }
    }

    // The expectation was read off `req.headers` of Node 20.
    #[test]
    fn headers_become_nodes_object() {
        let lines = b"GET / HTTP/1.1\r\nHost: a\r\nCookie: a=1\r\ncookie: b=2\r\nset-cookie: x\r\nX-A: 1\r\nx-a:   2  \r\nX-E:\r\n\
            Referer: r1\r\nReferer: r2\r\nX-L: \xe9\"\r\norigin: o1\r\nOrigin: o2\r\nSet-Cookie: y\r\nUSER-AGENT: u\r\n\r\n";
        let mut out = String::new();
        let (head, _) = parse_head(lines, &HeadLimits::default()).unwrap().unwrap();
        head.headers_json(&mut out);
        let expected = r#"{"host":"a","cookie":"a=1; b=2","set-cookie":["x","y"],"x-a":"1, 2","x-e":"","referer":"r1","x-l":"é\"","origin":"o1, o2","user-agent":"u"}"#;
        assert_eq!(out, expected);
    }
}
