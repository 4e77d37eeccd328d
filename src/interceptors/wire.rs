//! Gives the failures that the gRPC library answers by itself our codes and reasons, and none of its text.

use http::Response;
use tonic::{Code, Status, body::Body};

use super::{Around, Inner};
use crate::{error::Error, transport::Request};

/// Translates the library's own failures.
#[derive(Clone, Copy, Debug)]
pub struct WireErrors;

impl Around for WireErrors {
    async fn around<S: Inner>(&self, request: Request, inner: S) -> Response<Body> {
        let response = inner.call(request).await;
        // A failure without any part of an answer stands in the headers; ours carries details, the library's does not.
        let library = Status::from_header_map(response.headers()).filter(|status| status.details().is_empty());
        let error = match library.map(|status| status.code()) {
            // A message over the limit.
            Some(Code::OutOfRange) => Error::RequestTooLarge,
            // Bytes that are no message, an incomplete frame, an unknown compression flag.
            Some(Code::Internal) => Error::RequestMalformed,
            // A compression that is not offered, or a service that is not served.
            Some(Code::Unimplemented) => Error::MethodUnknown,
            _ => return response,
        };
        Status::from(error).into_http()
    }
}
