//! What the host asks of many at once, and is told in an event: acknowledgements of a broadcast, lists of sockets, and what the other
//! servers of a cluster reply.

use std::sync::Arc;

use super::acks::{Awaited, BroadcastAck};
use super::adapter::{Asker, Question};
use super::deadlines::Due;
use super::emission::Emission;
use super::encoded::Encoded;
use super::error::{Code, Error};
use super::event::{EVENT_SERVER_ACK, EVENT_SOCKETS};
use super::meter::Tally;
use super::metrics::Count;
use super::namespace::{Namespace, Target};
use super::operations::Step;
use super::root::Server;
use super::socket::Socket;
use crate::proto::json;
use crate::queue::{Event, Outbox};

impl Server {
    pub(super) fn broadcast_with_acks(
        &self,
        namespace: &Arc<Namespace>,
        target: &Target<'_>,
        emission: &Emission<'_>,
        timeout_ms: u32,
        out: &mut Outbox,
    ) -> Result<u64, Error> {
        let (token, others) = (self.next_completion(), self.others(target));
        let (wire_id, _) = namespace.next_ack();
        let broadcast = Arc::new(BroadcastAck::new(token, namespace.clone(), wire_id, None, others.is_some()));
        let receivers = self.deliver_asking(&broadcast, target, emission)?;
        broadcast.expect(receivers, out, self.now_us());
        if let Some(adapter) = others {
            adapter.ask_receivers(self, target, emission, &broadcast, timeout_ms);
        }
        self.end_broadcast_in(timeout_ms, broadcast.clone());
        // The engine may have closed meanwhile, and have ended all that it knew of: nobody would complete the token.
        match self.check_open() {
            Err(closed) if broadcast.cancel() => Err(closed),
            _ => Ok(token),
        }
    }

    /// Emits for another server, which wants the acknowledgements; how many sockets were asked for one. Those that have not given it
    /// in `timeout_ms` are not waited for any more.
    pub fn broadcast_for(
        &self,
        namespace: &Arc<Namespace>,
        target: &Target<'_>,
        emission: &Emission<'_>,
        timeout_ms: u32,
        asker: Box<dyn Asker>,
        out: &mut Outbox,
    ) -> Result<usize, Error> {
        let (wire_id, _) = namespace.next_ack();
        let broadcast = Arc::new(BroadcastAck::new(0, namespace.clone(), wire_id, Some(asker), false));
        let receivers = self.deliver_asking(&broadcast, target, emission)?;
        let count = receivers.len();
        broadcast.expect(receivers, out, self.now_us());
        if count > 0 {
            self.end_broadcast_in(timeout_ms, broadcast);
        }
        Ok(count)
    }

    /// Delivers here what asks for acknowledgements; who owes one then.
    fn deliver_asking(
        &self,
        broadcast: &Arc<BroadcastAck>,
        target: &Target<'_>,
        emission: &Emission<'_>,
    ) -> Result<Vec<u64>, Error> {
        let (namespace, wire_id) = (&broadcast.nsp, broadcast.wire_id);
        let Some((parts, attachments)) = emission.payload.parts(&namespace.name, Some(broadcast.ack_id())) else {
            return Err(Error::new(Code::Invalid, "a prepared message cannot ask for acknowledgements"));
        };
        let (mut receivers, max) = (Vec::new(), self.config.limits.acks_awaited_max);
        // The wait is registered before the packet is queued, or a reply could come too early.
        let encoded = Encoded::event(&parts, attachments);
        self.deliver(namespace, target, emission, &encoded, |socket, step| match step {
            Step::Before => {
                let has_room = socket.await_ack(wire_id, Awaited::Broadcast(broadcast.clone()), max);
                if has_room {
                    self.tally(&socket.client.mailbox, Tally::AcksAwaited, 1);
                    receivers.push(socket.id);
                } else {
                    self.metrics.count(Count::AckRequestsSkipped);
                }
                has_room
            }
            Step::Refused => {
                receivers.pop();
                let taken = socket.take_awaited(wire_id).is_some();
                self.tally(&socket.client.mailbox, Tally::AcksSettled, taken.into());
                taken
            }
        })?;
        Ok(receivers)
    }

