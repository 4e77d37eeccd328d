//! Erases what is stored about a person once the user is purged: up to `AT_ONCE` rows in the same transaction, the rest by the job
//! `erasure`.
//!
//! What is left to do is stored with the purge, one row for each index that leads to the person, so that it survives a crash.

use std::{collections::HashSet, time::Duration};

use super::{App, guards};
use crate::{
    db::Conn,
    error::Result,
    models::{
        Erasure, Event, EventId, InvitationId, NormalizedEmail, Person, PersonId, Reach, Sequence, Timestamp, Trace,
        User, UserId, search::Searched,
    },
    repositories::{Locked, SentInvitations},
    security::random::first_uuid_at,
};

/// Maximum number of rows that the purge itself rewrites.
const AT_ONCE: i64 = 300;
/// How far the clocks of two processes may be apart: an event of an address may be from before the purge although it is dated up to this
/// long after it.
const SKEW: Duration = Duration::from_secs(1);

/// Erases a locked user: the user with everything that depends on it, the organizations without another member that are deleted (with
/// `sole_organizations` also those that are not), and as much of what leads to the person as is done at once. The rest is stored to be
/// done. The events of the transaction show nothing of the person.
pub(super) async fn purge(
    app: &App,
    tx: &mut Conn,
    user: Locked<User>,
    sole_organizations: bool,
    now: Timestamp,
) -> Result<()> {
    let id = user.id;
    let mut parts = sole(tx, &user, sole_organizations, now).await?;
    guards::no_organization_loses_its_last_owner(tx, &user).await?;
    tx.invitations().expire_sent_by(id, SentInvitations::All, now).await?;
    while dependents(tx, &user, i64::MAX, now).await? > 0 {}
    tx.users().delete(user, now).await?;
    let of_user = [Trace::About, Trace::By, Trace::Answers, Trace::Search];
    parts.extend(of_user.map(|trace| Erasure::new(id, trace, id.into(), now)));
    let addresses = addresses_of(tx, id);
    parts.extend(addresses.iter().flat_map(|address| of_address(id, *address, now)));
    for part in &parts {
        tx.erasures().insert(part).await?;
    }
    // The index of search leads nowhere without the user, and rewriting it takes long.
    parts.retain(|part| part.trace != Trace::Search);
    let left = at_once(app, tx, parts, AT_ONCE, now).await?;
    // The events have led to these.
    let former = addresses_of(tx, id).into_iter().filter(|address| !addresses.contains(address));
    let parts = former.flat_map(|address| of_address(id, address, now)).collect();
    at_once(app, tx, parts, left, now).await.map(drop)
}

/// The first event that may have happened at a time.
pub fn first_event_at(time: Timestamp) -> EventId {
    EventId(first_uuid_at(time))
}

/// The addresses that lead to a user whom the transaction erases.
fn addresses_of(tx: &mut Conn, user: UserId) -> Vec<PersonId> {
    tx.erasing_mut(user).map(|person| person.addresses.clone()).unwrap_or_default()
}

/// Looks at up to about `left` rows of stored parts, and returns how many may still be looked at.
async fn at_once(app: &App, tx: &mut Conn, parts: Vec<Erasure>, mut left: i64, now: Timestamp) -> Result<i64> {
    for mut part in parts {
        let examined = rows(app, tx, &mut part, left, now).await?;
        left = left.saturating_sub(examined).max(1);
        // The job looks for the rest at once, even if there is none: afterwards it also removes old versions of rows.
        tx.erasures().save(&part).await?;
    }
    Ok(left)
}

/// Erases up to about `limit` resources that depend on a locked user whose restore window has ended, and the user along with the last of
/// them. Returns how many rows it removed.
///
/// # Errors
/// Those of the database.
pub async fn sweep(app: &App, tx: &mut Conn, user: Locked<User>, limit: i64, now: Timestamp) -> Result<usize> {
    for part in sole(tx, &user, false, now).await? {
        tx.erasures().insert(&part).await?;
    }
    let removed = dependents(tx, &user, limit, now).await?;
    if i64::try_from(removed).unwrap_or(i64::MAX) < limit {
        purge(app, tx, user, false, now).await?;
    }
    Ok(removed + 1)
}

/// Deletes up to about `limit` resources that depend on a locked user who is being erased, and the invitations to its address, and returns
/// how many.
async fn dependents(tx: &mut Conn, user: &Locked<User>, limit: i64, now: Timestamp) -> Result<usize> {
    let mut removed = 0;
    if !begin(tx, user).await?.addresses.is_empty() {
        removed += tx.invitations().delete_to(&user.email_normalized, limit).await?;
    }
    let left = limit.saturating_sub(i64::try_from(removed).unwrap_or(i64::MAX));
    Ok(removed + tx.users().delete_dependents(user, left, now).await?)
}

