//! Answers, from when they are built until they have been sent.

use std::{
    future::poll_fn,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use http::{HeaderMap, Response, header};
use hyper::body::{Body as HttpBody, Frame, SizeHint};
use prost::bytes::{Bytes, BytesMut};
use tokio::time::{Sleep, sleep};
use tonic::{Status, body::Body};

use crate::{
    app::shares::Used,
    error::{Error, Result},
    transport::answers::{Answers, HeldBytes, Holder},
};

/// Encodes the answer of a unary call, and counts its bytes until they have been sent. What it was encoded from has been dropped when this
/// returns.
pub(super) async fn counted(
    response: Response<Body>,
    answers: &Answers,
    holder: Holder<'_>,
    reserved: Option<HeldBytes>,
    may_be_refused: bool,
) -> Result<Response<Body>> {
    // A refusal consists of headers only.
    if response.body().is_end_stream() {
        return Ok(response);
    }
    let (head, mut body) = response.into_parts();
    let (mut data, mut trailers) = (Bytes::new(), None);
    while let Some(frame) = poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await {
        let frame = frame.map_err(|_| Error::internal("an answer could not be encoded"))?;
        match frame.into_data() {
            Ok(more) if data.is_empty() => data = more,
            Ok(more) => data = joined(&data, &more),
            Err(frame) => {
                trailers = frame.into_trailers().ok();
                break;
            }
        }
    }
    // The body still holds the encoding buffer.
    drop(body);
    let data = if data.is_empty() { data } else { answers.hold(holder, reserved, data, may_be_refused)? };
    Ok(Response::from_parts(head, Body::new(EncodedAnswer { data, trailers })))
}

/// Joins two pieces.
fn joined(first: &Bytes, second: &Bytes) -> Bytes {
    let mut all = BytesMut::with_capacity(first.len() + second.len());
    all.extend_from_slice(first);
    all.extend_from_slice(second);
    all.freeze()
}

/// An encoded answer.
struct EncodedAnswer {
    data: Bytes,
    trailers: Option<HeaderMap>,
}

impl HttpBody for EncodedAnswer {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let data = std::mem::take(&mut self.data);
        if !data.is_empty() {
            return Poll::Ready(Some(Ok(Frame::data(data))));
        }
        Poll::Ready(self.trailers.take().map(|trailers| Ok(Frame::trailers(trailers))))
    }

    fn is_end_stream(&self) -> bool {
        self.data.is_empty() && self.trailers.is_none()
    }
}

/// An answer that keeps a resource in use until its last part has been handed to the connection.
pub(super) struct WithGuard<K> {
    pub(super) body: Body,
    pub(super) _keeps: K,
}

impl<K: Send + Unpin> HttpBody for WithGuard<K> {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// A stream without a caller. It ends after a maximum age, so that no client can keep its place forever.
pub(super) struct AgeLimited {
    /// `None` after the maximum age.
    body: Option<Body>,
    end: Pin<Box<Sleep>>,
    _place: [Used; 2],
}

impl AgeLimited {
    pub(super) fn new(body: Body, age: Duration, place: [Used; 2]) -> Self {
        Self { body: Some(body), end: Box::pin(sleep(age)), _place: place }
    }
}

impl HttpBody for AgeLimited {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let Some(body) = &mut self.body else { return Poll::Ready(None) };
        if let Poll::Ready(frame) = Pin::new(body).poll_frame(cx) {
            return Poll::Ready(frame);
        }
        ready!(self.end.as_mut().poll(cx));
        self.body = None;
        let mut trailers = Status::from(Error::StreamTooOld).into_http::<()>().into_parts().0.headers;
        trailers.remove(header::CONTENT_TYPE);
        Poll::Ready(Some(Ok(Frame::trailers(trailers))))
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(HttpBody::is_end_stream)
    }
}
