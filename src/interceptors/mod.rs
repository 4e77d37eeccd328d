//! Interceptors around a handler. `server/mod.rs` puts them in order. Together they are one future, so that a call pays for what they do
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
    transport::{Answer, Outgoing, Request},
};

/// The next interceptor, or the services. It never fails: every error becomes a status.
pub trait Inner: Send {
    /// Answers a call.
    fn call(self, request: Request) -> impl Future<Output = Response<Body>> + Send;
}

/// Wraps the rest of a call.
pub trait Around: Send + Sync {
    /// Answers a call, usually by calling `inner`.
    fn around<I: Inner>(&self, request: Request, inner: I) -> impl Future<Output = Response<Body>> + Send;
}

/// Checks a request before it is passed on. May add extensions to it, or refuse it.
pub trait Intercept: Send + Sync {
    /// Accepts a request, or refuses it with an error.
    fn before(&self, parts: &mut Parts) -> impl Future<Output = Result<()>> + Send;
}

/// Turns an [`Intercept`] into an [`Around`].
#[derive(Clone, Debug)]
pub struct Before<I>(pub I);

impl<I: Intercept> Around for Before<I> {
    async fn around<S: Inner>(&self, request: Request, inner: S) -> Response<Body> {
        let (mut parts, body) = request.into_parts();
        match self.0.before(&mut parts).await {
            Ok(()) => inner.call(Request::from_parts(parts, body)).await,
            Err(error) => Status::from(error).into_http(),
        }
    }
}

/// Two interceptors, the first one outermost. Longer chains are nested pairs.
impl<A: Around, B: Around> Around for (A, B) {
    fn around<I: Inner>(&self, request: Request, inner: I) -> impl Future<Output = Response<Body>> + Send {
        self.0.around(request, Within { around: &self.1, inner })
    }
}

/// An interceptor and what it wraps.
struct Within<'a, A, I> {
    around: &'a A,
    inner: I,
}

impl<A: Around, I: Inner> Inner for Within<'_, A, I> {
    fn call(self, request: Request) -> impl Future<Output = Response<Body>> + Send {
        self.around.around(request, self.inner)
    }
}

/// Services wrapped in interceptors.
pub struct Intercepted<A, S> {
    around: A,
    services: S,
}

impl<A, S> Intercepted<A, S> {
    /// Wraps services in interceptors.
    pub fn new(around: A, services: S) -> Self {
        Self { around, services }
    }
}

impl<A, S> Answer for Intercepted<A, S>
where
    A: Around + 'static,
    S: Send + Sync + 'static,
    for<'s> &'s S: Inner,
{
    fn answer(self: Arc<Self>, request: Request) -> BoxFuture<Response<Outgoing>, Infallible> {
        Box::pin(async move { Ok(self.around.around(request, &self.services).await.map(Outgoing::new)) })
    }
}
