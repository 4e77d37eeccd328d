//! The gRPC services. Every method has three steps: parse the request, call one use-case of `app`, build the response.

mod api_key;
mod authentication;
mod authorization;
mod event;
mod health;
mod invitation;
mod membership;
mod oauth_account;
mod organization;
mod own_data;
mod refresh_token;
mod role;
mod session;
mod stream;
mod user;
mod user_import;
mod verify_stream;

pub use api_key::ApiKeyHandler;
pub use authentication::AuthenticationHandler;
pub use authorization::AuthorizationHandler;
pub use event::EventHandler;
pub use health::{HealthHandler, LIVENESS};
pub use invitation::InvitationHandler;
pub use membership::MembershipHandler;
pub use oauth_account::OauthAccountHandler;
pub use organization::OrganizationHandler;
pub use refresh_token::RefreshTokenHandler;
pub use role::RoleHandler;
pub use session::SessionHandler;
use tonic::{Request, Response};
pub use user::UserHandler;

use crate::{
    app::App,
    error::{Error, Result},
    grpc::convert::{
        Lists,
        batch::Denials,
        call::{Act, CallContext},
    },
    models::{Actor, Call, Caller, DeniedItems, Origin, RequiredScope, Scope},
    telemetry,
};

/// Splits a request into its caller and its message.
fn called_by<T>(mut request: Request<T>) -> Result<(Caller, T)> {
    let caller = request.extensions_mut().remove::<Caller>();
    let caller = caller.ok_or_else(|| Error::internal("a method that requires a caller was called without one"))?;
    Ok((caller, request.into_inner()))
}

/// The scope that a stream or a batch requires. The interceptors have checked it; it is rechecked while the call runs.
fn scope_of<T>(request: &Request<T>) -> Result<Scope> {
    let required = request.extensions().get::<RequiredScope>();
    required.map(|required| required.0.clone()).ok_or_else(|| Error::internal("a long call came without a scope"))
}

/// Splits the request of a method that records events into the call, with its idempotency key and metadata, and the result of `parse`.
/// Reports all violations at once.
fn called_to_act<R: Act, T>(mut request: Request<R>, parse: impl FnOnce(R) -> Result<T>) -> Result<(Call, T)> {
    let ip_address = request.remote_addr().map(|address| address.ip());
    let headers = std::mem::take(request.metadata_mut()).into_headers();
    let (caller, mut request) = called_by(request)?;
    let mut context = CallContext::take(&headers, &mut request);
    let validate_only = request.validate_only();
    let parsed = context.and(parse(request))?;
    if validate_only {
        // Nothing is changed, so there is nothing to repeat.
        context.once = None;
    }
    let origin = Origin {
        actor: Actor::from(&caller),
        method: R::METHOD.to_owned(),
        call_id: telemetry::request_id(),
        ip_address,
        metadata: context.metadata,
        request_id: context.once.as_ref().map(|once| once.request_id),
    };
    Ok((Call { caller, origin, validate_only, once: context.once }, parsed))
}

/// The response to a batch. Its denied items have events, which `interceptors/audit.rs` writes.
fn batch_response<A: Denials>(answer: A) -> Response<A> {
    let denied = answer.denials();
    let mut response = Response::new(answer);
    if !denied.is_empty() {
        response.extensions_mut().insert(DeniedItems(denied));
    }
    response
}

/// Splits the request of a client-streaming method that records events.
fn called_to_stream<T>(mut request: Request<T>, method: &str) -> Result<(Call, T)> {
    let ip_address = request.remote_addr().map(|address| address.ip());
    let headers = std::mem::take(request.metadata_mut()).into_headers();
    let (caller, stream) = called_by(request)?;
    let origin = Origin {
        actor: Actor::from(&caller),
        method: method.to_owned(),
        call_id: telemetry::request_id(),
        ip_address,
        metadata: CallContext::metadata(&headers),
        request_id: None,
    };
    Ok((Call { caller, origin, validate_only: false, once: None }, stream))
}

/// Context for reading and writing the page tokens of a caller's lists.
fn lists<'a>(app: &'a App, caller: &Caller) -> Lists<'a> {
    Lists { tokens: &app.pages, reach: caller.reach() }
}
