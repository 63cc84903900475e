//! What this server tells the others, before a format writes it down.

/// Whom an operation concerns, and how it is carried out.
#[derive(Clone, Copy)]
pub struct Whom<'a> {
    pub rooms: &'a [&'a str],
    pub except: &'a [&'a str],
    pub volatile: bool,
    pub compress: bool,
    pub timeout_ms: Option<u32>,
}

impl Whom<'_> {
    /// The members of an object that says the same; the flags if they are wanted.
    pub fn write(&self, flags: bool, out: &mut Vec<u8>) {
        out.extend_from_slice(b"{\"rooms\":");
        crate::server::write_strings(self.rooms.iter().copied(), out);
        out.extend_from_slice(b",\"except\":");
        crate::server::write_strings(self.except.iter().copied(), out);
        if flags {
            let volatile = self.volatile.then(|| "\"volatile\":true".to_owned());
            let compress = (!self.compress).then(|| "\"compress\":false".to_owned());
            let timeout = self.timeout_ms.map(|ms| format!("\"timeout\":{ms}"));
            let flags: Vec<String> = volatile.into_iter().chain(compress).chain(timeout).collect();
            out.extend_from_slice(format!(",\"flags\":{{{}}}", flags.join(",")).as_bytes());
        }
        out.push(b'}');
    }
}

/// JSON text and the attachments that it has placeholders for.
#[derive(Clone, Copy)]
pub struct Body<'a> {
    pub json: &'a str,
    pub attachments: &'a [&'a [u8]],
}

/// Something to be told. Events are JSON arrays of a name and arguments.
#[derive(Clone, Copy)]
pub enum Draft<'a> {
    /// With `request`, acknowledgements are wanted.
    Broadcast {
        request: Option<&'a str>,
        event: Body<'a>,
        whom: Whom<'a>,
    },
    Join {
        whom: Whom<'a>,
        rooms: &'a [&'a str],
    },
    Leave {
        whom: Whom<'a>,
        rooms: &'a [&'a str],
    },
    Disconnect {
        whom: Whom<'a>,
        close: bool,
    },
    Fetch {
        request: &'a str,
        whom: Whom<'a>,
    },
    /// With `request`, a reply is wanted.
    ServerEmit {
        request: Option<&'a str>,
        event: Body<'a>,
    },
    Answer {
        to: &'a ReturnAddress,
        answer: Answer<'a>,
    },
    Beat(Beat),
}

impl Draft<'_> {
    /// Whether every server of the namespace hears it at once, as it hears a heartbeat.
    pub fn is_heard_by_all(&self) -> bool {
        match self {
            Draft::Broadcast { request, .. } => request.is_some(),
            Draft::Fetch { .. } | Draft::ServerEmit { .. } | Draft::Beat(_) => true,
            Draft::Join { .. } | Draft::Leave { .. } | Draft::Disconnect { .. } | Draft::Answer { .. } => false,
        }
    }
}

/// Where the answers to a server's question go.
#[derive(Clone, Debug)]
pub struct ReturnAddress {
    pub request: Box<str>,
    /// Who asks, if that was told.
    pub from: Option<Box<str>>,
    /// It came by what the broker keeps, and its answers go there too.
    pub stored: bool,
}

/// What is answered.
#[derive(Clone, Copy)]
pub enum Answer<'a> {
    /// `sockets` or `rooms`, a JSON array, which may be large: it is written where it goes.
    List { name: &'static str, write: &'a dyn Fn(&mut Vec<u8>) },
    /// So many clients got a broadcast, and will acknowledge it.
    ClientCount(usize),
    /// A client's acknowledgement: its first argument.
    ClientAck(Body<'a>),
    /// The reply to an event: its first argument.
    ServerReply(Body<'a>),
}

/// How servers of a format with heartbeats know of each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Beat {
    /// A server is new, and wants to hear of the others.
    First,
    /// It is still there.
    Again,
    /// It leaves.
    Last,
}
