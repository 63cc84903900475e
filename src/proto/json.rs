//! JSON as text slices: checked, cut at the places a Socket.IO packet needs, and passed on unchanged.
//!
//! No value tree is ever built. What `JSON.parse` accepts is accepted, which is RFC 8259 with two freedoms that value
//! trees do not have: any depth (the check does not recurse) and any number (`1e999`); strings may also hold lone
//! surrogates, which stay as they are in the text and become U+FFFD where a string is decoded.
//!
//! Spans are offsets into the very text that was checked; with another text they give wrong bytes, never a panic.

use std::borrow::Cow;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer as _, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::ack_id::write_number;
use super::json_check::{check, plain_len};

/// A depth that no text in memory exceeds: for texts of the host's, who may nest as he likes.
const ANY_DEPTH: u32 = u32::MAX;

/// Integers of up to this many digits are exact in an `f64`, so their text is already what JavaScript prints.
const EXACT_DIGITS_MAX: usize = 15;

/// Why a text was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JsonError {
    /// Not JSON from byte `at` on.
    Syntax {
        at: usize,
    },
    /// Arrays and objects are nested deeper than allowed.
    TooDeep,
    NotAnArray,
    NotAnObject,
    NotAString,
    /// An event array whose first element is neither a string nor a number, or that is empty.
    NoEventName,
    /// A JSON pointer that does not start with `/`, or with `~` before anything but `0` and `1`.
    BadPointer,
}

impl fmt::Display for JsonError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Syntax { at } => return write!(f, "invalid JSON at byte {at}"),
            Self::TooDeep => "arrays and objects are nested too deep",
            Self::NotAnArray => "the JSON text is not an array",
            Self::NotAnObject => "the JSON text is not an object",
            Self::NotAString => "the JSON text is not a string",
            Self::NoEventName => "the first element is not an event name",
            Self::BadPointer => "invalid JSON pointer",
        })
    }
}

impl std::error::Error for JsonError {}

/// Where the arguments stand in an event's or an ack's text: the elements with their commas, without the brackets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ArgsSpan {
    start: usize,
    end: usize,
}

/// An event array, cut after its first element.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event<'a> {
    /// A numeric name is given as JavaScript prints the number, since listeners are found by that string.
    pub name: Cow<'a, str>,
    pub name_is_number: bool,
    /// The other elements, in the text that was split.
    pub args: ArgsSpan,
}

/// Checks that `text` is one JSON value; white space around it is fine.
pub fn validate(text: &str) -> Result<(), JsonError> {
    validate_within(text, ANY_DEPTH)
}

/// As [`validate`], and that arrays and objects are nested at most `depth_max` deep.
pub fn validate_within(text: &str, depth_max: u32) -> Result<(), JsonError> {
    check(text, depth_max)
}

/// `text` without the white space that JSON allows around a value.
#[inline(always)]
pub fn trim(text: &str) -> &str {
    // All of it is at or below the space, and most text has none.
    if let (Some(b'!'..), Some(b'!'..)) = (text.as_bytes().first(), text.as_bytes().last()) {
        return text;
    }
    trim_slowly(text)
}

#[cold]
fn trim_slowly(text: &str) -> &str {
    text.trim_matches([' ', '\t', '\n', '\r'])
}

/// Checks that `text` is one JSON array and gives what stands between its brackets, trimmed.
pub fn array(text: &str) -> Result<&str, JsonError> {
    array_within(text, ANY_DEPTH)
}

fn array_within(text: &str, depth_max: u32) -> Result<&str, JsonError> {
    validate_within(text, depth_max)?;
    inside(text).ok_or(JsonError::NotAnArray)
}

/// Checks that `text` is one JSON object and gives it without white space around it.
pub fn object(text: &str) -> Result<&str, JsonError> {
    object_within(text, ANY_DEPTH)
}

/// As [`object`], with arrays and objects nested at most `depth_max` deep, itself included.
pub fn object_within(text: &str, depth_max: u32) -> Result<&str, JsonError> {
    validate_within(text, depth_max)?;
    let text = trim(text);
    text.starts_with('{').then_some(text).ok_or(JsonError::NotAnObject)
}

