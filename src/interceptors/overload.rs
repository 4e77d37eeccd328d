//! Refuses calls beyond as many as the server takes at once, before they cost anything: so that those that it takes are answered
//! as fast as ever, however many are sent.

use std::sync::atomic::{AtomicUsize, Ordering};

use http::Response;
use tonic::{Status, body::Body};

use super::{Access, Around, Inner};
use crate::{error::Error, transport::Request};

/// Bounds the calls in flight. A stream is one until it has begun; health and reflection are none.
#[derive(Debug)]
pub struct Overload {
    in_flight: AtomicUsize,
    max: usize,
}

impl Overload {
    /// Takes up to `max` calls.
    pub fn new(max: usize) -> Self {
        Self { in_flight: AtomicUsize::new(0), max }
    }
}

/// A call in flight, until it is dropped.
struct Place<'a>(&'a AtomicUsize);

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Around for Overload {
    async fn around<I: Inner>(&self, request: Request, inner: I) -> Response<Body> {
        if request.extensions().get() == Some(&Access::Public) {
            return inner.call(request).await;
        }
        let before = self.in_flight.fetch_add(1, Ordering::Relaxed);
        let _place = Place(&self.in_flight);
        if before >= self.max {
            return Status::from(Error::Overloaded).into_http();
        }
        inner.call(request).await
    }
}
