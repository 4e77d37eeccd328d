//! Leaves an event of every call that was denied, and of every known key that was refused. Many of one kind become one, so that
//! nobody floods the events with refusals.

use std::{
    collections::{BTreeMap, HashMap},
    net::IpAddr,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use http::{Response, Uri, request::Parts};
use tonic::{Code, Status, body::Body, transport::server::TcpConnectInfo};
use tonic_types::StatusExt as _;

use super::{Around, Inner};
use crate::{
    context::App,
    convert::call::Beside,
    error::chain,
    models::{
        Action, Actor, Caller, Change, CredentialId, Origin, Principal, Timestamp,
        event::{Refusal, Subject},
    },
    telemetry,
    transport::Request,
};

/// Refusals of one key, method and reason within this time of the first are told with the next one after it.
const FOLD: Duration = Duration::from_mins(1);
/// Most kinds of refusals that are remembered. Beyond them refusals leave no event until some are past their time.
const MAX_KINDS: usize = 10_000;

/// Leaves the events of refusals.
#[derive(Clone)]
pub struct Audit {
    app: App,
    kinds: Arc<Mutex<HashMap<RefusalKind, Told>>>,
}

/// What makes refusals alike: the credential, the method, the reason.
type RefusalKind = (CredentialId, String, String);

/// When refusals of a kind were last told, and how many came since.
struct Told {
    at: Timestamp,
    since: u32,
}

impl Audit {
    /// Writes events into an application.
    pub fn new(app: App) -> Self {
        Self { app, kinds: Arc::default() }
    }

    /// Leaves the event of a refused call, unless one of its kind was told just now. That it cannot be written changes nothing
    /// for the caller: the call is refused anyway.
    pub(super) async fn refused(&self, origin: Origin, credential: CredentialId, mut change: Change, reason: &str) {
        let kind = (credential, origin.method.clone(), reason.to_owned());
        let Some(count) = self.admit(kind, self.app.now()) else { return };
        change.refusal = Some(Refusal { reason: reason.to_owned(), count });
        if let Err(error) = self.app.note(&origin, change).await {
            tracing::warn!(error = chain(&error), reason, "the event of a refused call could not be written");
        }
    }

    /// How many refusals to tell now, if any.
    fn admit(&self, kind: RefusalKind, now: Timestamp) -> Option<u32> {
        let mut kinds = self.kinds.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(told) = kinds.get_mut(&kind) {
            if now < told.at.after(FOLD) {
                told.since = told.since.saturating_add(1);
                return None;
            }
            let count = told.since.saturating_add(1);
            *told = Told { at: now, since: 0 };
            return Some(count);
        }
        if kinds.len() >= MAX_KINDS {
            kinds.retain(|_, told| now < told.at.after(FOLD));
            if kinds.len() >= MAX_KINDS {
                return None;
            }
        }
        kinds.insert(kind, Told { at: now, since: 0 });
        Some(1)
    }
}

impl Around for Audit {
    async fn around<S: Inner>(&self, request: Request, inner: S) -> Response<Body> {
        let (parts, body) = request.into_parts();
        // Taken from every call and used for few: nothing here is copied.
        let caller = parts.extensions.get::<Caller>().map(|caller| (caller.principal, caller.presented));
        let seen = Seen::of(&parts);
        let response = inner.call(Request::from_parts(parts, body)).await;
        let denied =
            Status::from_header_map(response.headers()).filter(|status| status.code() == Code::PermissionDenied);
        if let (Some((owner, presented)), Some(status)) = (caller, denied) {
            let reason = status.get_details_error_info().map(|info| info.reason).unwrap_or_default();
            let change = Change::nothing(Action::CallDenied, subject(owner));
            Box::pin(self.refused(seen.origin(Actor::Caller { owner, presented }), presented.id(), change, &reason))
                .await;
        }
        response
    }
}

/// What a denied call is about: whoever called.
fn subject(caller: Principal) -> Subject {
    match caller {
        Principal::Organization(id) => Subject { organization_id: Some(id), ..Subject::default() },
        Principal::User { id, .. } => Subject { user_id: Some(id), ..Subject::default() },
    }
}

/// The address that a call comes from: that of the connection, whatever its metadata says.
pub(super) fn remote_address(parts: &Parts) -> Option<IpAddr> {
    let address = parts.extensions.get::<TcpConnectInfo>().and_then(TcpConnectInfo::remote_addr)?;
    Some(address.ip().to_canonical())
}

/// What an event tells of a call whose request is not read.
pub(super) struct Seen {
    uri: Uri,
    address: Option<IpAddr>,
    metadata: BTreeMap<String, String>,
}

impl Seen {
    /// Looks at a request.
    pub(super) fn of(parts: &Parts) -> Self {
        Self { uri: parts.uri.clone(), address: remote_address(parts), metadata: Beside::metadata(&parts.headers) }
    }

    /// The origin of the event.
    pub(super) fn origin(self, actor: Actor) -> Origin {
        Origin {
            actor,
            method: self.uri.path().trim_start_matches('/').replace('/', "."),
            call_id: telemetry::request_id(),
            ip_address: self.address,
            metadata: self.metadata,
            request_id: None,
        }
    }
}