/// Checks that `text` is one JSON string and decodes it; lone surrogates become U+FFFD.
pub fn string(text: &str) -> Result<Cow<'_, str>, JsonError> {
    validate(text)?;
    let text = trim(text);
    let inner = text.strip_prefix('"').and_then(|text| text.strip_suffix('"')).ok_or(JsonError::NotAString)?;
    if !inner.contains('\\') {
        return Ok(Cow::Borrowed(inner));
    }
    let bytes = serde_json::Deserializer::from_str(text).deserialize_bytes(StringBytes);
    Ok(Cow::Owned(replace_surrogates(bytes.map_err(unexpected)?)))
}

/// Checks an event array such as `["name",1,2]` and cuts it after the name (socket-io.md §3).
///
/// Reserved names are the packet decoder's to refuse. Arrays and objects may be nested at most `depth_max` deep.
pub fn split_event(json: &str, depth_max: u32) -> Result<Event<'_>, JsonError> {
    let inner = array_within(json, depth_max)?;
    let (len, is_plain) = first_element(inner.as_bytes());
    let (name, rest) = inner.split_at_checked(len).unwrap_or((inner, ""));
    let rest = trim(rest);
    let args = span_of(json, trim(rest.strip_prefix(',').unwrap_or(rest)));
    let (name, name_is_number) = match name.as_bytes().first() {
        Some(b'"') if is_plain => (Cow::Borrowed(name.get(1..len - 1).unwrap_or_default()), false),
        Some(b'"') => (string(name)?, false),
        Some(b'-' | b'0'..=b'9') => (number_name(name), true),
        _ => return Err(JsonError::NoEventName),
    };
    Ok(Event { name, name_is_number, args })
}

/// Checks an ack's array, nested at most `depth_max` deep, and gives the span of its elements.
pub fn split_args(json: &str, depth_max: u32) -> Result<ArgsSpan, JsonError> {
    Ok(span_of(json, array_within(json, depth_max)?))
}

/// Appends the arguments as a JSON array of their own: `[1,2]`, or `[]`.
pub fn write_args(json: &str, span: ArgsSpan, out: &mut Vec<u8>) {
    let args = json.get(span.start..span.end).unwrap_or_default();
    out.reserve(args.len() + 2);
    out.push(b'[');
    out.extend_from_slice(args.as_bytes());
    out.push(b']');
}

/// Appends `text` as a JSON string, escaped as `JSON.stringify` does.
pub fn write_string(text: &str, out: &mut Vec<u8>) {
    let written = serde_json::to_writer(out, text);
    debug_assert!(written.is_ok(), "a Vec takes every write");
}

/// The value that an RFC 6901 pointer names, as it stands in the text; `None` if there is no such member or element.
///
/// Checks the whole text. Of duplicate keys the last counts, as in JavaScript. Takes time in proportion to the text for
/// each step of the pointer.
pub fn get<'a>(json: &'a str, pointer: &str) -> Result<Option<&'a str>, JsonError> {
    validate(json)?;
    let mut value = trim(json);
    if pointer.is_empty() {
        return Ok(Some(value));
    }
    for token in pointer.strip_prefix('/').ok_or(JsonError::BadPointer)?.split('/') {
        let token = unescape(token)?;
        let mut reader = serde_json::Deserializer::from_str(value);
        let found = match value.as_bytes().first() {
            Some(b'{') => reader.deserialize_map(Member(&token)),
            Some(b'[') => match index(&token) {
                Some(index) => reader.deserialize_seq(Element(index)),
                None => Ok(None),
            },
            _ => Ok(None),
        };
        match found.map_err(unexpected)? {
            Some(found) => value = found.get(),
            None => return Ok(None),
        }
    }
    Ok(Some(value))
}

/// Whether a text stands in a JSON string as it is.
pub fn is_plain(text: &str) -> bool {
    let len = plain_len(text.as_bytes());
    text.bytes().skip(len).all(|byte| !matches!(byte, b'"' | b'\\' | ..b' '))
}

/// How long the string is whose first quote was before `text`, without its last, and whether it has no escapes; `None` if it does not end.
pub fn string_len(text: &str) -> Option<(usize, bool)> {
    let (bytes, mut at, mut is_plain) = (text.as_bytes(), 0, true);
    loop {
        at += plain_len(bytes.get(at..)?);
        match bytes.get(at)? {
            b'"' => return Some((at, is_plain)),
            b'\\' => {
                is_plain = false;
                at += 2;
            }
            _ => at += 1,
        }
    }
}

