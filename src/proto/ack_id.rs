//! Acknowledgement ids, which are JavaScript numbers: the official decoder reads them with `Number()` and writes them back
//! with `String()`, and an answer must repeat the id as a JavaScript peer would print it.
//!
//! The number reading and writing that the rest of the Socket.IO parser shares lives here too. What an id refers to is
//! not known here.

use std::fmt;
use std::io::Write as _;

/// The most digits for which every decimal number is an exact `f64`, so that integer arithmetic may read them.
const EXACT_DIGITS_MAX: usize = 15;

/// The first integer that has a neighbour an `f64` cannot tell from it: below it, integers print as themselves.
const EXACT_INTEGERS_END: u64 = 1 << 53;

/// An acknowledgement id: an integer below 2^53 as it is; any other `f64` (larger, infinite, NaN) as its bits, which are larger
/// numbers than those. Equal ids print equally.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct AckId(u64);

#[expect(clippy::len_without_is_empty, reason = "no number prints as nothing")]
impl AckId {
    /// The id that counters like ours give out. Above 2^53 the nearest number that an `f64` can hold.
    pub fn from_u64(id: u64) -> Self {
        if id < EXACT_INTEGERS_END { Self(id) } else { Self((id as f64).to_bits()) }
    }

    fn from_f64(id: f64) -> Self {
        if id < EXACT_INTEGERS_END as f64 { Self(id as u64) } else { Self(id.to_bits()) }
    }

    /// Takes the id off the front of `text`: greedily, every digit and every character that JavaScript counts as white
    /// space, since `Number(" ") == " "` in the official scan (server-behaviour.md 2.24). White space alone is id 0, and
    /// digits with white space between them are NaN.
    pub(super) fn split(text: &str) -> (Option<Self>, &str) {
        let digits_len = text.bytes().take_while(u8::is_ascii_digit).count();
        let may_go_on = text.as_bytes().get(digits_len).is_some_and(|&b| b <= b' ' || !b.is_ascii());
        if digits_len > EXACT_DIGITS_MAX || may_go_on {
            return Self::split_slowly(text);
        }
        if digits_len == 0 {
            return (None, text);
        }
        let (digits, rest) = text.split_at(digits_len);
        let id = digits.bytes().fold(0, |id, digit| id * 10 + u64::from(digit - b'0'));
        (Some(Self::from_u64(id)), rest)
    }

    fn split_slowly(text: &str) -> (Option<Self>, &str) {
        let rest = text.trim_start_matches(|c: char| c.is_ascii_digit() || is_space(c));
        let (run, rest) = text.split_at(text.len() - rest.len());
        if run.is_empty() {
            return (None, text);
        }
        (Some(Self::from_f64(parse_number(run))), rest)
    }

    /// How many bytes [`AckId::write`] appends.
    pub fn len(self) -> usize {
        match self.exact() {
            Some(id) => decimal_len(id),
            None => {
                let mut text = Vec::new();
                write_number(f64::from_bits(self.0), &mut text);
                text.len()
            }
        }
    }

    /// Appends the id as JavaScript prints the number: `456`, `100000000000000000000`, `1e+21`, `Infinity`, `NaN`.
    pub fn write(self, out: &mut Vec<u8>) {
        match self.exact() {
            Some(id) => write_decimal(id, out),
            None => write_number(f64::from_bits(self.0), out),
        }
    }

    /// The id as an integer, if it is one that an `f64` holds exactly.
    pub fn exact(self) -> Option<u64> {
        (self.0 < EXACT_INTEGERS_END).then_some(self.0)
    }
}

impl fmt::Debug for AckId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.exact() {
            Some(id) => write!(f, "AckId({id})"),
            None => write!(f, "AckId({})", f64::from_bits(self.0)),
        }
    }
}

/// Whether JavaScript's `Number()` skips `c` at the ends of a string: ECMAScript's WhiteSpace and LineTerminator.
pub(super) fn is_space(c: char) -> bool {
    match c {
        '\u{feff}' => true,
        // Unicode's White_Space holds all others, and one character that ECMAScript has not.
        '\u{85}' => false,
        _ => c.is_whitespace(),
    }
}

