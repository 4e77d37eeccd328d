//! Plain HTTP: the JWK set on the port of the API, and the operations port.

pub mod port;
pub mod well_known;

use http::{HeaderValue, Response, StatusCode, header};
use tonic::body::Body;

/// A plain HTTP response without a body.
pub fn plain(status: StatusCode) -> Response<Body> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = status;
    response.headers_mut().insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}