/// The index of the quote that ends a string, given the text from after its first quote, and whether an escape precedes it.
pub(super) fn string_end(bytes: &[u8]) -> (usize, bool) {
    let (mut at, mut escaped) = (0, false);
    while let Some(&byte) = bytes.get(at) {
        match byte {
            b'"' => break,
            b'\\' => {
                escaped = true;
                at += 2;
            }
            _ => at += 1,
        }
    }
    (at.min(bytes.len()), escaped)
}

/// What stands between the brackets of an array known to be valid, trimmed; `None` for any other value.
pub(super) fn inside(text: &str) -> Option<&str> {
    match text.strip_prefix('[').and_then(|text| text.strip_suffix(']')) {
        Some(inside) => Some(trim(inside)),
        None => Some(trim(trim(text).strip_prefix('[')?.strip_suffix(']')?)),
    }
}

/// The length of the string or number that a valid element list starts with, and whether it has no escapes; for other
/// elements anything.
fn first_element(list: &[u8]) -> (usize, bool) {
    if let Some((b'"', string)) = list.split_first() {
        let (len, escaped) = string_end(string);
        return (len + 2, !escaped);
    }
    let is_number = |byte: &&u8| matches!(byte, b'0'..=b'9' | b'+' | b'-' | b'.' | b'e' | b'E');
    (list.iter().take_while(is_number).count(), true)
}

/// The offsets in `text` of `part`, a slice of it.
fn span_of(text: &str, part: &str) -> ArgsSpan {
    let start = part.as_ptr().addr().saturating_sub(text.as_ptr().addr());
    ArgsSpan { start, end: start + part.len() }
}

fn number_name(number: &str) -> Cow<'_, str> {
    if number.len() <= EXACT_DIGITS_MAX && number.bytes().all(|b| b.is_ascii_digit()) {
        return Cow::Borrowed(number);
    }
    let mut name = Vec::new();
    write_number(number.parse().unwrap_or(f64::NAN), &mut name);
    Cow::Owned(String::from_utf8_lossy(&name).into_owned())
}

/// Turns what `serde_json` decodes, UTF-8 in which surrogates may be encoded, into UTF-8 proper.
fn replace_surrogates(mut bytes: Vec<u8>) -> String {
    for at in 0..bytes.len() {
        // ED A0..BF xx encodes a surrogate, and U+FFFD takes three bytes as well.
        if let Some([first @ 0xed, second @ 0xa0..=0xbf, third]) = bytes.get_mut(at..at + 3) {
            (*first, *second, *third) = (0xef, 0xbf, 0xbd);
        }
    }
    String::from_utf8(bytes).unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned())
}

/// An error of `serde_json` over text that has passed the check, which it should not have.
fn unexpected(error: serde_json::Error) -> JsonError {
    JsonError::Syntax { at: error.column() }
}

fn unescape(token: &str) -> Result<Cow<'_, str>, JsonError> {
    let mut parts = token.split('~');
    let first = parts.next().unwrap_or_default();
    if first.len() == token.len() {
        return Ok(Cow::Borrowed(token));
    }
    let mut plain = first.to_owned();
    for part in parts {
        let (c, rest) = match part.split_at_checked(1) {
            Some(("0", rest)) => ('~', rest),
            Some(("1", rest)) => ('/', rest),
            _ => return Err(JsonError::BadPointer),
        };
        plain.push(c);
        plain.push_str(rest);
    }
    Ok(Cow::Owned(plain))
}

/// An array index as RFC 6901 writes it: digits without a leading zero. An index past any memory is none.
fn index(token: &str) -> Option<usize> {
    let digits = token.bytes().all(|b| b.is_ascii_digit()) && (token == "0" || !token.starts_with('0'));
    digits.then(|| token.parse().ok())?
}

/// Decodes a string to bytes, in which surrogates are encoded like other characters.
struct StringBytes;

impl Visitor<'_> for StringBytes {
    type Value = Vec<u8>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string")
    }

    fn visit_bytes<E>(self, bytes: &[u8]) -> Result<Vec<u8>, E> {
        Ok(bytes.to_vec())
    }
}

