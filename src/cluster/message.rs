//! What servers of a cluster tell each other, whatever the format that it was written in.

use std::borrow::Cow;
use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, Visitor};

use super::draft::Beat;

/// Whom an operation concerns, and how it is carried out.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct Opts {
    #[serde(default)]
    rooms: Option<Vec<Room>>,
    #[serde(default)]
    except: Option<Vec<Room>>,
    #[serde(default)]
    flags: Option<Flags>,
}

/// Flags as they travel.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
pub struct Flags {
    pub volatile: Option<bool>,
    pub compress: Option<bool>,
    /// Milliseconds.
    pub timeout: Option<f64>,
}

impl Opts {
    /// Those of one socket.
    pub fn of_socket(sid: Room) -> Opts {
        Opts { rooms: Some(vec![sid]), ..Opts::default() }
    }

    /// The rooms; none is everybody.
    pub fn rooms(&self) -> Vec<&str> {
        names(&self.rooms)
    }

    /// The rooms whose members are left out.
    pub fn except(&self) -> Vec<&str> {
        names(&self.except)
    }

    /// The flags, of which all may be missing.
    pub fn flags(&self) -> Flags {
        self.flags.unwrap_or_default()
    }
}

/// The names of rooms that a message lists.
pub fn names(rooms: &Option<Vec<Room>>) -> Vec<&str> {
    rooms.iter().flatten().map(|room| &*room.0).collect()
}

/// The name of a room. Node's programs may use numbers, and what they do not know: `except(undefined)` is a null, and leaves nobody out.
#[derive(Clone, Debug)]
pub struct Room(pub Box<str>);

impl<'de> Deserialize<'de> for Room {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Room, D::Error> {
        struct Name;
        impl Visitor<'_> for Name {
            type Value = Room;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a room's name")
            }
            fn visit_str<E>(self, name: &str) -> Result<Room, E> {
                Ok(Room(name.into()))
            }
            fn visit_i64<E>(self, name: i64) -> Result<Room, E> {
                Ok(Room(name.to_string().into()))
            }
            fn visit_u64<E>(self, name: u64) -> Result<Room, E> {
                Ok(Room(name.to_string().into()))
            }
            fn visit_f64<E>(self, name: f64) -> Result<Room, E> {
                Ok(Room(name.to_string().into()))
            }
            fn visit_bool<E>(self, name: bool) -> Result<Room, E> {
                Ok(Room(name.to_string().into()))
            }
            fn visit_unit<E>(self) -> Result<Room, E> {
                Ok(Room("null".into()))
            }
        }
        deserializer.deserialize_any(Name)
    }
}

/// One message. JSON parts may hold placeholders of its attachments.
#[derive(Debug)]
pub enum Message<'a> {
    /// `data`: the event's name and arguments, a JSON array. With `request`, acknowledgements are wanted.
    Broadcast {
        request: Option<Cow<'a, str>>,
        data: &'a str,
        opts: Opts,
    },
    Join {
        opts: Opts,
        rooms: Vec<Room>,
    },
    Leave {
        opts: Opts,
        rooms: Vec<Room>,
    },
    Disconnect {
        opts: Opts,
        close: bool,
    },
    /// Asks for the sockets.
    Fetch {
        request: Cow<'a, str>,
        opts: Opts,
    },
    /// Asks for the ids of sockets, as old servers do.
    Ids {
        request: Cow<'a, str>,
        rooms: Vec<Room>,
    },
    /// Asks for the names of all rooms.
    Rooms {
        request: Cow<'a, str>,
    },
    /// `data`: the event's name and arguments. With `request`, a reply is wanted.
    ServerEmit {
        request: Option<Cow<'a, str>>,
        data: &'a str,
    },
    /// The sockets, a JSON array.
    Sockets {
        request: Cow<'a, str>,
        sockets: &'a str,
    },
    /// So many clients got a broadcast, and will acknowledge it.
    ClientCount {
        request: Cow<'a, str>,
        count: usize,
    },
    /// A client's acknowledgement: its first argument.
    ClientAck {
        request: Cow<'a, str>,
        packet: &'a str,
    },
    /// A server's reply: its first argument.
    ServerReply {
        request: Cow<'a, str>,
        data: &'a str,
    },
    /// A server tells that it is there, or leaves.
    Beat(Beat),
    /// An answer that has nothing in it for us.
    Other {
        request: Cow<'a, str>,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_text_names_a_room_by_its_text() {
        let opts: Opts = serde_json::from_str(r#"{"rooms":["a",7,1.5],"except":[null,true]}"#).unwrap();
        assert_eq!((opts.rooms(), opts.except()), (vec!["a", "7", "1.5"], vec!["null", "true"]));
    }
}
