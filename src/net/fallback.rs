//! Requests that are neither the engine's nor a mounted folder's: the host answers them, if it wants to.

use super::connection::Role;
use super::http::{Head, push_json_string, response};
use super::shard::Shard;
use super::table::Key;
use crate::queue::Event;
use crate::server::event::EVENT_HTTP;
use crate::server::{Decision, Request, write_address};

impl Shard {
    /// Tells the host of a request, and waits for its answer.
    pub fn ask_for_answer(&mut self, key: Key, head: Head, body: &[u8]) {
        let request = Request::Http { shard: self.index, connection: key.index, generation: key.generation };
        let (queue, mailbox, now_ms) = (self.server.queue().clone(), self.mailbox.clone(), self.now_ms());
        // A host that does not keep up has no use for more.
        let token = if queue.has_room() { self.server.ask(request, &mailbox, now_ms) } else { None };
        let Some(token) = token else {
            return self.answer(key, &head, |out, envelope| response::empty(out, 503, envelope));
        };
        let Some(connection) = self.connections.get(key) else { return };
        let peer = self.client_of(connection, &head);
        let mut text = String::from("{\"method\":");
        push_json_string(&mut text, head.method_text());
        text.push_str(",\"headers\":");
        head.headers_json(&mut text);
        let mut data = text.into_bytes();
        data.extend_from_slice(b",\"address\":");
        write_address(peer.address, &mut data);
        data.extend_from_slice(if peer.secure { b",\"secure\":true}" } else { b",\"secure\":false}" });
        let (data, attachments) = (String::from_utf8_lossy(&data), [body]);
        let event = Event {
            kind: EVENT_HTTP,
            token,
            name: head.target(),
            data: &data,
            attachments: if body.is_empty() { &[] } else { &attachments },
            time_us: self.now_us,
            ..Event::default()
        };
        self.out.push(&queue, &event);
        if let Some(connection) = self.connections.get_mut(key) {
            connection.role = Role::Deciding { token, head: Box::new(head) };
        }
    }

    /// The host answered, or did not in time.
    pub fn answered_by_host(&mut self, key: Key, decision: &Decision) {
        let Some(connection) = self.connections.get_mut(key) else { return };
        let Role::Deciding { head, .. } = std::mem::replace(&mut connection.role, Role::Head) else { return };
        match decision {
            Decision::Answer { status, lines, body } => {
                // RFC 9110 sections 15.3.5 and 15.4.5: these have no content, and 204 has no length of it either.
                let length = (!matches!(status, 204 | 304)).then_some(body.len());
                self.answer_with(key, &head, lines, |out, envelope| {
                    response::write_head(out, *status, &[], length, envelope);
                    if head.method_text() != "HEAD" {
                        out.extend_from_slice(body);
                    }
                });
            }
            Decision::Accept { .. } | Decision::Reject { .. } | Decision::Expired => {
                self.answer(key, &head, |out, envelope| response::empty(out, 504, envelope));
            }
        }
        self.resume(key);
    }
}
