//! Enforces the protocol. Failures that the gRPC library answers by itself get our codes and reasons, and none of its text.

use http::{HeaderMap, Response, StatusCode, Version, header};
use tonic::{Code, Status, body::Body};

use super::{Layer, Next, Received};
use crate::{error::Error, http::plain};

/// Refuses requests that are not gRPC calls, and translates the library's own failures.
#[derive(Clone, Copy, Debug)]
pub struct Wire;

impl Layer for Wire {
    async fn wrap<N: Next>(&self, request: Received, next: N) -> Response<Body> {
        // An HTTP status: such a client would not read a gRPC status.
        if request.head.version != Version::HTTP_2 {
            return plain(StatusCode::HTTP_VERSION_NOT_SUPPORTED);
        }
        if !is_grpc(&request.head.headers) {
            return plain(StatusCode::UNSUPPORTED_MEDIA_TYPE);
        }
        let response = next.call(request).await;
        // A failure before any message is in the headers; our failures carry details, the library's do not.
        let library = Status::from_header_map(response.headers()).filter(|status| status.details().is_empty());
        let error = match library.map(|status| status.code()) {
            // A message over the limit.
            Some(Code::OutOfRange) => Error::RequestTooLarge,
            // Bytes that are not a message, an incomplete frame, or an unknown compression flag.
            Some(Code::Internal) => Error::RequestMalformed,
            // An unsupported compression, or an unknown service.
            Some(Code::Unimplemented) => Error::MethodUnknown,
            _ => return response,
        };
        Status::from(error).into_http()
    }
}

/// True if there is a single content type and it is gRPC with protobuf messages.
fn is_grpc(headers: &HeaderMap) -> bool {
    let mut types = headers.get_all(header::CONTENT_TYPE).iter();
    let (Some(value), None) = (types.next(), types.next()) else { return false };
    let media_type = value.as_bytes().split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii();
    media_type.eq_ignore_ascii_case(b"application/grpc") || media_type.eq_ignore_ascii_case(b"application/grpc+proto")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests may panic")]

    use super::*;

    #[test]
    fn one_content_type_of_grpc_is_taken_and_nothing_else() {
        let with = |values: &[&str]| {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append(header::CONTENT_TYPE, value.parse().unwrap());
            }
            is_grpc(&headers)
        };
        for good in
            ["application/grpc", "application/grpc+proto", "Application/GRPC", "application/grpc; charset=utf-8"]
        {
            assert!(with(&[good]), "{good}");
        }
        for bad in
            ["", "application/json", "application/grpc-web", "application/grpc+json", "application/grpcx", "text/plain"]
        {
            assert!(!with(&[bad]), "{bad}");
        }
        assert!(!with(&[]));
        assert!(!with(&["application/grpc", "application/grpc"]));
    }
}
