//! The `cookie` option: a cookie that carries the session id, for load balancers that stick clients to servers by it.
//!
//! Engine.IO sets it on the polling handshake only and never reads it. The line is what the npm package `cookie` 0.7
//! serializes, with Engine.IO's defaults; all but the id is checked and written when the option is read.

use super::response::{is_token, push_all};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Deserialize;
use serde::de::{Deserializer, Error};
use std::time::{Duration, UNIX_EPOCH};

/// What JavaScript's `encodeURIComponent` escapes.
const VALUE_ESCAPES: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'_')
    .remove(b'.')
    .remove(b'!')
    .remove(b'~')
    .remove(b'*')
    .remove(b'\'')
    .remove(b'(')
    .remove(b')');

/// The first millisecond of the year 10000, which HTTP dates cannot express.
const YEAR_10000_MS: u64 = 253_402_300_800_000;

/// The cookie of a session.
#[derive(Debug, Clone)]
pub struct Cookie {
    /// `Set-Cookie: io=`
    before: String,
    /// `; Path=/; HttpOnly; SameSite=Lax` and CRLF.
    after: String,
}

/// The option as it is written. JavaScript's falsy values leave an attribute out, hence the `false` in several places.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase", default)]
struct Options {
    name: String,
    path: Text,
    http_only: bool,
    same_site: Text,
    domain: Text,
    max_age: Option<f64>,
    secure: bool,
    expires: Option<Expires>,
    partitioned: bool,
    priority: Text,
}

#[derive(Deserialize)]
#[serde(untagged, expecting = "a string or a boolean")]
enum Text {
    Flag(bool),
    Given(String),
}

#[derive(Deserialize)]
#[serde(untagged, expecting = "expires must be milliseconds since 1970 or an HTTP date")]
enum Expires {
    Milliseconds(u64),
    Date(String),
}

impl Default for Options {
    fn default() -> Options {
        Options {
            name: "io".to_string(),
            path: Text::Given("/".to_string()),
            http_only: true,
            same_site: Text::Given("lax".to_string()),
            domain: Text::Flag(false),
            max_age: None,
            secure: false,
            expires: None,
            partitioned: false,
            priority: Text::Flag(false),
        }
    }
}

impl Default for Cookie {
    /// `cookie: true`: `io=<sid>; Path=/; HttpOnly; SameSite=Lax`.
    fn default() -> Cookie {
        Cookie { before: "Set-Cookie: io=".to_string(), after: "; Path=/; HttpOnly; SameSite=Lax\r\n".to_string() }
    }
}

impl<'de> Deserialize<'de> for Cookie {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Cookie, D::Error> {
        Cookie::build(&Options::deserialize(deserializer)?).map_err(D::Error::custom)
    }
}

impl Cookie {
    fn build(options: &Options) -> Result<Cookie, &'static str> {
        if !is_token(&options.name) {
            return Err("cookie name is invalid");
        }
        let mut after = String::new();
        let mut attribute = |text: &str| {
            after.push_str("; ");
            after.push_str(text);
        };
        // The order is that of npm's cookie.
        if let Some(seconds) = options.max_age {
            attribute(&format!("Max-Age={}", seconds.floor()));
        }
        if let Some(domain) = options.domain.given("cookie domain is invalid", is_domain)? {
            attribute(&format!("Domain={domain}"));
        }
        if let Some(path) = options.path.given("cookie path is invalid", is_path)? {
            attribute(&format!("Path={path}"));
        }
        if let Some(expires) = &options.expires {
            attribute(&format!("Expires={}", expires.http_date().ok_or("cookie expires is invalid")?));
        }
        if options.http_only {
            attribute("HttpOnly");
        }
        if options.secure {
            attribute("Secure");
        }
        if options.partitioned {
            attribute("Partitioned");
        }
        if let Some(priority) = options.priority()? {
            attribute(&format!("Priority={priority}"));
        }
        if let Some(same_site) = options.same_site()? {
            attribute(&format!("SameSite={same_site}"));
        }
        after.push_str("\r\n");
        Ok(Cookie { before: format!("Set-Cookie: {}=", options.name), after })
    }

    /// Appends the `Set-Cookie` line for this session id, CRLF included.
    pub fn set_cookie_line(&self, sid: &str, out: &mut Vec<u8>) {
        out.extend_from_slice(self.before.as_bytes());
        for part in utf8_percent_encode(sid, VALUE_ESCAPES) {
            out.extend_from_slice(part.as_bytes());
        }
        push_all(out, &[self.after.as_bytes()]);
    }
}

impl Options {
    fn same_site(&self) -> Result<Option<&'static str>, &'static str> {
        match &self.same_site {
            Text::Flag(true) => Ok(Some("Strict")),
            Text::Flag(false) => Ok(None),
            Text::Given(text) => one_of(text, &["Strict", "Lax", "None"], "cookie sameSite is invalid"),
        }
    }

