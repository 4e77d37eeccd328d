//! Gives the failures that the gRPC library answers by itself our codes and reasons, and none of its text.

use std::{
    convert::Infallible,
    task::{Context, Poll},
};

use http::{Request, Response};
use tonic::{Code, Status, body::Body};
use tower::{Layer, Service};

use super::{Answer, ready_clone};
use crate::error::Error;

/// Translates the library's own failures.
#[derive(Clone, Copy, Debug)]
pub struct WireErrorsLayer;

impl<S> Layer<S> for WireErrorsLayer {
    type Service = WireErrors<S>;

    fn layer(&self, inner: S) -> Self::Service {
        WireErrors { inner }
    }
}

/// A service whose failures are all ours.
#[derive(Clone, Debug)]
pub struct WireErrors<S> {
    inner: S,
}

impl<S> Service<Request<Body>> for WireErrors<S>
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible> + Clone + Send + 'static,
    S::Future: Send,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Answer;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<Body>) -> Answer {
        let mut inner = ready_clone(&mut self.inner);
        Box::pin(async move {
            let response = inner.call(request).await?;
            // A failure without any part of an answer stands in the headers; ours carries details, the library's does not.
            let Some(status) = Status::from_header_map(response.headers()) else { return Ok(response) };
            if !status.details().is_empty() {
                return Ok(response);
            }
            let error = match status.code() {
                // A message over the limit.
                Code::OutOfRange => Error::RequestTooLarge,
                // Bytes that are no message, an incomplete frame, an unknown compression flag.
                Code::Internal => Error::RequestMalformed,
                // A compression that is not offered, or a service that is not served.
                Code::Unimplemented => Error::MethodUnknown,
                _ => return Ok(response),
            };
            Ok(Status::from(error).into_http())
        })
    }
}
