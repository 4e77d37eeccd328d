//! Follows the events as a client does.

use std::time::Duration;

use tenantry::pb;
use tonic::{Status, Streaming};

use super::{Answered as _, Api};

/// An open WatchEvents.
pub struct Watch {
    messages: Streaming<pb::WatchEventsResponse>,
    /// The cursor to resume from.
    pub cursor: String,
}

impl Watch {
    /// Opens a watch and waits for its first heartbeat.
    pub async fn open(api: &Api, request: pb::WatchEventsRequest) -> Result<Self, Status> {
        let messages = api.events().watch_events(request).await?.into_inner();
        let mut watch = Self { messages, cursor: String::new() };
        let first = watch.message().await?;
        assert_eq!(first, None, "a watch starts with a heartbeat");
        Ok(watch)
    }

    /// Opens a watch of everything from now on.
    pub async fn from_now(api: &Api) -> Self {
        Self::open(api, pb::WatchEventsRequest::default()).await.unwrap()
    }

    /// Opens a watch of everything after a cursor.
    pub async fn resume(api: &Api, cursor: &str) -> Self {
        let request = pb::WatchEventsRequest { cursor: cursor.to_owned(), ..Default::default() };
        Self::open(api, request).await.unwrap()
    }

    /// The next message: an event, or `None` for a heartbeat.
    pub async fn message(&mut self) -> Result<Option<pb::Event>, Status> {
        let message = tokio::time::timeout(Duration::from_mins(3), self.messages.message()).await;
        let message = message.expect("a heartbeat")?.expect("the stream ends only with an error");
        self.cursor = message.cursor;
        Ok(message.event)
    }

    /// The next event.
    pub async fn event(&mut self) -> pb::Event {
        loop {
            if let Some(event) = self.message().await.unwrap() {
                return event;
            }
        }
    }

    /// Skips all messages and returns the error that ends the watch.
    pub async fn end(&mut self) -> Status {
        let ends = async {
            loop {
                if let Err(status) = self.message().await {
                    return status;
                }
            }
        };
        tokio::time::timeout(Duration::from_mins(3), ends).await.expect("the watch does not end")
    }
}

/// One page of events, newest first.
pub async fn list(api: &Api, request: pb::ListEventsRequest) -> Vec<pb::Event> {
    let request = pb::ListEventsRequest { page_size: 1000, ..request };
    api.events().list_events(request).await.answered().events
}

/// The sequence number of the newest event that a caller sees.
pub async fn newest(api: &Api) -> i64 {
    let request = pb::ListEventsRequest { page_size: 1, ..Default::default() };
    api.events().list_events(request).await.answered().events[0].sequence
}

/// The events after the one with a sequence number, newest first.
pub async fn since(api: &Api, sequence: i64) -> Vec<pb::Event> {
    let mut events: Vec<pb::Event> = Vec::new();
    let mut request = pb::ListEventsRequest { page_size: 100, ..Default::default() };
    loop {
        let page = api.events().list_events(request.clone()).await.answered();
        let is_last = page.next_page_token.is_empty() || page.events.iter().any(|event| event.sequence <= sequence);
        events.extend(page.events.into_iter().filter(|event| event.sequence > sequence));
        if is_last {
            return events;
        }
        request.page_token = page.next_page_token;
    }
}

/// The actions of events.
pub fn actions(events: &[pb::Event]) -> Vec<&str> {
    events.iter().map(|event| event.action.as_str()).collect()
}
