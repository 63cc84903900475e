//! Query strings and form bodies (`application/x-www-form-urlencoded`).
//!
//! The official Engine.IO server reads the query with `URLSearchParams` into a plain object, so a repeated key keeps its
//! last value; `handshake.query` of Socket.IO is that same object. Decoding never fails: `+` is a space, a `%` that begins
//! no hex pair stands for itself, and bytes that are not UTF-8 become U+FFFD.

use super::push_json_string;
use percent_encoding::percent_decode_str;
use std::borrow::Cow;
use std::collections::BTreeMap;

/// The parameters that Engine.IO reads, each with its last value, in one pass.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct EngineQuery<'a> {
    /// `EIO`: `4` is revision 4, all else (absent too) revision 3.
    pub eio: Option<Cow<'a, str>>,
    /// `transport`
    pub transport: Option<Cow<'a, str>>,
    /// `sid`: present for an existing session. The official server takes an empty one for absent.
    pub sid: Option<Cow<'a, str>>,
    /// `b64`: if not empty, this client takes no binary frames.
    pub b64: Option<Cow<'a, str>>,
    /// `j`: present for JSONP.
    pub j: Option<Cow<'a, str>>,
}

impl<'a> EngineQuery<'a> {
    /// Reads the query text of a target.
    pub fn parse(query: &'a str) -> EngineQuery<'a> {
        let mut read = EngineQuery::default();
        for (key, value) in members(query) {
            let slot = match &*decode(key) {
                "EIO" => &mut read.eio,
                "transport" => &mut read.transport,
                "sid" => &mut read.sid,
                "b64" => &mut read.b64,
                "j" => &mut read.j,
                _ => continue,
            };
            *slot = Some(decode(value));
        }
        read
    }
}

/// The pairs of a query in order, decoded. Empty members (`&&`) are skipped; a member without `=` has an empty value.
pub fn pairs(query: &str) -> impl Iterator<Item = (Cow<'_, str>, Cow<'_, str>)> {
    members(query).map(|(key, value)| (decode(key), decode(value)))
}

/// The last value of `name`, decoded; borrowed unless something had to be decoded.
pub fn param<'a>(query: &'a str, name: &str) -> Option<Cow<'a, str>> {
    members(query).filter(|(key, _)| decode(key) == name).last().map(|(_, value)| decode(value))
}

/// Appends the query as a JSON object of strings: for each key its last value, in order of first appearance.
pub fn query_json(query: &str, out: &mut String) {
    // A tree, because a peer chooses how many keys there are.
    let mut latest: BTreeMap<Cow<'_, str>, (usize, Cow<'_, str>)> = BTreeMap::new();
    for (position, (key, value)) in pairs(query).enumerate() {
        latest.entry(key).or_insert((position, Cow::Borrowed(""))).1 = value;
    }
    let mut entries: Vec<_> = latest.into_iter().collect();
    entries.sort_unstable_by_key(|(_, (position, _))| *position);
    out.push('{');
    for (index, (key, (_, value))) in entries.iter().enumerate() {
        if index > 0 {
            out.push(',');
        }
        push_json_string(out, key);
        out.push(':');
        push_json_string(out, value);
    }
    out.push('}');
}

fn members(query: &str) -> impl Iterator<Item = (&str, &str)> {
    query.split('&').filter(|member| !member.is_empty()).map(|member| member.split_once('=').unwrap_or((member, "")))
}

fn decode(text: &str) -> Cow<'_, str> {
    if !text.bytes().any(|byte| matches!(byte, b'%' | b'+')) {
        return Cow::Borrowed(text);
    }
    let spaced = text.replace('+', " ");
    Cow::Owned(percent_decode_str(&spaced).decode_utf8_lossy().into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn json(query: &str) -> String {
        let mut out = String::new();
        query_json(query, &mut out);
        out
    }

    #[test]
    fn the_last_value_of_a_repeated_key_wins() {
        assert_eq!(param("EIO=3&sid=a&EIO=4", "EIO").as_deref(), Some("4"));
        assert_eq!(json("a=1&b=2&a=3"), r#"{"a":"3","b":"2"}"#);
    }

    #[test]
    fn the_engines_parameters_are_read_in_one_pass() {
        let read = EngineQuery::parse("EIO=3&transport=polling&t=x&s%69d=a%2Bb&EIO=4&j=0");
        assert_eq!(read.eio.as_deref(), Some("4"));
        assert_eq!(read.transport.as_deref(), Some("polling"));
        assert_eq!(read.sid.as_deref(), Some("a+b"));
        assert_eq!((read.b64, read.j.as_deref()), (None, Some("0")));
    }

    #[test]
    fn a_plain_value_is_borrowed() {
        assert!(matches!(param("transport=polling", "transport"), Some(Cow::Borrowed("polling"))));
    }

    #[test]
    fn keys_and_values_are_decoded() {
        assert_eq!(param("%73id=a%2Bb+c%E2%82%AC", "sid").as_deref(), Some("a+b c€"));
        assert_eq!(param("a=100%&b=%zz", "a").as_deref(), Some("100%"));
        assert_eq!(param("a=%ff", "a").as_deref(), Some("\u{fffd}"));
        assert_eq!(param("%6%61=1&%6a=2", "%6a").as_deref(), Some("1"));
    }

    #[test]
    fn absent_and_empty_are_different() {
        assert_eq!(param("", "sid"), None);
        assert_eq!(param("&&", ""), None);
        assert_eq!(param("sid", "sid").as_deref(), Some(""));
        assert_eq!(param("sid=", "sid").as_deref(), Some(""));
        assert_eq!(param("x=a=b", "x").as_deref(), Some("a=b"));
    }

    #[test]
    fn the_object_is_json_whatever_the_peer_sends() {
        assert_eq!(json(""), "{}");
        assert_eq!(json("a=%22%0A%5C&=v&k"), r#"{"a":"\"\u000a\\","":"v","k":""}"#);
    }

    #[test]
    fn thousands_of_keys_keep_their_order() {
        let query: Vec<String> = (0..4000).map(|n| format!("k{n}={n}")).collect();
        let object: serde_json::Value = serde_json::from_str(&json(&query.join("&"))).unwrap();
        assert_eq!(object.as_object().unwrap().len(), 4000);
        assert!(json(&query.join("&")).starts_with(r#"{"k0":"0","k1":"1","#));
    }
}
