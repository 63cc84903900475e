//! Socket.IO packets without their attachments: the parts of a packet that is accepted are what the text said, the payload is
//! JSON to other readers as well, and the encoders write the same packet again. Ids are numbers as JavaScript reads them.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sockeye::proto::json;
use sockeye::proto::socket_packet::{AckParts, DecodeError, EventParts, Limits, Packet, RESERVED_EVENTS, decode};
use sockeye_fuzz::{SLACK, bounded, is_json};

fuzz_target!(|data: &[u8]| {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let limits = Limits::default();
    let decoded = bounded(2 * text.len() + SLACK, || decode(text, &limits));
    if let Ok(packet) = &decoded {
        check(packet, text);
        reencode(packet, &limits);
    }
    let narrow = decode(text, &Limits { attachments_max: 1, event_name_max: 3, json_depth_max: 2 });
    let limits = [DecodeError::TooManyAttachments, DecodeError::EventNameTooLong, DecodeError::TooDeep];
    assert!(narrow == decoded || limits.iter().any(|limit| narrow == Err(*limit)), "{narrow:?}");
    if let Ok(Packet::Event { event: Some(event), attachments, .. }) = narrow {
        assert!(attachments <= 1 && event.name.len() <= 3);
    }
});

fn check(packet: &Packet<'_>, text: &str) {
    let (nsp, payload) = match packet {
        Packet::Connect { nsp, auth } => (nsp, auth.unwrap_or_default()),
        Packet::Disconnect { nsp } => (nsp, ""),
        Packet::Event { nsp, json, .. } | Packet::Ack { nsp, json, .. } => (nsp, *json),
        Packet::ConnectError { nsp, data } => (nsp, data.unwrap_or_default()),
    };
    assert!(nsp.starts_with('/') && !nsp.contains(','));
    assert!(payload.is_empty() || is_json(payload), "{payload}");
    assert!(text.trim_end().ends_with(payload));
    if let Packet::Event { event: Some(event), .. } = packet {
        assert!(event.name_is_number || !RESERVED_EVENTS.contains(&&*event.name));
    }
    match packet {
        Packet::Event { attachments, .. } | Packet::Ack { attachments, .. } => assert!(*attachments <= 10),
        _ => {}
    }
}

/// Writes events and acks anew and reads them back: the same parts.
fn reencode(packet: &Packet<'_>, limits: &Limits) {
    let mut text = Vec::new();
    let mut args = Vec::new();
    match packet {
        Packet::Event { nsp, id, event: Some(event), json, attachments } => {
            json::write_args(json, event.args, &mut args);
            let args = std::str::from_utf8(&args).expect("a part of a text, between brackets");
            assert!(is_json(args), "{args}");
            let mut name_json = Vec::new();
            json::write_string(&event.name, &mut name_json);
            let name_json = std::str::from_utf8(&name_json).expect("JSON");
            let id = id.filter(|id| id.exact().is_some());
            let parts = EventParts { nsp, id, name_json, args, attachments: *attachments };
            parts.write(&mut text);
            assert_eq!(parts.len(), text.len());
            same(&text, limits, (nsp, id, *attachments), Some(&event.name), args);
        }
        Packet::Ack { nsp, id: Some(id), args: span, json, attachments } if id.exact().is_some() => {
            json::write_args(json, *span, &mut args);
            let args = std::str::from_utf8(&args).expect("a part of a text, between brackets");
            assert!(is_json(args), "{args}");
            let parts = AckParts { nsp, id: *id, args, attachments: *attachments };
            parts.write(&mut text);
            assert_eq!(parts.len(), text.len());
            same(&text, limits, (nsp, Some(*id), *attachments), None, args);
        }
        _ => {}
    }
}

type Head<'a> = (&'a str, Option<sockeye::proto::ack_id::AckId>, u32);

fn same(text: &[u8], limits: &Limits, head: Head<'_>, name: Option<&str>, args: &str) {
    let text = std::str::from_utf8(text).expect("packets are text");
    let mut args_again = Vec::new();
    // A numeric name is written as a string, which may be a reserved one as little as before.
    let head_again = match decode(text, limits) {
        Ok(Packet::Event { nsp, id, event: Some(event), json, attachments }) => {
            json::write_args(json, event.args, &mut args_again);
            assert_eq!(Some(&*event.name), name);
            (nsp, id, attachments)
        }
        Ok(Packet::Ack { nsp, id, args, json, attachments }) => {
            json::write_args(json, args, &mut args_again);
            assert_eq!(name, None);
            (nsp, id, attachments)
        }
        other => panic!("{text:?} {other:?}"),
    };
    assert_eq!(head_again, head);
    assert_eq!(args_again, args.as_bytes());
}
