//! MessagePack as the official adapters write and read it, from and to JSON text with attachments. No value tree is built on the way.
//!
//! What is written all three readers in use accept: maps with string keys, `bin` for attachments, integers in their shortest form, and
//! nothing after the value. What is read may be anything that their writers make: dates (both extensions) become their ISO text,
//! undefined becomes null, and numbers that JSON lacks do too, as `JSON.stringify` has it.

use std::fmt::Write as _;

use rmp::Marker;
use rmp::encode as write;

use crate::proto::json;

/// How deep arrays and objects may be nested: far beyond what applications do, and little enough for the smallest stack.
const DEPTH_MAX: u32 = 256;

/// Why a value cannot be translated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Malformed {
    TooDeep,
    /// It ends too early.
    Truncated,
    /// Bytes follow the value.
    Trailing,
    /// A byte or key that cannot stand where it does.
    Unexpected,
    /// There can be no channel of this name.
    Channel,
}

impl std::fmt::Display for Malformed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Malformed::TooDeep => "nested too deep",
            Malformed::Truncated => "truncated",
            Malformed::Trailing => "bytes follow the value",
            Malformed::Unexpected => "not what was expected",
            Malformed::Channel => "there can be no channel of the namespace's name",
        })
    }
}

// ---- writing ------------------------------------------------------------------------------------------------------

/// Appends `text`, JSON that is known to be valid, with its attachments in the places of their placeholders.
pub fn from_json(text: &str, attachments: &[&[u8]], out: &mut Vec<u8>) -> Result<(), Malformed> {
    let mut writer = Writer { text, at: 0, attachments, out };
    writer.value(0)?;
    writer.skip_space();
    if writer.at == text.len() { Ok(()) } else { Err(Malformed::Trailing) }
}

struct Writer<'a> {
    text: &'a str,
    at: usize,
    attachments: &'a [&'a [u8]],
    out: &'a mut Vec<u8>,
}

/// What of an object makes it stand for an attachment.
#[derive(Default)]
struct Placeholder {
    is_one: bool,
    num: Option<usize>,
}

impl<'a> Writer<'a> {
    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn skip_space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    /// The next byte that is no space, taken if it is this one.
    fn takes(&mut self, byte: u8) -> bool {
        self.skip_space();
        let is_it = self.peek() == Some(byte);
        self.at += usize::from(is_it);
        is_it
    }

    fn value(&mut self, depth: u32) -> Result<(), Malformed> {
        self.skip_space();
        match self.peek().ok_or(Malformed::Truncated)? {
            b'{' | b'[' if depth >= DEPTH_MAX => Err(Malformed::TooDeep),
            b'{' => self.object(depth + 1),
            b'[' => self.array(depth + 1),
            b'"' => self.string().and_then(|text| put(write::write_str(self.out, &text))),
            _ => self.scalar(),
        }
    }

    fn array(&mut self, depth: u32) -> Result<(), Malformed> {
        self.at += 1;
        let (header, mut count) = (self.out.len(), 0);
        self.out.push(0);
        while !self.takes(b']') {
            if count > 0 && !self.takes(b',') {
                return Err(Malformed::Unexpected);
            }
            self.value(depth)?;
            count += 1;
        }
        self.fill_header(header, count, [0x90, 0xdc, 0xdd]);
        Ok(())
    }

    fn object(&mut self, depth: u32) -> Result<(), Malformed> {
        self.at += 1;
        let (header, mut count, mut placeholder) = (self.out.len(), 0, Placeholder::default());
        self.out.push(0);
        while !self.takes(b'}') {
            if count > 0 && !self.takes(b',') {
                return Err(Malformed::Unexpected);
            }
            self.skip_space();
            let key = self.string()?;
            if !self.takes(b':') {
                return Err(Malformed::Unexpected);
            }
            self.skip_space();
            put(write::write_str(self.out, &key))?;
            let start = self.at;
            self.value(depth)?;
            let value = self.text.get(start..self.at).unwrap_or_default();
            match &*key {
                _ if self.attachments.is_empty() => {}
                "_placeholder" => placeholder.is_one = value == "true",
                "num" => placeholder.num = value.parse().ok(),
                _ => {}
            }
            count += 1;
        }
        let attachment = placeholder.num.filter(|_| placeholder.is_one).and_then(|num| self.attachments.get(num));
        if let Some(bytes) = attachment {
            self.out.truncate(header);
            return put(write::write_bin(self.out, bytes));
        }
        self.fill_header(header, count, [0x80, 0xde, 0xdf]);
        Ok(())
    }