    fn priority(&self) -> Result<Option<&'static str>, &'static str> {
        match &self.priority {
            Text::Flag(true) => Err("cookie priority is invalid"),
            Text::Flag(false) => Ok(None),
            Text::Given(text) => one_of(text, &["Low", "Medium", "High"], "cookie priority is invalid"),
        }
    }
}

impl Text {
    /// The text if there is one that is not empty, or `error` if `valid` refuses it.
    fn given(&self, error: &'static str, valid: fn(&str) -> bool) -> Result<Option<&str>, &'static str> {
        match self {
            Text::Flag(true) => Err(error),
            Text::Flag(false) => Ok(None),
            Text::Given(text) if text.is_empty() => Ok(None),
            Text::Given(text) if valid(text) => Ok(Some(text)),
            Text::Given(_) => Err(error),
        }
    }
}

impl Expires {
    fn http_date(&self) -> Option<String> {
        match self {
            Expires::Milliseconds(ms) if *ms < YEAR_10000_MS => {
                Some(httpdate::fmt_http_date(UNIX_EPOCH + Duration::from_millis(*ms)))
            }
            Expires::Milliseconds(_) => None,
            Expires::Date(text) => httpdate::parse_http_date(text).ok().map(httpdate::fmt_http_date),
        }
    }
}

fn one_of(text: &str, names: &[&'static str], error: &'static str) -> Result<Option<&'static str>, &'static str> {
    if text.is_empty() {
        return Ok(None);
    }
    names.iter().find(|name| name.eq_ignore_ascii_case(text)).map(|name| Some(*name)).ok_or(error)
}

/// Labels of letters, digits and inner hyphens, at most 63 long, after an optional dot.
fn is_domain(text: &str) -> bool {
    let is_label = |label: &str| {
        (1..=63).contains(&label.len())
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
    };
    text.strip_prefix('.').unwrap_or(text).split('.').all(is_label)
}

/// Printable ASCII without the characters that end an attribute or that npm's cookie refuses.
fn is_path(text: &str) -> bool {
    text.bytes().all(|byte| matches!(byte, b' '..=b'~') && !matches!(byte, b';' | b'<'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(option: &str) -> String {
        let cookie: Cookie = serde_json::from_str(option).unwrap();
        let mut out = Vec::new();
        cookie.set_cookie_line("g4nbbadDKdfIahciAAAR", &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn the_default_is_the_captured_line() {
        let captured = "Set-Cookie: io=g4nbbadDKdfIahciAAAR; Path=/; HttpOnly; SameSite=Lax\r\n";
        assert_eq!(line("{}"), captured);
        let mut out = Vec::new();
        Cookie::default().set_cookie_line("g4nbbadDKdfIahciAAAR", &mut out);
        assert_eq!(out, captured.as_bytes());
    }

    #[test]
    fn every_attribute_has_its_place() {
        let option = r#"{"name":"s","path":"/p","httpOnly":true,"sameSite":"NONE","domain":".a-b.example","maxAge":3600.9,
                         "secure":true,"expires":0,"partitioned":true,"priority":"high"}"#;
        let expected = "Set-Cookie: s=g4nbbadDKdfIahciAAAR; Max-Age=3600; Domain=.a-b.example; Path=/p; \
                        Expires=Thu, 01 Jan 1970 00:00:00 GMT; HttpOnly; Secure; Partitioned; Priority=High; SameSite=None\r\n";
        assert_eq!(line(option), expected);
    }

    #[test]
    fn false_leaves_an_attribute_out() {
        assert_eq!(
            line(r#"{"path":false,"httpOnly":false,"sameSite":false,"domain":""}"#),
            "Set-Cookie: io=g4nbbadDKdfIahciAAAR\r\n"
        );
        assert!(line(r#"{"sameSite":true}"#).ends_with("; SameSite=Strict\r\n"));
    }

    #[test]
    fn a_session_id_of_the_host_is_escaped() {
        let mut out = Vec::new();
        Cookie::default().set_cookie_line("a;b\r\nc=é!", &mut out);
        assert!(out.starts_with(b"Set-Cookie: io=a%3Bb%0D%0Ac%3D%C3%A9!; Path=/;"));
    }

    #[test]
    fn values_that_break_the_line_are_refused() {
        let cases = [
            r#"{"name":"a b"}"#,
            r#"{"name":""}"#,
            r#"{"path":"/;x"}"#,
            r#"{"path":"/\r\nX: y"}"#,
            r#"{"domain":"a_b"}"#,
            r#"{"domain":"-a.example"}"#,
            r#"{"sameSite":"loose"}"#,
            r#"{"priority":true}"#,
            r#"{"expires":253402300800000}"#,
            r#"{"expires":"soon"}"#,
            r#"{"maxage":1}"#,
        ];
        for case in cases {
            assert!(serde_json::from_str::<Cookie>(case).is_err(), "{case}");
        }
    }
}
