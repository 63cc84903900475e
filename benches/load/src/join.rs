//! Brings WebSocket clients to the state in which a scenario starts: upgraded, opened, connected to `/`, greeted.
//!
//! Every server under test joins the rooms of `auth.rooms` and then emits `auth` with the handshake's auth, so a client
//! that saw that event is in its rooms, and nothing of the handshake can arrive later.

use std::time::{Duration, Instant};

use crate::failure::Failure;
use crate::http;
use crate::net::{Handler, Net, Outbox};
use crate::websocket::{self, Frame, Opcode, masked_frame};

/// The key of RFC 6455, section 1.3, and the answer that the RFC gives for it.
const WEBSOCKET_KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
const WEBSOCKET_ACCEPT: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";

/// Handshakes in progress at once; well below every server's listen backlog (Node's is 511).
const JOINING_MAX: usize = 100;
/// A server that makes no progress for so long is stuck.
const STALL: Duration = Duration::from_secs(10);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Upgrade,
    Open,
    Connect,
    Greeting,
    Joined,
}

struct Joining<F> {
    states: Vec<State>,
    joined: usize,
    auth: F,
}

/// Opens `clients` connections numbered from 0 and joins them; `auth` gives the CONNECT payload of a client (JSON) or
/// an empty string for none.
pub fn join(net: &mut Net, clients: usize, auth: impl Fn(usize) -> String) -> Result<(), Failure> {
    let request = format!(
        "GET /socket.io/?EIO=4&transport=websocket HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\n\
         Connection: Upgrade\r\nSec-WebSocket-Key: {WEBSOCKET_KEY}\r\nSec-WebSocket-Version: 13\r\n\r\n"
    );
    let mut joining = Joining { states: Vec::with_capacity(clients), joined: 0, auth };
    let (mut last_joined, mut progress) = (0, Instant::now());
    while joining.joined < clients {
        while joining.states.len() < clients && joining.states.len() - joining.joined < JOINING_MAX {
            let id = net.open()?;
            joining.states.push(State::Upgrade);
            net.out.push(id, request.as_bytes());
        }
        net.flush()?;
        net.turn(&mut joining)?;
        if joining.joined != last_joined {
            (last_joined, progress) = (joining.joined, Instant::now());
        } else if progress.elapsed() > STALL {
            return Err(joining.stalled());
        }
    }
    Ok(())
}

impl<F> Joining<F> {
    fn stalled(&self) -> Failure {
        let waiting = self.states.iter().position(|state| *state != State::Joined);
        let id = waiting.unwrap_or_default();
        Failure::Violation(format!(
            "connection {id}: no answer for {STALL:?} in state {:?}; {} joined",
            self.states[id], self.joined
        ))
    }
}

impl<F: Fn(usize) -> String> Joining<F> {
    fn upgraded(&mut self, id: usize, data: &[u8]) -> Result<usize, Failure> {
        let broken = |what: String| Failure::Violation(format!("connection {id}: {what}"));
        let Some(response) = http::parse(data).map_err(broken)? else {
            return Ok(0);
        };
        if response.status != 101 || response.accept != WEBSOCKET_ACCEPT {
            return Err(broken(format!("WebSocket refused: {response:?}")));
        }
        self.states[id] = State::Open;
        Ok(response.length)
    }

    fn message(&mut self, id: usize, frame: Frame<'_>, out: &mut Outbox) -> Result<(), Failure> {
        let auth = (self.auth)(id);
        let text = String::from_utf8_lossy(frame.payload);
        self.states[id] = match self.states[id] {
            State::Open if text.starts_with("0{") => {
                let connect = format!("40{auth}");
                out.push(id, &masked_frame(Opcode::Text, connect.as_bytes()).0);
                State::Connect
            }
            State::Connect if text.starts_with("40{") => State::Greeting,
            State::Greeting if text == greeting(&auth) => {
                self.joined += 1;
                State::Joined
            }
            state => {
                let what = format!("connection {id}: unexpected in state {state:?}: {text:?}");
                return Err(Failure::Violation(what));
            }
        };
        Ok(())
    }
}

impl<F: Fn(usize) -> String> Handler for Joining<F> {
    fn bytes(&mut self, id: usize, data: &[u8], out: &mut Outbox) -> Result<usize, Failure> {
        let mut taken = 0;
        if self.states[id] == State::Upgrade {
            taken = self.upgraded(id, data)?;
        }
        if self.states[id] != State::Upgrade {
            taken += websocket::deliver(id, &data[taken..], out, |frame, out| self.message(id, frame, out))?;
        }
        Ok(taken)
    }
}

/// The event that tells a client the auth of its handshake.
pub fn greeting(auth: &str) -> String {
    let auth = if auth.is_empty() { "{}" } else { auth };
    format!("42[\"auth\",{auth}]")
}
