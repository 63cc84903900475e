//! Lists of sockets in answers, which have megabytes where there are many sockets: found by what stands around them, as official servers write it
//! and ours do, so that they are looked through once and not at each level of the message. What is written otherwise is left to the formats.

use crate::proto::json;

const REQUEST: &str = "{\"requestId\":";
const SOCKETS: &str = ",\"sockets\":";
/// A message of the cluster protocol, up to its data.
const MESSAGE: &str = "{\"type\":8,\"data\":";

/// The first bytes of an answer have the request's id.
const ID_LEN_MAX: usize = 64;

/// A list, and the request that it answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct List<'a> {
    pub request: &'a str,
    /// A JSON array.
    pub sockets: &'a str,
}

impl<'a> List<'a> {
    /// That of `{"requestId":…,"sockets":[…]}`.
    pub fn of_answer(text: &'a str) -> Option<List<'a>> {
        let (request, rest) = string(text.strip_prefix(REQUEST)?)?;
        let sockets = rest.strip_prefix(SOCKETS)?.strip_suffix('}')?;
        // An array and nothing else, so that what was taken off belongs to nothing inside it.
        json::array(sockets).ok()?;
        Some(List { request, sockets })
    }

    /// That of `{"type":8,"data":{…},"uid":…,"nsp":…}` with such data about a namespace, and who sent it.
    pub fn of_message(text: &'a str, nsp: &str) -> Option<(List<'a>, &'a str)> {
        let (rest, found) = string_at_end(text.strip_prefix(MESSAGE)?.strip_suffix('}')?)?;
        if found != nsp {
            return None;
        }
        let (rest, uid) = string_at_end(rest.strip_suffix(",\"nsp\":")?)?;
        let list = List::of_answer(rest.strip_suffix(",\"uid\":")?)?;
        Some((list, uid))
    }
}

/// The request that an answer is for, by its first bytes.
pub fn request_of(bytes: &[u8]) -> Option<&str> {
    let start = bytes.get(..REQUEST.len() + ID_LEN_MAX)?.strip_prefix(REQUEST.as_bytes())?.strip_prefix(b"\"")?;
    let len = start.iter().position(|byte| *byte == b'"')?;
    std::str::from_utf8(start.get(..len)?).ok().filter(|id| is_plain(id))
}

/// A string without escapes, and what comes after it.
fn string(text: &str) -> Option<(&str, &str)> {
    let (string, rest) = text.strip_prefix('"')?.split_once('"')?;
    is_plain(string).then_some((string, rest))
}

/// What comes before a string without escapes, and the string.
fn string_at_end(text: &str) -> Option<(&str, &str)> {
    let (rest, string) = text.strip_suffix('"')?.rsplit_once('"')?;
    is_plain(string).then_some((rest, string))
}

fn is_plain(string: &str) -> bool {
    !string.bytes().any(|byte| matches!(byte, b'\\' | 0..=0x1f))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ANSWER: &str = r#"{"requestId":"r1","sockets":[{"id":"a","data":{"x":"]}"}},{}]}"#;

    #[test]
    fn a_list_is_found_by_what_stands_around_it() {
        let list = List { request: "r1", sockets: r#"[{"id":"a","data":{"x":"]}"}},{}]"# };
        assert_eq!(List::of_answer(ANSWER), Some(list));
        assert_eq!(request_of(&[ANSWER.as_bytes(), &[b' '; 64]].concat()), Some("r1"));
        let message = format!("{{\"type\":8,\"data\":{ANSWER},\"uid\":\"u\",\"nsp\":\"/é\"}}");
        assert_eq!(List::of_message(&message, "/é"), Some((list, "u")));
        assert_eq!(List::of_message(&message, "/"), None);
    }

    #[test]
    fn what_only_looks_like_one_is_none() {
        for text in [
            r#"{"requestId":"r1","sockets":[1],"x":[2]}"#,
            r#"{"requestId":"r1","sockets":[1]},{"x":[2]}"#,
            r#"{"requestId":"r\u0031","sockets":[]}"#,
            r#"{"requestId":"r1","sockets":{}}"#,
            r#"{"requestId":"r1","sockets":[}"#,
            r#"{"requestId":"r1","sockets":[1,]}"#,
            r#"{"requestId":"r1","rooms":[]}"#,
            r#"{"requestId":1,"sockets":[]}"#,
            "{\"requestId\":\"r\n1\",\"sockets\":[]}",
            r#"{"type":8,"requestId":"r1","sockets":[]}"#,
            r#"{"requestId":"r1","sockets":"#,
            "{\"requestId\":\"",
            "",
        ] {
            assert_eq!(List::of_answer(text), None, "{text}");
        }
        for end in [
            r#","uid":"u","nsp":"\u002f"}"#,
            r#","uid":"u\"","nsp":"/"}"#,
            r#","uid":"u","x":1,"nsp":"/"}"#,
            r#","nsp":"/","uid":"u"}"#,
            r#","uid":"u","nsp":"/"},"#,
            r#"},"uid":"u","nsp":"/"}"#,
        ] {
            assert_eq!(List::of_message(&format!("{{\"type\":8,\"data\":{ANSWER}{end}"), "/"), None, "{end}");
        }
        for text in ["{\"requestId\":\"r", "{\"type\":8", "", "{\"requestId\":\"a\\\"b\""] {
            assert_eq!(request_of(format!("{text:80}").as_bytes()), None, "{text}");
        }
    }

    #[test]
    fn no_cut_of_an_answer_is_taken_for_one() {
        for end in 0..ANSWER.len() {
            assert_eq!(List::of_answer(&ANSWER[..end]), None, "{end}");
        }
    }
}
