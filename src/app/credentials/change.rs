//! Invalidation of cached credentials.
//!
//! A change searches no cache: it advances a counter. A cache entry for a key, an owner or a membership stores the counters that it
//! depends on, and is stale once one of them has moved.

use std::sync::atomic::{AtomicU64, Ordering::SeqCst};

use tokio::sync::broadcast;
use uuid::Uuid;

use crate::models::{Action, ApiKeyId, OrganizationId, PrincipalId, UserId, event::Subject};

/// Number of counters. Ids share them, so a change of one key may also cause lookups of others.
const COUNTS: u16 = 4096;
/// How many changes a slow listener may lag before it is notified that it missed some.
const BACKLOG: usize = 1024;

/// A set of cached entries to invalidate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Invalidation {
    /// A key.
    Key(ApiKeyId),
    /// All keys of an owner.
    Owner(PrincipalId),
    /// The permissions of a user in an organization.
    Standing(UserId, OrganizationId),
    /// The accountable owner of an organization's keys.
    Accountable(OrganizationId),
    /// Everything.
    Everything,
}

impl Invalidation {
    /// The entries that an action invalidates, except [`Invalidation::Accountable`].
    pub fn by(action: Action, subject: &Subject) -> Option<Self> {
        use Action as A;
        match action {
            A::ApiKeyUpdated
            | A::ApiKeyRotated
            | A::ApiKeyDisabled
            | A::ApiKeyEnabled
            | A::ApiKeyRevoked
            | A::ApiKeyDeleted
            | A::ApiKeyCreatorErased => subject.resource.map(|(_, id)| Self::Key(ApiKeyId(id.0))),
            A::UserSuspended
            | A::UserReactivated
            | A::UserDeleted
            | A::UserUndeleted
            | A::UserPurged
            | A::UserPlatformAdminGranted
            | A::UserPlatformAdminRevoked => subject.user_id.map(|id| Self::Owner(PrincipalId(id.0))),
            A::OrganizationSuspended
            | A::OrganizationReactivated
            | A::OrganizationDeleted
            | A::OrganizationUndeleted
            | A::OrganizationPurged
            // Changes the permissions of its members.
            | A::RoleUpdated => subject.organization_id.map(|id| Self::Owner(PrincipalId(id.0))),
            A::MembershipCreated
            | A::MembershipUpdated
            | A::MembershipOwnershipTransferred
            | A::MembershipDisabled
            | A::MembershipEnabled
            | A::MembershipDeleted
            | A::MembershipRoleRemoved => {
                subject.user_id.zip(subject.organization_id).map(|(user, own)| Self::Standing(user, own))
            }
            A::UserErased
            | A::UserSignedIn
            | A::UserSignInFailed
            | A::UserPasswordVerified
            | A::UserPasswordSet
            | A::UserPasswordChanged
            | A::UserPasswordReset
            | A::UserPasswordImported
            | A::UserPasswordRemoved
            | A::UserPasswordResetStarted
            | A::UserEmailVerificationStarted
            | A::UserEmailVerified
            | A::UserEmailChangeStarted
            | A::UserEmailChanged
            | A::UserCreated
            | A::UserUpdated
            | A::OrganizationCreated
            | A::OrganizationUpdated
            // No member has a role that is created or deleted.
            | A::RoleCreated
            | A::RoleDeleted
            | A::InvitationCreated
            | A::InvitationUpdated
            | A::InvitationResent
            | A::InvitationRevoked
            | A::InvitationAccepted
            | A::InvitationDeclined
            | A::InvitationExpired
            | A::OauthAccountLinked
            | A::OauthAccountTokensSet
            | A::OauthAccountTokensOpened
            | A::OauthAccountUnlinked
            | A::SessionCreated
            | A::SessionRefreshed
            | A::SessionRevoked
            | A::SessionReused
            | A::ApiKeyCreated
            | A::ApiKeyRejected
            | A::CallDenied => None,
        }
    }

    /// Everything that an action invalidates.
    pub fn all_by(action: Action, subject: &Subject) -> impl Iterator<Item = Self> {
        // The event does not say whether an owner was affected, so the organization's keys are looked up once more.
        let may_concern_owner = matches!(
            action,
            Action::MembershipUpdated
                | Action::MembershipOwnershipTransferred
                | Action::MembershipDisabled
                | Action::MembershipDeleted
        );
        let accountable = subject.organization_id.filter(|_| may_concern_owner).map(Self::Accountable);
        Self::by(action, subject).into_iter().chain(accountable)
    }

    /// The actions that invalidate anything.
    pub fn actions() -> Vec<Action> {
        let any = Some((crate::models::ResourceType::ApiKey, crate::models::ResourceId(Uuid::nil())));
        let (user, organization) = (Some(UserId(Uuid::nil())), Some(OrganizationId(Uuid::nil())));
        let subject = Subject { organization_id: organization, user_id: user, resource: any, revision: 0 };
        Action::ALL.iter().copied().filter(|action| Self::by(*action, &subject).is_some()).collect()
    }