/// Removes the organizations that a locked user owns and that have no other member: those that are deleted, which could be restored only
/// with the user, or with `also_existing` all. Then members who are deleted do not count as others. Returns the parts of the erasure that
/// the organizations lead to.
async fn sole(tx: &mut Conn, user: &Locked<User>, also_existing: bool, now: Timestamp) -> Result<Vec<Erasure>> {
    begin(tx, user).await?;
    let mut owned = tx.memberships().owned_by(user.id).await?;
    // In the order in which every other transaction locks several.
    owned.sort_unstable();
    let mut parts = Vec::new();
    for id in owned {
        let organization = tx.organizations().lock_including_deleted(&Reach::by_system(), id).await?;
        let Some(organization) = organization.filter(|own| also_existing || own.deleted_at.is_some()) else { continue };
        let others = if also_existing {
            tx.memberships().count_shown(&organization).await? - i64::from(user.deleted_at.is_none())
        } else {
            tx.memberships().count(&organization).await? - 1
        };
        if others == 0 {
            tx.organizations().delete(organization).await?;
            if let Some(person) = tx.erasing_mut(user.id) {
                person.organizations.push(id);
            }
            let of_organization = [Trace::Organization, Trace::Search];
            parts.extend(of_organization.map(|trace| Erasure::new(user.id, trace, PersonId(id.0), now)));
        }
    }
    Ok(parts)
}

/// Declares that the transaction erases a user. The address is left alone if another user has it by now.
async fn begin(tx: &mut Conn, user: &User) -> Result<Person> {
    if let Some(person) = tx.erasing_mut(user.id) {
        return Ok(person.clone());
    }
    let is_own = user.deleted_at.is_none() || is_free(tx, &user.email_normalized).await?;
    let addresses = is_own.then(|| PersonId::of_address(&user.email_normalized)).into_iter().collect();
    let person = Person { user_id: user.id, addresses, organizations: Vec::new() };
    tx.erase(person.clone());
    Ok(person)
}

/// The parts of an erasure that an address leads to.
fn of_address(user: UserId, address: PersonId, now: Timestamp) -> [Erasure; 2] {
    [Trace::Address, Trace::Answers].map(|trace| Erasure::new(user, trace, address, now))
}

/// True if no user has this address.
async fn is_free(tx: &mut Conn, email: &NormalizedEmail) -> Result<bool> {
    Ok(tx.users().taken_emails(std::slice::from_ref(email)).await?.is_empty())
}

/// Erases the person from up to `limit` rows of a part, and returns how many rows it examined.
pub async fn rows(app: &App, tx: &mut Conn, part: &mut Erasure, limit: i64, now: Timestamp) -> Result<i64> {
    let examined = match part.trace {
        Trace::Answers => tx.remembered_answers().erase(part.subject, limit).await?,
        Trace::Search => {
            let is_user = part.subject == PersonId::from(part.user_id);
            let searched = if is_user { Searched::Users } else { Searched::Organizations };
            tx.search().erase(searched, part.subject.0).await?;
            0
        }
        Trace::About | Trace::By | Trace::Address | Trace::Organization => events(app, tx, part, limit, now).await?,
    };
    Ok(i64::try_from(examined).unwrap_or(i64::MAX))
}

/// Erases the person from up to `limit` events, and returns how many it examined.
async fn events(app: &App, tx: &mut Conn, part: &mut Erasure, limit: i64, now: Timestamp) -> Result<usize> {
    let person = part.person();
    // An address may be another person's after the purge.
    let before = (part.trace == Trace::Address).then(|| part.requested_at.after(SKEW));
    let trace = (part.trace, part.subject);
    let events = tx.events().lock_of_person(trace, part.reached, before, limit).await?;
    let examined = events.len();
    let sent_since = if part.trace == Trace::Address { invitations_of(tx, &events).await? } else { Vec::new() };
    let mut former = HashSet::new();
    for (sequence, event) in events {
        part.reached = Some(event.id);
        if event.resource_id.is_some_and(|id| sent_since.contains(&InvitationId(id.0))) {
            continue;
        }
        let erased = (app.encoders.erase)(&event, &person);
        if erased.details != event.details {
            let address = event.address.filter(|_| !person.is_subject_of(&event));
            tx.events().rewrite(sequence, erased.details, address).await?;
        }
        former.extend(erased.addresses);
    }
    for email in former {
        if is_free(tx, &email).await? {
            former_address(tx, part, &email, now).await?;
        }
    }
    Ok(examined)
}

/// The invitations of some events that exist. They were sent after the purge, which deleted all others to the address.
async fn invitations_of(tx: &mut Conn, events: &[(Sequence, Event)]) -> Result<Vec<InvitationId>> {
    let ids: Vec<InvitationId> =
        events.iter().filter_map(|(_, event)| event.resource_id).map(|id| InvitationId(id.0)).collect();
    tx.invitations().existing(&ids).await
}

/// Also erases what leads to an address that the person had, and that no user has now.
async fn former_address(tx: &mut Conn, part: &Erasure, email: &NormalizedEmail, now: Timestamp) -> Result<()> {
    let address = PersonId::of_address(email);
    if let Some(person) = tx.erasing_mut(part.user_id).filter(|person| !person.addresses.contains(&address)) {
        person.addresses.push(address);
    }
    for of_address in of_address(part.user_id, address, part.requested_at) {
        tx.erasures().insert(&Erasure { due_at: now, ..of_address }).await?;
    }
    while tx.invitations().delete_to(email, i64::MAX).await? > 0 {}
    Ok(())
}
