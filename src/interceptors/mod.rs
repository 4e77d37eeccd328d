//! Interceptors wrap a handler. `server/mod.rs` puts them in order. Together they are one future, so that a call pays for what they do
//! and not for their number.

mod access;
mod answer;
mod audit;
mod authenticate;
mod authorize;
mod bulk;
mod deadline;
mod faults;
mod gate;
mod message;
mod observe;

mod rate_limit;
mod wire;

use std::{convert::Infallible, sync::Arc};

pub use access::{Access, AccessTable, Method};
pub use audit::Audit;
pub use authenticate::Authenticate;
pub use authorize::Authorize;
pub use bulk::Bulk;
pub use deadline::Deadline;
pub use faults::Faults;
pub use gate::{Gate, Limits};
use http::{Response, request::Parts};
pub use observe::Observe;

pub use rate_limit::RateLimit;
use tonic::{Status, body::Body, codegen::BoxFuture};
pub use wire::Wire;

use crate::{
    error::Result,
    transport::{Answer, Outgoing, Request, RequestBody},
};

/// A request on its way to the services. Its head is boxed, since each interceptor is a future that holds the request and moves it.
pub struct Received {
    /// Everything but the body.
    pub head: Box<Parts>,
    /// The body.
    pub body: RequestBody,
}

impl From<Request> for Received {
    fn from(request: Request) -> Self {
        let (head, body) = request.into_parts();
        Self { head: Box::new(head), body }
    }
}

impl From<Received> for Request {
    fn from(received: Received) -> Self {
        Self::from_parts(*received.head, received.body)
    }
}

/// The next interceptor, or the services. It never fails: every error becomes a status.
pub trait Next: Send {
    /// Answers a call.
    fn call(self, request: Received) -> impl Future<Output = Response<Body>> + Send;
}

/// Wraps the rest of a call.
pub trait Layer: Send + Sync {
    /// Answers a call, usually by calling `next`.
    fn wrap<N: Next>(&self, request: Received, next: N) -> impl Future<Output = Response<Body>> + Send;
}

/// Checks a request before it is passed on. May add extensions to it, or refuse it.
pub trait Intercept: Send + Sync {
    /// Accepts a request, or refuses it with an error.
    fn before(&self, parts: &mut Parts) -> impl Future<Output = Result<()>> + Send;
}

/// Turns an [`Intercept`] into a [`Layer`].
#[derive(Clone, Debug)]
pub struct Before<I>(pub I);

impl<I: Intercept> Layer for Before<I> {
    async fn wrap<N: Next>(&self, mut request: Received, next: N) -> Response<Body> {
        match self.0.before(&mut request.head).await {
            Ok(()) => next.call(request).await,
            Err(error) => Status::from(error).into_http(),
        }
    }
}

/// Two interceptors, the first one outermost. Longer chains are nested pairs.
impl<A: Layer, B: Layer> Layer for (A, B) {
    fn wrap<N: Next>(&self, request: Received, next: N) -> impl Future<Output = Response<Body>> + Send {
        self.0.wrap(request, Layered { layer: &self.1, next })
    }
}

/// An interceptor and what it wraps.
struct Layered<'a, L, N> {
    layer: &'a L,
    next: N,
}

impl<L: Layer, N: Next> Next for Layered<'_, L, N> {
    fn call(self, request: Received) -> impl Future<Output = Response<Body>> + Send {
        self.layer.wrap(request, self.next)
    }
}

/// Services wrapped in interceptors.
pub struct Intercepted<L, S> {
    layers: L,
    services: S,
}

impl<L, S> Intercepted<L, S> {
    /// Wraps services in interceptors.
    pub fn new(layers: L, services: S) -> Self {
        Self { layers, services }
    }
}

impl<L, S> Answer for Intercepted<L, S>
where
    L: Layer + 'static,
    S: Send + Sync + 'static,
    for<'s> &'s S: Next,
{
    fn answer(self: Arc<Self>, request: Request) -> BoxFuture<Response<Outgoing>, Infallible> {
        Box::pin(async move { Ok(self.layers.wrap(request.into(), &self.services).await.map(Outgoing::new)) })
    }
}
