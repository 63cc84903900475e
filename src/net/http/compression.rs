//! Content codings: which one a request accepts, and the coding itself.
//!
//! The `httpCompression` option says from which size polling payloads are compressed; they use gzip or deflate, the client
//! files brotli too. The official server streams compressed payloads in chunks; ours are compressed whole and carry a
//! `Content-Length`, so that an answer is one write.

use flate2::write::ZlibEncoder;
use flate2::{Compress, Compression, Crc, FlushCompress, Status};
use serde::Deserialize;
use std::cmp::Reverse;
use std::io::Write;

/// The size from which Engine.IO compresses a payload, in bytes: below, the coding's own bytes eat the gain.
const THRESHOLD_BYTES: usize = 1024;

/// zlib's default level, which Node uses.
const LEVEL: u32 = 6;

/// zlib's highest level.
const LEVEL_MAX: u32 = 9;

/// Room made for each step of the encoder beyond half of its input, in bytes: enough for a small payload in one step.
const DEFLATE_ROOM_BYTES_MIN: usize = 512;

/// The codings of polling payloads in the server's order of preference.
pub const POLLING_ENCODINGS: [Encoding; 2] = [Encoding::Gzip, Encoding::Deflate];

/// A content coding.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encoding {
    /// None.
    Identity,
    /// `gzip`
    Gzip,
    /// `deflate`: the zlib format.
    Deflate,
    /// `br`
    Brotli,
}

impl Encoding {
    /// The value of `Content-Encoding`; none for [`Encoding::Identity`].
    pub fn name(self) -> Option<&'static str> {
        match self {
            Encoding::Identity => None,
            Encoding::Gzip => Some("gzip"),
            Encoding::Deflate => Some("deflate"),
            Encoding::Brotli => Some("br"),
        }
    }
}

/// The `httpCompression` option.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct HttpCompression {
    /// Payloads of at least this many bytes are compressed.
    pub threshold: usize,
    /// 0 (store) to 9 (smallest); larger values count as 9.
    pub level: u32,
}

impl Default for HttpCompression {
    fn default() -> HttpCompression {
        HttpCompression { threshold: THRESHOLD_BYTES, level: LEVEL }
    }
}

impl HttpCompression {
    /// The coding of a polling payload of `payload_len` bytes.
    pub fn choose(&self, accept_encoding: Option<&[u8]>, payload_len: usize) -> Encoding {
        match accept_encoding {
            Some(accepted) if payload_len >= self.threshold => negotiate(accepted, &POLLING_ENCODINGS),
            _ => Encoding::Identity,
        }
    }
}

/// The best of `allowed` that the value of an `Accept-Encoding` header takes (RFC 9110 section 12.5.3).
///
/// The highest quality wins, then the one that the client names first, as in the official server; for those that it does not name the
/// order of `allowed` decides. Nothing acceptable gives [`Encoding::Identity`].
pub fn negotiate(accept_encoding: &[u8], allowed: &[Encoding]) -> Encoding {
    let mut best = (Liking::default(), Encoding::Identity);
    for encoding in allowed {
        let liking = liking(accept_encoding, encoding.name().unwrap_or("identity"));
        if liking.thousandths > 0 && liking > best.0 {
            best = (liking, *encoding);
        }
    }
    best.1
}

/// How much a client wants a coding: what is compared first stands first.
#[derive(Default, PartialEq, Eq, PartialOrd, Ord)]
struct Liking {
    /// Its quality.
    thousandths: u16,
    /// It has a name in the header, and how near to the start.
    named: Option<Reverse<usize>>,
}

