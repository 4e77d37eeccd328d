//! The one message of a unary call, gathered before the call takes a place: who sends headers and no message holds nothing.

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

/// Bytes before a message: whether it is compressed, and how long it is.
const HEADER: usize = 5;

/// A message on its way.
pub(super) struct Message {
    body: Option<RequestBody>,
    /// What came first, as it came. Most messages are no more than that.
    first: Bytes,
    /// Everything, where it came in several pieces.
    all: BytesMut,
    /// Largest message that is taken.
    max: usize,
}

impl Message {
    pub(super) fn new(body: RequestBody, max: usize) -> Self {
        Self { body: Some(body), first: Bytes::new(), all: BytesMut::new(), max }
    }

    /// What has come so far.
    pub(super) fn bytes(&self) -> &[u8] {
        if self.all.is_empty() { &self.first } else { &self.all }
    }

    /// How long it will be with its header, once that is known. Of one that is too long, no more is read than that.
    pub(super) fn declared(&self) -> Option<usize> {
        let [_, a, b, c, d, ..] = *self.bytes() else { return None };
        let length = usize::try_from(u32::from_be_bytes([a, b, c, d])).unwrap_or(usize::MAX);
        Some(if length > self.max { HEADER } else { length.saturating_add(HEADER) })
    }

    /// The message itself, without its header.
    pub(super) fn content(&self) -> &[u8] {
        self.bytes().get(HEADER..).unwrap_or_default()
    }

    /// True if it is there, or as much of it as will ever be; nothing is waited for.
    pub(super) async fn is_there(&mut self) -> Result<bool> {
        poll_fn(|cx| match self.poll_whole(cx) {
            Poll::Ready(Ok(())) => Poll::Ready(Ok(true)),
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            Poll::Pending => Poll::Ready(Ok(false)),
        })
        .await
    }

    /// Waits until it is known how long it will be.
    pub(super) async fn header(&mut self) -> Result<()> {
        poll_fn(|cx| match self.poll_whole(cx) {
            Poll::Pending if self.declared().is_some() => Poll::Ready(Ok(())),
            polled => polled,
        })
        .await
    }

    /// Waits until it is there.
    pub(super) async fn whole(&mut self) -> Result<()> {
        poll_fn(|cx| self.poll_whole(cx)).await
    }

    fn poll_whole(&mut self, cx: &mut Context<'_>) -> Poll<Result<()>> {
        loop {
            // What follows the message is not looked at, and the end of the stream is not waited for.
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
                    // Trailers: no client of gRPC sends any.
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

    /// What the services read it from: it is there, so this is all of it.
    pub(super) fn into_body(self) -> RequestBody {
        RequestBody::Whole(if self.all.is_empty() { self.first } else { self.all.freeze() })
    }
}