    /// The id whose counter it advances; `None` for all of them.
    fn count(self) -> Option<Uuid> {
        match self {
            Self::Key(id) => Some(id.0),
            Self::Owner(id) => Some(id.0),
            Self::Standing(user, organization) => Some(standing(user, organization)),
            Self::Accountable(organization) => Some(accountable(PrincipalId(organization.0))),
            Self::Everything => None,
        }
    }
}

/// The counter id of a membership.
pub(super) fn standing(user: UserId, organization: OrganizationId) -> Uuid {
    Uuid::from_u128(user.0.as_u128() ^ organization.0.as_u128().rotate_left(1))
}

/// The counter id for who is accountable for the keys of an owner. It differs from the owner's own id, so that verdicts about the
/// owner's keys stay valid.
pub(super) fn accountable(owner: PrincipalId) -> Uuid {
    Uuid::from_u128(!owner.0.as_u128())
}

/// The change counters.
pub(super) struct Changes {
    /// Counts all changes: moves before any of the other counters.
    all: AtomicU64,
    /// How often everything was invalidated.
    everything: AtomicU64,
    counts: Box<[AtomicU64]>,
    subscribers: broadcast::Sender<Invalidation>,
}

/// The values of counters at some moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stamp {
    everything: u64,
    counts: [(u16, u64); 3],
}

impl Default for Changes {
    fn default() -> Self {
        Self {
            all: AtomicU64::new(0),
            everything: AtomicU64::new(0),
            counts: (0..COUNTS).map(|_| AtomicU64::new(0)).collect(),
            subscribers: broadcast::channel(BACKLOG).0,
        }
    }
}

impl Changes {
    /// A number that moves with every change. A value that is read between two equal moments, and stamped before the second, is no older
    /// than its stamp.
    pub(super) fn moment(&self) -> u64 {
        self.all.load(SeqCst)
    }

    /// The counters of one to three ids.
    pub(super) fn stamp(&self, ids: &[Uuid]) -> Stamp {
        let at = |at: usize| ids.get(at).or(ids.first()).map_or((0, 0), |id| self.count(*id));
        Stamp { everything: self.everything.load(SeqCst), counts: [at(0), at(1), at(2)] }
    }

    /// True if none of the stamped counters has moved since.
    pub(super) fn has_not_changed(&self, stamp: &Stamp) -> bool {
        let same =
            |(at, count): (u16, u64)| self.counts.get(usize::from(at)).is_some_and(|now| now.load(SeqCst) == count);
        self.everything.load(SeqCst) == stamp.everything && stamp.counts.into_iter().all(same)
    }

    /// Invalidates what `forgotten` names.
    pub(super) fn forget(&self, forgotten: Invalidation) {
        self.all.fetch_add(1, SeqCst);
        match forgotten.count().and_then(|id| self.counts.get(usize::from(place(id)))) {
            Some(count) => count.fetch_add(1, SeqCst),
            None => self.everything.fetch_add(1, SeqCst),
        };
        // Fails if there is no listener.
        let _ = self.subscribers.send(forgotten);
    }

    pub(super) fn forgotten(&self) -> broadcast::Receiver<Invalidation> {
        self.subscribers.subscribe()
    }

    fn count(&self, id: Uuid) -> (u16, u64) {
        let at = place(id);
        (at, self.counts.get(usize::from(at)).map_or(0, |count| count.load(SeqCst)))
    }
}

/// The counter of an id. The last bits of a UUID are random.
fn place(id: Uuid) -> u16 {
    let [.., high, low] = *id.as_bytes();
    u16::from_be_bytes([high, low]) % COUNTS
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_stamped_is_old_when_either_of_its_ids_or_everything_changes() {
        let changes = Changes::default();
        let (key, owner, other) = (Uuid::from_u128(1), Uuid::from_u128(2), Uuid::from_u128(3));
        for (forgotten, is_old) in [
            (Invalidation::Key(ApiKeyId(key)), true),
            (Invalidation::Owner(PrincipalId(owner)), true),
            (Invalidation::Everything, true),
            (Invalidation::Key(ApiKeyId(other)), false),
        ] {
            let (moment, stamp) = (changes.moment(), changes.stamp(&[key, owner]));
            assert!(changes.has_not_changed(&stamp));
            changes.forget(forgotten);
            assert_eq!(!changes.has_not_changed(&stamp), is_old, "{forgotten:?}");
            assert_ne!(changes.moment(), moment);
        }
    }

    #[test]
    fn whatever_changes_a_key_or_its_owner_makes_it_old() {
        let actions = Invalidation::actions();
        assert_eq!(actions.len(), 27);
        assert!(!actions.contains(&Action::UserUpdated) && actions.contains(&Action::ApiKeyRevoked));
    }
}
