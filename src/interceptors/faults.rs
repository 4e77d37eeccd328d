//! Answers a call whose work panics as a fault of ours; the process, and every other call, goes on.

use std::{
    future::poll_fn,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::pin,
    task::Poll,
};

use http::Response;
use prometheus_client::{metrics::counter::Counter, registry::Registry};
use tonic::{Status, body::Body};

use super::{Around, Inner};
use crate::{error::Error, transport::Request};

/// Catches panics.
#[derive(Clone, Debug, Default)]
pub struct Faults {
    panics: Counter,
}

impl Faults {
    /// Makes what it counts known.
    pub fn register(&self, registry: &mut Registry) {
        registry.register("call_panics", "Calls whose work panicked", self.panics.clone());
    }
}

impl Around for Faults {
    async fn around<S: Inner>(&self, request: Request, inner: S) -> Response<Body> {
        let mut answer = pin!(inner.call(request));
        // What the work had, it gives back as it is dropped; no lock of ours is used after a panic without having been made for it.
        let caught = poll_fn(|cx| match catch_unwind(AssertUnwindSafe(|| answer.as_mut().poll(cx))) {
            Ok(Poll::Pending) => Poll::Pending,
            Ok(Poll::Ready(response)) => Poll::Ready(Some(response)),
            Err(_) => Poll::Ready(None),
        });
        caught.await.unwrap_or_else(|| {
            self.panics.inc();
            Status::from(Error::internal("the work of a call panicked")).into_http()
        })
    }
}