    /// Writes how many elements follow the byte at `header`, which leaves room for few; more make room.
    fn fill_header(&mut self, header: usize, count: usize, [few, many, most]: [u8; 3]) {
        let (first, rest) = match u16::try_from(count) {
            Ok(count @ 0..=15) => (few | count as u8, Vec::new()),
            Ok(count) => (many, count.to_be_bytes().to_vec()),
            Err(_) => (most, (count as u32).to_be_bytes().to_vec()),
        };
        if let Some(byte) = self.out.get_mut(header) {
            *byte = first;
        }
        if !rest.is_empty() {
            self.out.splice(header + 1..header + 1, rest);
        }
    }

    fn string(&mut self) -> Result<std::borrow::Cow<'a, str>, Malformed> {
        let rest = self.text.get(self.at..).and_then(|rest| rest.strip_prefix('"')).ok_or(Malformed::Unexpected)?;
        let (len, is_plain) = json::string_len(rest).ok_or(Malformed::Truncated)?;
        let text = self.text.get(self.at..self.at + len + 2).ok_or(Malformed::Unexpected)?;
        self.at += text.len();
        if is_plain {
            return Ok(std::borrow::Cow::Borrowed(rest.get(..len).unwrap_or_default()));
        }
        json::string(text).map_err(|_| Malformed::Unexpected)
    }

    fn scalar(&mut self) -> Result<(), Malformed> {
        let rest = self.text.get(self.at..).unwrap_or_default();
        let len = rest.bytes().take_while(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(byte)).count();
        let token = rest.get(..len).unwrap_or_default();
        self.at += len;
        match token {
            "null" => return put(write::write_nil(self.out)),
            "true" | "false" => return put(write::write_bool(self.out, token == "true")),
            _ => {}
        }
        if let Ok(number) = token.parse::<i64>() {
            return put(write::write_sint(self.out, number));
        }
        let number: f64 = token.parse().map_err(|_| Malformed::Unexpected)?;
        // JavaScript has one kind of number, and its writers make integers of those that are whole.
        if number.fract() == 0.0 && number.abs() <= EXACT_MAX {
            return put(write::write_sint(self.out, number as i64));
        }
        put(write::write_f64(self.out, number))
    }
}

/// Integers up to here are exact in an `f64`.
const EXACT_MAX: f64 = 9_007_199_254_740_992.0;

/// A `Vec` takes every write, so that the error never comes.
fn put<T, E>(written: Result<T, E>) -> Result<(), Malformed> {
    written.map(drop).map_err(|_| Malformed::Unexpected)
}

// ---- reading ------------------------------------------------------------------------------------------------------

/// One value as JSON text, its binary parts as attachments.
pub fn to_json(bytes: &[u8]) -> Result<(String, Vec<&[u8]>), Malformed> {
    read(bytes, false)
}

/// One value as JSON text, its binary parts as `{"type":"Buffer","data":[…]}`, which is what `JSON.stringify` makes of them in Node.
pub fn to_plain_json(bytes: &[u8]) -> Result<String, Malformed> {
    read(bytes, true).map(|(text, _)| text)
}

fn read(bytes: &[u8], is_plain: bool) -> Result<(String, Vec<&[u8]>), Malformed> {
    let (text, attachments) = (String::with_capacity(bytes.len() * 2), Vec::new());
    let mut reader = Reader { rest: bytes, text, attachments, is_plain };
    reader.value(0)?;
    if reader.rest.is_empty() { Ok((reader.text, reader.attachments)) } else { Err(Malformed::Trailing) }
}

struct Reader<'a> {
    rest: &'a [u8],
    text: String,
    attachments: Vec<&'a [u8]>,
    /// Binary parts stay in the text.
    is_plain: bool,
}

