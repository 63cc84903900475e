//! Packets with attachments: text and binary messages in any order, against a model that keeps everything; placeholders against
//! a reader of JSON that builds on serde.
//!
//! Pieces of the input are messages; those that start with 0xff are binary.
#![no_main]

use std::fmt;

use libfuzzer_sys::fuzz_target;
use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use sockeye::proto::binary::Reconstructor;
use sockeye::proto::socket_packet::{DecodeError, Limits, Packet, decode};
use sockeye_fuzz::{BINARY, SLACK, bounded, pieces};

fuzz_target!(|data: &[u8]| {
    let mut model = Model { limits: Limits::default(), decoder: Reconstructor::default(), pending: None };
    for piece in pieces(data) {
        let went_on = match piece.split_first() {
            Some((&BINARY, bytes)) => model.binary(bytes),
            _ => std::str::from_utf8(piece).is_ok_and(|text| model.text(text)),
        };
        if !went_on {
            return;
        }
    }
});

struct Model<'a> {
    limits: Limits,
    decoder: Reconstructor,
    /// The header, how many attachments are due, and those that came.
    pending: Option<(&'a str, u32, Vec<&'a [u8]>)>,
}

impl<'a> Model<'a> {
    /// Whether the connection goes on.
    fn text(&mut self, text: &'a str) -> bool {
        // A header is kept as text; a name in it that has escapes is decoded beside it.
        let taken = bounded(4 * text.len() + SLACK, || self.decoder.take_text(text, &self.limits));
        if self.pending.is_some() {
            assert_eq!(taken, Err(DecodeError::TextWhilePending));
            return false;
        }
        match decode(text, &self.limits) {
            Err(error) => assert_eq!(taken, Err(error)),
            Ok(Packet::Event { json, attachments, .. } | Packet::Ack { json, attachments, .. }) if attachments > 0 => {
                assert!(matches!(taken, Ok(None) | Err(DecodeError::Placeholder)), "{taken:?}");
                // Another reader has bounds of its own, and an empty payload has no placeholder.
                if let Ok(value) = serde_json::from_str::<Value>(json) {
                    assert_eq!(taken.is_err(), value.is_illegal(attachments), "{json}");
                }
                if taken.is_ok() {
                    self.pending = Some((text, attachments, Vec::new()));
                }
            }
            Ok(packet) => assert_eq!(taken, Ok(Some(packet))),
        }
        taken.is_ok()
    }

    fn binary(&mut self, data: &'a [u8]) -> bool {
        let taken = bounded(data.len() + SLACK, || self.decoder.accept(data));
        let Some((header, due, mut kept)) = self.pending.take() else {
            assert!(matches!(taken, Err(DecodeError::BinaryWhileIdle)));
            return false;
        };
        kept.push(data);
        let complete = taken.expect("an attachment was due");
        assert_eq!(complete.is_some(), kept.len() == due as usize);
        match complete {
            Some(complete) => {
                assert_eq!(Ok(complete.packet()), decode(header, &self.limits));
                assert!(complete.attachments().eq(kept));
                complete.recycle();
            }
            None => self.pending = Some((header, due, kept)),
        }
        true
    }
}

/// What matters of a JSON value for placeholders.
enum Value {
    True,
    Number(f64),
    Other,
    List(Vec<Value>),
    /// Of `_placeholder` and `num` the last, and all other values.
    Object {
        placeholder: Option<Box<Value>>,
        num: Option<Box<Value>>,
        all: Vec<Value>,
    },
}

impl Value {
    fn is_illegal(&self, count: u32) -> bool {
        match self {
            Value::True | Value::Number(_) | Value::Other => false,
            Value::List(list) => list.iter().any(|value| value.is_illegal(count)),
            Value::Object { placeholder, num, all } => match placeholder.as_deref() {
                Some(Value::True) => match num.as_deref() {
                    Some(Value::Number(num)) => !(*num >= 0.0 && *num < f64::from(count) && num.fract() == 0.0),
                    _ => true,
                },
                last => {
                    let special = [last, num.as_deref()].into_iter().flatten();
                    all.iter().chain(special).any(|value| value.is_illegal(count))
                }
            },
        }
    }
}

impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(AnyValue)
    }
}

struct AnyValue;

impl<'de> Visitor<'de> for AnyValue {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(if value { Value::True } else { Value::Other })
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(Value::Number(value as f64))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::Number(value as f64))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(Value::Number(value))
    }

    fn visit_str<E>(self, _: &str) -> Result<Value, E> {
        Ok(Value::Other)
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Other)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Value, A::Error> {
        let mut values = Vec::new();
        while let Some(value) = list.next_element()? {
            values.push(value);
        }
        Ok(Value::List(values))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        let (mut placeholder, mut num, mut all) = (None, None, Vec::new());
        while let Some((key, value)) = map.next_entry::<String, Value>()? {
            let before = match key.as_str() {
                "_placeholder" => placeholder.replace(Box::new(value)),
                "num" => num.replace(Box::new(value)),
                _ => {
                    all.push(value);
                    None
                }
            };
            // Values of duplicate keys are looked at as well.
            all.extend(before.map(|value| *value));
        }
        Ok(Value::Object { placeholder, num, all })
    }
}
