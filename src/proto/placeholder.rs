//! The objects that stand for attachments in a packet's JSON: `{"_placeholder":true,"num":0}` (socket-io.md §2).

use super::ack_id::parse_number;
use super::json;
use super::socket_packet::DecodeError;

/// Checks that each placeholder in `json` names one of `count` attachments (socket-io.md §2).
///
/// An object is a placeholder iff its `_placeholder` is `true`; what else such an object holds is not looked at. Of
/// duplicate keys the last counts; the values of the others are looked at all the same, which no encoder can notice.
/// Expects JSON that is known to be valid, or nothing; it keeps its own stack, so depth is bounded by the text alone.
///
/// # Errors
/// [`DecodeError::Placeholder`] if a placeholder's `num` is missing or no integer from 0 to below `count`.
pub fn check_placeholders(json: &str, count: u32) -> Result<(), DecodeError> {
    let found_good = are_canonical(json, count) || are_good(json, count);
    if found_good { Ok(()) } else { Err(DecodeError::Placeholder) }
}

/// Whether all placeholders are spelled as `JSON.stringify` spells those that encoders make, and name an attachment.
/// `false` decides nothing.
///
/// A quick search suffices, because in valid JSON without `\u` a key `_placeholder` cannot be spelled in any other way,
/// an underscore stands in a string, and a quote after a brace opens one: the text that is matched is a whole object.
fn are_canonical(json: &str, count: u32) -> bool {
    if json.contains("\\u") {
        return false;
    }
    let mut rest = json;
    while let Some((before, after)) = rest.split_once('_') {
        rest = match after.strip_prefix("placeholder") {
            Some(after) if before.ends_with("{\"") => match skip_true_and_num(after, count) {
                Some(after) => after,
                None => return false,
            },
            Some(_) => return false,
            None => after,
        };
    }
    true
}

/// What follows `":true,"num":<num>}` in `text`, if it starts so and `num` is an integer below `count`.
fn skip_true_and_num(text: &str, count: u32) -> Option<&str> {
    let (num, rest) = text.strip_prefix("\":true,\"num\":")?.split_once('}')?;
    // Rust reads a plus sign, too, and what else is no digit is left to the slow way.
    let is_plain = num.bytes().all(|byte| byte.is_ascii_digit());
    let is_good = is_plain && num.parse::<u32>().is_ok_and(|num| num < count);
    is_good.then_some(rest)
}

/// Whether all placeholders, however they are spelled, name an attachment.
fn are_good(json: &str, count: u32) -> bool {
    let (mut innermost, mut outer) = (Container::default(), Outer::default());
    let mut rest = json;
    while let Some(&byte) = rest.as_bytes().first() {
        let token_len = token_len(rest.as_bytes());
        let (token, after) = rest.split_at_checked(token_len).unwrap_or((rest, ""));
        rest = after;
        match byte {
            b'{' => {
                outer.push(innermost);
                innermost = Container { awaits_key: true, is_object: true, ..Container::default() };
            }
            b'[' => {
                outer.push(innermost);
                innermost = Container::default();
            }
            b'}' | b']' => {
                let illegal = innermost.is_illegal();
                let Some(parent) = outer.pop() else { break };
                innermost = parent;
                innermost.value("", count);
                innermost.holds_illegal |= illegal;
            }
            b',' => innermost.awaits_key = innermost.is_object,
            b':' | b' ' | b'\t' | b'\n' | b'\r' => {}
            _ if innermost.awaits_key => innermost.key(token),
            _ => innermost.value(token, count),
        }
    }
    !innermost.is_illegal()
}

/// Levels of nesting that [`Outer`] keeps without allocating: more than usual payloads have, in under two cache lines.
const NEAR_LEVELS: usize = 16;

/// The stack of open arrays and objects around the innermost one.
#[derive(Default)]
struct Outer {
    depth: usize,
    near: [Container; NEAR_LEVELS],
    deep: Vec<Container>,
}

