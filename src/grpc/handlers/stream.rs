//! What a handler streams: messages one by one, as fast as the client takes them, and at the end the reason of the end.

use std::{
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use tokio::sync::{mpsc, oneshot};
use tokio_stream::Stream;
use tonic::{Code, Status};

use crate::{
    app::feed::{Feed, Slot},
    error::{Error, Result},
};

/// How many messages wait for the client. Whoever sends waits for room.
const ROOM: usize = 4;

/// The side that tonic reads.
pub struct Messages<M> {
    messages: mpsc::Receiver<M>,
    end: Option<oneshot::Receiver<std::result::Result<(), Status>>>,
}

/// The side that the handler writes.
pub(super) struct Sender<M> {
    messages: mpsc::Sender<M>,
    timeout: Duration,
}

impl<M> Sender<M> {
    /// Sends a message as soon as the client has room for it. False if the client has gone.
    ///
    /// # Errors
    /// [`Error::StreamTooSlow`] if it has none in time.
    pub(super) async fn send(&self, message: M) -> Result<bool> {
        match tokio::time::timeout(self.timeout, self.messages.send(message)).await {
            Ok(sent) => Ok(sent.is_ok()),
            Err(_) => Err(Error::StreamTooSlow),
        }
    }

    /// Waits until the client has gone.
    pub(super) async fn closed(&self) {
        self.messages.closed().await;
    }
}

/// Runs `work` beside the call and gives what it sends to the client. An error of it, and the stop of the process, end the
/// stream at once: what waits is not sent any more.
pub(super) fn stream<M, F>(feed: &Feed, slot: Slot, timeout: Duration, work: impl FnOnce(Sender<M>) -> F) -> Messages<M>
where
    M: Send + 'static,
    F: Future<Output = Result<()>> + Send + 'static,
{
    let (sender, messages) = mpsc::channel(ROOM);
    let (end, ended) = oneshot::channel();
    let (work, feed) = (work(Sender { messages: sender, timeout }), feed.clone());
    tokio::spawn(async move {
        let done = tokio::select! {
            done = work => done,
            () = feed.stopped() => Err(Error::Stopping),
        };
        let _ = end.send(done.map_err(Status::from));
        drop(slot);
    });
    Messages { messages, end: Some(ended) }
}

/// What is wrong with a message that a client streams, as the library tells it.
pub(super) fn broken(status: &Status) -> Error {
    match status.code() {
        Code::OutOfRange => Error::RequestTooLarge,
        // Its client has gone, and nobody reads this.
        _ => Error::RequestMalformed,
    }
}

impl<M> Stream for Messages<M> {
    type Item = std::result::Result<M, Status>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if let Some(end) = self.end.as_mut()
            && let Poll::Ready(ended) = Pin::new(end).poll(cx)
        {
            self.end = None;
            // Work that ends without a word has panicked: what it sent is not all.
            let ended = ended.unwrap_or_else(|_| Err(Error::internal("the work of a stream panicked").into()));
            if let Err(status) = ended {
                self.messages.close();
                return Poll::Ready(Some(Err(status)));
            }
        }
        match self.messages.poll_recv(cx) {
            // The work has ended, and is about to say why.
            Poll::Ready(None) if self.end.is_some() => Poll::Pending,
            message => message.map(|message| message.map(Ok)),
        }
    }
}