/// How much a client wants a coding; `*` speaks for those that are not named.
fn liking(accept_encoding: &[u8], name: &str) -> Liking {
    let mut wildcard = Liking::default();
    for (at, member) in accept_encoding.split(|byte| *byte == b',').enumerate() {
        let mut parts = member.split(|byte| *byte == b';').map(<[u8]>::trim_ascii);
        let coding = parts.next().unwrap_or_default();
        let named = coding.eq_ignore_ascii_case(name.as_bytes());
        if named || coding == b"*" {
            let weight = parts.find_map(|part| part.strip_prefix(b"q=").or_else(|| part.strip_prefix(b"Q=")));
            let thousandths = weight.map_or(1000, thousandths);
            if named {
                return Liking { thousandths, named: Some(Reverse(at)) };
            }
            wildcard = Liking { thousandths, named: None };
        }
    }
    wildcard
}

/// A quality value such as `0.8`; 0 if it is not one.
fn thousandths(weight: &[u8]) -> u16 {
    let value = std::str::from_utf8(weight).ok().and_then(|text| text.parse::<f32>().ok());
    // The cast saturates, and makes 0 of a NaN.
    value.map_or(0, |value| (value.clamp(0.0, 1.0) * 1000.0) as u16)
}

/// Appends `input` in `encoding` to `out`. `level` is 0 to 9, for brotli its quality 0 to 11; larger values count as the
/// largest. For payloads, where the set-up of an encoder costs more than its work, there is [`Compressor`].
pub fn compress(encoding: Encoding, level: u32, input: &[u8], out: &mut Vec<u8>) {
    let mut sink = &mut *out;
    let written = match encoding {
        Encoding::Identity => sink.write_all(input),
        Encoding::Gzip => {
            Compressor::new(level).gzip(input, out);
            Ok(())
        }
        Encoding::Deflate => {
            let mut encoder = ZlibEncoder::new(sink, Compression::new(level.min(LEVEL_MAX)));
            encoder.write_all(input).and_then(|()| encoder.try_finish())
        }
        Encoding::Brotli => {
            let params = brotli::enc::BrotliEncoderParams {
                quality: level.min(11) as i32,
                size_hint: input.len(),
                ..Default::default()
            };
            brotli::BrotliCompress(&mut &*input, &mut sink, &params).map(|_| ())
        }
    };
    // The encoders fail only when their sink does, and a Vec does not.
    debug_assert!(written.is_ok());
}

/// An encoder that is set up once and used for one payload after another: one for each thread that answers polls.
pub struct Compressor {
    deflate: Compress,
    level: u32,
}

impl Compressor {
    /// `level` as in [`HttpCompression::level`]. Takes about 300 KiB until it is dropped.
    pub fn new(level: u32) -> Compressor {
        let level = level.min(LEVEL_MAX);
        Compressor { deflate: Compress::new(Compression::new(level), false), level }
    }

    /// Appends `input` in `encoding` to `out`.
    pub fn compress(&mut self, encoding: Encoding, input: &[u8], out: &mut Vec<u8>) {
        match encoding {
            Encoding::Gzip => self.gzip(input, out),
            // Clients that take deflate and not gzip are too rare to keep a second state for.
            other => compress(other, self.level, input, out),
        }
    }

