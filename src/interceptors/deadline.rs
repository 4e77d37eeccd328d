//! Ends a call that takes longer than the server allows, whatever deadline its client sent.

use std::time::Duration;

use http::{Request, Response};
use tonic::{Status, body::Body};

use super::{Around, Inner};
use crate::error::Error;

/// Bounds every call.
#[derive(Clone, Copy, Debug)]
pub struct Deadline(pub Duration);

impl Around for Deadline {
    async fn around<S: Inner>(&self, request: Request<Body>, inner: S) -> Response<Body> {
        let answer = tokio::time::timeout(self.0, inner.call(request)).await;
        answer.unwrap_or_else(|_| Status::from(Error::DeadlineExceeded).into_http())
    }
}
