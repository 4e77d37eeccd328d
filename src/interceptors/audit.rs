//! Records an event for every denied call and every refused use of a known key. Refusals of one kind are folded into one event, so that the
//! events cannot be flooded.

use std::{
    collections::{BTreeMap, HashMap},
    net::IpAddr,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use http::{Response, Uri, request::Parts};
use tonic::{Code, Status, body::Body, transport::server::TcpConnectInfo};
use tonic_types::StatusExt as _;

use super::{Layer, Next, Received};
use crate::{
    app::App,
    error::chain,
    grpc::convert::call::CallContext,
    models::{
        Action, Actor, Caller, Change, CredentialId, DeniedItems, Origin, Principal, PrincipalId, Timestamp,
        event::{Refusal, Subject},
    },
    telemetry,
};

/// After an event, further refusals of the same kind are only counted for this long. The next one after that records their number.
const FOLD: Duration = Duration::from_mins(1);
/// Maximum kinds of refusals per owner that are distinguished within that time. The rest count as one kind.
const MAX_KINDS_OF_OWNER: usize = 100;
/// Maximum kinds that are distinguished over all owners. Beyond it each owner has one kind, so that no owner's refusals are lost.
const MAX_KINDS: usize = 100_000;

/// Minimum interval between scans of all owners while there are too many kinds.
const SCAN_INTERVAL: Duration = Duration::from_secs(1);

/// Records events of refusals.
#[derive(Clone)]
pub struct Audit {
    app: App,
    kinds: Arc<Mutex<Kinds>>,
}

/// Refusals of one kind share the credential, the method and the reason.
type RefusalKind = (CredentialId, String, String);
/// The owner of the refusals, and whether they are of keys with a wrong secret or keys that cannot be used. Those are counted separately,
/// because anyone who has seen the beginning of a key can cause them.
type RefusalOwner = (PrincipalId, bool);

/// The kinds of refusals recorded within [`FOLD`].
#[derive(Default)]
struct Kinds {
    of: HashMap<RefusalOwner, KindsOfOwner>,
    /// Number of kinds over all owners.
    all: usize,
    /// Time of the last scan of all owners for expired kinds.
    scanned_at: Option<Timestamp>,
}

#[derive(Default)]
struct KindsOfOwner {
    kinds: HashMap<RefusalKind, LastRecorded>,
    /// Refusals beyond the kinds that are distinguished.
    others: Option<LastRecorded>,
}

/// When refusals of a kind were last recorded, and how many have come since.
struct LastRecorded {
    at: Timestamp,
    since: u32,
}

impl Audit {
    /// Records events through this application.
    pub fn new(app: App) -> Self {
        Self { app, kinds: Arc::default() }
    }

    /// Records the event of a refused call, unless one of its kind was recorded within [`FOLD`]. A failure to write it changes nothing for
    /// the caller: the call is refused anyway.
    pub(super) async fn refused(
        &self,
        origin: Origin,
        accountable: PrincipalId,
        credential: CredentialId,
        mut change: Change,
        reason: &str,
    ) {
        let kind = (credential, origin.method.clone(), reason.to_owned());
        let count = {
            let mut kinds = self.kinds.lock().unwrap_or_else(PoisonError::into_inner);
            let is_rejection = change.action == Action::ApiKeyRejected;
            kinds.admit((accountable, is_rejection), kind, self.app.now())
        };
        let Some(count) = count else { return };
        change.refusal = Some(Refusal { reason: reason.to_owned(), count });
        if let Err(error) = self.app.note(&origin, change).await {
            tracing::warn!(error = chain(&error), reason, "could not record the event of a refused call");
        }
    }
}

impl Kinds {
    /// The number of refusals to record now, if any.
    fn admit(&mut self, owner: RefusalOwner, kind: RefusalKind, now: Timestamp) -> Option<u32> {
        // Not on every refusal, because the scan visits all owners.
        if self.all >= MAX_KINDS && self.scanned_at.is_none_or(|scanned_at| now >= scanned_at.after(SCAN_INTERVAL)) {
            self.scanned_at = Some(now);
            self.of.retain(|_, of| {
                of.forget(now, &mut self.all);
                !of.kinds.is_empty() || of.others.as_ref().is_some_and(|recorded| recorded.is_recent(now))
            });
        }
        let of = self.of.entry(owner).or_default();
        if let Some(recorded) = of.kinds.get_mut(&kind) {
            return recorded.again(now);
        }
        if of.kinds.len() >= MAX_KINDS_OF_OWNER {
            of.forget(now, &mut self.all);
        }
        if of.kinds.len() >= MAX_KINDS_OF_OWNER || self.all >= MAX_KINDS {
            return match &mut of.others {
                Some(recorded) => recorded.again(now),
                none => {
                    *none = Some(LastRecorded { at: now, since: 0 });
                    Some(1)
                }
            };
        }
        of.kinds.insert(kind, LastRecorded { at: now, since: 0 });
        self.all += 1;
        Some(1)
    }
}

impl KindsOfOwner {
    /// Removes expired kinds.
    fn forget(&mut self, now: Timestamp, all: &mut usize) {
        let before = self.kinds.len();
        self.kinds.retain(|_, recorded| recorded.is_recent(now));
        *all -= before - self.kinds.len();
    }
}

impl LastRecorded {
    fn is_recent(&self, now: Timestamp) -> bool {
        now < self.at.after(FOLD)
    }

    /// Counts one more refusal. Returns how many to record now, if any.
    fn again(&mut self, now: Timestamp) -> Option<u32> {
        if self.is_recent(now) {
            self.since = self.since.saturating_add(1);
            return None;
        }
        let count = self.since.saturating_add(1);
        *self = Self { at: now, since: 0 };
        Some(count)
    }
}

impl Layer for Audit {
    async fn wrap<N: Next>(&self, request: Received, next: N) -> Response<Body> {
        // Read on every call but rarely used, so nothing is copied here.
        let caller = request.head.extensions.get::<Caller>();
        let caller = caller.map(|caller| (caller.principal, caller.accountable, caller.presented));
        let seen = CallInfo::of(&request.head);
        let mut response = next.call(request).await;
        let Some((owner, accountable, presented)) = caller else { return response };
        let denied = denials(&mut response);
        if !denied.is_empty() {
            let origin = seen.origin(Actor::Caller { owner, presented });
            for reason in denied {
                let change = Change::nothing(Action::CallDenied, subject(owner));
                Box::pin(self.refused(origin.clone(), accountable, presented.id(), change, &reason)).await;
            }
        }
        response
    }
}

/// The reasons for which a call, or items of a batch, were denied.
fn denials(response: &mut Response<Body>) -> Vec<String> {
    let denied = Status::from_header_map(response.headers()).filter(|status| status.code() == Code::PermissionDenied);
    match denied {
        Some(status) => vec![status.get_details_error_info().map(|info| info.reason).unwrap_or_default()],
        None => response.extensions_mut().remove::<DeniedItems>().map(|denied| denied.0).unwrap_or_default(),
    }
}

/// The subject of a denied call is the caller.
fn subject(caller: Principal) -> Subject {
    match caller {
        Principal::Organization(id) => Subject { organization_id: Some(id), ..Subject::default() },
        Principal::User { id, .. } => Subject { user_id: Some(id), ..Subject::default() },
    }
}

/// The peer address of the connection, whatever the metadata says.
pub(super) fn remote_address(parts: &Parts) -> Option<IpAddr> {
    let address = parts.extensions.get::<TcpConnectInfo>().and_then(TcpConnectInfo::remote_addr)?;
    Some(address.ip().to_canonical())
}

/// Data for the event of a call whose request is not parsed.
pub(super) struct CallInfo {
    uri: Uri,
    address: Option<IpAddr>,
    metadata: BTreeMap<String, String>,
}

impl CallInfo {
    /// Copies the data from a request.
    pub(super) fn of(parts: &Parts) -> Self {
        Self { uri: parts.uri.clone(), address: remote_address(parts), metadata: CallContext::metadata(&parts.headers) }
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

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    fn kind(number: u128) -> RefusalKind {
        (CredentialId(Uuid::from_u128(number)), "method".to_owned(), "reason".to_owned())
    }

    fn owner(number: u128) -> RefusalOwner {
        (PrincipalId(Uuid::from_u128(number)), false)
    }

    #[test]
    fn refusals_beyond_an_owners_kinds_are_one_and_nobody_elses_are_lost() {
        let mut kinds = Kinds::default();
        let now = Timestamp::from_micros(0).unwrap_or_else(|| unreachable!());
        let recorded = (0..1000).filter(|number| kinds.admit(owner(1), kind(*number), now).is_some()).count();
        assert_eq!(recorded, MAX_KINDS_OF_OWNER + 1);
        assert_eq!(kinds.admit(owner(2), kind(1), now), Some(1));
        assert_eq!(kinds.admit((owner(1).0, true), kind(1), now), Some(1), "it is counted separately");
        // After the interval, the folded refusals are recorded together.
        let later = now.after(FOLD);
        for number in 0..100 {
            assert_eq!(kinds.admit(owner(1), kind(number), later), Some(1));
        }
        let folded = 1000 - 100 - 1;
        assert_eq!(kinds.admit(owner(1), kind(5000), later), Some(folded + 1));
    }

    #[test]
    fn however_many_owners_there_are_each_is_told_and_what_is_past_is_forgotten() {
        let mut kinds = Kinds::default();
        let now = Timestamp::from_micros(0).unwrap_or_else(|| unreachable!());
        for number in 0..1000 {
            for of in 0..100 {
                assert_eq!(kinds.admit(owner(number), kind(of), now), Some(1));
            }
        }
        assert_eq!(kinds.all, MAX_KINDS);
        assert_eq!(kinds.admit(owner(5000), kind(1), now), Some(1));
        assert_eq!(kinds.admit(owner(5000), kind(2), now), None);
        assert_eq!(kinds.admit(owner(1), kind(1), now.after(FOLD)), Some(1));
        assert!(kinds.all <= 100 && kinds.of.len() <= 2);
    }
}
