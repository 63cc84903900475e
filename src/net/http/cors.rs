//! The `cors` option: what the npm package `cors` 2.8 writes, which is what Engine.IO applies to every request.
//!
//! CORS never refuses a request here; it tells a browser whether a page may read the answer. All that does not depend on
//! the request is written into lines when the option is read. A function as `origin` is not possible in an option that
//! crosses a C ABI; patterns take its place (`{"regex": "..."}`, linear time, not anchored, `(?i)` for any case).

use super::response::{is_field_value, push_all, write_head};
use super::{Envelope, Head, Method};
use regex_lite::Regex;
use serde::Deserialize;
use serde::de::{Deserializer, Error};
use std::collections::BTreeMap;

const DEFAULT_METHODS: &str = "GET,HEAD,PUT,PATCH,POST,DELETE";

/// Answers to preflights, and the lines that ordinary answers carry.
#[derive(Debug, Clone)]
pub struct Cors {
    origin: Origin,
    /// After the origin lines of an ordinary answer: credentials, exposed headers.
    ordinary_tail: Vec<u8>,
    /// After the origin lines of a preflight: credentials, methods.
    preflight_middle: Vec<u8>,
    /// At the end of a preflight: allowed headers if they are fixed, max-age, exposed headers.
    preflight_tail: Vec<u8>,
    /// No `allowedHeaders` given: the requested ones are allowed.
    reflect_headers: bool,
    preflight_continue: bool,
    options_success_status: u16,
}

#[derive(Debug, Clone)]
enum Origin {
    /// `false`: the option does nothing at all.
    Off,
    Any,
    /// This one, whoever asks; the browser compares.
    Fixed(String),
    /// The origin that asks, if one of the rules takes it.
    Reflect(Vec<Rule>),
}

#[derive(Debug, Clone)]
enum Rule {
    Flag(bool),
    Equals(String),
    Matches(Regex),
}

impl Rule {
    fn takes(&self, origin: &[u8]) -> bool {
        match self {
            Rule::Flag(all) => *all,
            Rule::Equals(text) => text.as_bytes() == origin,
            Rule::Matches(pattern) => std::str::from_utf8(origin).is_ok_and(|text| pattern.is_match(text)),
        }
    }
}

/// The option as it is written.
#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, rename_all = "camelCase", default)]
struct Options {
    origin: OriginOption,
    methods: Option<List>,
    #[serde(alias = "headers")]
    allowed_headers: Option<List>,
    exposed_headers: Option<List>,
    credentials: bool,
    max_age: Option<MaxAge>,
    preflight_continue: bool,
    options_success_status: Option<u16>,
}

#[derive(Deserialize)]
#[serde(untagged, expecting = "origin must be a boolean, a string, {\"regex\": string} or a list of these")]
enum OriginOption {
    One(RuleOption),
    Many(Vec<RuleOption>),
}

impl Default for OriginOption {
    fn default() -> OriginOption {
        OriginOption::One(RuleOption::Text("*".to_string()))
    }
}

#[derive(Deserialize)]
#[serde(untagged)]
enum RuleOption {
    Flag(bool),
    Text(String),
    /// `{"regex": "..."}`. A map, because serde would read a struct from a list too: `["a"]` is a list of one origin.
    Pattern(BTreeMap<String, String>),
}

#[derive(Deserialize)]
#[serde(untagged, expecting = "a string or a list of strings")]
enum List {
    Text(String),
    Items(Vec<String>),
}

#[derive(Deserialize)]
#[serde(untagged, expecting = "maxAge must be a number of seconds")]
enum MaxAge {
    Seconds(i64),
    Text(String),
}

impl<'de> Deserialize<'de> for Cors {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Cors, D::Error> {
        Cors::build(Options::deserialize(deserializer)?).map_err(D::Error::custom)
    }
}

impl Default for Cors {
    /// `cors: true`: any origin, without credentials.
    fn default() -> Cors {
        Cors {
            origin: Origin::Any,
            ordinary_tail: Vec::new(),
            preflight_middle: format!("Access-Control-Allow-Methods: {DEFAULT_METHODS}\r\n").into_bytes(),
            preflight_tail: Vec::new(),
            reflect_headers: true,
            preflight_continue: false,
            options_success_status: 204,
        }
    }
}

