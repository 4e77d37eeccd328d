//! The body of an answer on its way out, in pieces that the connection requests one by one, which shows whether the client reads them.

use std::{
    cell::Cell,
    pin::Pin,
    task::{Context, Poll},
};

use http::{HeaderMap, header};
use hyper::body::{Body as HttpBody, Frame, SizeHint};
use prost::bytes::Bytes;
use tonic::{Code, Status, body::Body};

use crate::error::Error;

/// Maximum bytes handed to the connection at a time. Bytes that were handed over but not sent cannot be taken back, and are held for as
/// long as the client likes; the rest is dropped with the call.
const PIECE: usize = 16 * 1024;

thread_local! {
    /// Progress of the answer of the call being polled.
    static TAKING: Cell<Taking> = const { Cell::new(Taking { given: 0, is_offered: false }) };
}

/// Progress of an answer.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Taking {
    /// Pieces handed to the connection.
    given: u32,
    /// True if data is available that the client has no room for.
    is_offered: bool,
}

impl Taking {
    pub(super) fn given(self) -> u32 {
        self.given
    }

    pub(super) fn is_offered(self) -> bool {
        self.is_offered
    }

    /// Tracks the progress of the answer during a poll.
    pub(super) fn during<T>(&mut self, poll: impl FnOnce() -> T) -> T {
        TAKING.set(*self);
        let done = poll();
        *self = TAKING.get();
        done
    }

    fn note(given: u32, is_offered: bool) {
        TAKING.with(|taking| taking.set(Self { given: taking.get().given.wrapping_add(given), is_offered }));
    }
}

/// The body of an answer.
pub struct Outgoing {
    body: Body,
    /// Rest of a frame that is larger than a piece.
    rest: Bytes,
}

impl Outgoing {
    /// Wraps a body.
    pub fn new(body: Body) -> Self {
        Taking::note(0, true);
        Self { body, rest: Bytes::new() }
    }

    fn piece(&mut self, mut data: Bytes) -> Frame<Bytes> {
        let piece = data.split_to(data.len().min(PIECE));
        self.rest = data;
        Taking::note(1, true);
        Frame::data(piece)
    }
}

impl HttpBody for Outgoing {
    type Data = Bytes;
    type Error = Status;

    /// The connection requests a piece, and the next one once the client has read that.
    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        if !self.rest.is_empty() {
            let rest = std::mem::take(&mut self.rest);
            return Poll::Ready(Some(Ok(self.piece(rest))));
        }
        match Pin::new(&mut self.body).poll_frame(cx) {
            Poll::Ready(Some(Ok(frame))) => Poll::Ready(Some(Ok(match frame.into_data() {
                Ok(data) => self.piece(data),
                Err(mut frame) => {
                    if let Some(trailers) = frame.trailers_mut() {
                        translate_trailers(trailers);
                    }
                    Taking::note(1, false);
                    frame
                }
            }))),
            Poll::Pending => {
                Taking::note(1, false);
                Poll::Pending
            }
            ended @ Poll::Ready(_) => ended,
        }
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// If the gRPC library fails after the answer has started, because the next message is too large to send or cannot be encoded, replaces its
/// trailers with our code and reason.
fn translate_trailers(trailers: &mut HeaderMap) {
    let library = Status::from_header_map(trailers).filter(|status| status.details().is_empty());
    let error = match library.map(|status| status.code()) {
        Some(Code::OutOfRange) => Error::AnswerTooLarge,
        Some(Code::Internal) => Error::internal("an answer could not be encoded"),
        _ => return,
    };
    *trailers = Status::from(error).into_http::<()>().into_parts().0.headers;
    trailers.remove(header::CONTENT_TYPE);
}