    fn end_broadcast_in(&self, timeout_ms: u32, broadcast: Arc<BroadcastAck>) {
        let at_ms = self.now_us() / 1000 + u64::from(timeout_ms);
        if let Some(mailbox) = self.mailboxes().first()
            && mailbox.deadlines.lock().add(at_ms, Due::Broadcast(broadcast))
        {
            mailbox.wake();
        }
    }

    /// Lists all that the target means; the answer comes as an event.
    pub fn fetch(&self, nsp: u32, target: &Target<'_>, out: &mut Outbox) -> Result<u64, Error> {
        self.check_open()?;
        let (token, namespaces) = (self.next_completion(), self.namespaces_of(nsp));
        let [namespace] = &namespaces[..] else {
            // As the official server says it of a parent namespace.
            return Err(Error::new(Code::Unsupported, "fetching is not supported on a pattern's namespaces"));
        };
        if let Some(adapter) = self.others(target) {
            let mut sockets = Vec::new();
            write_remotes(namespace, target, &mut sockets);
            adapter.ask(self, namespace, Question::Fetch { target, sockets }, token);
            return Ok(token);
        }
        let event = Event { kind: EVENT_SOCKETS, nsp: namespace.id, token, time_us: self.now_us(), ..Event::default() };
        out.push_with(&namespace.queue, &event, |out| write_remotes(namespace, target, out));
        Ok(token)
    }

    /// Emits to the other servers of the cluster, of which one server alone has none; the token of their replies, if wanted.
    pub fn server_emit(&self, nsp: u32, emission: &Emission<'_>, out: &mut Outbox) -> Result<Option<u64>, Error> {
        let namespace = self.known_namespace(nsp)?;
        let wants_ack = emission.ack_timeout_ms.is_some();
        match self.adapter() {
            Some(adapter) if wants_ack => {
                let token = self.next_completion();
                adapter.ask(self, &namespace, Question::Emit { emission }, token);
                Ok(Some(token))
            }
            Some(adapter) => {
                adapter.emit(self, &namespace, emission);
                Ok(None)
            }
            None => {
                let data = "{\"expected\":0,\"received\":0}";
                Ok(wants_ack.then(|| self.complete_server_ack(&namespace, data, out)))
            }
        }
    }

    /// Counts the servers of the cluster; the answer comes as an event.
    pub fn server_count(&self, nsp: u32, out: &mut Outbox) -> Result<u64, Error> {
        let namespace = self.known_namespace(nsp)?;
        if let Some(adapter) = self.adapter() {
            let token = self.next_completion();
            adapter.ask(self, &namespace, Question::Count, token);
            return Ok(token);
        }
        Ok(self.complete_server_ack(&namespace, "{\"count\":1}", out))
    }

    fn known_namespace(&self, nsp: u32) -> Result<Arc<Namespace>, Error> {
        self.check_open()?;
        let namespace = self.namespace_by_id(nsp).filter(|namespace| !namespace.name.is_empty());
        namespace.ok_or_else(|| Error::new(Code::Invalid, format!("there is no namespace {nsp}")))
    }

    fn complete_server_ack(&self, namespace: &Namespace, data: &str, out: &mut Outbox) -> u64 {
        let token = self.next_completion();
        let (kind, nsp, time_us) = (EVENT_SERVER_ACK, namespace.id, self.now_us());
        out.push(&namespace.queue, &Event { kind, nsp, token, data, time_us, ..Event::default() });
        token
    }
}

/// The sockets that a target means here, as a JSON array.
pub fn write_remotes(namespace: &Namespace, target: &Target<'_>, out: &mut Vec<u8>) {
    let mut separator = b'[';
    namespace.each(target, |socket| {
        out.push(separator);
        separator = b',';
        write_remote(socket, out);
    });
    if separator == b'[' {
        out.push(b'[');
    }
    out.push(b']');
}

/// A socket as `fetchSockets` gives it.
fn write_remote(socket: &Socket, out: &mut Vec<u8>) {
    out.extend_from_slice(b"{\"id\":");
    json::write_string(socket.sid.as_str(), out);
    out.extend_from_slice(b",\"handshake\":");
    socket.client.handshake.write_json_often(socket.auth.as_deref(), out);
    socket.write_rooms_and_data(out);
    out.push(b'}');
}