/// `Number(text)`: decimal with fraction and exponent, `0x`, `0o` and `0b` integers, `Infinity`, 0 for nothing, else NaN.
pub(super) fn parse_number(text: &str) -> f64 {
    let text = text.trim_matches(is_space);
    let radix_digits = |radix: u32, digits: &str| {
        // Rounding may differ from JavaScript's above 2^53; nothing that is read this way may be that large.
        let value =
            digits.chars().try_fold(0.0, |value, c| Some(value * f64::from(radix) + f64::from(c.to_digit(radix)?)));
        value.filter(|_| !digits.is_empty()).unwrap_or(f64::NAN)
    };
    match text.split_at_checked(2) {
        Some(("0x" | "0X", digits)) => return radix_digits(16, digits),
        Some(("0o" | "0O", digits)) => return radix_digits(8, digits),
        Some(("0b" | "0B", digits)) => return radix_digits(2, digits),
        _ => {}
    }
    match text {
        "" => 0.0,
        "Infinity" | "+Infinity" => f64::INFINITY,
        "-Infinity" => f64::NEG_INFINITY,
        // Rust reads words such as `inf` that JavaScript does not.
        _ if text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'+' | b'-' | b'.' | b'e' | b'E')) => {
            text.parse().unwrap_or(f64::NAN)
        }
        _ => f64::NAN,
    }
}

