//! Response streams: messages as fast as the client reads them, then the final status.

use std::{
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use tokio::sync::{mpsc, oneshot};
use tokio_stream::Stream;
use tonic::{Code, Status};

use crate::{
    app::{shutdown::Shutdown, streams::Slot},
    error::{Error, Result},
};

/// Capacity of the queue of a stream. A full queue blocks the sender.
const ROOM: usize = 4;

/// The receiving side, which tonic reads.
pub struct Messages<M> {
    messages: mpsc::Receiver<M>,
    end: Option<oneshot::Receiver<std::result::Result<(), Status>>>,
}

/// The sending side, which the handler writes to.
pub(super) struct Sender<M> {
    messages: mpsc::Sender<M>,
    timeout: Duration,
}

impl<M> Sender<M> {
    /// Sends a message as soon as the queue has room. Returns false if the client has disconnected.
    ///
    /// # Errors
    /// [`Error::StreamTooSlow`] if the queue stays full for the timeout.
    pub(super) async fn send(&self, message: M) -> Result<bool> {
        match tokio::time::timeout(self.timeout, self.messages.send(message)).await {
            Ok(sent) => Ok(sent.is_ok()),
            Err(_) => Err(Error::StreamTooSlow),
        }
    }

    /// Waits until the client disconnects.
    pub(super) async fn closed(&self) {
        self.messages.closed().await;
    }
}

/// Runs `work` in a task and streams its messages to the client. An error or a shutdown ends the stream at once; queued messages are
/// dropped.
pub(super) fn stream<M, F>(
    shutdown: &Shutdown,
    slot: Slot,
    timeout: Duration,
    work: impl FnOnce(Sender<M>) -> F,
) -> Messages<M>
where
    M: Send + 'static,
    F: Future<Output = Result<()>> + Send + 'static,
{
    let (sender, messages) = mpsc::channel(ROOM);
    let (end, ended) = oneshot::channel();
    let (work, shutdown) = (work(Sender { messages: sender, timeout }), shutdown.clone());
    tokio::spawn(async move {
        let done = tokio::select! {
            done = work => done,
            () = shutdown.begun() => Err(Error::Stopping),
        };
        let _ = end.send(done.map_err(Status::from));
        drop(slot);
    });
    Messages { messages, end: Some(ended) }
}

/// The error for a client message that tonic could not read.
pub(super) fn broken(status: &Status) -> Error {
    match status.code() {
        Code::OutOfRange => Error::RequestTooLarge,
        // Includes disconnected clients, which never see it.
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
            // Work that ends without a result has panicked, so its messages are incomplete.
            let ended = ended.unwrap_or_else(|_| Err(Error::internal("the task of a stream panicked").into()));
            if let Err(status) = ended {
                self.messages.close();
                return Poll::Ready(Some(Err(status)));
            }
        }
        match self.messages.poll_recv(cx) {
            // The work has ended; its result is about to arrive.
            Poll::Ready(None) if self.end.is_some() => Poll::Pending,
            message => message.map(|message| message.map(Ok)),
        }
    }
}
