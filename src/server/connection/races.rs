//! What other threads do while a client does the same, or the opposite: each order in which a shard can come to hear of it.

#[cfg(test)]
mod tests {
    use crate::server::emission::{Emission, Payload};
    use crate::server::event::*;
    use crate::server::testing::{Peer, server};
    use crate::server::{Code, Flags, Target};

    #[test]
    fn who_leaves_while_the_host_disconnects_it_leaves_once() {
        let server = server(1000);
        let (mut first, mut second) = (Peer::new(&server), Peer::new(&server));
        first.says("0/game,").unwrap();
        second.says("0/game,").unwrap();
        let namespace = server.namespace_by_name("/game").unwrap();
        assert_eq!(first.events(), [EVENT_NAMESPACE, EVENT_CONNECT]);
        assert_eq!(second.events(), [EVENT_CONNECT]);
        server.disconnect(first.socket("/game").id, false, false).unwrap();
        first.says("1/game,").unwrap();
        first.carry_out_commands();
        assert_eq!(first.events(), [EVENT_DISCONNECTING, EVENT_DISCONNECT]);
        assert!(namespace.is_occupied(), "the other one is still in it");
        second.says("1/game,").unwrap();
        second.carry_out_commands();
        assert_eq!(second.events(), [EVENT_DISCONNECTING, EVENT_DISCONNECT, EVENT_NAMESPACE_GONE]);
        assert!(!namespace.is_occupied());
    }

    #[test]
    fn who_was_disconnected_may_come_back_before_its_shard_knows() {
        let server = server(1000);
        let mut peer = Peer::new(&server);
        peer.says("0").unwrap();
        let before = peer.socket("/").id;
        server.disconnect(before, false, false).unwrap();
        peer.says("0").unwrap();
        peer.carry_out_commands();
        assert_eq!(peer.events(), [EVENT_CONNECT, EVENT_DISCONNECTING, EVENT_DISCONNECT, EVENT_CONNECT]);
        assert_ne!(peer.socket("/").id, before);
        assert_eq!(server.count_sockets(), 1);
        assert!(peer.says("0").is_err(), "it is in the namespace now");
    }

    #[test]
    fn a_broadcast_that_comes_too_late_for_the_end_of_all_is_none() {
        let server = server(1000);
        let mut peer = Peer::new(&server);
        peer.says("0").unwrap();
        server.close(0);
        peer.turn(|_, cx| server.abandon_broadcasts(&server.mailboxes()[0], cx));
        let payload = Payload::Parts { name_json: "\"e\"", args: "[]", attachments: &[] };
        let emission = Emission { payload, volatile: false, compress: false, ack_timeout_ms: Some(60_000), wish: None };
        let asked = server
            .broadcast_with_acks(&server.root(), &Target::default(), &emission, 60_000, &mut peer.out)
            .map_err(|error| error.code);
        assert_eq!(asked, Err(Code::Closed));
        assert_eq!(peer.events(), [EVENT_CONNECT], "and nothing tells of its end");
    }

    #[test]
    fn a_session_in_no_namespace_is_held_up_as_others_are() {
        let server = server(3);
        let mut peer = Peer::new(&server);
        assert!(!peer.connection.is_stalled(server.queue()));
        peer.says("0").unwrap();
        peer.says("1").unwrap();
        peer.out.deliver(false);
        assert!(peer.connection.is_stalled(server.queue()), "one that left");
        assert!(Peer::new(&server).connection.is_stalled(server.queue()), "one that has yet to come");
        peer.events();
        assert!(!peer.connection.is_stalled(server.queue()));
        let other = server.new_queue(3, 0).unwrap();
        server.define("/other", Flags::default(), other).unwrap();
        peer.says("0/other,").unwrap();
        peer.says("1/other,").unwrap();
        peer.out.deliver(false);
        assert!(peer.connection.is_stalled(server.queue()), "one that left a namespace with a queue of its own");
    }
}
