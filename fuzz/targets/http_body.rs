//! Request bodies: at once, one by one or in any pieces, the same bytes and the same end; never more than the limit.
//!
//! The input: the kind of body and its length, the limit, and the size of pieces, in two bytes each; then the stream.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sockeye::fuzzing::http::body::BodyError;
use sockeye::fuzzing::http::{BodyDecoder, BodyKind};
use sockeye_fuzz::{SLACK, bounded, short};

/// The body, and how many bytes of the stream it took; `None` if it is not complete.
type Read = Result<Option<(Vec<u8>, usize)>, BodyError>;

fuzz_target!(|data: &[u8]| {
    let mut data = data;
    let kind = match short(&mut data) {
        0 => BodyKind::None,
        0xffff => BodyKind::Length(u64::MAX),
        n if n < 0x1000 => BodyKind::Length(n as u64),
        _ => BodyKind::Chunked,
    };
    let (max, piece) = (short(&mut data), short(&mut data).max(1));
    let at_once = read(kind, data, max, data.len().max(1));
    assert_eq!(read(kind, data, max, piece), at_once);
    if data.len() <= 512 {
        assert_eq!(read(kind, data, max, 1), at_once);
    }
    if let Ok(Some((body, taken))) = &at_once {
        match kind {
            BodyKind::None => assert_eq!(*taken, 0),
            BodyKind::Length(length) => assert_eq!((&data[..*taken], *taken as u64), (&body[..], length)),
            BodyKind::Chunked => assert!(data[..*taken].ends_with(b"\r\n")),
        }
        let whole = BodyDecoder::new(kind).whole(data);
        assert!(whole.is_none_or(|whole| whole == body));
    }
});

fn read(kind: BodyKind, stream: &[u8], max: usize, piece: usize) -> Read {
    let mut body = Vec::new();
    let mut decoder = BodyDecoder::new(kind);
    // What the decoder did not take is kept by its caller, in front of what comes next.
    let (mut from, mut to) = (0, 0);
    loop {
        to = (to + piece).min(stream.len());
        let progress = bounded(SLACK + 4 * max, || decoder.feed(&stream[from..to], &mut body, max))?;
        assert!(body.len() <= max);
        from += progress.consumed;
        assert!(from <= to);
        assert_eq!(progress.done, decoder.is_done());
        if progress.done {
            return Ok(Some((body, from)));
        }
        if to == stream.len() {
            return Ok(None);
        }
    }
}