/// Appends `String(value)`, ECMAScript's Number::toString in base 10.
pub(super) fn write_number(value: f64, out: &mut Vec<u8>) {
    if value.is_nan() {
        return out.extend_from_slice(b"NaN");
    }
    if value < 0.0 {
        out.push(b'-');
    }
    if value.is_infinite() {
        return out.extend_from_slice(b"Infinity");
    }
    // Both languages print the shortest digits that read back as the same number; only the layout differs.
    let scientific = format!("{:e}", value.abs());
    let (mantissa, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let digits = mantissa.replace('.', "");
    let exponent: i32 = exponent.parse().unwrap_or(0);
    lay_out_number(&digits, exponent, out);
}

/// Writes the number d.ddd × 10^`exponent`: positionally from 1e-6 up to below 1e21, with an exponent outside of that.
fn lay_out_number(digits: &str, exponent: i32, out: &mut Vec<u8>) {
    let (first, others) = digits.split_at_checked(1).unwrap_or((digits, ""));
    match exponent {
        0..21 => {
            let whole_len = exponent.unsigned_abs() as usize + 1;
            let (whole, fraction) = digits.split_at_checked(whole_len).unwrap_or((digits, ""));
            out.extend_from_slice(whole.as_bytes());
            out.resize(out.len() + whole_len - whole.len(), b'0');
            write_fraction(fraction, out);
        }
        -6..0 => {
            out.extend_from_slice(b"0.");
            out.resize(out.len() + exponent.unsigned_abs() as usize - 1, b'0');
            out.extend_from_slice(digits.as_bytes());
        }
        _ => {
            out.extend_from_slice(first.as_bytes());
            write_fraction(others, out);
            let written = write!(out, "e{exponent:+}");
            debug_assert!(written.is_ok(), "a Vec takes every write");
        }
    }
}

fn write_fraction(digits: &str, out: &mut Vec<u8>) {
    if !digits.is_empty() {
        out.push(b'.');
        out.extend_from_slice(digits.as_bytes());
    }
}

/// Digits of the largest number.
const DECIMAL_LEN_MAX: usize = 20;

/// How many digits `number` has in decimal.
pub(super) fn decimal_len(number: u64) -> usize {
    number.checked_ilog10().unwrap_or(0) as usize + 1
}

/// Appends `number` in decimal.
pub(super) fn write_decimal(mut number: u64, out: &mut Vec<u8>) {
    let mut digits = [b'0'; DECIMAL_LEN_MAX];
    let mut at = digits.len();
    for (index, digit) in digits.iter_mut().enumerate().rev() {
        *digit = b'0' + (number % 10) as u8;
        number /= 10;
        at = index;
        if number == 0 {
            break;
        }
    }
    out.extend_from_slice(digits.get(at..).unwrap_or_default());
}

#[cfg(test)]
mod tests {
    use super::super::testing::Random;
    use super::*;

    fn split(text: &str) -> (Option<String>, &str) {
        let (id, rest) = AckId::split(text);
        (id.map(printed), rest)
    }

    fn printed(id: AckId) -> String {
        let mut out = Vec::new();
        id.write(&mut out);
        assert_eq!(out.len(), id.len());
        String::from_utf8(out).unwrap()
    }

    fn id(text: &str, rest: &'static str) -> (Option<String>, &'static str) {
        (Some(text.to_owned()), rest)
    }

    #[test]
    fn digits_are_taken_greedily() {
        assert_eq!(split("456[1]"), id("456", "[1]"));
        assert_eq!(split("007[1]"), id("7", "[1]"));
        assert_eq!(split("[1]"), (None, "[1]"));
        assert_eq!(split("12"), id("12", ""));
        assert_eq!(split("٣[1]"), (None, "٣[1]"));
    }

    #[test]
    fn long_ids_are_javascript_numbers() {
        assert_eq!(split("99999999999999999999[]"), id("100000000000000000000", "[]"));
        assert_eq!(split("299999999999999999999[]"), id("300000000000000000000", "[]"));
        assert_eq!(split("9007199254740993[]"), id("9007199254740992", "[]"));
        assert_eq!(split("1000000000000000000000[]"), id("1e+21", "[]"));
        assert_eq!(split("1230000000000000000000000[]"), id("1.23e+24", "[]"));
        assert_eq!(split(&"9".repeat(400)).0.unwrap(), "Infinity");
    }

    #[test]
    fn white_space_counts_as_a_digit() {
        assert_eq!(split(" [\"a\"]"), id("0", "[\"a\"]"));
        assert_eq!(split(" 1[]"), id("1", "[]"));
        assert_eq!(split("1 []"), id("1", "[]"));
        assert_eq!(split("1 2[]"), id("NaN", "[]"));
        assert_eq!(split("\u{a0}\u{2028}7\u{feff}[]"), id("7", "[]"));
        assert_eq!(split("\u{85}[]"), (None, "\u{85}[]"));
    }

    #[test]
    fn counters_print_as_themselves() {
        let mut random = Random::new(3);
        for bits in 0..53 {
            let number = random.below(usize::MAX) as u64 % (1 << bits).max(1);
            assert_eq!(printed(AckId::from_u64(number)), number.to_string());
            assert_eq!(AckId::split(&number.to_string()).0, Some(AckId::from_u64(number)));
        }
    }

    #[test]
    fn numbers_are_read_as_number_reads_them() {
        let cases = [
            ("", 0.0),
            (" 1\n", 1.0),
            ("1e0", 1.0),
            ("+2.", 2.0),
            (".5", 0.5),
            ("0x1F", 31.0),
            ("0b11", 3.0),
            ("0o17", 15.0),
        ];
        for (text, value) in cases {
            assert_eq!(parse_number(text), value, "{text}");
        }
        for text in ["a", "1 2", "inf", "nan", "infinity", "0x", "0xg", "1_0", ".", "1e", "--1", "+0x1"] {
            assert!(parse_number(text).is_nan(), "{text}");
        }
        assert_eq!(parse_number("Infinity"), f64::INFINITY);
    }

    #[test]
    fn numbers_are_written_as_string_writes_them() {
        let cases = [
            (0.0, "0"),
            (-0.0, "0"),
            (-1.5, "-1.5"),
            (0.1, "0.1"),
            (123.456, "123.456"),
            (1e-6, "0.000001"),
            (1.5e-7, "1.5e-7"),
            (1e20, "100000000000000000000"),
            (123456789012345680000.0, "123456789012345680000"),
            (1e21, "1e+21"),
            (f64::MAX, "1.7976931348623157e+308"),
            (5e-324, "5e-324"),
        ];
        for (value, text) in cases {
            let mut out = Vec::new();
            write_number(value, &mut out);
            assert_eq!(std::str::from_utf8(&out).unwrap(), text);
        }
    }
}
