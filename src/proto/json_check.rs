//! Tells whether a text is JSON, RFC 8259 to the letter, and nothing else: no value, no tree, no memory for usual nesting.
//!
//! Every inbound packet passes here. `serde_json`'s own check of the same grammar takes half as long again on small events;
//! the tests hold the two to the same answers.

use super::json::JsonError;

/// Nesting levels that one word of [`Nesting`] keeps.
const WORD_LEVELS: u32 = u64::BITS;

/// Checks that `text` is one JSON value with nothing but white space around it, in which arrays and objects are nested at most
/// `depth_max` deep.
///
/// Beside that, depth is bounded by the text alone: the check does not recurse and keeps a bit for each open level.
///
/// # Errors
/// [`JsonError::Syntax`] with the byte offset at which no JSON text can go on as this one does, or [`JsonError::TooDeep`].
pub(super) fn check(text: &str, depth_max: u32) -> Result<(), JsonError> {
    let mut reader = Reader { bytes: text.as_bytes(), at: 0, too_deep: false };
    match reader.document(depth_max) {
        Some(()) => Ok(()),
        None if reader.too_deep => Err(JsonError::TooDeep),
        None => Err(JsonError::Syntax { at: reader.at }),
    }
}

struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
    too_deep: bool,
}

impl Reader<'_> {
    fn document(&mut self, depth_max: u32) -> Option<()> {
        let mut nesting = Nesting::new(depth_max);
        loop {
            self.value(&mut nesting)?;
            // A value is complete: it is the text's, or a comma or the end of what holds it follows.
            loop {
                let byte = self.peek_token();
                match (nesting.innermost(), byte) {
                    (None, None) => return Some(()),
                    (Some(Container::Array), Some(b']')) | (Some(Container::Object), Some(b'}')) => {
                        self.at += 1;
                        nesting.close();
                    }
                    (Some(container), Some(b',')) => {
                        self.at += 1;
                        if container == Container::Object {
                            self.key()?;
                        }
                        break;
                    }
                    _ => return None,
                }
            }
        }
    }

    /// Reads a scalar or an empty container, or opens containers up to the first of either.
    fn value(&mut self, nesting: &mut Nesting) -> Option<()> {
        loop {
            let byte = self.peek_token()?;
            match byte {
                b'"' => {
                    self.at += 1;
                    return self.string();
                }
                b'-' | b'0'..=b'9' => return self.number(),
                b'{' => {
                    self.at += 1;
                    if self.skip_if(b'}') {
                        return self.within(nesting.has_room());
                    }
                    self.within(nesting.open(Container::Object))?;
                    self.key()?;
                }
                b'[' => {
                    self.at += 1;
                    if self.skip_if(b']') {
                        return self.within(nesting.has_room());
                    }
                    self.within(nesting.open(Container::Array))?;
                }
                b't' => return self.literal(b"true"),
                b'f' => return self.literal(b"false"),
                b'n' => return self.literal(b"null"),
                _ => return None,
            }
        }
    }

    /// Goes on if there was room for an array or object.
    fn within(&mut self, had_room: bool) -> Option<()> {
        if !had_room {
            self.too_deep = true;
        }
        had_room.then_some(())
    }

    fn key(&mut self) -> Option<()> {
        (self.peek_token()? == b'"').then(|| self.at += 1)?;
        self.string()?;
        (self.peek_token()? == b':').then(|| self.at += 1)
    }

    /// Reads the rest of a string, its last quote included.
    fn string(&mut self) -> Option<()> {
        loop {
            self.at += plain_len(self.bytes.get(self.at..)?);
            let byte = self.peek()?;
            match byte {
                b'"' => {
                    self.at += 1;
                    return Some(());
                }
                b'\\' => self.escape()?,
                ..b' ' => return None,
                _ => self.at += 1,
            }
        }
    }

    fn escape(&mut self) -> Option<()> {
        self.at += 1;
        match self.peek()? {
            b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => self.at += 1,
            b'u' => {
                let digits = self.bytes.get(self.at + 1..self.at + 5)?;
                digits.iter().all(u8::is_ascii_hexdigit).then(|| self.at += 5)?;
            }
            _ => return None,
        }
        Some(())
    }

    fn number(&mut self) -> Option<()> {
        if self.peek()? == b'-' {
            self.at += 1;
        }
        match self.peek()? {
            b'0' => self.at += 1,
            _ => self.digits()?,
        }
        if self.peek() == Some(b'.') {
            self.at += 1;
            self.digits()?;
        }
        if let Some(b'e' | b'E') = self.peek() {
            self.at += 1;
            if let Some(b'+' | b'-') = self.peek() {
                self.at += 1;
            }
            self.digits()?;
        }
        Some(())
    }

    /// Reads digits, at least one.
    fn digits(&mut self) -> Option<()> {
        let start = self.at;
        while let Some(b'0'..=b'9') = self.peek() {
            self.at += 1;
        }
        (self.at > start).then_some(())
    }

    fn literal(&mut self, word: &[u8]) -> Option<()> {
        self.bytes.get(self.at..)?.starts_with(word).then(|| self.at += word.len())
    }

    fn skip_if(&mut self, byte: u8) -> bool {
        let follows = self.peek_token() == Some(byte);
        self.at += usize::from(follows);
        follows
    }

    /// The next byte that is no white space.
    fn peek_token(&mut self) -> Option<u8> {
        while let Some(b' ' | b'\t' | b'\n' | b'\r') = self.peek() {
            self.at += 1;
        }
        self.peek()
    }

    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }
}

