//! What happens around a handler. Each interceptor is an async layer of the server; `server.rs` puts them in order.

mod access;
mod audit;
mod authenticate;
mod authorize;
mod deadline;
mod request_id;
mod wire;

use std::{
    convert::Infallible,
    future::Future,
    pin::Pin,
    task::{Context, Poll},
};

pub use access::{Access, AccessTable};
pub use audit::Audit;
pub use authenticate::Authenticate;
pub use authorize::Authorize;
pub use deadline::Deadline;
use http::{Request, Response, request::Parts};
pub use request_id::RequestId;
use tonic::{Status, body::Body};
use tower::{Layer, Service};
pub use wire::WireErrors;

use crate::error::Result;

/// What an interceptor stands around: the next interceptor, or the services. No error leaves it; each is answered as a status.
pub trait Inner:
    Service<Request<Body>, Response = Response<Body>, Error = Infallible, Future: Send> + Clone + Send + Sync + 'static
{
}

impl<S> Inner for S where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible, Future: Send>
        + Clone
        + Send
        + Sync
        + 'static
{
}

/// Stands around the rest of a call.
pub trait Around: Clone + Send + Sync + 'static {
    /// Answers a call, with the help of what is inside.
    fn around<S: Inner>(self, request: Request<Body>, inner: S) -> impl Future<Output = Response<Body>> + Send;
}

/// Looks at a request before it goes on, may write into its extensions, or refuses it.
pub trait Intercept: Clone + Send + Sync + 'static {
    /// Passes a request, or refuses it with an error.
    fn before(&self, parts: &mut Parts) -> impl Future<Output = Result<()>> + Send;
}

/// Puts an [`Intercept`] around a call.
#[derive(Clone, Debug)]
pub struct Before<I>(pub I);

impl<I: Intercept> Around for Before<I> {
    async fn around<S: Inner>(self, request: Request<Body>, inner: S) -> Response<Body> {
        let (mut parts, body) = request.into_parts();
        match self.0.before(&mut parts).await {
            Ok(()) => call(inner, Request::from_parts(parts, body)).await,
            Err(error) => Status::from(error).into_http(),
        }
    }
}

/// The layer of an [`Around`].
#[derive(Clone, Debug)]
pub struct Interceptor<A>(pub A);

impl<A: Clone, S> Layer<S> for Interceptor<A> {
    type Service = Intercepted<A, S>;

    fn layer(&self, inner: S) -> Self::Service {
        Intercepted { around: self.0.clone(), inner }
    }
}

/// A service with an [`Around`] around it.
#[derive(Clone, Debug)]
pub struct Intercepted<A, S> {
    around: A,
    inner: S,
}

impl<A: Around, S: Inner> Service<Request<Body>> for Intercepted<A, S> {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = std::result::Result<Response<Body>, Infallible>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<std::result::Result<(), Infallible>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        // The one that was polled ready is used up; a clone, not yet ready, takes its place.
        let clone = self.inner.clone();
        let ready = std::mem::replace(&mut self.inner, clone);
        let around = self.around.clone();
        Box::pin(async move { Ok(around.around(request, ready).await) })
    }
}

/// Calls what is inside.
async fn call(mut inner: impl Inner, request: Request<Body>) -> Response<Body> {
    match inner.call(request).await {
        Ok(response) => response,
        Err(never) => match never {},
    }
}