impl Cors {
    fn build(options: Options) -> Result<Cors, String> {
        let mut ordinary_tail = Vec::new();
        if options.credentials {
            ordinary_tail.extend_from_slice(b"Access-Control-Allow-Credentials: true\r\n");
        }
        let mut preflight_middle = ordinary_tail.clone();
        let methods = options.methods.map_or(DEFAULT_METHODS.to_string(), List::text);
        push_line(&mut preflight_middle, "Access-Control-Allow-Methods", &methods)?;
        let mut preflight_tail = Vec::new();
        // An empty list allows nothing beyond the safe headers; an empty string counts as not given.
        let reflect_headers = match options.allowed_headers {
            None => true,
            Some(List::Text(text)) if text.is_empty() => true,
            Some(list) => {
                push_line(&mut preflight_tail, "Access-Control-Allow-Headers", &list.text())?;
                false
            }
        };
        if let Some(max_age) = options.max_age {
            push_line(&mut preflight_tail, "Access-Control-Max-Age", &max_age.text())?;
        }
        if let Some(exposed) = options.exposed_headers.map(List::text) {
            push_line(&mut preflight_tail, "Access-Control-Expose-Headers", &exposed)?;
            push_line(&mut ordinary_tail, "Access-Control-Expose-Headers", &exposed)?;
        }
        let status = options.options_success_status.unwrap_or(204);
        if !(200..=299).contains(&status) {
            return Err(format!("optionsSuccessStatus must be 200 to 299, not {status}"));
        }
        Ok(Cors {
            origin: Origin::build(options.origin)?,
            ordinary_tail,
            preflight_middle,
            preflight_tail,
            reflect_headers,
            preflight_continue: options.preflight_continue,
            options_success_status: status,
        })
    }

    /// Appends the lines that the answer to this request carries, `Vary` included: for
    /// [`Envelope::extra_lines`], of polling and WebSocket answers alike.
    pub fn apply(&self, head: &Head, out_lines: &mut Vec<u8>) {
        if matches!(self.origin, Origin::Off) {
            return;
        }
        if head.method() == Method::Options {
            return self.preflight_lines(head, out_lines);
        }
        self.origin_line(head, out_lines);
        if !matches!(self.origin, Origin::Any) {
            out_lines.extend_from_slice(b"Vary: Origin\r\n");
        }
        out_lines.extend_from_slice(&self.ordinary_tail);
    }

    /// Appends the whole answer to a preflight, if this request is one; `false` means that the request is to be handled
    /// like any other (with the lines of [`Cors::apply`]).
    pub fn preflight(&self, head: &Head, envelope: &Envelope<'_>, out: &mut Vec<u8>) -> bool {
        let off = matches!(self.origin, Origin::Off) || self.preflight_continue;
        if off || head.method() != Method::Options {
            return false;
        }
        let mut extra_lines = envelope.extra_lines.to_vec();
        self.preflight_lines(head, &mut extra_lines);
        // Safari waits for a body after 204 unless it is told that there is none.
        let envelope = Envelope { extra_lines: &extra_lines, ..*envelope };
        write_head(out, self.options_success_status, &[], Some(0), &envelope);
        true
    }

    fn preflight_lines(&self, head: &Head, out: &mut Vec<u8>) {
        self.origin_line(head, out);
        let any = matches!(self.origin, Origin::Any);
        match (any, self.reflect_headers) {
            (false, true) => out.extend_from_slice(b"Vary: Origin, Access-Control-Request-Headers\r\n"),
            (false, false) => out.extend_from_slice(b"Vary: Origin\r\n"),
            _ => {}
        }
        out.extend_from_slice(&self.preflight_middle);
        if any && self.reflect_headers {
            out.extend_from_slice(b"Vary: Access-Control-Request-Headers\r\n");
        }
        let requested = head.header("access-control-request-headers").filter(|value| !value.is_empty());
        if let Some(requested) = requested.filter(|_| self.reflect_headers) {
            push_all(out, &[b"Access-Control-Allow-Headers: ", requested, b"\r\n"]);
        }
        out.extend_from_slice(&self.preflight_tail);
    }

