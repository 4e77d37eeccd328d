//! Erasing what is stored about a person.

use sha2::{Digest as _, Sha256};
use uuid::Uuid;

use super::{
    Event, EventId, NormalizedEmail, OrganizationId, PersonId, Timestamp, UserId,
    event::{Change, Details, State},
    stored::words,
};

words! {
    /// How a person is found in what is stored.
    Trace {
        /// Events about the user.
        About = "about",
        /// Events of calls with the user's credentials.
        By = "by",
        /// Events of invitations to an address.
        Address = "address",
        /// Events of an organization that was purged with the user, its only member.
        Organization = "organization",
        /// Remembered answers about the user or about an address.
        Answers = "answers",
        /// The index of search, about the user or about an organization that was purged with it.
        Search = "search",
    }
}

impl PersonId {
    /// A digest of an address. It hides nothing from a reader who can guess the address: it is stored next to the address, and erased with
    /// it.
    pub fn of_address(email: &NormalizedEmail) -> Self {
        let digest: [u8; 32] = Sha256::digest(email.as_str()).into();
        let mut id = [0; 16];
        id.copy_from_slice(&digest[..16]);
        Self(Uuid::from_bytes(id))
    }
}

impl From<UserId> for PersonId {
    fn from(id: UserId) -> Self {
        Self(id.0)
    }
}

/// A person who is being erased.
#[derive(Clone, Debug)]
pub struct Person {
    /// The user.
    pub user_id: UserId,
    /// Addresses of the person, as digests, that no other user has now.
    pub addresses: Vec<PersonId>,
    /// Organizations that are erased along with the user, their only member.
    pub organizations: Vec<OrganizationId>,
}

impl Person {
    /// True if what an event shows of its resource is the person's.
    pub fn is_subject_of(&self, event: &Event) -> bool {
        event.user_id == Some(self.user_id)
            || event.address.is_some_and(|address| self.addresses.contains(&address))
            || event.organization_id.is_some_and(|id| self.organizations.contains(&id))
    }

    /// True if an event records a call with a credential of the person.
    pub fn is_actor_of(&self, event: &Event) -> bool {
        event.actor_user_id == Some(self.user_id)
    }
}

/// The rest of an event after a person was erased from it.
#[derive(Clone, Debug)]
pub struct Erased {
    /// The details that remain.
    pub details: Details,
    /// Addresses that the person had when the event happened.
    pub addresses: Vec<NormalizedEmail>,
}

/// Something that is still to be erased of a person.
#[derive(Clone, Debug)]
pub struct Erasure {
    /// The user, who no longer exists.
    pub user_id: UserId,
    /// How it is found.
    pub trace: Trace,
    /// The user, the digest of an address, or the organization.
    pub subject: PersonId,
    /// When the user was purged.
    pub requested_at: Timestamp,
    /// When to continue.
    pub due_at: Timestamp,
    /// The last event that was looked at.
    pub reached: Option<EventId>,
}

impl Erasure {
    /// One that begins now.
    pub fn new(user_id: UserId, trace: Trace, subject: PersonId, now: Timestamp) -> Self {
        Self { user_id, trace, subject, requested_at: now, due_at: now, reached: None }
    }

    /// Whose data this part of the erasure removes.
    pub fn person(&self) -> Person {
        Person {
            user_id: self.user_id,
            addresses: (self.trace == Trace::Address).then_some(self.subject).into_iter().collect(),
            organizations: (self.trace == Trace::Organization)
                .then_some(OrganizationId(self.subject.0))
                .into_iter()
                .collect(),
        }
    }
}

/// The persons whom the answer to a call may show, by the changes of the call: the person of its first change, and those of further
/// changes of the same kind, as in a batch. What the call removes, its answer does not hold.
pub fn persons_in_changes(changes: &[Change]) -> Vec<PersonId> {
    let kept = changes.iter().filter(|change| change.after.is_some() || change.before.is_none());
    let of_change = |change: &Change| {
        let person = change.address().or_else(|| change.subject.user_id.map(PersonId::from));
        person.map(|person| (change.action, person))
    };
    let mut found = kept.filter_map(of_change).peekable();
    let Some((action, _)) = found.peek().copied() else { return Vec::new() };
    found.filter(|(other, _)| *other == action).map(|(_, person)| person).collect()
}

impl Change {
    /// The address that it names, if it is about an invitation.
    pub fn address(&self) -> Option<PersonId> {
        match self.after.as_ref().or(self.before.as_ref()) {
            Some(State::Invitation(invitation)) => Some(PersonId::of_address(&invitation.email_normalized)),
            _ => None,
        }
    }
}
