//! What is known of a client from its first request.

use std::net::IpAddr;
use std::time::SystemTime;

use parking_lot::Mutex;

use crate::proto::json;

/// The first request of a session, kept as it came and described when the host asks: most hosts never do.
pub struct Handshake {
    /// The request head; or its description up to `auth`, once that was asked for as one of many. A head begins with its method, and so
    /// never with a brace.
    text: Mutex<Box<[u8]>>,
    /// Writes `"headers":{…},"url":…,"query":{…},"xdomain":…` from the head.
    describe: fn(head: &[u8], out: &mut Vec<u8>),
    /// The peer of the connection, unspecified if it has no address; behind trusted proxies, the client as they tell it.
    pub address: IpAddr,
    /// Whether this hop is TLS.
    secure: bool,
    /// When it came.
    issued: SystemTime,
}

/// Writes the address of a peer as a JSON string, which is empty if it has none.
pub fn write_address(address: IpAddr, out: &mut Vec<u8>) {
    let text = if address.is_unspecified() { String::new() } else { address.to_string() };
    json::write_string(&text, out);
}

const DAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

impl Handshake {
    /// One that came now.
    pub fn new(head: &[u8], describe: fn(head: &[u8], out: &mut Vec<u8>), address: IpAddr, secure: bool) -> Handshake {
        Handshake { text: Mutex::new(head.into()), describe, address, secure, issued: SystemTime::now() }
    }

    /// The `handshake` object of Socket.IO; `auth` is the JSON object of the CONNECT packet.
    pub fn write_json(&self, auth: Option<&str>, out: &mut Vec<u8>) {
        let text = self.text.lock();
        match &**text {
            description @ [b'{', ..] => out.extend_from_slice(description),
            head => self.describe(head, out),
        }
        drop(text);
        write_auth(auth, out);
    }

    /// The same for one of many, who are likely to be asked for again: the description takes the head's place, and is there the next time.
    pub fn write_json_often(&self, auth: Option<&str>, out: &mut Vec<u8>) {
        let mut text = self.text.lock();
        if text.first() != Some(&b'{') {
            let mut description = Vec::new();
            self.describe(&text, &mut description);
            *text = description.into();
        }
        out.extend_from_slice(&text);
        drop(text);
        write_auth(auth, out);
    }

    /// Writes all up to the value of `auth`, which is each socket's own.
    fn describe(&self, head: &[u8], out: &mut Vec<u8>) {
        out.push(b'{');
        (self.describe)(head, out);
        out.extend_from_slice(b",\"time\":");
        let issued = self.issued.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        json::write_string(&date_text(issued.as_secs()), out);
        out.extend_from_slice(b",\"address\":");
        write_address(self.address, out);
        out.extend_from_slice(format!(",\"secure\":{},\"issued\":{}", self.secure, issued.as_millis()).as_bytes());
        out.extend_from_slice(b",\"auth\":");
    }
}

fn write_auth(auth: Option<&str>, out: &mut Vec<u8>) {
    out.extend_from_slice(auth.unwrap_or("{}").as_bytes());
    out.push(b'}');
}

/// A time as JavaScript prints a `Date` in UTC.
fn date_text(seconds: u64) -> String {
    let (days, rest) = (seconds / 86_400, seconds % 86_400);
    let (year, month, day) = civil(days as i64);
    let weekday = DAYS[(days % 7) as usize];
    let month = MONTHS[month as usize - 1];
    let (hour, minute, second) = (rest / 3600, rest / 60 % 60, rest % 60);
    format!("{weekday} {month} {day:02} {year} {hour:02}:{minute:02}:{second:02} GMT+0000 (Coordinated Universal Time)")
}

/// Year, month and day of a day since 1970-01-01, by counting 400-year cycles that start in March.
pub fn civil(days: i64) -> (i64, i64, i64) {
    let shifted = days + 719_468;
    let cycle = shifted.div_euclid(146_097);
    let day_of_cycle = shifted.rem_euclid(146_097);
    let year_of_cycle = (day_of_cycle - day_of_cycle / 1460 + day_of_cycle / 36_524 - day_of_cycle / 146_096) / 365;
    let day_of_year = day_of_cycle - (365 * year_of_cycle + year_of_cycle / 4 - year_of_cycle / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    (year_of_cycle + cycle * 400 + i64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    fn describe(head: &[u8], out: &mut Vec<u8>) {
        out.extend_from_slice(b"\"url\":");
        json::write_string(&String::from_utf8_lossy(head), out);
    }

    #[test]
    fn a_description_that_is_kept_says_the_same() {
        let handshake = Handshake::new(b"GET /a", describe, Ipv4Addr::LOCALHOST.into(), true);
        let write = |auth: Option<&str>, often: bool| {
            let mut out = Vec::new();
            match often {
                true => handshake.write_json_often(auth, &mut out),
                false => handshake.write_json(auth, &mut out),
            }
            String::from_utf8(out).unwrap()
        };
        let (first, other) = (write(None, false), write(Some("{\"a\":1}"), false));
        assert!(first.starts_with("{\"url\":\"GET /a\",\"time\":\""), "{first}");
        assert!(first.ends_with(",\"auth\":{}}") && other.ends_with(",\"auth\":{\"a\":1}}"));
        for often in [true, true, false] {
            assert_eq!((write(None, often), write(Some("{\"a\":1}"), often)), (first.clone(), other.clone()));
        }
    }

    #[test]
    fn a_handshake_is_small() {
        // Each connection has one.
        assert!(size_of::<Handshake>() <= 72);
    }

    #[test]
    fn dates_are_printed_as_javascript_prints_them() {
        assert_eq!(date_text(0), "Thu Jan 01 1970 00:00:00 GMT+0000 (Coordinated Universal Time)");
        assert_eq!(date_text(951_782_399), "Mon Feb 28 2000 23:59:59 GMT+0000 (Coordinated Universal Time)");
        assert_eq!(date_text(951_782_400), "Tue Feb 29 2000 00:00:00 GMT+0000 (Coordinated Universal Time)");
        assert_eq!(date_text(1_795_170_706), "Fri Nov 20 2026 10:31:46 GMT+0000 (Coordinated Universal Time)");
    }
}
