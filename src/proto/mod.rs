//! The wire, without I/O: bytes and text come in, packets go out, and the other way round.
//!
//! Reading order, from the socket inwards:
//!
//! - [`websocket`] and [`websocket_message`]: RFC 6455 frames under the caller's buffers, and the messages they carry;
//! - [`engine_packet`] and [`payload`]: Engine.IO packets, and the long-polling bodies that hold several of them;
//! - [`socket_packet`] and [`socket_encode`]: Socket.IO packets of protocol revision 5, read and written, with [`ack_id`]
//!   for their ids;
//! - [`binary`]: packets that travel with binary attachments; `placeholder`: what stands for those in the JSON;
//! - [`json`]: payloads as text slices, checked (by `json_check`) and cut but never turned into a tree.
//!
//! Invariants: nothing here opens a socket, takes a lock or reads a clock, and no input makes anything here panic.
//! Where JavaScript shows through the protocol (number parsing, what counts as white space, what `JSON.parse` accepts),
//! these modules do as the official parsers do, because clients depend on it.

pub mod ack_id;
pub mod binary;
pub mod engine_packet;
pub mod json;
mod json_check;
pub mod payload;
mod placeholder;
pub mod session;
pub mod socket_encode;
pub mod socket_packet;
pub mod websocket;
pub mod websocket_message;

#[cfg(test)]
pub(crate) mod testing {
    //! What the tests of these modules share: the official vectors and a generator of repeatable inputs.

    use serde_json::Value;

    /// Reads one file of vectors recorded from the official parsers.
    pub(crate) fn vectors(name: &str) -> Value {
        let path = format!("{}/tests/vectors/{name}", env!("CARGO_MANIFEST_DIR"));
        let text = std::fs::read_to_string(&path).expect(&path);
        serde_json::from_str(&text).expect(&path)
    }

    /// The list at `pointer`, which must have entries: a test over an empty list would hold nothing.
    pub(crate) fn cases<'a>(vectors: &'a Value, pointer: &str) -> &'a [Value] {
        let list = vectors.pointer(pointer).and_then(Value::as_array);
        list.filter(|list| !list.is_empty()).expect(pointer)
    }

    pub(crate) fn unhex(hex: &str) -> Vec<u8> {
        let digits = hex.as_bytes().chunks(2);
        digits.map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap()).collect()
    }

    /// A xorshift generator: the same inputs in every run, so that a failure repeats.
    pub(crate) struct Random(u64);

    impl Random {
        pub(crate) fn new(seed: u64) -> Self {
            Self(seed | 1)
        }

        pub(crate) fn below(&mut self, bound: usize) -> usize {
            self.0 ^= self.0 << 13;
            self.0 ^= self.0 >> 7;
            self.0 ^= self.0 << 17;
            (self.0 >> 11) as usize % bound
        }

        pub(crate) fn bytes(&mut self, len: usize) -> Vec<u8> {
            (0..len).map(|_| self.below(256) as u8).collect()
        }

        pub(crate) fn pick<'a>(&mut self, choices: &[&'a str]) -> &'a str {
            choices[self.below(choices.len())]
        }

        /// Up to `pieces_max` pieces of text, among them what JSON escapes and what UTF-8 stretches.
        pub(crate) fn text(&mut self, pieces_max: usize) -> String {
            const PIECES: [&str; 12] = ["a", "Z", "0", " ", "\"", "\\", "\n", "\u{1}", "€", "😀", ",", "/"];
            (0..self.below(pieces_max + 1)).map(|_| self.pick(&PIECES)).collect()
        }
    }
}
