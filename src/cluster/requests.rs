//! What this server has asked the others: how many have answered, and the host's event when all have, or the time is over.

use std::sync::Arc;

use hashbrown::{HashMap, HashSet};
use parking_lot::Mutex;

use super::message::Message;
use crate::queue::{Event, Outbox, Series};
use crate::server::event::{
    EVENT_ACK, EVENT_SERVER_ACK, EVENT_SOCKETS, FLAG_PARTIAL, STATUS_CLOSED, STATUS_OK, STATUS_TIMEOUT,
};
use crate::server::{BroadcastAck, Namespace, write_strings};

/// What was asked.
pub enum Asked {
    /// For sockets; a JSON array of their objects so far, which is still open: without its last bracket.
    Sockets(Vec<u8>),
    /// For replies to an event; what the host is told of them.
    Replies(Arc<Series>),
    /// For acknowledgements, which the broadcast counts itself.
    Acks(Arc<BroadcastAck>),
    /// For the number of servers.
    Count,
}

/// A request that is open.
pub struct Request {
    pub nsp: Arc<Namespace>,
    token: u64,
    asked: Asked,
    timeout_ms: u32,
    /// When it ends without them.
    deadline_us: u64,
    /// How many other servers will answer, once that is known.
    expected: Option<usize>,
    received: usize,
    /// Who has answered, as far as answers tell.
    answered: HashSet<Box<str>>,
    /// Who has not, if servers are known by their names.
    missing: Option<HashSet<Box<str>>>,
}

impl Request {
    /// One whose answers the host awaits by this token.
    pub fn new(nsp: &Arc<Namespace>, token: u64, asked: Asked, timeout_ms: u32) -> Request {
        let (nsp, answered) = (nsp.clone(), HashSet::default());
        Request { nsp, token, asked, timeout_ms, deadline_us: 0, expected: None, received: 0, answered, missing: None }
    }

    /// It is asked now; of these servers, if they are known.
    pub fn start(&mut self, missing: Option<HashSet<Box<str>>>, now_us: u64) {
        self.missing = missing;
        self.deadline_us = now_us + u64::from(self.timeout_ms) * 1000;
    }

    fn is_complete(&self) -> bool {
        match &self.asked {
            Asked::Acks(broadcast) => broadcast.is_done(),
            Asked::Count => self.expected.is_some(),
            _ => match &self.missing {
                Some(missing) => self.expected.is_some() && missing.is_empty(),
                None => self.expected.is_some_and(|expected| self.received >= expected),
            },
        }
    }

    /// How far it has come, as a JSON object; with the names of those who have not answered, if servers have names.
    fn progress(&self) -> String {
        let expected = self.expected.map_or("null".to_owned(), |count| count.to_string());
        let mut text = format!("{{\"expected\":{expected},\"received\":{}", self.received);
        if let Some(missing) = self.missing.as_ref().filter(|missing| !missing.is_empty()) {
            let mut names = Vec::new();
            write_strings(missing.iter().map(|uid| &**uid), &mut names);
            text.push_str(",\"missing\":");
            text.push_str(&String::from_utf8_lossy(&names));
        }
        text.push('}');
        text
    }

    /// The last event.
    fn complete(self, status: i32, out: &mut Outbox, time_us: u64) {
        let (nsp, token) = (self.nsp.id, self.token);
        let event = Event { kind: EVENT_SERVER_ACK, nsp, token, status, time_us, ..Event::default() };
        let progress = self.progress();
        match self.asked {
            // It tells the host itself, at its own time.
            Asked::Acks(_) => {}
            Asked::Replies(told) => out.push_end(&told, &self.nsp.queue, &Event { data: &progress, ..event }),
            Asked::Count => {
                let count = self.expected.map_or("null".to_owned(), |others| (others + 1).to_string());
                out.push(&self.nsp.queue, &Event { data: &format!("{{\"count\":{count}}}"), ..event });
            }
            Asked::Sockets(mut list) => {
                let name = if status == STATUS_OK { "" } else { &progress };
                list.push(b']');
                out.push_made(&self.nsp.queue, &Event { kind: EVENT_SOCKETS, name, ..event }, list);
            }
        }
    }

    /// Notes that a server answers; false if it was not asked, or has answered already.
    fn takes_from(&mut self, from: Option<&str>) -> bool {
        let Some(from) = from else { return true };
        self.missing.as_mut().is_none_or(|missing| missing.remove(from)) && self.answered.insert(from.into())
    }

    /// Takes an answer; false if it does not fit what was asked.
    fn take(
        &mut self,
        from: Option<&str>,
        answer: &Message<'_>,
        attachments: &[&[u8]],
        out: &mut Outbox,
        time_us: u64,
    ) -> bool {
        // A server has many clients that acknowledge, and answers everything else once.
        if !matches!(answer, Message::ClientAck { .. }) && !self.takes_from(from) {
            return false;
        }
        let partial = |kind| Event {
            kind,
            nsp: self.nsp.id,
            token: self.token,
            flags: FLAG_PARTIAL,
            status: STATUS_OK,
            attachments,
            time_us,
            ..Event::default()
        };
        match (&mut self.asked, answer) {
            (Asked::Sockets(list), Message::Sockets { sockets, .. }) => {
                let Some(elements) = sockets.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) else {
                    return false;
                };
                let elements = elements.trim();
                if list.len() > 1 && !elements.is_empty() {
                    list.push(b',');
                }
                list.extend_from_slice(elements.as_bytes());
            }
            (Asked::Replies(told), Message::ServerReply { data, .. }) => {
                let data = format!("[{data}]");
                out.push(&self.nsp.queue, &Event { data: &data, ..partial(EVENT_SERVER_ACK) });
                out.note_part(told);
            }
            (Asked::Acks(broadcast), Message::ClientCount { count, .. }) => broadcast.server_has(*count, out, time_us),
            (Asked::Acks(broadcast), Message::ClientAck { packet, .. }) => {
                let data = format!("[{packet}]");
                broadcast.reply(out, time_us, |out| {
                    out.push(&broadcast.nsp.queue, &Event { data: &data, ..partial(EVENT_ACK) });
                });
                return true;
            }
            _ => return false,
        }
        self.received += 1;
        true
    }
}