/// How many bytes, in steps of 16 and then 8, hold no quote, backslash or control character; then up to the first such byte.
#[inline(always)]
pub(super) fn plain_len(bytes: &[u8]) -> usize {
    let (chunks, _) = bytes.as_chunks::<16>();
    let mut start = 0;
    for chunk in chunks {
        if ends_within(chunk) {
            break;
        }
        start += 16;
    }
    start + plain_words(bytes.get(start..).unwrap_or_default())
}

/// Whether a string may end in these bytes. Without a way out of the loop, so that it becomes a few vector instructions.
fn ends_within(chunk: &[u8; 16]) -> bool {
    let mut marks = [0u8; 16];
    for (mark, byte) in marks.iter_mut().zip(chunk) {
        *mark = u8::from(*byte == b'"') | u8::from(*byte == b'\\') | u8::from(*byte < b' ');
    }
    u128::from_ne_bytes(marks) != 0
}

/// As [`plain_len`], in steps of eight.
fn plain_words(bytes: &[u8]) -> usize {
    const ONES: u64 = u64::from_ne_bytes([1; 8]);
    const HIGH_BITS: u64 = ONES << 7;
    let (words, _) = bytes.as_chunks::<8>();
    for (index, word) in words.iter().enumerate() {
        let word = u64::from_le_bytes(*word);
        let (quote, backslash) = (word ^ (ONES * u64::from(b'"')), word ^ (ONES * u64::from(b'\\')));
        // A byte below n borrows into its high bit, which only bytes that had it clear may count; a borrow that runs
        // into the next byte only ever marks bytes after the first true one.
        let below = |word: u64, n: u8| word.wrapping_sub(ONES * u64::from(n)) & !word;
        let stops = (below(quote, 1) | below(backslash, 1) | below(word, b' ')) & HIGH_BITS;
        if stops != 0 {
            return index * 8 + stops.trailing_zeros() as usize / 8;
        }
    }
    words.len() * 8
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Container {
    Array,
    Object,
}

/// A stack of open containers, a bit each; memory is taken only beyond the first word of levels. How many there may be is looked at
/// where a word is full, which costs nothing for each.
struct Nesting {
    depth: u32,
    /// How many levels the innermost word may have.
    word_max: u32,
    /// The innermost levels, the last one in bit 0; set for an object.
    word: u64,
    outer: Vec<u64>,
    /// How many levels there may be beyond that word.
    more_max: u32,
}

impl Nesting {
    /// None open, of at most `depth_max`.
    fn new(depth_max: u32) -> Nesting {
        let word_max = depth_max.min(WORD_LEVELS);
        Nesting { depth: 0, word_max, word: 0, outer: Vec::new(), more_max: depth_max - word_max }
    }

    fn innermost(&self) -> Option<Container> {
        let container = if self.word & 1 == 1 { Container::Object } else { Container::Array };
        (self.depth > 0).then_some(container)
    }

    /// Opens one; false if there may be no more.
    fn open(&mut self, container: Container) -> bool {
        if self.depth == self.word_max && !self.add_word() {
            return false;
        }
        self.word = self.word << 1 | u64::from(container == Container::Object);
        self.depth += 1;
        true
    }

    #[cold]
    fn add_word(&mut self) -> bool {
        if self.more_max == 0 {
            return false;
        }
        self.outer.push(self.word);
        self.depth = 0;
        self.word_max = self.more_max.min(WORD_LEVELS);
        self.more_max -= self.word_max;
        true
    }

    /// Whether one more could be opened.
    fn has_room(&self) -> bool {
        self.depth < self.word_max || self.more_max > 0
    }

    fn close(&mut self) {
        self.word >>= 1;
        self.depth -= 1;
        if self.depth == 0
            && let Some(word) = self.outer.pop()
        {
            self.word = word;
            self.depth = WORD_LEVELS;
            self.more_max += self.word_max;
            self.word_max = WORD_LEVELS;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::Random;
    use super::*;
    use serde::de::IgnoredAny;

    /// The offset of the refusal, if any, after holding the answer against `serde_json`'s.
    fn refusal(text: &str) -> Option<usize> {
        let refusal = match check(text, u32::MAX) {
            Ok(()) => None,
            Err(JsonError::Syntax { at }) => Some(at),
            Err(other) => panic!("{text:?}: {other}"),
        };
        assert_eq!(serde_json::from_str::<IgnoredAny>(text).is_err(), refusal.is_some(), "{text:?}");
        refusal
    }

    #[test]
    fn values_of_every_kind_pass() {
        let texts = [
            "0",
            "-0",
            "10.5e-3",
            "1E+2",
            "1e999",
            "true",
            "false",
            "null",
            "\"\"",
            "\"é😀\u{7f}\"",
            "[]",
            "{}",
            " [ ] ",
            "\t{ }\r\n",
            r#"["\"\\\/\b\f\n\r\t\u00eF\ud800"]"#,
            r#"{"a":[1,{"b":[[],{}]}],"a":2}"#,
            "[1 , 2]",
        ];
        for text in texts {
            assert_eq!(refusal(text), None, "{text}");
        }
    }

    #[test]
    fn a_refusal_tells_where() {
        let cases = [
            ("", 0),
            (" ", 1),
            ("[", 1),
            ("[1,]", 3),
            ("[1 2]", 3),
            ("{1:2}", 1),
            ("{\"a\" 1}", 5),
            ("{\"a\":1,}", 7),
            ("[1}", 2),
            ("{\"a\":1]", 6),
            ("01", 1),
            ("-", 1),
            ("1.", 2),
            (".5", 0),
            ("1e", 2),
            ("+1", 0),
            ("tru", 0),
            ("nul l", 0),
            ("\"\t\"", 1),
            ("\"\\x\"", 2),
            ("\"\\u12g4\"", 2),
            ("\"a", 2),
            ("\"\\", 2),
            ("[]]", 2),
            ("\u{feff}1", 0),
            ("1\u{a0}", 1),
            ("'a'", 0),
        ];
        for (text, at) in cases {
            assert_eq!(refusal(text), Some(at), "{text}");
        }
    }

    #[test]
    fn every_stop_is_seen_at_every_place_of_a_word() {
        for before in 0..20 {
            for stop in ["\"", "\\", "\u{1f}", "\u{0}", "é", "\u{80}", " ", "!", "#", "[", "]"] {
                refusal(&format!("\"{}{stop}{}\"", "x".repeat(before), "y".repeat(20 - before)));
            }
        }
    }

    #[test]
    fn depth_is_bounded_by_the_text_alone() {
        for depth in [63, 64, 65, 128, 129, 200_000] {
            let (open, close) = ("[{\"a\":".repeat(depth), "}]".repeat(depth));
            assert_eq!(refusal(&format!("{open}1{close}")), None);
            assert_eq!(refusal(&format!("{open}1{close}]")), Some(depth * 8 + 1));
            assert_eq!(refusal(&format!("{open}1]{close}")), Some(depth * 6 + 1));
        }
    }

    #[test]
    fn arrays_and_objects_count_as_levels_empty_ones_too() {
        for (text, depth) in [("1", 0), ("[]", 1), ("{\"a\":1}", 1), ("[[],[{}],[[1],2]]", 3), ("[1,{\"a\":[]},[]]", 3)]
        {
            assert_eq!(check(text, depth), Ok(()), "{text}");
            assert!(depth == 0 || check(text, depth - 1) == Err(JsonError::TooDeep), "{text}");
        }
        for depth in [1, 2, 63, 64, 65, 127, 128, 129, 1000] {
            let tower = |depth: u32| format!("{}{}", "[".repeat(depth as usize), "]".repeat(depth as usize));
            let towers = format!("[{0},{0},1,{1},{0}]", tower(depth - 1), tower(1.min(depth - 1)));
            let towers = if depth == 1 { "[]".to_owned() } else { towers };
            assert_eq!(
                (check(&towers, depth), check(&towers, depth - 1)),
                (Ok(()), Err(JsonError::TooDeep)),
                "{depth}"
            );
        }
    }

    #[test]
    fn any_text_gets_the_answer_of_serde_json() {
        const PIECES: [&str; 24] = [
            "[",
            "]",
            "{",
            "}",
            ",",
            ":",
            "\"",
            "\"a\"",
            "\"a\":",
            "\\",
            "\\u12",
            "1",
            "0",
            "-",
            ".",
            "e",
            "E+",
            "true",
            "null",
            " ",
            "\n",
            "\u{1}",
            "é",
            "[[1,{\"b\":2}],",
        ];
        let mut random = Random::new(10);
        for _ in 0..100_000 {
            let text: String = (0..random.below(9)).map(|_| random.pick(&PIECES)).collect();
            refusal(&text);
        }
    }

    #[test]
    fn a_valid_text_with_one_change_gets_the_answer_of_serde_json() {
        let mut random = Random::new(11);
        let text = r#"["move",{"x":-12.5e3,"\u00e9":[true,false,null,{}],"text":"longer than a word \" é"},[0,[]]]"#;
        for _ in 0..50_000 {
            let mut changed: Vec<char> = text.chars().collect();
            let at = random.below(changed.len());
            changed[at] = random
                .pick(&["[", "]", "{", "}", ",", ":", "\"", "\\", "0", "-", ".", "e", " ", "u", "\u{2}"])
                .chars()
                .next()
                .unwrap();
            refusal(&changed.iter().collect::<String>());
        }
    }
}
