//! What official servers and emitters wrote to Redis, as it was recorded: read, and written as they do.

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use crate::cluster::broker::Heard;
    use crate::cluster::draft::{Answer, Body, Draft, ReturnAddress, Whom};
    use crate::cluster::format::classic::Classic;
    use crate::cluster::format::lists::List;
    use crate::cluster::format::msgpack::{self, Malformed};
    use crate::cluster::format::{Format, Local, Role, open};
    use crate::cluster::message::Message;

    const RECORDED: &str = include_str!("../../../tests/vectors/redis-adapter.json");

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
            let (text, attachments) = open(&bytes).unwrap_or_else(|error| panic!("{step}: {error}"));
            if let Some(decoded) = decoded {
                let value: Value = serde_json::from_str(&text).unwrap();
                assert_eq!(as_recorded(&value, &attachments), as_recorded(&decoded, &[]), "{step}");
            }
            let mut again = Vec::new();
            msgpack::from_json(&text, &attachments, &mut again).unwrap();
            let (text_again, attachments_again) = msgpack::to_json(&again).unwrap();
            assert_eq!((text_again, attachments_again), (text.to_string(), attachments.clone()), "{step}");
            let role = match &*channel {
                channel if channel.contains("-response#") => Role::Response,
                channel if channel.contains("-request#") => Role::Request,
                _ => Role::Broadcast,
            };
            let local = local(channel.split('#').nth(1).unwrap(), "nobody");
            assert_eq!(read(&local, role, &channel, &text), Ok(true), "{step}");
            // Lists of sockets are found at once, in answers to old servers too.
            let is_list = role == Role::Response && text.contains("\"sockets\":");
            assert_eq!(List::of_answer(&text).is_some(), is_list, "{step}");
        }
    }

    fn format() -> Classic {
        Classic { key: "socket.io".to_owned(), specific_responses: false }
    }

    fn local(nsp: &str, uid: &str) -> Local {
        Local::new(&format(), nsp, uid.to_owned())
    }

    /// Whether a text is a message for somebody else.
    fn read(local: &Local, role: Role, channel: &str, text: &str) -> Result<bool, Malformed> {
        let heard = Heard { subscribed: channel, channel, bytes: b"", entry: None };
        // Prefixes of their own were recorded too.
        let channel = channel.replace("myapp", "socket.io");
        format().read(local, role, &Heard { channel: &channel, ..heard }, text).map(|read| read.is_some())
    }

    /// The bytes of the only PUBLISH of a step to a channel that contains `part`.
    fn recorded(step: &str, part: &str) -> Vec<u8> {
        let found =
            published().into_iter().find(|(name, channel, ..)| name.starts_with(step) && channel.contains(part));
        found.unwrap_or_else(|| panic!("no step {step}")).2
    }

    const ALL: Whom<'static> = Whom { rooms: &[], except: &[], volatile: false, compress: true, timeout_ms: None };
    const UID: &str = "Eh2M7C";

    fn write(draft: &Draft<'_>) -> Vec<u8> {
        format().write(&local("/", UID), draft).unwrap().payload
    }

    fn body<'a>(json: &'a str, attachments: &'a [&'a [u8]]) -> Body<'a> {
        Body { json, attachments }
    }

    #[test]
    fn broadcasts_are_written_byte_for_byte() {
        let write = |data: &str, attachments: &[&[u8]], whom: &Whom<'_>| {
            write(&Draft::Broadcast { request: None, event: body(data, attachments), whom: *whom })
        };
        let one_room = Whom { rooms: &["room1"], ..ALL };
        assert_eq!(write(r#"["x"]"#, &[], &one_room), recorded("io.to(\"room1\").emit(\"x\")", "#room1#"));
        let rooms = Whom { rooms: &["room1", "room2"], except: &["room3"], ..ALL };
        assert_eq!(write(r#"["y",2]"#, &[], &rooms), recorded("io.to([\"room1\",\"room2\"])", "socket.io#/#"));
        assert!(local("/", UID).marks.are_on(&write(r#"["x"]"#, &[], &one_room)));
        assert!(!local("/", "Eh2M7D").marks.are_on(&write(r#"["x"]"#, &[], &one_room)));
        let flags = Whom { volatile: true, compress: false, ..ALL };
        assert_eq!(write(r#"["v"]"#, &[], &flags), recorded("io.volatile.compress(false)", "socket.io#/#"));
        let place = |num: u32| format!("{{\"_placeholder\":true,\"num\":{num}}}");
        let data = format!("[\"bin\",{},{},{}]", place(0), place(1), place(2));
        let attachments: [&[u8]; 3] = [&[1, 2, 3], &[4, 5], &[6]];
        assert_eq!(write(&data, &attachments, &ALL), recorded("io.emit(\"bin\"", "socket.io#/#"));
    }

    #[test]
    fn requests_are_written_byte_for_byte() {
        let whom = Whom { rooms: &["room1"], ..ALL };
        let timeout = Whom { timeout_ms: Some(500), ..ALL };
        let request = "-request#/#";
        let event = body(r#"["ping1",{"a":1}]"#, &[]);
        let ask = Draft::Broadcast { request: Some("av1ipG"), event, whom: timeout };
        assert_eq!(write(&ask), recorded("io.timeout(500).emit(\"ping1\"", request));
        let join = Draft::Join { whom, rooms: &["r2", "r3"] };
        assert_eq!(write(&join), recorded("io.in(\"room1\").socketsJoin", request));
        let leave = Draft::Leave { whom, rooms: &["r3"] };
        assert_eq!(write(&leave), recorded("io.in(\"room1\").socketsLeave", request));
        let disconnect = Draft::Disconnect { whom, close: true };
        assert_eq!(write(&disconnect), recorded("io.in(\"room1\").disconnectSockets(true)", request));
        let fetch = Draft::Fetch { request: "hDrkii", whom: ALL };
        assert_eq!(write(&fetch), recorded("io.fetchSockets()", request));
        let emit = Draft::ServerEmit { request: None, event: body(r#"["sse",1,"a"]"#, &[]) };
        assert_eq!(write(&emit), recorded("io.serverSideEmit(\"sse\", 1, \"a\")", request));
        let emit = Draft::ServerEmit { request: Some("TBQRhD"), event: body(r#"["sse",1]"#, &[]) };
        assert_eq!(write(&emit), recorded("io.serverSideEmit(\"sse\", 1, cb)", request));
    }

    fn answer(request: &str, answer: Answer<'_>) -> Vec<u8> {
        let to = ReturnAddress { request: request.into(), from: Some("abcdef".into()), stored: false };
        write(&Draft::Answer { to: &to, answer })
    }

    #[test]
    fn answers_are_written_byte_for_byte() {
        let response = "-response#/#";
        let count = answer("oN8NdF", Answer::ClientCount(0));
        assert_eq!(count, recorded("io.to(\"room1\").timeout(300)", response));
        let reply = answer("TBQRhD", Answer::ServerReply(body("\"resp\"", &[])));
        assert_eq!(reply, recorded("io.serverSideEmit(\"sse\", 1, cb)", response));
        let acks: Vec<_> = published()
            .into_iter()
            .filter(|(_, channel, bytes, _)| channel.contains(response) && bytes[0] != b'{')
            .collect();
        assert!(acks.len() >= 3);
        for (step, channel, bytes, _) in acks {
            let (text, attachments) = open(&bytes).unwrap();
            let heard = Heard { subscribed: &channel, channel: &channel, bytes: &bytes, entry: None };
            let read = format().read(&local("/", "nobody"), Role::Response, &heard, &text).unwrap().unwrap();
            let Message::ClientAck { request, packet } = read.message else { panic!("{step}") };
            assert_eq!(answer(&request, Answer::ClientAck(body(packet, &attachments))), bytes, "{step}");
        }
    }

    #[test]
    fn channels_are_named_as_they_name_them() {
        let format = Classic { key: "myapp".to_owned(), specific_responses: true };
        let local = Local::new(&format, "/admin", "LB4-Vw".to_owned());
        let names: Vec<&str> = local.channels.heard.iter().map(|(subscription, _)| &*subscription.name).collect();
        let expected =
            ["myapp#/admin#*", "myapp-request#/admin#", "myapp-response#/admin#", "myapp-response#/admin#LB4-Vw#"];
        assert_eq!(names, expected);
        let odd = Local::new(&format, "/a*[b]?\\", "LB4-Vw".to_owned());
        assert_eq!(odd.channels.heard[0].0.name, "myapp#/a\\*\\[b\\]\\?\\\\#*");
        assert_eq!(odd.channels.broadcast, "myapp#/a*[b]?\\#");
        let channel = |rooms: &[&str]| {
            let whom = Whom { rooms, ..ALL };
            let draft = Draft::Broadcast { request: None, event: body("[\"x\"]", &[]), whom };
            format.write(&local, &draft).unwrap().channel
        };
        assert_eq!(channel(&["a"]), "myapp#/admin#a#");
        assert_eq!((channel(&[]), channel(&["a", "b"])), ("myapp#/admin#".into(), "myapp#/admin#".into()));
        let room_of =
            |channel| format.room_of(&local, &Heard { subscribed: expected[0], channel, bytes: b"", entry: None });
        assert_eq!((room_of("myapp#/admin#a#b#"), room_of("myapp#/admin#")), (Some("a#b"), None));
        assert_eq!(room_of("myapp#/adminx#"), None);
        let to = ReturnAddress { request: "r".into(), from: Some("abcdef".into()), stored: false };
        let answer = |answer| format.write(&local, &Draft::Answer { to: &to, answer }).unwrap().channel;
        assert_eq!(answer(Answer::ClientCount(1)), "myapp-response#/admin#abcdef#");
        assert_eq!(answer(Answer::ServerReply(body("1", &[]))), "myapp-response#/admin#");
    }

    #[test]
    fn what_would_end_a_node_server_is_malformed_here() {
        let local = local("/", "me");
        let read = |role, text| read(&local, role, "socket.io#/#", text);
        for text in
            ["[]", "[\"u\"]", "[\"u\",{\"type\":2,\"data\":[\"x\"]}]", "[\"u\",{\"data\":[\"x\"]},null]", "{}", "5"]
        {
            assert!(read(Role::Broadcast, text).is_err(), "{text}");
        }
        for text in [
            "{\"type\":5,\"requestId\":\"a\"}",
            "{\"type\":7,\"requestId\":\"a\",\"packet\":{\"data\":[\"x\"]}}",
            "[]",
            "{\"type\":2}",
        ] {
            assert!(read(Role::Request, text).is_err(), "{text}");
        }
        assert_eq!(read(Role::Request, "{\"type\":99}"), Ok(false));
        assert!(read(Role::Response, "{\"type\":9}").is_err());
        let tolerated = "[\"u\",{\"data\":[\"x\"]},{\"rooms\":null,\"flags\":null}]";
        assert_eq!(read(Role::Broadcast, tolerated), Ok(true));
    }
}