impl Outer {
    fn push(&mut self, container: Container) {
        match self.near.get_mut(self.depth) {
            Some(slot) => *slot = container,
            None => self.deep.push(container),
        }
        self.depth += 1;
    }

    fn pop(&mut self) -> Option<Container> {
        self.depth = self.depth.checked_sub(1)?;
        self.near.get(self.depth).copied().or_else(|| self.deep.pop())
    }
}

/// What is known of an array or object that is still open.
#[derive(Clone, Copy, Default)]
struct Container {
    is_object: bool,
    awaits_key: bool,
    key: Key,
    is_placeholder: bool,
    num_is_good: bool,
    /// A placeholder somewhere inside names no attachment.
    holds_illegal: bool,
}

/// The keys that matter.
#[derive(Clone, Copy, Default)]
enum Key {
    Placeholder,
    Num,
    #[default]
    Other,
}

impl Container {
    fn is_illegal(&self) -> bool {
        if self.is_placeholder { !self.num_is_good } else { self.holds_illegal }
    }

    fn key(&mut self, token: &str) {
        self.awaits_key = false;
        let decoded = if token.contains('\\') { json::string(token).ok() } else { None };
        self.key = match decoded.as_deref().unwrap_or(token.trim_matches('"')) {
            "_placeholder" => Key::Placeholder,
            "num" => Key::Num,
            _ => Key::Other,
        };
    }

    /// Takes note of the value that follows the last key: a scalar's text, or nothing for an array or object.
    fn value(&mut self, token: &str, count: u32) {
        match self.key {
            Key::Placeholder => self.is_placeholder = token == "true",
            Key::Num => {
                let starts_a_number = token.starts_with(|c: char| c == '-' || c.is_ascii_digit());
                let num = if starts_a_number { parse_number(token) } else { f64::NAN };
                self.num_is_good = num >= 0.0 && num < f64::from(count) && num.fract() == 0.0;
            }
            Key::Other => {}
        }
    }
}

