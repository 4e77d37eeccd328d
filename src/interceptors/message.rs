//! Reads the single message of a unary call before the call takes a place: a client that sends headers but no message holds nothing.

use std::{
    future::poll_fn,
    pin::Pin,
    task::{Context, Poll},
};

use hyper::body::Body as _;
use prost::bytes::{Bytes, BytesMut};

use crate::{
    error::{Error, Result},
    transport::RequestBody,
};

/// Bytes before a message: compression flag and length.
const HEADER: usize = 5;

/// A message being received.
pub(super) struct Message {
    body: Option<RequestBody>,
    /// The first piece, as received. Most messages are no larger.
    first: Bytes,
    /// All pieces, if there is more than one.
    all: BytesMut,
    /// Maximum message size.
    max: usize,
}

impl Message {
    pub(super) fn new(body: RequestBody, max: usize) -> Self {
        Self { body: Some(body), first: Bytes::new(), all: BytesMut::new(), max }
    }

    /// The bytes received so far.
    pub(super) fn bytes(&self) -> &[u8] {
        if self.all.is_empty() { &self.first } else { &self.all }
    }

    /// The length of the message with its header, once known. Of a message that is too large, only the header is read.
    pub(super) fn declared(&self) -> Option<usize> {
        let [_, a, b, c, d, ..] = *self.bytes() else { return None };
        let length = usize::try_from(u32::from_be_bytes([a, b, c, d])).unwrap_or(usize::MAX);
        Some(if length > self.max { HEADER } else { length.saturating_add(HEADER) })
    }

    /// The message without its header.
    pub(super) fn content(&self) -> &[u8] {
        self.bytes().get(HEADER..).unwrap_or_default()
    }

    /// True if the message, or as much of it as the client sends, has been received. Does not wait.
    pub(super) async fn is_there(&mut self) -> Result<bool> {
        poll_fn(|cx| match self.poll_whole(cx) {
            Poll::Ready(Ok(())) => Poll::Ready(Ok(true)),
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            Poll::Pending => Poll::Ready(Ok(false)),
        })
        .await
    }

    /// Waits until the length is known.
    pub(super) async fn header(&mut self) -> Result<()> {
        poll_fn(|cx| match self.poll_whole(cx) {
            Poll::Pending if self.declared().is_some() => Poll::Ready(Ok(())),
            polled => polled,
        })
        .await
    }

    /// Waits for the whole message.
    pub(super) async fn whole(&mut self) -> Result<()> {
        poll_fn(|cx| self.poll_whole(cx)).await
    }

    fn poll_whole(&mut self, cx: &mut Context<'_>) -> Poll<Result<()>> {
        loop {
            // Bytes after the message are ignored, and the end of the stream is not awaited.
            if self.declared().is_some_and(|length| self.bytes().len() >= length) {
                self.body = None;
            }
            let Some(body) = &mut self.body else { return Poll::Ready(Ok(())) };
            match Pin::new(body).poll_frame(cx) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(None) => self.body = None,
                Poll::Ready(Some(Err(_))) => return Poll::Ready(Err(Error::RequestMalformed)),
                Poll::Ready(Some(Ok(frame))) => match frame.into_data() {
                    Ok(data) => self.append(data),
                    // Trailers: no gRPC client sends any.
                    Err(_) => self.body = None,
                },
            }
        }
    }

    fn append(&mut self, data: Bytes) {
        if self.bytes().is_empty() {
            self.first = data;
            return;
        }
        if self.all.is_empty() {
            self.all.extend_from_slice(&self.first);
            self.first = Bytes::new();
        }
        self.all.extend_from_slice(&data);
    }

    /// The received message as a body for the services.
    pub(super) fn into_body(self) -> RequestBody {
        RequestBody::Whole(if self.all.is_empty() { self.first } else { self.all.freeze() })
    }
}
