//! What happens around a handler. `server.rs` puts the interceptors in order; together they are one future, so that a call pays
//! for what they do and not for how many they are.

mod access;
mod audit;
mod authenticate;
mod authorize;
mod deadline;
mod overload;
mod request_id;
mod wire;

use std::{
    convert::Infallible,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

pub use access::{Access, AccessTable};
pub use audit::Audit;
pub use authenticate::Authenticate;
pub use authorize::Authorize;
pub use deadline::Deadline;
use http::{Request, Response, request::Parts};
pub use overload::Overload;
pub use request_id::RequestId;
use tonic::{Status, body::Body};
use tower::Service;
pub use wire::WireErrors;

use crate::error::Result;

/// What an interceptor stands around: the next interceptor, or the services. No error leaves it; each is answered as a status.
pub trait Inner: Send {
    /// Answers a call.
    fn call(self, request: Request<Body>) -> impl Future<Output = Response<Body>> + Send;
}

/// Stands around the rest of a call.
pub trait Around: Send + Sync {
    /// Answers a call, with the help of what is inside.
    fn around<I: Inner>(&self, request: Request<Body>, inner: I) -> impl Future<Output = Response<Body>> + Send;
}

/// Looks at a request before it goes on, may write into its extensions, or refuses it.
pub trait Intercept: Send + Sync {
    /// Passes a request, or refuses it with an error.
    fn before(&self, parts: &mut Parts) -> impl Future<Output = Result<()>> + Send;
}

/// Puts an [`Intercept`] around a call.
#[derive(Clone, Debug)]
pub struct Before<I>(pub I);

impl<I: Intercept> Around for Before<I> {
    async fn around<S: Inner>(&self, request: Request<Body>, inner: S) -> Response<Body> {
        let (mut parts, body) = request.into_parts();
        match self.0.before(&mut parts).await {
            Ok(()) => inner.call(Request::from_parts(parts, body)).await,
            Err(error) => Status::from(error).into_http(),
        }
    }
}

/// Two interceptors, the first one outside. More are pairs of pairs.
impl<A: Around, B: Around> Around for (A, B) {
    async fn around<I: Inner>(&self, request: Request<Body>, inner: I) -> Response<Body> {
        self.0.around(request, Within { around: &self.1, inner }).await
    }
}

/// An interceptor and what it stands around.
struct Within<'a, A, I> {
    around: &'a A,
    inner: I,
}

impl<A: Around, I: Inner> Inner for Within<'_, A, I> {
    async fn call(self, request: Request<Body>) -> Response<Body> {
        self.around.around(request, self.inner).await
    }
}

/// Services behind interceptors, as the server takes them.
pub struct Intercepted<A, S>(Arc<(A, S)>);

impl<A, S> Intercepted<A, S> {
    /// Puts interceptors around services.
    pub fn new(around: A, services: S) -> Self {
        Self(Arc::new((around, services)))
    }
}

impl<A, S> Clone for Intercepted<A, S> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<A, S> Service<Request<Body>> for Intercepted<A, S>
where
    A: Around + 'static,
    S: Send + Sync + 'static,
    for<'s> &'s S: Inner,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = std::result::Result<Response<Body>, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<std::result::Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let own = Arc::clone(&self.0);
        Box::pin(async move { Ok(own.0.around(request, &own.1).await) })
    }
}