/// Reads an object and keeps the last value of one key.
struct Member<'k>(&'k str);

impl<'de> Visitor<'de> for Member<'_> {
    type Value = Option<&'de RawValue>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut found = None;
        while let Some(is_it) = map.next_key_seed(KeyIs(self.0))? {
            if is_it {
                found = Some(map.next_value()?);
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
        Ok(found)
    }
}

/// Tells whether a key is the wanted one; as bytes, because a key may hold surrogates that no `str` can.
struct KeyIs<'k>(&'k str);

impl<'de> DeserializeSeed<'de> for KeyIs<'_> {
    type Value = bool;

    fn deserialize<D: serde::Deserializer<'de>>(self, deserializer: D) -> Result<bool, D::Error> {
        deserializer.deserialize_bytes(self)
    }
}

impl Visitor<'_> for KeyIs<'_> {
    type Value = bool;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_bytes<E>(self, key: &[u8]) -> Result<bool, E> {
        Ok(key == self.0.as_bytes())
    }
}

/// Reads an array and keeps the element at one index.
struct Element(usize);

impl<'de> Visitor<'de> for Element {
    type Value = Option<&'de RawValue>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
        for _ in 0..self.0 {
            if list.next_element::<IgnoredAny>()?.is_none() {
                return Ok(None);
            }
        }
        let found = list.next_element()?;
        while list.next_element::<IgnoredAny>()?.is_some() {}
        Ok(found)
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::Random;
    use super::*;

    fn split(json: &str) -> (String, bool, String) {
        let event = split_event(json, ANY_DEPTH).expect(json);
        let mut args = Vec::new();
        write_args(json, event.args, &mut args);
        (event.name.into_owned(), event.name_is_number, String::from_utf8(args).unwrap())
    }

    fn event(name: &str, args: &str) -> (String, bool, String) {
        (name.to_owned(), false, args.to_owned())
    }