    fn origin_line(&self, head: &Head, out: &mut Vec<u8>) {
        let asking = head.header("origin").filter(|value| !value.is_empty());
        let allowed = match (&self.origin, asking) {
            (Origin::Any, _) => &b"*"[..],
            (Origin::Fixed(origin), _) => origin.as_bytes(),
            (Origin::Reflect(rules), Some(asking)) if rules.iter().any(|rule| rule.takes(asking)) => asking,
            _ => return,
        };
        push_all(out, &[b"Access-Control-Allow-Origin: ", allowed, b"\r\n"]);
    }
}

impl Origin {
    fn build(option: OriginOption) -> Result<Origin, String> {
        Ok(match option {
            OriginOption::One(RuleOption::Flag(false)) => Origin::Off,
            OriginOption::One(RuleOption::Text(text)) => match text.as_str() {
                "" => Origin::Off,
                "*" => Origin::Any,
                _ if !is_field_value(text.as_bytes()) => {
                    return Err("invalid character in origin".to_string());
                }
                _ => Origin::Fixed(text),
            },
            OriginOption::One(rule) => Origin::Reflect(vec![rule.build()?]),
            OriginOption::Many(rules) => {
                Origin::Reflect(rules.into_iter().map(RuleOption::build).collect::<Result<_, _>>()?)
            }
        })
    }
}

impl RuleOption {
    fn build(self) -> Result<Rule, String> {
        Ok(match self {
            RuleOption::Flag(all) => Rule::Flag(all),
            RuleOption::Text(text) => Rule::Equals(text),
            RuleOption::Pattern(map) => match map.get("regex") {
                Some(regex) if map.len() == 1 => {
                    Rule::Matches(Regex::new(regex).map_err(|error| format!("origin pattern {regex:?}: {error}"))?)
                }
                _ => return Err("an origin object has one key, regex".to_string()),
            },
        })
    }
}

impl List {
    fn text(self) -> String {
        match self {
            List::Text(text) => text,
            List::Items(items) => items.join(","),
        }
    }
}

impl MaxAge {
    fn text(self) -> String {
        match self {
            MaxAge::Seconds(seconds) => seconds.to_string(),
            MaxAge::Text(text) => text,
        }
    }
}

/// Whether a page of this origin may talk to the server. With `cors`, that is what the option says; without, the page must come from
/// the server's own host, which is what the request's `Host` says. An option with `origin: false` is none.
pub fn allows(cors: Option<&Cors>, origin: &[u8], head: &Head) -> bool {
    match cors.map(|cors| &cors.origin) {
        None | Some(Origin::Off) => is_own(origin, head),
        Some(Origin::Any) => true,
        Some(Origin::Fixed(fixed)) => fixed.as_bytes() == origin,
        Some(Origin::Reflect(rules)) => rules.iter().any(|rule| rule.takes(origin)),
    }
}

/// Whether the host of an origin, `scheme://host:port`, is that of the request. Ports that go without saying may be said.
fn is_own(origin: &[u8], head: &Head) -> bool {
    let (Ok(origin), Some(Ok(host))) = (std::str::from_utf8(origin), head.header("host").map(std::str::from_utf8))
    else {
        return false;
    };
    let Some((scheme, authority)) = origin.split_once("://") else { return false };
    let implied = match scheme {
        "http" | "ws" => ":80",
        "https" | "wss" => ":443",
        _ => "",
    };
    let bare = |text: &str| text.strip_suffix(implied).unwrap_or(text).to_ascii_lowercase();
    !authority.is_empty() && bare(authority) == bare(host)
}