#[derive(Default)]
struct Table {
    open: HashMap<String, Request>,
    closed: bool,
}

/// The requests that are open.
#[derive(Default)]
pub struct Requests {
    table: Mutex<Table>,
}

impl Requests {
    /// Opens a request; completes it at once if the server has closed.
    pub fn add(&self, id: &str, request: Request, out: &mut Outbox, time_us: u64) {
        let mut table = self.table.lock();
        if table.closed {
            return request.complete(STATUS_CLOSED, out, time_us);
        }
        table.open.insert(id.to_owned(), request);
    }

    /// Whether somebody waits for answers to a request.
    pub fn is_open(&self, id: &str) -> bool {
        self.table.lock().open.contains_key(id)
    }

    /// There are so many servers, this one included.
    pub fn counted(&self, id: &str, servers: usize, out: &mut Outbox, time_us: u64) {
        let mut table = self.table.lock();
        let Some(request) = table.open.get_mut(id) else { return };
        let others = servers.saturating_sub(1);
        request.expected = Some(others);
        if let Asked::Acks(broadcast) = &request.asked {
            broadcast.expect_servers(others, out, time_us);
        }
        complete_if_due(&mut table, id, out, time_us);
    }

    /// An answer came; false if nobody waits for it.
    pub fn answered(
        &self,
        id: &str,
        from: Option<&str>,
        answer: &Message<'_>,
        attachments: &[&[u8]],
        out: &mut Outbox,
        time_us: u64,
    ) -> bool {
        let mut table = self.table.lock();
        let taken = table.open.get_mut(id).is_some_and(|request| request.take(from, answer, attachments, out, time_us));
        complete_if_due(&mut table, id, out, time_us);
        taken
    }

    /// A server of a namespace is not there any more: nobody waits for it.
    pub fn gone(&self, nsp: &str, uid: &str, out: &mut Outbox, time_us: u64) {
        let mut table = self.table.lock();
        let awaits = |request: &mut Request| {
            *request.nsp.name == *nsp && request.missing.as_mut().is_some_and(|missing| missing.remove(uid))
        };
        for (_, request) in table.open.extract_if(|_, request| awaits(request) && request.is_complete()) {
            request.complete(STATUS_OK, out, time_us);
        }
    }

    /// Ends those whose time is over; how many had not all answers, and when the next is due.
    pub fn expire(&self, out: &mut Outbox, now_us: u64) -> (u64, Option<u64>) {
        let mut table = self.table.lock();
        let mut expired = 0;
        for (_, request) in table.open.extract_if(|_, request| request.deadline_us <= now_us) {
            expired += 1;
            request.complete(STATUS_TIMEOUT, out, now_us);
        }
        (expired, table.open.values().map(|request| request.deadline_us).min())
    }

    /// The server closes: all end, and those that are added later end at once.
    pub fn close(&self, out: &mut Outbox, time_us: u64) {
        let mut table = self.table.lock();
        table.closed = true;
        for (_, request) in table.open.drain() {
            request.complete(STATUS_CLOSED, out, time_us);
        }
    }
}

fn complete_if_due(table: &mut Table, id: &str, out: &mut Outbox, time_us: u64) {
    if table.open.get(id).is_some_and(Request::is_complete)
        && let Some(request) = table.open.remove(id)
    {
        request.complete(STATUS_OK, out, time_us);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::queue::{Chunk, Host, Mode};
    use crate::server::{Config, Server};

    struct Flags(Mutex<Vec<u32>>);

    impl Host for Flags {
        fn deliver(&self, chunk: &Arc<Chunk>) {
            self.0.lock().extend(chunk.records().iter().map(|record| record.flags));
        }
    }

    #[test]
    fn the_last_event_comes_after_a_reply_that_another_thread_has_yet_to_hand_over() {
        let (server, flags) = (Server::new(Config::of_a_test()), Arc::new(Flags(Mutex::default())));
        server.queue().set_mode(Mode::Inline, Some(flags.clone()));
        let (requests, mut one, mut two) = (Requests::default(), Outbox::default(), Outbox::default());
        let request = Request::new(&server.root(), 7, Asked::Replies(Arc::default()), 1000);
        requests.add("id", request, &mut one, 0);
        let reply = Message::ServerReply { request: "id".into(), data: "1" };
        assert!(requests.answered("id", Some("a"), &reply, &[], &mut one, 0));
        assert!(requests.answered("id", Some("b"), &reply, &[], &mut two, 0));
        requests.counted("id", 3, &mut two, 0);
        two.deliver(true);
        assert_eq!(*flags.0.lock(), [FLAG_PARTIAL]);
        one.deliver(true);
        assert_eq!(*flags.0.lock(), [FLAG_PARTIAL, FLAG_PARTIAL, 0]);
    }
}
