//! The server as a member of a cluster: its adapter, and what the other servers tell and ask.

use std::sync::Arc;

use super::adapter::{Adapter, Asker};
use super::error::{Code, Error};
use super::event::EVENT_SERVER_MESSAGE;
use super::namespace::{Namespace, Target};
use super::request::Request;
use super::root::Server;
use crate::queue::{Event, Outbox};

impl Server {
    /// What reaches the other servers.
    #[inline]
    pub fn adapter(&self) -> Option<&Arc<dyn Adapter>> {
        self.adapter.get()
    }

    /// What reaches the others that a target means, if it means any.
    #[inline]
    pub(super) fn others(&self, target: &Target<'_>) -> Option<&Arc<dyn Adapter>> {
        self.adapter.get().filter(|_| !target.local)
    }

    /// Joins a cluster, once.
    pub fn set_adapter(&self, adapter: Arc<dyn Adapter>) -> Result<(), Error> {
        self.check_namespaces()?;
        self.check_open()?;
        if self.is_reachable() {
            // What its clients did so far would be unknown to the others.
            let text = "an adapter is set before the engine listens, or takes over a connection or request";
            return Err(Error::new(Code::Invalid, text));
        }
        let given = self.adapter.set(adapter.clone());
        given.map_err(|_| Error::new(Code::Invalid, "the engine has an adapter already"))?;
        self.namespace_names().iter().for_each(|name| adapter.open(self, name));
        Ok(())
    }

    /// Another server's event for the host; `asker` waits for its reply.
    pub fn server_message(
        &self,
        namespace: &Namespace,
        name: &str,
        args: &str,
        attachments: &[&[u8]],
        asker: Option<Arc<dyn Asker>>,
        out: &mut Outbox,
    ) {
        let time_us = self.now_us();
        let mailbox = self.mailboxes().first();
        let token = asker.zip(mailbox).and_then(|(asker, at)| self.ask(Request::Reply(asker), at, time_us / 1000));
        let (kind, nsp, token) = (EVENT_SERVER_MESSAGE, namespace.id, token.unwrap_or(0));
        let event = Event { kind, nsp, token, name, data: args, attachments, time_us, ..Event::default() };
        out.push(&namespace.queue, &event);
    }

    /// Takes what the host owes another server, once.
    pub(super) fn take_reply(&self, token: u64) -> Option<Arc<dyn Asker>> {
        let Request::Reply(asker) = self.requests.get(token)?.request.clone() else { return None };
        self.requests.remove(token).map(|_| asker)
    }
}
