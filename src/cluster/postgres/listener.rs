//! What listens: reads notifications off a connection of its own, fetches what is kept in the table over the other one, and hands both on
//! in the order in which they came. While much is being fetched nothing is read, so that what waits here is bounded; the server keeps it.

use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use serde::Deserialize;
use tokio::task::JoinHandle;
use tokio_postgres::{AsyncMessage, Client, Notification};

use super::place::{Drive, text_of};
use super::table::Table;

/// Messages of the table that are fetched at once; each may have many megabytes.
const FETCHES_MAX: usize = 16;
/// Notifications that wait behind one that is fetched: each has less than 8 KB.
const WAITING_MAX: usize = 256;
/// Notifications that are handed on before others have their turn on this thread.
const TURN_MAX: usize = 128;

/// Where messages go: the channel, and the bytes or why there are none.
pub trait Hear: Send + 'static {
    fn hear(&mut self, channel: &str, message: Result<&[u8], &str>);
}

/// What fetches from the table.
#[derive(Clone)]
pub struct Fetcher {
    pub client: Arc<Client>,
    pub table: Arc<Table>,
}

enum Arrived {
    Whole(Notification),
    Fetching(Notification, JoinHandle<Result<Option<Vec<u8>>, tokio_postgres::Error>>),
}

/// The listening connection, as a future that ends with it and tells why.
pub struct Listener<H> {
    drive: Drive,
    fetcher: Fetcher,
    hear: H,
    /// The process of the server that sends for this side: what it sent is no news.
    own_process: i32,
    arrived: VecDeque<Arrived>,
    fetches: usize,
}

impl<H: Hear> Listener<H> {
    /// One that has heard nothing.
    pub fn new(drive: Drive, fetcher: Fetcher, own_process: i32, hear: H) -> Listener<H> {
        Listener { drive, fetcher, hear, own_process, arrived: VecDeque::new(), fetches: 0 }
    }

    fn arrive(&mut self, notification: Notification) {
        if notification.process_id() == self.own_process {
            return;
        }
        if let Some(id) = kept_as(notification.payload()) {
            let Fetcher { client, table } = self.fetcher.clone();
            let fetch = tokio::spawn(async move { table.get(&client, id).await });
            self.fetches += 1;
            self.arrived.push_back(Arrived::Fetching(notification, fetch));
        } else if self.arrived.is_empty() {
            self.hear.hear(notification.channel(), Ok(notification.payload().as_bytes()));
        } else {
            self.arrived.push_back(Arrived::Whole(notification));
        }
    }

    /// Hands on what is complete, up to the first that is not.
    fn hand_on(&mut self, context: &mut Context<'_>) {
        while let Some(first) = self.arrived.front_mut() {
            match first {
                Arrived::Whole(notification) => {
                    self.hear.hear(notification.channel(), Ok(notification.payload().as_bytes()));
                }
                Arrived::Fetching(notification, fetch) => {
                    let Poll::Ready(fetched) = Pin::new(fetch).poll(context) else { return };
                    self.fetches -= 1;
                    let reason = match &fetched {
                        Ok(Ok(Some(bytes))) => {
                            self.hear.hear(notification.channel(), Ok(bytes));
                            self.arrived.pop_front();
                            continue;
                        }
                        Ok(Ok(None)) => "what it refers to is not in the table".to_owned(),
                        Ok(Err(error)) => format!("what it refers to cannot be fetched: {}", text_of(error)),
                        Err(error) => error.to_string(),
                    };
                    self.hear.hear(notification.channel(), Err(&reason));
                }
            }
            self.arrived.pop_front();
        }
    }
}

impl<H: Hear + Unpin> Future for Listener<H> {
    type Output = String;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<String> {
        let this = &mut *self;
        for _ in 0..TURN_MAX {
            this.hand_on(context);
            if this.fetches >= FETCHES_MAX || this.arrived.len() >= WAITING_MAX {
                return Poll::Pending;
            }
            match (this.drive)(context) {
                Poll::Ready(Some(Ok(AsyncMessage::Notification(notification)))) => this.arrive(notification),
                Poll::Ready(Some(Ok(_))) => {}
                Poll::Ready(Some(Err(error))) => return Poll::Ready(text_of(&error)),
                Poll::Ready(None) => return Poll::Ready("the connection was closed".to_owned()),
                Poll::Pending => return Poll::Pending,
            }
        }
        context.waker().wake_by_ref();
        Poll::Pending
    }
}

/// The number of the row that a notification stands for, if it does. Readers take it as a string or a number, and 0 and "" as none.
fn kept_as(text: &str) -> Option<i64> {
    #[derive(Deserialize)]
    struct Header<'a> {
        #[serde(borrow, rename = "attachmentId")]
        id: Option<&'a serde_json::value::RawValue>,
    }
    // Few messages have this word in them.
    if !text.contains("\"attachmentId\"") {
        return None;
    }
    let header: Header<'_> = serde_json::from_str(text).ok()?;
    let id = header.id?.get().trim_matches('"').parse::<i64>().ok()?;
    (id != 0).then_some(id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_notification_may_stand_for_a_row() {
        assert_eq!(kept_as(r#"{"uid":"a","type":3,"attachmentId":"12"}"#), Some(12));
        assert_eq!(kept_as(r#"{"attachmentId":7,"nodeId":"x"}"#), Some(7));
        for text in [
            r#"{"type":3,"data":{"attachmentId":"1"}}"#,
            r#"{"attachmentId":""}"#,
            r#"{"attachmentId":null}"#,
            r#"{"attachmentId":"1; DROP"}"#,
            r#"{"attachmentId":0}"#,
            r#""attachmentId""#,
            "{",
        ] {
            assert_eq!(kept_as(text), None, "{text}");
        }
    }
}