impl<'a> Reader<'a> {
    fn take(&mut self, len: usize) -> Result<&'a [u8], Malformed> {
        let (taken, rest) = self.rest.split_at_checked(len).ok_or(Malformed::Truncated)?;
        self.rest = rest;
        Ok(taken)
    }

    /// An unsigned number of so many bytes.
    fn number(&mut self, len: usize) -> Result<u64, Malformed> {
        Ok(self.take(len)?.iter().fold(0, |number, byte| number << 8 | u64::from(*byte)))
    }

    fn marker(&mut self) -> Result<Marker, Malformed> {
        Ok(Marker::from_u8(self.number(1)? as u8))
    }

    fn value(&mut self, depth: u32) -> Result<(), Malformed> {
        let marker = self.marker()?;
        if let Some(len) = self.str_len(marker)? {
            let bytes = self.take(len)?;
            self.push_text(bytes);
            return Ok(());
        }
        if let Some(len) = self.bin_len(marker)? {
            let bytes = self.take(len)?;
            self.push_attachment(bytes);
            return Ok(());
        }
        match marker {
            Marker::FixArray(_) | Marker::Array16 | Marker::Array32 => self.array(marker, depth),
            Marker::FixMap(_) | Marker::Map16 | Marker::Map32 => self.map(marker, depth),
            Marker::Null => self.push("null"),
            Marker::True => self.push("true"),
            Marker::False => self.push("false"),
            Marker::F32 => {
                let bits = self.number(4)? as u32;
                self.push_float(f32::from_bits(bits).into())
            }
            Marker::F64 => {
                let bits = self.number(8)?;
                self.push_float(f64::from_bits(bits))
            }
            _ => match self.integer(marker)? {
                Some(number) => self.push_display(number),
                None => self.extension(marker),
            },
        }
    }

    fn integer(&mut self, marker: Marker) -> Result<Option<i128>, Malformed> {
        Ok(Some(match marker {
            Marker::FixPos(number) => number.into(),
            Marker::FixNeg(number) => number.into(),
            Marker::U8 => self.number(1)?.into(),
            Marker::U16 => self.number(2)?.into(),
            Marker::U32 => self.number(4)?.into(),
            Marker::U64 => self.number(8)?.into(),
            Marker::I8 => (self.number(1)? as i8).into(),
            Marker::I16 => (self.number(2)? as i16).into(),
            Marker::I32 => (self.number(4)? as i32).into(),
            Marker::I64 => (self.number(8)? as i64).into(),
            _ => return Ok(None),
        }))
    }

    fn str_len(&mut self, marker: Marker) -> Result<Option<usize>, Malformed> {
        Ok(Some(match marker {
            Marker::FixStr(len) => len.into(),
            Marker::Str8 => self.number(1)? as usize,
            Marker::Str16 => self.number(2)? as usize,
            Marker::Str32 => self.number(4)? as usize,
            _ => return Ok(None),
        }))
    }

    fn bin_len(&mut self, marker: Marker) -> Result<Option<usize>, Malformed> {
        Ok(Some(match marker {
            Marker::Bin8 => self.number(1)? as usize,
            Marker::Bin16 => self.number(2)? as usize,
            Marker::Bin32 => self.number(4)? as usize,
            _ => return Ok(None),
        }))
    }

    fn array(&mut self, marker: Marker, depth: u32) -> Result<(), Malformed> {
        let count = match marker {
            Marker::FixArray(count) => count.into(),
            Marker::Array16 => self.number(2)?,
            _ => self.number(4)?,
        };
        if depth >= DEPTH_MAX {
            return Err(Malformed::TooDeep);
        }
        self.text.push('[');
        for at in 0..count {
            self.text.push_str(if at > 0 { "," } else { "" });
            self.value(depth + 1)?;
        }
        self.push("]")
    }

    fn map(&mut self, marker: Marker, depth: u32) -> Result<(), Malformed> {
        let count = match marker {
            Marker::FixMap(count) => count.into(),
            Marker::Map16 => self.number(2)?,
            _ => self.number(4)?,
        };
        if depth >= DEPTH_MAX {
            return Err(Malformed::TooDeep);
        }
        self.text.push('{');
        for at in 0..count {
            self.text.push_str(if at > 0 { "," } else { "" });
            self.key()?;
            self.text.push(':');
            self.value(depth + 1)?;
        }
        self.push("}")
    }

    /// Keys are strings, or numbers as JavaScript spells them.
    fn key(&mut self) -> Result<(), Malformed> {
        let marker = self.marker()?;
        match self.str_len(marker)? {
            Some(len) => {
                let bytes = self.take(len)?;
                self.push_text(bytes);
            }
            None => {
                let number = self.integer(marker)?.ok_or(Malformed::Unexpected)?;
                self.push_text(number.to_string().as_bytes());
            }
        }
        Ok(())
    }

    fn extension(&mut self, marker: Marker) -> Result<(), Malformed> {
        let len = match marker {
            Marker::FixExt1 => 1,
            Marker::FixExt2 => 2,
            Marker::FixExt4 => 4,
            Marker::FixExt8 => 8,
            Marker::FixExt16 => 16,
            Marker::Ext8 => self.number(1)? as usize,
            Marker::Ext16 => self.number(2)? as usize,
            Marker::Ext32 => self.number(4)? as usize,
            _ => return Err(Malformed::Unexpected),
        };
        let kind = self.number(1)? as i8;
        let data = self.take(len)?;
        let number = |bytes: &[u8]| bytes.iter().fold(0u64, |number, byte| number << 8 | u64::from(*byte));
        match (kind, data) {
            // What notepack.io 2 makes of undefined, and of a date.
            (0, [_]) => self.push("null"),
            (0, [_, _, _, _, _, _, _, _]) => self.push_date(number(data) as i64),
            (0, _) => {
                self.push_attachment(data);
                Ok(())
            }
            (-1, [_, _, _, _]) => self.push_date(number(data) as i64 * 1000),
            (-1, [_, _, _, _, _, _, _, _]) => {
                let (nanos, seconds) = (number(data) >> 34, number(data) & ((1 << 34) - 1));
                self.push_date(seconds as i64 * 1000 + nanos as i64 / 1_000_000)
            }
            (-1, [a, b, c, d, seconds @ ..]) if seconds.len() == 8 => {
                let millis = number(&[*a, *b, *c, *d]) as i64 / 1_000_000;
                self.push_date((number(seconds) as i64).saturating_mul(1000).saturating_add(millis))
            }
            _ => {
                write!(self.text, "[{kind},").map_err(|_| Malformed::Unexpected)?;
                self.push_attachment(data);
                self.push("]")
            }
        }
    }

    fn push(&mut self, text: &str) -> Result<(), Malformed> {
        self.text.push_str(text);
        Ok(())
    }

    fn push_display(&mut self, value: impl std::fmt::Display) -> Result<(), Malformed> {
        write!(self.text, "{value}").map_err(|_| Malformed::Unexpected)
    }

    /// A string; what is not UTF-8 in it becomes U+FFFD.
    fn push_text(&mut self, bytes: &[u8]) {
        match std::str::from_utf8(bytes) {
            Ok(text) if json::is_plain(text) => {
                self.text.push('"');
                self.text.push_str(text);
                self.text.push('"');
            }
            _ => {
                let mut quoted = Vec::with_capacity(bytes.len() + 2);
                json::write_string(&String::from_utf8_lossy(bytes), &mut quoted);
                self.text.push_str(&String::from_utf8_lossy(&quoted));
            }
        }
    }

    fn push_attachment(&mut self, bytes: &'a [u8]) {
        if self.is_plain {
            let numbers: Vec<String> = bytes.iter().map(u8::to_string).collect();
            self.text.push_str(&format!("{{\"type\":\"Buffer\",\"data\":[{}]}}", numbers.join(",")));
            return;
        }
        self.text.push_str(&format!("{{\"_placeholder\":true,\"num\":{}}}", self.attachments.len()));
        self.attachments.push(bytes);
    }

    fn push_float(&mut self, number: f64) -> Result<(), Malformed> {
        match number {
            _ if !number.is_finite() => self.push("null"),
            _ if number.fract() == 0.0 && number.abs() <= EXACT_MAX => self.push_display(number as i64),
            _ => self.push_display(format_args!("{number:?}")),
        }
    }

    /// Milliseconds since 1970, as `toISOString` prints years of four digits; what it cannot print is null.
    fn push_date(&mut self, ms: i64) -> Result<(), Malformed> {
        let (days, ms) = (ms.div_euclid(86_400_000), ms.rem_euclid(86_400_000));
        let (year, month, day) = crate::server::civil(days);
        if !(0..=9999).contains(&year) {
            return self.push("null");
        }
        let (hour, minute, second, ms) = (ms / 3_600_000, ms / 60_000 % 60, ms / 1000 % 60, ms % 1000);
        self.push_display(format_args!("\"{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{ms:03}Z\""))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn there_and_back(json: &str, attachments: &[&[u8]]) -> (String, Vec<Vec<u8>>) {
        let mut packed = Vec::new();
        from_json(json, attachments, &mut packed).unwrap();
        let (text, found) = to_json(&packed).unwrap();
        (text, found.into_iter().map(<[u8]>::to_vec).collect())
    }

    #[test]
    fn json_comes_back_as_it_was() {
        let many = format!("[{}0]", "0,".repeat(70_000));
        let object = format!("{{{}}}", (0..40).map(|n| format!("\"k{n}\":{n}")).collect::<Vec<_>>().join(","));
        for json in [
            "null",
            "[]",
            "{}",
            "[1,-1,1.5,true,null,\"a\\n\u{20ac}\"]",
            "[[[{\"a\":[300,70000,-33,-40000]}]]]",
            &many,
            &object,
        ] {
            assert_eq!(there_and_back(json, &[]).0, json);
        }
    }

    #[test]
    fn numbers_are_those_of_javascript() {
        assert_eq!(
            there_and_back("[1.0,1e3,1e300,-0.5,9007199254740993]", &[]).0,
            "[1,1000,1e300,-0.5,9007199254740993]"
        );
    }

    #[test]
    fn attachments_take_their_places_however_they_are_spelled() {
        let json = r#"["a",{"_placeholder":true,"num":1}, { "num" : 0 , "_placeholder" : true },{"_placeholder":true,"num":7}]"#;
        let (text, found) = there_and_back(json, &[b"x", b"yy"]);
        assert_eq!(
            text,
            r#"["a",{"_placeholder":true,"num":0},{"_placeholder":true,"num":1},{"_placeholder":true,"num":7}]"#
        );
        assert_eq!(found, [b"yy".to_vec(), b"x".to_vec()]);
    }

    #[test]
    fn attachments_can_be_plain_text() {
        let mut packed = Vec::new();
        from_json(
            r#"["a",{"_placeholder":true,"num":0},{"b":{"_placeholder":true,"num":1}}]"#,
            &[&[1, 255], &[]],
            &mut packed,
        )
        .unwrap();
        let expected = r#"["a",{"type":"Buffer","data":[1,255]},{"b":{"type":"Buffer","data":[]}}]"#;
        assert_eq!(to_plain_json(&packed).unwrap(), expected);
    }

    #[test]
    fn dates_and_undefined_of_both_writers_are_read() {
        let hex = |text: &str| -> Vec<u8> {
            (0..text.len() / 2).map(|at| u8::from_str_radix(&text[2 * at..2 * at + 2], 16).unwrap()).collect()
        };
        for (packed, json) in [
            ("d6ff00000000", "\"1970-01-01T00:00:00.000Z\""),
            ("d70000000000000003e8", "\"1970-01-01T00:00:01.000Z\""),
            ("c70cff000f4240ffffffffffffffff", "\"1969-12-31T23:59:59.001Z\""),
            ("d40000", "null"),
            ("cb7ff8000000000000", "null"),
            ("ca3fc00000", "1.5"),
            ("cfffffffffffffffff", "18446744073709551615"),
        ] {
            assert_eq!(to_json(&hex(packed)).unwrap().0, json, "{packed}");
        }
    }

    #[test]
    fn garbage_is_refused() {
        let deep = [0x91; 300];
        assert_eq!(to_json(&deep), Err(Malformed::TooDeep));
        assert_eq!(to_json(&[0xdd, 0xff, 0xff, 0xff, 0xff]), Err(Malformed::Truncated));
        assert_eq!(to_json(&[0xc0, 0xc0]), Err(Malformed::Trailing));
        assert_eq!(to_json(&[0xc1]), Err(Malformed::Unexpected));
        assert_eq!(to_json(&[0x81, 0xc0, 0xc0]), Err(Malformed::Unexpected));
        assert_eq!(from_json(&"[".repeat(300), &[], &mut Vec::new()), Err(Malformed::TooDeep));
        for cut in 0..8 {
            assert!(from_json(&"[{\"a\":1}"[..cut], &[], &mut Vec::new()).is_err());
        }
    }
}