    /// The gzip format around raw deflate (RFC 1952).
    fn gzip(&mut self, input: &[u8], out: &mut Vec<u8>) {
        // Deflate, no name, no time, no hint; 255 is an unknown file system.
        out.extend_from_slice(&[0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255]);
        self.deflate.reset();
        let mut rest = input;
        loop {
            out.reserve(rest.len() / 2 + DEFLATE_ROOM_BYTES_MIN);
            let before = self.deflate.total_in();
            let status = self.deflate.compress_vec(rest, out, FlushCompress::Finish);
            let taken = usize::try_from(self.deflate.total_in() - before).unwrap_or(usize::MAX);
            rest = rest.get(taken..).unwrap_or_default();
            match status {
                Ok(Status::Ok | Status::BufError) => {}
                Ok(Status::StreamEnd) => break,
                // Only a state that was not reset errs.
                Err(_) => return debug_assert!(false, "deflate failed"),
            }
        }
        let mut crc = Crc::new();
        crc.update(input);
        out.extend_from_slice(&crc.sum().to_le_bytes());
        // The length modulo 2^32, as the format has it.
        out.extend_from_slice(&(input.len() as u32).to_le_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;

    const ALL: [Encoding; 3] = [Encoding::Brotli, Encoding::Gzip, Encoding::Deflate];

    #[test]
    fn the_best_accepted_coding_wins() {
        let cases: [(&[u8], Encoding); 15] = [
            (b"gzip, deflate, br, zstd", Encoding::Gzip),
            (b"zstd, br, gzip", Encoding::Brotli),
            (b"gzip;q=0.9, br", Encoding::Brotli),
            (b"*, deflate", Encoding::Deflate),
            (b"gzip;q=1.0, br;q=0.9", Encoding::Gzip),
            (b"deflate", Encoding::Deflate),
            (b"DEFLATE", Encoding::Deflate),
            (b"*", Encoding::Brotli),
            (b"*;q=0.5, br;q=0", Encoding::Gzip),
            (b"br;q=0, gzip;q=0, *;q=0", Encoding::Identity),
            (b"gzip; q=0.2 , deflate ;q=0.3", Encoding::Deflate),
            (b"identity", Encoding::Identity),
            (b"", Encoding::Identity),
            (b"br;q=nonsense, gzip;q=", Encoding::Identity),
            (b"\xff\xff,;,q=1", Encoding::Identity),
        ];
        for (accepted, expected) in cases {
            assert_eq!(negotiate(accepted, &ALL), expected, "{}", accepted.escape_ascii());
        }
    }

    #[test]
    fn payloads_are_compressed_from_the_threshold_on_and_never_with_brotli() {
        let option = HttpCompression::default();
        assert_eq!(option.choose(Some(b"gzip, deflate"), 1023), Encoding::Identity);
        assert_eq!(option.choose(Some(b"gzip, deflate"), 1024), Encoding::Gzip);
        assert_eq!(option.choose(Some(b"br"), 5000), Encoding::Identity);
        assert_eq!(option.choose(None, 5000), Encoding::Identity);
    }

    #[test]
    fn what_is_compressed_can_be_read_back() {
        let input = b"42[\"hello\",\"hello\",\"hello\"]".repeat(100);
        for encoding in [Encoding::Identity, Encoding::Gzip, Encoding::Deflate, Encoding::Brotli] {
            let mut out = b"head".to_vec();
            compress(encoding, 6, &input, &mut out);
            let (head, coded) = out.split_at(4);
            assert_eq!(head, b"head");
            let mut back = Vec::new();
            match encoding {
                Encoding::Identity => back.extend_from_slice(coded),
                Encoding::Gzip => drop(flate2::read::GzDecoder::new(coded).read_to_end(&mut back).unwrap()),
                Encoding::Deflate => drop(flate2::read::ZlibDecoder::new(coded).read_to_end(&mut back).unwrap()),
                Encoding::Brotli => brotli::BrotliDecompress(&mut &*coded, &mut back).unwrap(),
            }
            assert_eq!(back, input, "{encoding:?}");
        }
    }

    #[test]
    fn one_compressor_serves_payloads_of_every_size() {
        let mut compressor = Compressor::new(6);
        let noise: Vec<u8> = (0..200_000u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
        for len in [0, 1, 511, 1024, 65_536, 200_000] {
            let mut out = Vec::new();
            compressor.compress(Encoding::Gzip, &noise[..len], &mut out);
            let mut back = Vec::new();
            flate2::read::GzDecoder::new(&*out).read_to_end(&mut back).unwrap();
            assert_eq!(back, noise[..len]);
        }
    }

    #[test]
    fn a_level_beyond_the_scale_is_the_last() {
        for encoding in ALL {
            let mut out = Vec::new();
            compress(encoding, u32::MAX, b"text", &mut out);
            assert!(!out.is_empty());
        }
    }
}