/// Appends a line unless its value is empty.
fn push_line(out: &mut Vec<u8>, name: &str, value: &str) -> Result<(), String> {
    if !is_field_value(value.as_bytes()) {
        return Err(format!("invalid character in the value of {name}"));
    }
    if !value.is_empty() {
        push_all(out, &[name.as_bytes(), b": ", value.as_bytes(), b"\r\n"]);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::{HeadLimits, parse_head};
    use super::*;

    fn head(method: &str, headers: &str) -> Head {
        let text = format!("{method} / HTTP/1.1\r\nHost: h\r\n{headers}\r\n");
        parse_head(text.as_bytes(), &HeadLimits::default()).unwrap().unwrap().0
    }

    fn cors(option: &str) -> Cors {
        serde_json::from_str(option).unwrap()
    }

    fn lines(option: &str, method: &str, headers: &str) -> String {
        let mut out = Vec::new();
        cors(option).apply(&head(method, headers), &mut out);
        String::from_utf8(out).unwrap()
    }

    const MIXED: &str = r#"{"origin":["http://a.example",{"regex":"\\.b\\.example$"}],"exposedHeaders":["X-A","X-B"]}"#;

    // The expectations below were read off npm cors 2.8.6 behind a Node server.

    #[test]
    fn ordinary_answers_carry_the_lines_of_npm_cors() {
        let cases = [
            ("{}", "", "Access-Control-Allow-Origin: *\r\n"),
            (r#"{"origin":true,"credentials":true}"#, "", "Vary: Origin\r\nAccess-Control-Allow-Credentials: true\r\n"),
            (r#"{"origin":true}"#, "Origin: http://e\r\n", "Access-Control-Allow-Origin: http://e\r\nVary: Origin\r\n"),
            (
                r#"{"origin":"http://a.example"}"#,
                "Origin: http://evil.example\r\n",
                "Access-Control-Allow-Origin: http://a.example\r\nVary: Origin\r\n",
            ),
            (
                MIXED,
                "Origin: http://x.b.example\r\n",
                "Access-Control-Allow-Origin: http://x.b.example\r\nVary: Origin\r\nAccess-Control-Expose-Headers: X-A,X-B\r\n",
            ),
            (MIXED, "Origin: http://evil.example\r\n", "Vary: Origin\r\nAccess-Control-Expose-Headers: X-A,X-B\r\n"),
            (r#"{"origin":["*"]}"#, "Origin: http://e\r\n", "Vary: Origin\r\n"),
            (r#"{"origin":false,"credentials":true}"#, "Origin: http://e\r\n", ""),
        ];
        for (option, headers, expected) in cases {
            assert_eq!(lines(option, "GET", headers), expected, "{option} {headers}");
        }
    }

    #[test]
    fn preflights_carry_the_lines_of_npm_cors() {
        let asking = "Origin: http://a.example\r\nAccess-Control-Request-Headers: X-Y, x-z\r\n";
        let cases = [
            (
                "{}",
                "Access-Control-Allow-Origin: *\r\nAccess-Control-Allow-Methods: GET,HEAD,PUT,PATCH,POST,DELETE\r\n\
                 Vary: Access-Control-Request-Headers\r\nAccess-Control-Allow-Headers: X-Y, x-z\r\n",
            ),
            (
                r#"{"origin":"http://a.example","methods":["GET","POST"],"maxAge":0}"#,
                "Access-Control-Allow-Origin: http://a.example\r\nVary: Origin, Access-Control-Request-Headers\r\n\
                 Access-Control-Allow-Methods: GET,POST\r\nAccess-Control-Allow-Headers: X-Y, x-z\r\n\
                 Access-Control-Max-Age: 0\r\n",
            ),
            (
                r#"{"origin":{"regex":"^https?://a"},"allowedHeaders":"X-C","maxAge":600,"exposedHeaders":"X-D","credentials":true}"#,
                "Access-Control-Allow-Origin: http://a.example\r\nVary: Origin\r\nAccess-Control-Allow-Credentials: true\r\n\
                 Access-Control-Allow-Methods: GET,HEAD,PUT,PATCH,POST,DELETE\r\nAccess-Control-Allow-Headers: X-C\r\n\
                 Access-Control-Max-Age: 600\r\nAccess-Control-Expose-Headers: X-D\r\n",
            ),
            (
                r#"{"origin":[],"allowedHeaders":"","methods":""}"#,
                "Vary: Origin, Access-Control-Request-Headers\r\nAccess-Control-Allow-Headers: X-Y, x-z\r\n",
            ),
            (r#"{"origin":[],"allowedHeaders":[],"methods":""}"#, "Vary: Origin\r\n"),
        ];
        for (option, expected) in cases {
            assert_eq!(lines(option, "OPTIONS", asking), expected, "{option}");
        }
    }

    #[test]
    fn a_preflight_is_answered_whole_unless_the_option_passes_it_on() {
        let envelope = Envelope { extra_lines: b"", keep_alive: true, date: b"Thu, 01 Jan 1970 00:00:00 GMT" };
        let answer = |option: &str, method: &str| {
            let mut out = Vec::new();
            let answered = cors(option).preflight(&head(method, ""), &envelope, &mut out);
            assert_eq!(answered, !out.is_empty());
            String::from_utf8(out).unwrap()
        };
        let whole = answer(r#"{"methods":"GET","headers":"A"}"#, "OPTIONS");
        let expected = "HTTP/1.1 204 No Content\r\nAccess-Control-Allow-Origin: *\r\nAccess-Control-Allow-Methods: GET\r\n\
                        Access-Control-Allow-Headers: A\r\nContent-Length: 0\r\nDate: Thu, 01 Jan 1970 00:00:00 GMT\r\n\
                        Connection: keep-alive\r\n\r\n";
        assert_eq!(whole, expected);
        assert!(answer(r#"{"optionsSuccessStatus":200}"#, "OPTIONS").starts_with("HTTP/1.1 200 OK\r\n"));
        assert_eq!(answer("{}", "GET"), "");
        assert_eq!(answer(r#"{"origin":false}"#, "OPTIONS"), "");
        assert_eq!(answer(r#"{"preflightContinue":true}"#, "OPTIONS"), "");
    }

    #[test]
    fn without_the_option_pages_of_the_own_host_alone_are_allowed() {
        for (host, origin, expected) in [
            ("h.example", "http://h.example", true),
            ("h.example", "https://H.example", true),
            ("h.example:443", "https://h.example", true),
            ("h.example", "http://h.example:80", true),
            ("h.example:3000", "http://h.example:3000", true),
            ("h.example:3000", "http://h.example", false),
            ("h.example:80", "https://h.example", false),
            ("h.example", "http://evil.example", false),
            ("h.example", "http://h.example.evil", false),
            ("h.example", "null", false),
            ("h.example", "h.example", false),
            ("", "http://", false),
        ] {
            let text = format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n");
            let (head, _) = parse_head(text.as_bytes(), &HeadLimits::default()).unwrap().unwrap();
            let off = cors(r#"{"origin":false}"#);
            assert_eq!(allows(None, origin.as_bytes(), &head), expected, "{host} {origin}");
            assert_eq!(allows(Some(&off), origin.as_bytes(), &head), expected, "{host} {origin}");
        }
    }

    #[test]
    fn with_the_option_what_it_says_is_allowed() {
        let own = head("GET", "");
        for (option, origin, expected) in [
            ("{}", "http://any", true),
            (r#"{"origin":"http://a"}"#, "http://a", true),
            (r#"{"origin":"http://a"}"#, "http://h", false),
            (r#"{"origin":["http://a",{"regex":"^http://b"}]}"#, "http://b2", true),
            (r#"{"origin":["http://a",{"regex":"^http://b"}]}"#, "http://c", false),
            (r#"{"origin":true}"#, "null", true),
        ] {
            assert_eq!(allows(Some(&cors(option)), origin.as_bytes(), &own), expected, "{option} {origin}");
        }
    }

    #[test]
    fn true_and_an_empty_object_are_the_same() {
        assert_eq!(format!("{:?}", Cors::default()), format!("{:?}", cors("{}")));
    }

    #[test]
    fn wrong_options_are_refused() {
        let cases = [
            r#"{"origins":"*"}"#,
            r#"{"origin":null}"#,
            r#"{"origin":"http://a\r\nX: y"}"#,
            r#"{"origin":{"regex":"("}}"#,
            r#"{"origin":{"regexp":"a"}}"#,
            r#"{"origin":[["a"]]}"#,
            r#"{"methods":["GET\n"]}"#,
            r#"{"exposedHeaders":"a\u0000"}"#,
            r#"{"optionsSuccessStatus":101}"#,
        ];
        for case in cases {
            assert!(serde_json::from_str::<Cors>(case).is_err(), "{case}");
        }
    }
}