    #[test]
    fn an_event_is_cut_after_its_name() {
        assert_eq!(split(r#"["a"]"#), event("a", "[]"));
        assert_eq!(split(r#"["a",1,{"b":[2]}]"#), event("a", r#"[1,{"b":[2]}]"#));
        assert_eq!(split(" [ \"a\" , 1 , 2 ] \n"), event("a", "[1 , 2]"));
        assert_eq!(split(r#"["a",""]"#), event("a", r#"[""]"#));
        assert_eq!(split(r#"["",","]"#), event("", r#"[","]"#));
    }

    #[test]
    fn an_escaped_name_is_decoded() {
        assert_eq!(split(r#"["\"\\\u0061\n",1]"#), event("\"\\a\n", "[1]"));
        assert_eq!(split(r#"["\ud83d\ude00é"]"#), event("😀é", "[]"));
    }

    #[test]
    fn a_lone_surrogate_becomes_one_replacement_character_in_a_name_and_stays_in_arguments() {
        assert_eq!(split(r#"["x\ud83dy\ude00","\ud800"]"#), event("x\u{fffd}y\u{fffd}", r#"["\ud800"]"#));
    }

    #[test]
    fn a_numeric_name_reads_as_javascript_prints_it() {
        for (json, name) in
            [("[42,1]", "42"), ("[-0,1]", "0"), ("[1.50,1]", "1.5"), ("[1e2 ,1]", "100"), ("[1e999,1]", "Infinity")]
        {
            assert_eq!(split(json), (name.to_owned(), true, "[1]".to_owned()));
        }
    }

    #[test]
    fn an_event_needs_a_name() {
        for json in ["[]", "[ ]", "[null]", "[true]", "[[\"a\"]]", "[{\"a\":1}]"] {
            assert!(matches!(split_event(json, ANY_DEPTH), Err(JsonError::NoEventName)), "{json}");
        }
        assert!(matches!(split_event("{\"a\":1}", ANY_DEPTH), Err(JsonError::NotAnArray)));
        assert!(matches!(split_event("\"[]\"", ANY_DEPTH), Err(JsonError::NotAnArray)));
    }

    #[test]
    fn what_json_parse_refuses_is_refused() {
        for json in [
            "",
            " ",
            "[\"a\"]x",
            "[\"a\"",
            "[\"a\",]",
            "['a']",
            "[01]",
            "[+1]",
            "[.5]",
            "[\"\t\"]",
            "[\"\\x\"]",
            "\u{feff}[1]",
            "[1]\u{a0}",
        ] {
            assert!(matches!(split_event(json, ANY_DEPTH), Err(JsonError::Syntax { .. })), "{json}");
        }
    }

    #[test]
    fn depth_is_not_bounded_by_the_stack() {
        let deep = format!("[\"a\",{}{}]", "[".repeat(200_000), "]".repeat(200_000));
        assert_eq!(split(&deep).0, "a");
    }

    #[test]
    fn arrays_and_objects_are_told_apart() {
        assert_eq!(array(" [ 1, 2 ]\n").unwrap(), "1, 2");
        assert_eq!(array("[ ]").unwrap(), "");
        assert_eq!(object("\t{ } ").unwrap(), "{ }");
        assert!(matches!(array("{}"), Err(JsonError::NotAnArray)));
        assert!(matches!(object("[]"), Err(JsonError::NotAnObject)));
        assert!(matches!(object("null"), Err(JsonError::NotAnObject)));
    }

    #[test]
    fn the_end_of_a_string_is_found_at_every_place() {
        for len in 0..40 {
            let plain = "x".repeat(len);
            assert_eq!(string_len(&format!("{plain}\",\"a\"")), Some((len, true)));
            assert_eq!(string_len(&plain), None);
            assert!(is_plain(&plain) && is_plain(&format!("{plain}é\u{7f}")));
            for escaped in ["\\\"", "\\\\", "\\n"] {
                let string = format!("{plain}{escaped}{plain}");
                assert_eq!(string_len(&format!("{string}\"\"")), Some((string.len(), false)));
                assert!(!is_plain(&string));
            }
            assert_eq!(string_len(&format!("{plain}\\")), None);
            assert_eq!(string_len(&format!("{plain}\\\"")), None);
            assert!(!is_plain(&format!("{plain}\u{1f}")) && !is_plain(&format!("\"{plain}")));
        }
    }

    #[test]
    fn strings_are_decoded() {
        assert_eq!(string(" \"é\" ").unwrap(), "é");
        assert_eq!(string(r#""a\u00e9\/""#).unwrap(), "aé/");
        assert_eq!(string(r#""\ud800""#).unwrap(), "\u{fffd}");
        assert!(matches!(string("1"), Err(JsonError::NotAString)));
        assert!(matches!(string("\""), Err(JsonError::Syntax { .. })));
    }

    #[test]
    fn a_string_that_is_written_reads_the_same() {
        let mut random = Random::new(4);
        for _ in 0..2000 {
            let text = random.text(12);
            let mut json = Vec::new();
            write_string(&text, &mut json);
            assert_eq!(string(std::str::from_utf8(&json).unwrap()).unwrap(), text);
        }
    }

    #[test]
    fn a_pointer_finds_the_raw_value() {
        let json = r#" {"a":[10, {"b" : [1 ,2]}],"m~n":{"/":"x"},"":0,"e\u0061":1e999,"d":1,"d":2,"\ud800":3} "#;
        let cases = [
            ("/a/0", "10"),
            ("/a/1/b", "[1 ,2]"),
            ("/m~0n/~1", "\"x\""),
            ("/", "0"),
            ("/ea", "1e999"),
            ("/d", "2"),
            ("", json.trim()),
        ];
        for (pointer, value) in cases {
            assert_eq!(get(json, pointer).unwrap(), Some(value), "{pointer}");
        }
        for pointer in ["/x", "/a/2", "/a/-", "/a/00", "/a/01", "/a/+1", "/a/", "/a/0/0", "/a/99999999999999999999"] {
            assert_eq!(get(json, pointer).unwrap(), None, "{pointer}");
        }
    }

    #[test]
    fn a_bad_pointer_or_text_is_an_error() {
        for pointer in ["a", "/~", "/~2"] {
            assert!(matches!(get("{}", pointer), Err(JsonError::BadPointer)), "{pointer}");
        }
        assert!(matches!(get("[1]x", "/0"), Err(JsonError::Syntax { .. })));
    }
}
