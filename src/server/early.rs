//! What is emitted to a socket before its CONNECT is answered.
//!
//! It waits beside the socket and goes out right after the answer, in order: clients other than JavaScript's lose what comes before. The
//! official server sends it at once, which no client can tell from this. What waits for a socket that is refused goes with it.

use std::sync::Arc;

use super::backlog::Special;
use super::budget::{Budget, Refused};
use super::emission::{Emission, Payload};
use super::encoded::Encoded;
use super::metrics::Count;
use super::outbound::{Delivery, Outbound};
use super::root::Server;
use super::socket::Socket;
use crate::proto::ack_id::AckId;

struct Packet {
    encoded: Encoded,
    compress: bool,
    special: Option<Arc<Special>>,
}

/// The packets that wait for one socket: no more than its session's queue may hold.
#[derive(Default)]
pub struct Early {
    packets: Vec<Packet>,
    bytes: usize,
}

impl Early {
    /// Adds a packet behind the others; `Full` if they use the budget up, under every policy. One may always wait.
    fn add(&mut self, encoded: &Encoded, how: Delivery<'_>, budget: &Budget) -> Result<(), Refused> {
        let len = encoded.len() + how.special.map_or(0, |special| special.key_len());
        let bytes = self.bytes.saturating_add(len);
        let fits = bytes <= budget.bytes_max && self.packets.len() < budget.packets_max as usize;
        if !fits && !self.packets.is_empty() {
            budget.metrics.count(Count::DroppedNewest);
            return Err(Refused::Full);
        }
        self.bytes = bytes;
        self.packets.push(Packet { encoded: encoded.clone(), compress: how.compress, special: how.special.cloned() });
        Ok(())
    }

    /// Queues all of them. A packet for which there is no room then is dropped and counted as any other.
    pub fn queue(self, out: &mut Outbound) {
        for packet in self.packets {
            let how = Delivery { compress: packet.compress, special: packet.special.as_ref() };
            let (Ok(()) | Err(_)) = out.encoded(&packet.encoded, how);
        }
    }
}

impl Server {
    /// Keeps an emission for a socket that waits for admission; as for a queue, `None` is a volatile one, which does not wait.
    #[cold]
    pub(super) fn keep_early(
        &self,
        socket: &Socket,
        emission: &Emission<'_>,
        ack: Option<AckId>,
        how: Delivery<'_>,
    ) -> Option<Result<(), Refused>> {
        if emission.volatile {
            return None;
        }
        let encoded = match (emission.payload, emission.payload.parts(&socket.nsp.name, ack)) {
            (_, Some((parts, attachments))) => Encoded::event(&parts, attachments),
            (Payload::Prepared(prepared), None) => prepared.encoded.clone(),
            (Payload::Parts { .. }, None) => return None,
        };
        let kept = socket.keep_early(|early| early.add(&encoded, how, &self.budget));
        // Meanwhile it may have been let in, or have left.
        Some(kept.unwrap_or_else(|| match socket.is_open() {
            true => socket.client.send(|out| out.encoded(&encoded, how)),
            false => Ok(()),
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::super::limits::Limits;
    use super::*;
    use crate::proto::websocket::Opcode;

    const PLAIN: Delivery<'_> = Delivery { compress: false, special: None };

    fn budget(json: &str) -> Arc<Budget> {
        let limits: Limits = serde_json::from_str(json).unwrap();
        Arc::new(Budget::new(&limits, false, Arc::default()))
    }

    fn event(number: u32) -> Encoded {
        Encoded::single(Opcode::Text, format!("42[\"a\",{number}]").as_bytes())
    }

    #[test]
    fn what_is_early_goes_out_in_order_with_its_wishes() {
        let (mut early, budget) = (Early::default(), budget("{}"));
        let late = Arc::new(Special { expires_us: Some(10), ..Special::default() });
        early.add(&event(1), PLAIN, &budget).unwrap();
        early.add(&event(2), Delivery { special: Some(&late), ..PLAIN }, &budget).unwrap();
        early.add(&event(3), PLAIN, &budget).unwrap();
        let mut out = Outbound::new(true, false, budget);
        out.text(b"40{}").unwrap();
        early.queue(&mut out);
        assert_eq!(out.take_run(10).bytes, b"\x81\x0440{}\x81\x0942[\"a\",1]\x81\x0942[\"a\",3]");
    }

    #[test]
    fn what_is_early_has_the_budget_of_a_queue_and_one_may_always_wait() {
        for limits in [r#"{"outboundPacketsMax":2}"#, r#"{"outboundBytesMax":22}"#] {
            let (mut early, budget) = (Early::default(), budget(limits));
            early.add(&event(1), PLAIN, &budget).unwrap();
            early.add(&event(2), PLAIN, &budget).unwrap();
            assert_eq!(early.add(&event(3), PLAIN, &budget), Err(Refused::Full), "{limits}");
            assert_eq!((early.packets.len(), budget.metrics.get(Count::DroppedNewest)), (2, 1));
        }
        let (mut early, budget) = (Early::default(), budget(r#"{"outboundBytesMax":5}"#));
        early.add(&event(1), PLAIN, &budget).unwrap();
        assert_eq!(early.add(&event(2), PLAIN, &budget), Err(Refused::Full));
    }
}
