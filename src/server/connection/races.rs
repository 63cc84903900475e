//! What other threads do while a client does the same, or the opposite: each order in which a shard can come to hear of it.

#[cfg(test)]
mod tests {
    use crate::server::event::*;
    use crate::server::testing::{Peer, server};

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
}
