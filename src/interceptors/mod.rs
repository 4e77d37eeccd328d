//! What happens before a handler. Each interceptor is an async layer of the server; `server.rs` puts them in order.

mod access;
mod authenticate;
mod authorize;
mod deadline;
pub mod request_id;
mod wire;

use std::{
    convert::Infallible,
    future::Future,
    pin::Pin,
    task::{Context, Poll},
};

pub use access::{AccessLayer, AccessTable};
pub use authenticate::Authenticate;
pub use authorize::Authorize;
pub use deadline::DeadlineLayer;
use http::{Request, Response, request::Parts};
pub use request_id::RequestIdLayer;
use tonic::{Status, body::Body};
use tower::{Layer, Service};
pub use wire::WireErrorsLayer;

use crate::error::Result;

/// A future of a response. No error leaves a layer: each is answered as a status.
type Answer = Pin<Box<dyn Future<Output = std::result::Result<Response<Body>, Infallible>> + Send>>;

/// Looks at a request before it goes on, may write into its extensions, or refuses it.
pub trait Intercept: Clone + Send + Sync + 'static {
    /// Passes a request, or refuses it with an error.
    fn before(&self, parts: &mut Parts) -> impl Future<Output = Result<()>> + Send;
}

/// Puts an [`Intercept`] before a service.
#[derive(Clone, Debug)]
pub struct InterceptLayer<I>(pub I);

impl<I: Clone, S> Layer<S> for InterceptLayer<I> {
    type Service = Intercepted<I, S>;

    fn layer(&self, inner: S) -> Self::Service {
        Intercepted { intercept: self.0.clone(), inner }
    }
}

/// A service behind an [`Intercept`].
#[derive(Clone, Debug)]
pub struct Intercepted<I, S> {
    intercept: I,
    inner: S,
}

impl<I, S> Service<Request<Body>> for Intercepted<I, S>
where
    I: Intercept,
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible> + Clone + Send + 'static,
    S::Future: Send,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Answer;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<std::result::Result<(), Infallible>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<Body>) -> Answer {
        let intercept = self.intercept.clone();
        let mut inner = ready_clone(&mut self.inner);
        Box::pin(async move {
            let (mut parts, body) = request.into_parts();
            match intercept.before(&mut parts).await {
                Ok(()) => inner.call(Request::from_parts(parts, body)).await,
                Err(error) => Ok(Status::from(error).into_http()),
            }
        })
    }
}

/// The service that was polled ready, to be called in a future of its own; a clone, not yet ready, takes its place.
fn ready_clone<S: Clone>(service: &mut S) -> S {
    let clone = service.clone();
    std::mem::replace(service, clone)
}
