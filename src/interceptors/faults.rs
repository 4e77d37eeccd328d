//! Answers a call that panics with an internal error; the process and all other calls continue.

use std::{
    future::poll_fn,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::pin,
    task::Poll,
};

use http::Response;
use prometheus_client::{metrics::counter::Counter, registry::Registry};
use tonic::{Status, body::Body};

use super::{Layer, Next, Received};
use crate::error::Error;

/// Catches panics.
#[derive(Clone, Debug, Default)]
pub struct Faults {
    panics: Counter,
}

impl Faults {
    /// Registers its metrics.
    pub fn register(&self, registry: &mut Registry) {
        registry.register("call_panics", "Calls that panicked", self.panics.clone());
    }
}

impl Layer for Faults {
    async fn wrap<N: Next>(&self, request: Received, next: N) -> Response<Body> {
        let mut answer = pin!(next.call(request));
        // Dropping the future releases what the work held. Our locks ignore poisoning, so they stay usable after a panic.
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