/// The length of the token at the start of valid JSON: a string, a literal or number, or else one byte.
fn token_len(bytes: &[u8]) -> usize {
    match bytes.split_first() {
        Some((b'"', string)) => json::string_end(string).0 + 2,
        Some((b'-' | b'0'..=b'9' | b'a'..=b'z', _)) => {
            bytes.iter().take_while(|b| matches!(b, b'-' | b'+' | b'.' | b'E' | b'0'..=b'9' | b'a'..=b'z')).count()
        }
        _ => 1,
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::Random;
    use super::*;

    #[test]
    fn placeholders_must_name_an_attachment() {
        let good = [
            "",
            r#"[{"_placeholder":true,"num":1}]"#,
            r#"[{"num":0.0,"_placeholder":true},{"_placeholder":true,"num":-0}]"#,
            r#"[{"_placeholder":false,"num":9},{"_placeholder":"true"},{"x":{"_placeholder":[true]}}]"#,
            r#"["_placeholder",true,{"a":"_placeholder","b":true,"true":true}]"#,
            r#"[{"_placeholder":true,"num":0,"x":{"_placeholder":true,"num":9}}]"#,
            r#"[{"x":{"_placeholder":true,"num":9},"_placeholder":true,"num":0}]"#,
            r#"[{"_placeholder":true,"_placeholder":1,"num":9}]"#,
            r#"[{"_placeholder":true,"num":9,"num":1e0}]"#,
            r#"["\ud800\"{",1e999,{"\udc00":-1.5E+3}]"#,
        ];
        for json in good {
            assert_eq!(check_placeholders(json, 2), Ok(()), "{json}");
        }
        let bad = [
            r#"[{"_placeholder":true}]"#,
            r#"[{"_placeholder":true,"num":2}]"#,
            r#"[{"_placeholder":true,"num":0.5}]"#,
            r#"[{"_placeholder":true,"num":-1}]"#,
            r#"[{"_placeholder":true,"num":"0"}]"#,
            r#"[{"_placeholder":true,"num":[0]}]"#,
            r#"[{"_placeholder":true,"num":null}]"#,
            r#"[{"\u005fplaceholder" : true , "num" : 9}]"#,
            r#"[1,[{"a":{"b":[{"_placeholder":true,"num":2},1]},"c":1}],{}]"#,
            r#"[{"_placeholder":1,"_placeholder":true}]"#,
        ];
        for json in bad {
            assert_eq!(check_placeholders(json, 2), Err(DecodeError::Placeholder), "{json}");
        }
    }

    #[test]
    fn the_quick_search_takes_what_encoders_write() {
        let canonical = [
            r#"["a_b","\"\n",{"_placeholder":true,"num":0},[{"x_":{"_placeholder":true,"num":1}}]]"#,
            r#"[{"_placeholder":true,"num":1},{"_placeholder":true,"num":1}]"#,
        ];
        for json in canonical {
            assert!(are_canonical(json, 2), "{json}");
        }
        let for_the_slow_way = [
            r#"[{"_placeholder":true,"num":2}]"#,
            r#"[{"_placeholder":true,"num":+1}]"#,
            r#"[{"_placeholder":true,"num":4294967296}]"#,
            r#"[{"_placeholder":true,"num":0,"num":9}]"#,
            r#"[{"x":1,"_placeholder":true,"num":0}]"#,
            r#"[{"\u005fplaceholder":true}]"#,
            r#"[{"_\u0070laceholder":true}]"#,
            r#"["{\"_placeholder\":true,\"num\":0}"]"#,
        ];
        for json in for_the_slow_way {
            assert!(!are_canonical(json, 2), "{json}");
        }
    }

    #[test]
    fn the_quick_search_never_contradicts_the_slow_way() {
        let mut random = Random::new(11);
        let keys = ["\"_placeholder\"", "\"\\u005fplaceholder\"", "\"num\"", "\"a_b\"", "\"{\\\"_placeholder\""];
        let values = ["true", "0", "1", "2", "-0", "\"_placeholder\"", "\"\\\\\"", "{\"_placeholder\":true,\"num\":1}"];
        let mut taken = 0;
        for _ in 0..50_000 {
            let mut json =
                random.pick(&["{\"_placeholder\":true,\"num\":0}", "{\"_placeholder\":true}", "1"]).to_owned();
            for _ in 0..random.below(5) {
                json = match random.below(3) {
                    0 => format!("[{},{json}]", random.pick(&values)),
                    1 => format!("{{{}:{json},{}:{}}}", random.pick(&keys), random.pick(&keys), random.pick(&values)),
                    _ => format!("{{{}:{},{}:{json}}}", random.pick(&keys), random.pick(&values), random.pick(&keys)),
                };
            }
            assert_eq!(json::validate(&json), Ok(()), "{json}");
            if are_canonical(&json, 2) {
                taken += 1;
                assert!(are_good(&json, 2), "{json}");
            }
        }
        assert!(taken > 1_000, "{taken}");
    }

    #[test]
    fn a_placeholder_is_found_at_any_depth() {
        for depth in (0..2 * NEAR_LEVELS).chain([50_000]) {
            let deep = |num: u32| {
                let (open, close) = ("[{\"a\":".repeat(depth), ",\"b\":1}]".repeat(depth));
                format!("{open}{{\"_placeholder\":true,\"num\" :{num}}}{close}")
            };
            assert_eq!(check_placeholders(&deep(0), 1), Ok(()), "{depth}");
            assert_eq!(check_placeholders(&deep(1), 1), Err(DecodeError::Placeholder), "{depth}");
        }
    }

    #[test]
    fn text_that_is_no_json_does_not_panic() {
        let mut random = Random::new(7);
        for _ in 0..20_000 {
            let pieces =
                ["{", "}", "[", "]", "\"", "\\", ",", ":", "true", "1", "é", "\"_placeholder\"", "\"num\"", "\\u"];
            let text: String = (0..random.below(12)).map(|_| random.pick(&pieces)).collect();
            let _ = check_placeholders(&text, 1);
        }
    }
}
