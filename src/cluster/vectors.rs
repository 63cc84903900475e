//! What official servers and emitters wrote to Redis, as it was recorded: read, and written as they do.

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::super::classic::{self, Channels, Whom};
    use super::super::message::Message;
    use super::super::msgpack;

    const RECORDED: &str = include_str!("../../tests/vectors/redis-adapter.json");

    fn unhex(text: &str) -> Vec<u8> {
        (0..text.len() / 2).map(|at| u8::from_str_radix(&text[2 * at..2 * at + 2], 16).unwrap()).collect()
    }

    /// Each PUBLISH with its step: channel, bytes, and what they were decoded to, if that was recorded.
    fn published() -> Vec<(String, String, Vec<u8>, Option<Value>)> {
        let recorded: Value = serde_json::from_str(RECORDED).unwrap();
        let mut found = Vec::new();
        for step in recorded["steps"].as_array().unwrap() {
            for command in step["commands"].as_array().unwrap() {
                let cmd = command["cmd"].as_array().unwrap();
                if cmd[0] != "PUBLISH" {
                    continue;
                }
                let bytes = match &cmd[2] {
                    Value::String(text) => text.clone().into_bytes(),
                    hex => unhex(hex["hex"].as_str().unwrap()),
                };
                let name = step["step"].as_str().unwrap().to_owned();
                found.push((name, cmd[1].as_str().unwrap().to_owned(), bytes, command.get("decoded").cloned()));
            }
        }
        assert!(found.len() > 40, "the vectors are not all here");
        found
    }

    /// As the recorder wrote values that JSON has not: attachments for placeholders, text for dates.
    fn as_recorded(value: &Value, attachments: &[&[u8]]) -> Value {
        match value {
            Value::Array(list) => list.iter().map(|value| as_recorded(value, attachments)).collect(),
            Value::Object(map) if map.get("_placeholder") == Some(&Value::Bool(true)) => {
                let bytes = attachments[map["num"].as_u64().unwrap() as usize];
                let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
                serde_json::json!({ "$bin": hex })
            }
            Value::Object(map) => match map.get("$date") {
                Some(date) => date.clone(),
                None => map.iter().map(|(key, value)| (key.clone(), as_recorded(value, attachments))).collect(),
            },
            other => other.clone(),
        }
    }

    #[test]
    fn what_they_wrote_is_read_and_can_be_written_again() {
        for (step, channel, bytes, decoded) in published() {
            let (text, attachments) = classic::open(&bytes).unwrap_or_else(|error| panic!("{step}: {error}"));
            if let Some(decoded) = decoded {
                let value: Value = serde_json::from_str(&text).unwrap();
                assert_eq!(as_recorded(&value, &attachments), as_recorded(&decoded, &[]), "{step}");
            }
            let mut again = Vec::new();
            msgpack::from_json(&text, &attachments, &mut again).unwrap();
            let (text_again, attachments_again) = msgpack::to_json(&again).unwrap();
            assert_eq!((text_again, attachments_again), (text.to_string(), attachments.clone()), "{step}");
            let is_request = channel.contains("-request#");
            let read = match channel.contains("-response#") {
                true => classic::read_response(&text).map(drop),
                false if is_request => {
                    classic::read_request(&text, "nobody").map(|read| assert!(read.is_some(), "{step}"))
                }
                false => {
                    let nsp = channel.split('#').nth(1).unwrap();
                    classic::read_broadcast(&text, "nobody", nsp).map(|read| assert!(read.is_some(), "{step}"))
                }
            };
            assert_eq!(read, Ok(()), "{step}");
        }
    }

    /// The bytes of the only PUBLISH of a step to a channel that contains `part`.
    fn recorded(step: &str, part: &str) -> Vec<u8> {
        let found =
            published().into_iter().find(|(name, channel, ..)| name.starts_with(step) && channel.contains(part));
        found.unwrap_or_else(|| panic!("no step {step}")).2
    }

    const ALL: Whom<'static> = Whom { rooms: &[], except: &[], volatile: false, compress: true, timeout_ms: None };
    const UID: &str = "Eh2M7C";

    #[test]
    fn broadcasts_are_written_byte_for_byte() {
        let write = |data: &str, attachments: &[&[u8]], whom: &Whom<'_>| {
            classic::broadcast(UID, "/", data, attachments, whom).unwrap()
        };
        let one_room = Whom { rooms: &["room1"], ..ALL };
        assert_eq!(write(r#"["x"]"#, &[], &one_room), recorded("io.to(\"room1\").emit(\"x\")", "#room1#"));
        let rooms = Whom { rooms: &["room1", "room2"], except: &["room3"], ..ALL };
        assert_eq!(write(r#"["y",2]"#, &[], &rooms), recorded("io.to([\"room1\",\"room2\"])", "socket.io#/#"));
        let flags = Whom { volatile: true, compress: false, ..ALL };
        assert_eq!(write(r#"["v"]"#, &[], &flags), recorded("io.volatile.compress(false)", "socket.io#/#"));
        let place = |num: u32| format!("{{\"_placeholder\":true,\"num\":{num}}}");
        let data = format!("[\"bin\",{},{},{}]", place(0), place(1), place(2));
        let attachments: [&[u8]; 3] = [&[1, 2, 3], &[4, 5], &[6]];
        assert_eq!(write(&data, &attachments, &ALL), recorded("io.emit(\"bin\"", "socket.io#/#"));
    }

    #[test]
    fn requests_are_written_byte_for_byte() {
        let room = Whom { rooms: &["room1"], ..ALL };
        let timeout = Whom { timeout_ms: Some(500), ..ALL };
        let request = "-request#/#";
        let ask = classic::broadcast_with_acks(UID, "av1ipG", "/", r#"["ping1",{"a":1}]"#, &[], &timeout).unwrap();
        assert_eq!(ask, recorded("io.timeout(500).emit(\"ping1\"", request));
        let join = classic::change_rooms(UID, true, &room, &["r2", "r3"]).unwrap();
        assert_eq!(join, recorded("io.in(\"room1\").socketsJoin", request));
        let leave = classic::change_rooms(UID, false, &room, &["r3"]).unwrap();
        assert_eq!(leave, recorded("io.in(\"room1\").socketsLeave", request));
        assert_eq!(
            classic::disconnect(UID, &room, true).unwrap(),
            recorded("io.in(\"room1\").disconnectSockets(true)", request)
        );
        assert_eq!(classic::fetch(UID, "hDrkii", &ALL).unwrap(), recorded("io.fetchSockets()", request));
        let emit = classic::server_emit(UID, None, r#"["sse",1,"a"]"#, &[]).unwrap();
        assert_eq!(emit, recorded("io.serverSideEmit(\"sse\", 1, \"a\")", request));
        let emit = classic::server_emit(UID, Some("TBQRhD"), r#"["sse",1]"#, &[]).unwrap();
        assert_eq!(emit, recorded("io.serverSideEmit(\"sse\", 1, cb)", request));
    }

    #[test]
    fn answers_are_written_byte_for_byte() {
        let response = "-response#/#";
        assert_eq!(classic::client_count("oN8NdF", 0).unwrap(), recorded("io.to(\"room1\").timeout(300)", response));
        assert_eq!(
            classic::server_reply("TBQRhD", "\"resp\"", &[]).unwrap(),
            recorded("io.serverSideEmit(\"sse\", 1, cb)", response)
        );
        let acks: Vec<_> = published()
            .into_iter()
            .filter(|(_, channel, bytes, _)| channel.contains(response) && bytes[0] != b'{')
            .collect();
        assert!(acks.len() >= 3);
        for (step, _, bytes, _) in acks {
            let (text, attachments) = classic::open(&bytes).unwrap();
            let Ok(Message::ClientAck { request, packet }) = classic::read_response(&text) else { panic!("{step}") };
            assert_eq!(classic::client_ack(&request, packet, &attachments).unwrap(), bytes, "{step}");
        }
    }

    #[test]
    fn channels_are_named_as_they_name_them() {
        let channels = Channels::new("myapp", "/admin", "LB4-Vw");
        assert_eq!(channels.pattern, "myapp#/admin#*");
        assert_eq!(channels.request, "myapp-request#/admin#");
        assert_eq!(
            (&*channels.response, &*channels.own_response),
            ("myapp-response#/admin#", "myapp-response#/admin#LB4-Vw#")
        );
        assert_eq!(channels.for_rooms(&["a"]), "myapp#/admin#a#");
        assert_eq!(
            (channels.for_rooms(&[]), channels.for_rooms(&["a", "b"])),
            ("myapp#/admin#".into(), "myapp#/admin#".into())
        );
        assert_eq!((channels.room_of("myapp#/admin#a#b#"), channels.room_of("myapp#/admin#")), (Some("a#b"), Some("")));
        assert_eq!(channels.room_of("myapp#/adminx#"), None);
    }

    #[test]
    fn what_would_end_a_node_server_is_malformed_here() {
        for text in
            ["[]", "[\"u\"]", "[\"u\",{\"type\":2,\"data\":[\"x\"]}]", "[\"u\",{\"data\":[\"x\"]},null]", "{}", "5"]
        {
            assert!(classic::read_broadcast(text, "me", "/").is_err(), "{text}");
        }
        for text in [
            "{\"type\":5,\"requestId\":\"a\"}",
            "{\"type\":7,\"requestId\":\"a\",\"packet\":{\"data\":[\"x\"]}}",
            "[]",
            "{\"type\":2}",
        ] {
            assert!(classic::read_request(text, "me").is_err(), "{text}");
        }
        assert!(classic::read_request("{\"type\":99}", "me").unwrap().is_none());
        assert!(classic::read_response("{\"type\":9}").is_err());
        let tolerated = "[\"u\",{\"data\":[\"x\"]},{\"rooms\":null,\"flags\":null}]";
        assert!(classic::read_broadcast(tolerated, "me", "/").unwrap().is_some());
    }
}
