//! The scenario `polling`: an echo over HTTP long-polling.
//!
//! Like a browser, a client has a GET waiting at all times on one keep-alive connection and posts on another. One
//! message is in flight: the next POST leaves when the last one was confirmed and its echo has arrived.

use std::time::{Duration, Instant};

use crate::failure::Failure;
use crate::http;
use crate::join::greeting;
use crate::message::{Message, mismatch, text_payload};
use crate::net::{Handler, Net, Outbox};
use crate::run::Workload;

/// A handshake takes a few milliseconds; a server that needs longer for all of them is stuck.
const JOIN_MAX: Duration = Duration::from_secs(10);
/// Separates the packets of a payload (Engine.IO 4, HTTP long-polling).
const RECORD_SEPARATOR: u8 = 0x1e;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Waits for the open packet.
    Open,
    /// Waits for the namespace's CONNECT.
    Connect,
    /// Waits for the `auth` event.
    Greeting,
    Joined,
}

struct Client {
    state: State,
    sid: String,
    sent: u64,
    received: u64,
    /// POSTs that are not confirmed.
    posting: u64,
}

/// The scenario; see the module. Client `c` polls on connection `2c` and posts on `2c + 1`.
pub struct Polling {
    clients: Vec<Client>,
    echo: Message,
    delivered: u64,
    started: bool,
    stopped: bool,
}

impl Polling {
    /// Opens the connections and joins all clients.
    pub fn join(net: &mut Net, clients: usize, bytes: usize) -> Result<Self, Failure> {
        let packet = format!("42[\"echo\",\"{}\"]", text_payload(bytes));
        let client = |_| Client { state: State::Open, sid: String::new(), sent: 0, received: 0, posting: 0 };
        let mut polling = Self {
            clients: (0..clients).map(client).collect(),
            echo: Message::plain(packet.as_bytes()),
            delivered: 0,
            started: false,
            stopped: false,
        };
        for _ in 0..clients {
            let get = net.open()?;
            net.open()?;
            net.out.push(get, request("GET", "", b"").as_slice());
        }
        net.flush()?;
        let start = Instant::now();
        let joined = |client: &Client| client.state == State::Joined && client.posting == 0;
        while !polling.clients.iter().all(joined) {
            net.turn(&mut polling)?;
            if start.elapsed() > JOIN_MAX {
                let what = format!("not all polling clients joined within {JOIN_MAX:?}");
                return Err(Failure::Violation(what));
            }
        }
        Ok(polling)
    }

    fn poll(&self, id: usize, out: &mut Outbox) {
        out.push(2 * id, &request("GET", &self.clients[id].sid, b""));
    }

    fn post(&mut self, id: usize, packet: &[u8], out: &mut Outbox) {
        let client = &mut self.clients[id];
        client.posting += 1;
        out.push(2 * id + 1, &request("POST", &client.sid, packet));
    }

    /// Posts the next message if the last one is done.
    fn next(&mut self, id: usize, out: &mut Outbox) {
        let client = &mut self.clients[id];
        let idle = client.posting == 0 && client.received == client.sent;
        if idle && self.started && !self.stopped {
            client.sent += 1;
            let packet = self.echo.stamped(id, client.sent - 1).to_vec();
            self.post(id, &packet, out);
        }
    }

    fn packet(&mut self, id: usize, packet: &[u8], out: &mut Outbox) -> Result<(), Failure> {
        let client = &mut self.clients[id];
        let text = || String::from_utf8_lossy(packet);
        match client.state {
            _ if packet == b"2" => self.post(id, b"3", out),
            _ if packet == b"6" => {}
            State::Open if packet.starts_with(b"0{") => {
                client.sid = sid(&text()).ok_or_else(|| broken(id, &text()))?;
                client.state = State::Connect;
                self.post(id, b"40", out);
            }
            State::Connect if packet.starts_with(b"40{") => client.state = State::Greeting,
            State::Greeting if packet == greeting("").as_bytes() => client.state = State::Joined,
            State::Joined => {
                let sequence = client.received;
                if sequence == client.sent || packet != self.echo.stamped(id, sequence) {
                    return Err(mismatch(id, id, sequence, packet));
                }
                client.received += 1;
                self.delivered += 1;
            }
            state => return Err(broken(id, &format!("{:?} in state {state:?}", text()))),
        }
        Ok(())
    }
}

impl Handler for Polling {
    fn bytes(&mut self, connection: usize, data: &[u8], out: &mut Outbox) -> Result<usize, Failure> {
        let id = connection / 2;
        let mut taken = 0;
        while let Some(response) = http::parse(&data[taken..]).map_err(|what| broken(id, &what))? {
            taken += response.length;
            if response.status != 200 {
                return Err(broken(id, &format!("{response:?}")));
            }
            if connection.is_multiple_of(2) {
                for packet in response.body.split(|byte| *byte == RECORD_SEPARATOR) {
                    self.packet(id, packet, out)?;
                }
                self.poll(id, out);
            } else if response.body == b"ok" && self.clients[id].posting > 0 {
                self.clients[id].posting -= 1;
            } else {
                return Err(broken(id, &format!("answer to POST: {response:?}")));
            }
            self.next(id, out);
        }
        Ok(taken)
    }
}

impl Workload for Polling {
    fn start(&mut self, out: &mut Outbox) {
        self.started = true;
        (0..self.clients.len()).for_each(|id| self.next(id, out));
    }

    fn stop(&mut self) {
        self.stopped = true;
    }

    fn delivered(&self) -> u64 {
        self.delivered
    }

    fn outstanding(&self) -> u64 {
        let open = |client: &Client| client.sent - client.received + client.posting;
        self.clients.iter().map(open).sum()
    }
}

/// A request with the headers that every client sends; the handshake has no `sid`.
fn request(method: &str, sid: &str, body: &[u8]) -> Vec<u8> {
    let sid = if sid.is_empty() { String::new() } else { format!("&sid={sid}") };
    let content = if method == "POST" {
        let length = body.len();
        format!("Content-Type: text/plain;charset=UTF-8\r\nContent-Length: {length}\r\n")
    } else {
        String::new()
    };
    let head = format!(
        "{method} /socket.io/?EIO=4&transport=polling{sid} HTTP/1.1\r\nHost: 127.0.0.1\r\nAccept: */*\r\n{content}\r\n"
    );
    [head.as_bytes(), body].concat()
}

/// The session id in an open packet.
fn sid(open: &str) -> Option<String> {
    let (_, rest) = open.split_once("\"sid\":\"")?;
    Some(rest.split_once('"')?.0.to_owned())
}

fn broken(id: usize, what: &str) -> Failure {
    Failure::Violation(format!("polling client {id}: unexpected {what}"))
}
