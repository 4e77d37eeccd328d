//! What changes, and how what was remembered before is known to be old.
//!
//! Nothing is searched for when something changes: a count is. Whoever remembers something of a key, an owner or a membership
//! remembers the count too, and compares.

use std::sync::atomic::{AtomicU64, Ordering::SeqCst};

use tokio::sync::broadcast;
use uuid::Uuid;

use crate::models::{Action, ApiKeyId, OrganizationId, PrincipalId, UserId, event::Subject};

/// How many counts there are. Ids share them: a change makes one of so many other keys be looked up again too.
const COUNTS: u16 = 4096;
/// How many changes a slow listener may be behind before it is told that it has missed some.
const BACKLOG: usize = 1024;

/// What must not be relied on any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Forgotten {
    /// A key.
    Key(ApiKeyId),
    /// All keys of an owner.
    Owner(PrincipalId),
    /// What a user may do in an organization.
    Standing(UserId, OrganizationId),
    /// Who accounts for what the keys of an organization use.
    Accountable(OrganizationId),
    /// Whatever was known.
    Everything,
}

impl Forgotten {
    /// What something that happened makes old.
    pub fn by(action: Action, subject: &Subject) -> Option<Self> {
        use Action as A;
        match action {
            A::ApiKeyUpdated | A::ApiKeyRotated | A::ApiKeyRevoked | A::ApiKeyDeleted | A::ApiKeyCreatorErased => {
                subject.resource.map(|(_, id)| Self::Key(ApiKeyId(id.0)))
            }
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
            // What its members hold.
            | A::RoleUpdated => subject.organization_id.map(|id| Self::Owner(PrincipalId(id.0))),
            A::MembershipCreated
            | A::MembershipUpdated
            | A::MembershipOwnershipTransferred
            | A::MembershipDeleted => {
                subject.user_id.zip(subject.organization_id).map(|(user, own)| Self::Standing(user, own))
            }
            A::UserSignedIn
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
            // Nobody has it.
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

    /// Everything that something that happened makes old.
    pub fn all_by(action: Action, subject: &Subject) -> impl Iterator<Item = Self> {
        // An event does not tell whether an owner was concerned: then the keys of the organization are looked up once more.
        let may_concern_owner = matches!(
            action,
            Action::MembershipUpdated | Action::MembershipOwnershipTransferred | Action::MembershipDeleted
        );
        let accountable = subject.organization_id.filter(|_| may_concern_owner).map(Self::Accountable);
        Self::by(action, subject).into_iter().chain(accountable)
    }

    /// The actions that make anything old.
    pub fn actions() -> Vec<Action> {
        let any = Some((crate::models::ResourceType::ApiKey, crate::models::ResourceId(Uuid::nil())));
        let (user, organization) = (Some(UserId(Uuid::nil())), Some(OrganizationId(Uuid::nil())));
        let subject = Subject { organization_id: organization, user_id: user, resource: any, revision: 0 };
        Action::ALL.iter().copied().filter(|action| Self::by(*action, &subject).is_some()).collect()
    }

    /// The count of what it names; `None` for all of them.
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

/// What a membership is counted under.
pub(super) fn standing(user: UserId, organization: OrganizationId) -> Uuid {
    Uuid::from_u128(user.0.as_u128() ^ organization.0.as_u128().rotate_left(1))
}

/// What it is counted under who accounts for the keys of an owner. It is nothing that the owner itself is counted under, as verdicts
/// about its keys go on.
pub(super) fn accountable(owner: PrincipalId) -> Uuid {
    Uuid::from_u128(!owner.0.as_u128())
}

/// The counts of changes.
pub(super) struct Changes {
    /// Of everything: moves before any of the others does.
    all: AtomicU64,
    /// How often everything was forgotten.
    everything: AtomicU64,
    counts: Box<[AtomicU64]>,
    told: broadcast::Sender<Forgotten>,
}

/// The counts at some moment.
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
            told: broadcast::channel(BACKLOG).0,
        }
    }
}

impl Changes {
    /// A number that moves with every change. What was read between two equal ones, and stamped before the second, is not older
    /// than its stamp.
    pub(super) fn moment(&self) -> u64 {
        self.all.load(SeqCst)
    }

    /// The counts of one to three ids.
    pub(super) fn stamp(&self, ids: &[Uuid]) -> Stamp {
        let at = |at: usize| ids.get(at).or(ids.first()).map_or((0, 0), |id| self.count(*id));
        Stamp { everything: self.everything.load(SeqCst), counts: [at(0), at(1), at(2)] }
    }

    /// True if nothing stamped has changed since.
    pub(super) fn has_not_changed(&self, stamp: &Stamp) -> bool {
        let same =
            |(at, count): (u16, u64)| self.counts.get(usize::from(at)).is_some_and(|now| now.load(SeqCst) == count);
        self.everything.load(SeqCst) == stamp.everything && stamp.counts.into_iter().all(same)
    }

    /// Makes old what is named.
    pub(super) fn forget(&self, forgotten: Forgotten) {
        self.all.fetch_add(1, SeqCst);
        match forgotten.count().and_then(|id| self.counts.get(usize::from(place(id)))) {
            Some(count) => count.fetch_add(1, SeqCst),
            None => self.everything.fetch_add(1, SeqCst),
        };
        // Nobody may listen.
        let _ = self.told.send(forgotten);
    }

    pub(super) fn forgotten(&self) -> broadcast::Receiver<Forgotten> {
        self.told.subscribe()
    }

    fn count(&self, id: Uuid) -> (u16, u64) {
        let at = place(id);
        (at, self.counts.get(usize::from(at)).map_or(0, |count| count.load(SeqCst)))
    }
}

/// Where the count of an id is. The last bits of a UUID are random.
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
            (Forgotten::Key(ApiKeyId(key)), true),
            (Forgotten::Owner(PrincipalId(owner)), true),
            (Forgotten::Everything, true),
            (Forgotten::Key(ApiKeyId(other)), false),
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
        let actions = Forgotten::actions();
        assert_eq!(actions.len(), 22);
        assert!(!actions.contains(&Action::UserUpdated) && actions.contains(&Action::ApiKeyRevoked));
    }
}
