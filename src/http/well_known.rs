//! Plain HTTP on the port of the API: the JWK set, for libraries that fetch it by URL.

use std::{convert::Infallible, sync::Arc};

use http::{HeaderValue, Method, Response, StatusCode, header};
use tonic::{body::Body, codegen::BoxFuture};

use crate::{
    app::{App, signing_keys::MAX_AGE_SECONDS},
    http::plain,
    transport::{Answer, Outgoing, Request},
};

/// Path of the JWK set (RFC 8615 defines the directory; the file name is conventional).
const JWKS: &str = "/.well-known/jwks.json";

/// Answers plain requests and passes calls on.
pub struct PlainHttp {
    app: App,
    calls: Arc<dyn Answer>,
}

impl PlainHttp {
    /// Passes calls on to `calls`.
    pub fn new(app: App, calls: Arc<dyn Answer>) -> Self {
        Self { app, calls }
    }

    fn answer_plain(&self, request: &Request) -> Response<Body> {
        let is_read = matches!(*request.method(), Method::GET | Method::HEAD);
        if request.uri().path() != JWKS || !is_read {
            // Everything else here is a call, which is sent with POST.
            let mut response = plain(StatusCode::METHOD_NOT_ALLOWED);
            response.headers_mut().insert(header::ALLOW, HeaderValue::from_static("POST"));
            return response;
        }
        let mut response = plain(StatusCode::OK);
        if request.method() == Method::GET {
            *response.body_mut() = Body::new(self.app.signing_keys.jwks(self.app.now()));
        }
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/jwk-set+json"));
        if let Ok(value) = HeaderValue::from_str(&format!("public, max-age={MAX_AGE_SECONDS}")) {
            headers.insert(header::CACHE_CONTROL, value);
        }
        // Public keys are public, also to pages in a browser.
        headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
        response
    }
}

impl Answer for PlainHttp {
    fn answer(self: Arc<Self>, request: Request) -> BoxFuture<Response<Outgoing>, Infallible> {
        // Calls are sent with POST.
        if request.method() == Method::POST {
            return Arc::clone(&self.calls).answer(request);
        }
        Box::pin(async move { Ok(self.answer_plain(&request).map(Outgoing::new)) })
    }
}
