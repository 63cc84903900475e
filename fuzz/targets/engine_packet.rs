//! Engine.IO packets and polling payloads: what is decoded is what the wire said, and encodes to the same again.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sockeye::proto::engine_packet::{Packet, PacketType, decode_text};
use sockeye::proto::payload::{SEPARATOR, packets};
use sockeye_fuzz::{SLACK, bounded};

fuzz_target!(|data: &[u8]| {
    let Ok(text) = std::str::from_utf8(data) else { return };
    packet(text);
    payload(text);
});

fn packet(text: &str) {
    let decoded = bounded(text.len() + SLACK, || decode_text(text));
    let kind = text.bytes().next();
    assert_eq!(decoded.is_ok(), kind.is_some_and(|kind| kind == b'b' || PacketType::from_byte(kind).is_some()));
    let Ok(packet) = decoded else { return };
    let mut again = Vec::new();
    packet.write_text(&mut again);
    match &packet {
        Packet::Text { .. } => assert_eq!(again, text.as_bytes()),
        // Base64 may be spelled in many ways; the usual one means the same.
        Packet::Binary(_) => {
            let again = String::from_utf8(again).expect("base64 is text");
            assert_eq!(decode_text(&again).as_ref(), Ok(&packet));
        }
    }
}

fn payload(body: &str) {
    let segments: Vec<&str> = body.split(char::from(SEPARATOR)).collect();
    let good = segments.iter().take_while(|segment| decode_text(segment).is_ok()).count();
    let decoded: Vec<_> = packets(body).collect();
    assert_eq!(decoded.len(), (good + 1).min(segments.len()));
    for (packet, segment) in decoded.iter().zip(&segments) {
        assert_eq!(*packet, decode_text(segment));
    }
    // Taken one by one, however many there are, they need no more memory than the largest.
    bounded(body.len() + SLACK, || packets(body).count());
}
