//! What official servers and emitters wrote in the protocol of `cluster_adapter`, as it was recorded over each of its carriers: read, and
//! written as they do.

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;
    use serde_json::{Value, json};

    use crate::cluster::broker::{Entry, Heard};
    use crate::cluster::draft::{Answer, Beat, Body, Draft, ReturnAddress, Whom};
    use crate::cluster::format::cluster_adapter::{Envelope, Head, read_data};
    use crate::cluster::format::lists::List;
    use crate::cluster::format::sharded::{Mode, Sharded};
    use crate::cluster::format::streams::Streams;
    use crate::cluster::format::{Format, Local, Role, open};
    use crate::cluster::message::{Message, Opts};
    use crate::cluster::peers::EMITTER;

    const SHARDED: &str = include_str!("../../../tests/vectors/redis-sharded-adapter.json");
    const STREAMS: &str = include_str!("../../../tests/vectors/redis-streams-adapter.json");
    const POSTGRES: &str = include_str!("../../../tests/vectors/postgres-adapter.json");

    fn steps(recorded: &str) -> Vec<Value> {
        let recorded: Value = serde_json::from_str(recorded).unwrap();
        recorded["steps"].as_array().unwrap().clone()
    }

    fn unhex(text: &str) -> Vec<u8> {
        (0..text.len() / 2).map(|at| u8::from_str_radix(&text[2 * at..2 * at + 2], 16).unwrap()).collect()
    }

    fn bytes(value: &Value) -> Vec<u8> {
        match value {
            Value::String(text) => text.clone().into_bytes(),
            hex => unhex(hex["hex"].as_str().unwrap()),
        }
    }

    /// Commands of these names, each with its step.
    fn commands(recorded: &str, names: &[&str]) -> Vec<(String, Vec<Value>)> {
        let mut found = Vec::new();
        for step in steps(recorded) {
            for command in step["commands"].as_array().unwrap() {
                let cmd = command["cmd"].as_array().unwrap();
                if names.contains(&cmd[0].as_str().unwrap()) {
                    found.push((step["step"].as_str().unwrap().to_owned(), cmd.clone()));
                }
            }
        }
        found
    }

    /// Messages that were recorded whole, each with its step: JSON and MessagePack.
    fn whole_messages() -> Vec<(String, Vec<u8>)> {
        let mut found: Vec<(String, Vec<u8>)> = commands(SHARDED, &["SPUBLISH"])
            .into_iter()
            .chain(commands(STREAMS, &["PUBLISH"]))
            .map(|(step, cmd)| (step, bytes(&cmd[2])))
            .collect();
        for step in steps(POSTGRES) {
            let name = step["step"].as_str().unwrap().to_owned();
            let payloads = step["notifications"].as_array().unwrap().iter().map(|one| one["payload"].as_str().unwrap());
            // What the recorder cut, and what stands for an attachment, is no message.
            let is_whole = |payload: &&str| payload.ends_with('}') && !payload.contains("attachmentId");
            found.extend(payloads.filter(is_whole).map(|payload| (name.clone(), payload.as_bytes().to_vec())));
            let rows = step["attachments"].as_array().unwrap().iter().map(|row| row["payload_hex"].as_str().unwrap());
            found.extend(rows.filter(|hex| !hex.ends_with("...")).map(|hex| (name.clone(), unhex(hex))));
        }
        assert!(found.len() > 80, "the vectors are not all here");
        found
    }

    fn whom<'a>(opts: &Opts, rooms: &'a [&'a str], except: &'a [&'a str]) -> Whom<'a> {
        let flags = opts.flags();
        let (volatile, compress) = (flags.volatile == Some(true), flags.compress != Some(false));
        Whom { rooms, except, volatile, compress, timeout_ms: flags.timeout.map(|ms| ms as u32) }
    }

    /// Writes what was read again.
    fn again<T>(message: &Message<'_>, attachments: &[&[u8]], write: impl FnOnce(&Draft<'_>) -> T) -> T {
        let body = |json| Body { json, attachments };
        let answer = |request: &str, answer, write: &dyn Fn(&Draft<'_>) -> T| {
            let to = ReturnAddress { request: request.into(), from: None, stored: false };
            write(&Draft::Answer { to: &to, answer })
        };
        let names =
            |rooms: &[crate::cluster::message::Room]| rooms.iter().map(|room| room.0.clone()).collect::<Vec<_>>();
        let write = std::cell::Cell::new(Some(write));
        let write = |draft: &Draft<'_>| (write.take().unwrap())(draft);
        match message {
            Message::Broadcast { request, data, opts } => {
                let (to, except) = (opts.rooms(), opts.except());
                let whom = whom(opts, &to, &except);
                write(&Draft::Broadcast { request: request.as_deref(), event: body(data), whom })
            }
            Message::Join { opts, rooms } | Message::Leave { opts, rooms } => {
                let (room_names, to, except) = (names(rooms), opts.rooms(), opts.except());
                let rooms: Vec<&str> = room_names.iter().map(|name| &**name).collect();
                let whom = whom(opts, &to, &except);
                match message {
                    Message::Join { .. } => write(&Draft::Join { whom, rooms: &rooms }),
                    _ => write(&Draft::Leave { whom, rooms: &rooms }),
                }
            }
            Message::Disconnect { opts, close } => {
                write(&Draft::Disconnect { whom: whom(opts, &opts.rooms(), &opts.except()), close: *close })
            }
            Message::Fetch { request, opts } => {
                write(&Draft::Fetch { request, whom: whom(opts, &opts.rooms(), &opts.except()) })
            }
            Message::ServerEmit { request, data } => {
                write(&Draft::ServerEmit { request: request.as_deref(), event: body(data) })
            }
            Message::Sockets { request, sockets } => {
                let sockets = |out: &mut Vec<u8>| out.extend_from_slice(sockets.as_bytes());
                answer(request, Answer::List { name: "sockets", write: &sockets }, &write)
            }
            Message::ClientCount { request, count } => answer(request, Answer::ClientCount(*count), &write),
            Message::ClientAck { request, packet } => answer(request, Answer::ClientAck(body(packet)), &write),
            Message::ServerReply { request, data } => answer(request, Answer::ServerReply(body(data)), &write),
            Message::Beat(beat) => write(&Draft::Beat(*beat)),
            Message::Ids { .. } | Message::Rooms { .. } | Message::Other { .. } => {
                panic!("this is not in the protocol")
            }
        }
    }

    /// Without what emitters write besides, and no reader looks at.
    fn essence(text: &str) -> Value {
        let mut value: Value = serde_json::from_str(text).unwrap();
        if let Some(object) = value.as_object_mut() {
            object.entry("nsp").or_insert(json!("/"));
        }
        for data in ["/data", ""] {
            let Some(data) = value.pointer_mut(data) else { continue };
            if let Some(packet) = data.pointer_mut("/packet").and_then(Value::as_object_mut) {
                packet.retain(|key, _| key == "type" || key == "data");
            }
            if let Some(opts) = data.pointer_mut("/opts").and_then(Value::as_object_mut) {
                let flags = opts.entry("flags").or_insert(json!({})).as_object_mut().unwrap();
                flags.retain(|key, value| key != "compress" || value != true);
            }
        }
        value
    }

    #[test]
    fn whole_messages_are_read_and_written_again() {
        let mut lists = 0;
        for (step, bytes) in whole_messages() {
            let (text, attachments) = open(&bytes).unwrap_or_else(|error| panic!("{step}: {error}"));
            let head = Head::read(&text).unwrap_or_else(|error| panic!("{step}: {error}: {text}"));
            let message = head.message().unwrap().unwrap_or_else(|| panic!("{step}: {text}"));
            let nsp = head.nsp.as_deref().unwrap_or("/");
            if let Message::Sockets { request, sockets } = &message {
                let list = List { request, sockets };
                assert_eq!(List::of_message(&text, nsp), Some((list, &*head.uid)), "{step}: it is found at once");
                lists += 1;
            }
            let (json, packed) = again(&message, &attachments, |draft| {
                let envelope = Envelope::of(draft);
                (envelope.json(&head.uid, nsp), envelope.packed(&head.uid, nsp).unwrap())
            });
            let (text_again, attachments_again) = open(&packed).unwrap();
            assert_eq!((essence(&text_again), &attachments_again), (essence(&text), &attachments), "{step}");
            assert_eq!(essence(std::str::from_utf8(&json).unwrap()), essence(&text), "{step}");
            // Dates were objects of their own before they were read, and servers of 0.2 and emitters order keys otherwise.
            let is_ours_to_copy = head.uid != "emitter" && !text.contains("1970-01-01");
            if is_ours_to_copy && head.r#type > 2 && head.r#type < 13 {
                let written = if bytes[0] == b'{' { &json } else { &packed };
                assert_eq!(String::from_utf8_lossy(written), String::from_utf8_lossy(&bytes), "{step}");
            }
        }
        assert!(lists > 2, "the lists are not all here");
    }

    #[test]
    fn entries_of_streams_are_read_and_written_byte_for_byte() {
        let entries = commands(STREAMS, &["XADD"]);
        assert!(entries.len() > 20, "the vectors are not all here");
        let format =
            Streams { prefix: "socket.io".into(), stream: "socket.io".into(), stream_count: 1, only_plaintext: false };
        for (step, cmd) in entries {
            let field =
                |name| cmd.iter().position(|word| word == name).map(|at| cmd[at + 1].as_str().unwrap()).unwrap();
            let (uid, nsp, kind, data) = (field("uid"), field("nsp"), field("type").parse().unwrap(), field("data"));
            let raw = if data.starts_with('{') { data.as_bytes().to_vec() } else { STANDARD.decode(data).unwrap() };
            let (text, attachments) = open(&raw).unwrap();
            let local = Local::new(&format, nsp, "nobody".to_owned());
            let entry = Some(Entry { uid, nsp, kind });
            let heard = Heard { subscribed: "socket.io", channel: "socket.io", bytes: &raw, entry };
            let read = format.read(&local, Role::Request, &heard, &text).unwrap().unwrap();
            assert_eq!(read.from.as_deref(), Some(uid), "{step}");
            let writer = Local::new(&format, nsp, uid.to_owned());
            let written = again(&read.message, &attachments, |draft| format.write(&writer, draft).unwrap());
            // An emitter adds what servers publish.
            assert_eq!((written.kind, written.stored), (kind, kind != 9 || uid == EMITTER), "{step}");
            if written.stored && !text.contains("1970-01-01") && !text.contains("\"id\":0") {
                let payload = match written.payload.first() {
                    Some(b'{') => written.payload.clone(),
                    _ => STANDARD.decode(&written.payload).unwrap(),
                };
                let (text_again, attachments_again) = open(&payload).unwrap();
                assert_eq!((essence(&text_again), &attachments_again), (essence(&text), &attachments), "{step}");
            }
            let is_copy = uid != "emitter" && !text.contains("1970-01-01") && !text.contains("\"id\":0");
            if is_copy && step.starts_with("streamCount") {
                assert_eq!(written.payload, data.as_bytes(), "{step}");
            } else if is_copy {
                assert_eq!(
                    (written.channel.as_str(), written.payload),
                    (cmd[1].as_str().unwrap(), data.into()),
                    "{step}"
                );
            }
        }
    }

    #[test]
    fn namespaces_have_the_streams_that_official_servers_write_to() {
        let format =
            Streams { prefix: "socket.io".into(), stream: "socket.io".into(), stream_count: 4, only_plaintext: false };
        let stream = |nsp: &str| Local::new(&format, nsp, String::new()).channels.broadcast;
        for (step, cmd) in commands(STREAMS, &["XADD"]) {
            if step.starts_with("streamCount=4: emit") {
                let nsp = cmd.iter().position(|word| word == "nsp").map(|at| cmd[at + 1].as_str().unwrap()).unwrap();
                assert_eq!(stream(nsp), cmd[1].as_str().unwrap());
            }
        }
        let recorded: Value = serde_json::from_str(STREAMS).unwrap();
        for one in recorded["negativeHash"]["namespaces"].as_array().unwrap() {
            assert_eq!(stream(one["nsp"].as_str().unwrap()), one["stream"].as_str().unwrap());
        }
    }

    #[test]
    fn broadcasts_of_shards_go_to_the_channels_of_their_mode() {
        for (step, cmd) in commands(SHARDED, &["SPUBLISH"]) {
            let mode = match &step[..5] {
                "[stat" => Mode::Static,
                _ if step.starts_with("[dynamic]") => Mode::Dynamic,
                _ => Mode::DynamicPrivate,
            };
            let raw = bytes(&cmd[2]);
            let (text, attachments) = open(&raw).unwrap();
            let head = Head::read(&text).unwrap();
            let format = Sharded { prefix: "socket.io".into(), mode };
            let local = Local::new(&format, "/", head.uid.to_string());
            let heard = Heard { subscribed: "", channel: "", bytes: &raw, entry: None };
            assert!(format.read(&local, Role::Request, &heard, &text).unwrap().is_none(), "{step}: it is its own");
            assert!(local.marks.are_on(&raw), "{step}: that can be seen");
            let other = Local::new(&format, "/", "0123456789abcdef".to_owned());
            assert!(!other.marks.are_on(&raw), "{step}: others have other marks");
            if (8..=12).contains(&head.r#type) && head.r#type != 9 {
                continue;
            }
            let message = head.message().unwrap().unwrap();
            let written = again(&message, &attachments, |draft| format.write(&local, draft).unwrap());
            assert_eq!((written.channel.as_str(), written.payload), (cmd[1].as_str().unwrap(), raw.clone()), "{step}");
        }
    }

    #[test]
    fn answers_go_to_who_asked() {
        let to = ReturnAddress { request: "r".into(), from: Some("abc".into()), stored: false };
        let draft = Draft::Answer { to: &to, answer: Answer::ClientCount(1) };
        let sharded = Sharded { prefix: "p".into(), mode: Mode::Dynamic };
        let streams = Streams { prefix: "p".into(), stream: "s".into(), stream_count: 1, only_plaintext: false };
        let formats: [&dyn Format; 2] = [&sharded, &streams];
        for format in formats {
            let local = Local::new(format, "/n", "me".to_owned());
            assert_eq!(format.write(&local, &draft).unwrap().channel, "p#/n#abc#");
        }
        let stored = ReturnAddress { stored: true, ..to };
        let draft = Draft::Answer { to: &stored, answer: Answer::ClientCount(1) };
        let written = streams.write(&Local::new(&streams, "/n", "me".to_owned()), &draft).unwrap();
        assert_eq!((written.channel.as_str(), written.stored, written.kind), ("s", true, 11));
    }

    #[test]
    fn what_would_end_a_node_server_is_malformed_here() {
        for (kind, data) in [
            (3, r#"{"packet":{"type":2,"data":["x"]}}"#),
            (3, r#"{"opts":{"rooms":[]}}"#),
            (4, r#"{"rooms":["a"]}"#),
            (4, r#"{"opts":{}}"#),
            (6, "{}"),
            (7, r#"{"opts":{}}"#),
            (7, r#"{"requestId":"r"}"#),
            (8, r#"{"requestId":"r"}"#),
            (9, r#"{"requestId":"r"}"#),
            (11, r#"{"requestId":"r"}"#),
            (12, "{}"),
            (3, "[]"),
            (3, "null"),
        ] {
            assert!(read_data(kind, Some(data)).is_err(), "{kind} {data}");
        }
        assert!((3..=12).all(|kind| read_data(kind, None).is_err()));
        assert!(read_data(99, Some("{}")).unwrap().is_none() && read_data(0, None).unwrap().is_none());
        assert!(matches!(read_data(13, None), Ok(Some(Message::Beat(Beat::Last)))));
        let tolerated = r#"{"packet":{"data":["x"]},"opts":{"rooms":null},"more":1}"#;
        assert!(matches!(read_data(3, Some(tolerated)), Ok(Some(Message::Broadcast { .. }))));
        for text in ["[]", "{}", "null", r#"{"type":"3","uid":"a"}"#, r#"{"type":3}"#] {
            assert!(Head::read(text).is_err(), "{text}");
        }
    }
}
