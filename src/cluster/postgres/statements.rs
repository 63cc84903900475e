//! How messages are sent: in as few statements as can be, one behind the other without waiting for answers in between, in the order in
//! which they were published. Short messages go in one transaction, since each transaction that notifies waits for a lock that all share.
//! The server tells a notification only once that a transaction has twice, so that repeated ones go in several.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::task::Poll;

use hashbrown::HashSet;
use tokio_postgres::error::Severity;
use tokio_postgres::types::Type;
use tokio_postgres::{Client, Error};

use super::table::Table;

/// Notifies several channels, each of its text.
const NOTIFY: &str = "SELECT pg_notify(channel, text) FROM unnest($1, $2) AS notices (channel, text)";

/// A message for a channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Notice<'a> {
    /// One that a notification can hold.
    Short { channel: &'a str, text: &'a str },
    /// One that goes into the table; its sender and type, which the notification tells beside its number there.
    Kept { channel: &'a str, payload: &'a [u8], uid: &'a str, kind: u64 },
}

/// What became of messages, where they were not sent.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// Those that the server refused, and why it did last.
    pub refused: u64,
    pub refusal: String,
    /// Those that may have been sent or not, because the connection broke, and how it did.
    pub unconfirmed: u64,
    pub broken: Option<String>,
}

impl Outcome {
    fn note(&mut self, messages: usize, error: &Error) {
        let messages = messages as u64;
        if is_refusal(error) {
            self.refused += messages;
            self.refusal = super::place::text_of(error);
        } else {
            self.unconfirmed += messages;
            self.broken = Some(super::place::text_of(error));
        }
    }
}

/// Whether the server only did not like this statement; else the connection is lost.
pub fn is_refusal(error: &Error) -> bool {
    let severity = error.as_db_error().map(|error| error.parsed_severity());
    severity.is_some_and(|severity| !matches!(severity, Some(Severity::Fatal | Severity::Panic)))
}

/// Sends messages in order; returns when the server has answered for each.
pub async fn send(client: &Client, table: &Table, notices: &[Notice<'_>]) -> Outcome {
    let groups = group(notices);
    let mut sending: Vec<_> = groups.iter().map(|group| Box::pin(run(client, table, group))).collect();
    let mut outcome = Outcome::default();
    let mut again = Vec::new();
    for (sent, group) in in_order(&mut sending).await.into_iter().zip(groups) {
        match sent {
            // One that the server does not like must not take the others with it.
            Err(error) if group.len() > 1 && is_refusal(&error) => again.extend_from_slice(group),
            Err(error) => outcome.note(group.len(), &error),
            Ok(()) => {}
        }
    }
    for notice in &again {
        if let Err(error) = run(client, table, std::slice::from_ref(notice)).await {
            outcome.note(1, &error);
        }
    }
    outcome
}

/// Cuts messages into what goes in one statement each: a kept one, or short ones that are all different.
fn group<'n, 'a>(notices: &'n [Notice<'a>]) -> Vec<&'n [Notice<'a>]> {
    let (mut groups, mut start, mut seen) = (Vec::new(), 0, HashSet::new());
    for (at, notice) in notices.iter().enumerate() {
        let is_short = matches!(notice, Notice::Short { channel, text } if seen.insert((*channel, *text)));
        if !is_short && at > start {
            groups.push(&notices[start..at]);
        }
        match notice {
            Notice::Kept { .. } => {
                groups.push(&notices[at..=at]);
                start = at + 1;
                seen.clear();
            }
            Notice::Short { channel, text } if !is_short => {
                start = at;
                seen.clear();
                seen.insert((*channel, *text));
            }
            Notice::Short { .. } => {}
        }
    }
    if start < notices.len() {
        groups.push(&notices[start..]);
    }
    groups
}

/// One statement.
async fn run(client: &Client, table: &Table, group: &[Notice<'_>]) -> Result<(), Error> {
    if let [Notice::Kept { channel, payload, uid, kind }] = group {
        // Neither holds anything that JSON would have to escape: numbers, and ids of this library's own making.
        let head = format!("{{\"uid\":\"{uid}\",\"type\":{kind},\"attachmentId\":\"");
        return table.add(client, channel, payload, (&head, "\"}")).await;
    }
    let short = group.iter().filter_map(|notice| match notice {
        Notice::Short { channel, text } => Some((*channel, *text)),
        Notice::Kept { .. } => None,
    });
    let (channels, texts): (Vec<&str>, Vec<&str>) = short.unzip();
    client.execute_typed(NOTIFY, &[(&channels, Type::TEXT_ARRAY), (&texts, Type::TEXT_ARRAY)]).await.map(drop)
}

/// Starts futures one after the other, and then waits for them in the same order, in which a connection answers.
async fn in_order<F: Future>(futures: &mut [Pin<Box<F>>]) -> Vec<F::Output> {
    let started = poll_fn(|context| {
        let poll = |future: &mut Pin<Box<F>>| match future.as_mut().poll(context) {
            Poll::Ready(output) => Some(output),
            Poll::Pending => None,
        };
        Poll::Ready(futures.iter_mut().map(poll).collect::<Vec<_>>())
    })
    .await;
    let mut outputs = Vec::with_capacity(futures.len());
    for (future, output) in futures.iter_mut().zip(started) {
        outputs.push(match output {
            Some(output) => output,
            None => future.await,
        });
    }
    outputs
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_transaction_would_swallow_goes_in_another() {
        let short = |text| Notice::Short { channel: "c", text };
        let kept = Notice::Kept { channel: "c", payload: b"p", uid: "u", kind: 3 };
        let other = Notice::Short { channel: "d", text: "a" };
        let lens = |notices: &[Notice<'_>]| group(notices).iter().map(|group| group.len()).collect::<Vec<_>>();
        assert_eq!(lens(&[]), [0; 0]);
        assert_eq!(lens(&[short("a"), short("b"), other, short("c")]), [4]);
        assert_eq!(lens(&[short("a"), short("b"), short("a"), short("b"), short("b")]), [2, 2, 1]);
        assert_eq!(lens(&[kept, kept, short("a"), kept, short("a"), short("a")]), [1, 1, 1, 1, 1, 1]);
        assert_eq!(lens(&[short("a"), kept, short("a"), short("b")]), [1, 1, 2]);
    }
}
