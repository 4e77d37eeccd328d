//! Erases what is stored about a person once the user is purged: in the same transaction what is little, and the rest by a job, in batches
//! small enough that no writer waits long for one.
//!
//! What is left to do is stored with the purge, one row for each index that leads to the person, so that it survives a crash. Each row is
//! looked at once more after `SETTLE`, for calls that had begun before the purge and ended after it. When the last row of a user is
//! done, the event `user.erased` says that nothing is left.

use std::{
    collections::HashSet,
    time::{Duration, Instant},
};

use super::{App, guards};
use crate::{
    db::Conn,
    error::Result,
    models::{
        Action, Change, Erasure, EventId, NormalizedEmail, Person, PersonId, Reach, ResourceId, ResourceType,
        Timestamp, Trace, User, UserId, event::Subject, search::Searched,
    },
    repositories::Locked,
    security::random::first_uuid_at,
};

/// Maximum number of rows that the purge itself rewrites.
const AT_ONCE: i64 = 300;
/// If a batch takes longer than this, the next one is smaller; if it takes less than half, the next one is larger.
const BATCH_TIME: Duration = Duration::from_millis(10);
/// Rows of the first batch, and the minimum and maximum of any.
const ROWS: (i64, i64, i64) = (100, 10, 2_000);
/// Minimum pause between two batches. Otherwise the pause is as long as the batch was, which leaves half of the time to others.
const MIN_PAUSE: Duration = Duration::from_millis(2);
/// How long after the purge calls may still end that began before it.
const SETTLE: Duration = Duration::from_mins(10);
/// How far the clocks of two processes may be apart: an event of an address up to this long after the purge is one of before it.
const SKEW: Duration = Duration::from_secs(1);
/// Maximum number of erasures that one run completes.
const COMPLETED_AT_ONCE: usize = 1_000;
/// When to try again after readers have kept the database from forgetting old versions of rows.
const RETRY: Duration = Duration::from_secs(1);

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

/// The addresses that lead to a user whom the transaction erases.
fn addresses_of(tx: &mut Conn, user: UserId) -> Vec<PersonId> {
    tx.erasing_mut(user).map(|person| person.addresses.clone()).unwrap_or_default()
}

/// Looks at up to about `left` rows of stored parts, and returns how many may still be looked at.
async fn at_once(app: &App, tx: &mut Conn, parts: Vec<Erasure>, mut left: i64, now: Timestamp) -> Result<i64> {
    for mut part in parts {
        let looked_at = rows(app, tx, &mut part, left, now).await?;
        left = left.saturating_sub(looked_at).max(1);
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

/// Looks at up to `limit` rows of a part and erases the person from them. Returns how many rows it looked at.
async fn rows(app: &App, tx: &mut Conn, part: &mut Erasure, limit: i64, now: Timestamp) -> Result<i64> {
    let looked_at = match part.trace {
        Trace::Answers => tx.remembered_answers().erase(part.subject, limit).await?,
        Trace::Search => {
            // The id is that of a user or of an organization.
            for searched in [Searched::Users, Searched::Organizations] {
                tx.search().erase(searched, part.subject.0).await?;
            }
            0
        }
        Trace::About | Trace::By | Trace::Address | Trace::Organization => events(app, tx, part, limit, now).await?,
    };
    Ok(i64::try_from(looked_at).unwrap_or(i64::MAX))
}

/// Erases the person from up to `limit` events, and returns how many it looked at.
async fn events(app: &App, tx: &mut Conn, part: &mut Erasure, limit: i64, now: Timestamp) -> Result<usize> {
    let person = part.person();
    // An address may be another person's after the purge.
    let before = (part.trace == Trace::Address).then(|| part.requested_at.after(SKEW));
    let trace = (part.trace, part.subject);
    let events = tx.events().lock_of_person(trace, part.reached, before, limit).await?;
    let looked_at = events.len();
    let mut former = HashSet::new();
    for (sequence, event) in events {
        part.reached = Some(event.id);
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
    Ok(looked_at)
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

/// Erases everything that is due.
///
/// # Errors
/// The first error; what was not done is done at the next run.
pub async fn run(app: App) -> Result<()> {
    let now = app.now();
    if !app.db.read(async |conn| conn.erasures().is_any_due(now).await).await? {
        return Ok(());
    }
    let (mut limit, min, max) = ROWS;
    let mut last = Vec::new();
    loop {
        let step = app.change_by_system(async |tx| step(&app, tx, limit, now).await).await?;
        let took = step.begun.elapsed();
        last.extend(step.last);
        if step.is_idle || last.len() >= COMPLETED_AT_ONCE {
            break;
        }
        limit = match took {
            took if took > BATCH_TIME => (limit / 2).max(min),
            took if took < BATCH_TIME / 2 => (limit + limit / 4).min(max),
            _ => limit,
        };
        tokio::time::sleep(took.max(MIN_PAUSE)).await;
    }
    // An erasure is complete only once it has succeeded.
    if app.db.forget_old_versions().await? && !last.is_empty() {
        complete(&app, &last).await?;
    }
    Ok(())
}

/// What one step of the job did.
struct Step {
    /// When it began to hold up other writers.
    begun: Instant,
    /// True if nothing was due.
    is_idle: bool,
    /// Parts with nothing left to do, each the last one of its user.
    last: Vec<Erasure>,
}

/// Works on the parts that are due first, up to about `limit` rows.
async fn step(app: &App, tx: &mut Conn, limit: i64, now: Timestamp) -> Result<Step> {
    let mut next = tx.erasures().lock_next(now).await?;
    // From here on other writers wait. The time this transaction waited for them does not count.
    let mut step = Step { begun: Instant::now(), is_idle: next.is_none(), last: Vec::new() };
    let mut left = limit;
    while let Some(mut part) = next.take() {
        tx.erase(part.person());
        let looked_at = rows(app, tx, &mut part, left, now).await?;
        if looked_at < left {
            step.last.extend(finish(tx, part, now).await?);
        } else {
            tx.erasures().save(&part).await?;
        }
        left -= looked_at.max(1);
        if left > 0 && step.begun.elapsed() < BATCH_TIME {
            next = tx.erasures().lock_next(now).await?;
        }
    }
    Ok(step)
}

/// Ends the work on a part of which nothing is left for now. Returns it if it is complete and the last one of its user.
async fn finish(tx: &mut Conn, mut part: Erasure, now: Timestamp) -> Result<Option<Erasure>> {
    let settled_at = part.requested_at.after(SETTLE);
    if now < settled_at {
        part.due_at = settled_at;
        // A call that had begun before the purge has events with ids from before it.
        part.reached = Some(EventId(first_uuid_at(part.requested_at.before(SETTLE))));
    } else if tx.erasures().count(part.user_id).await? > 1 {
        tx.erasures().delete(&part).await?;
        return Ok(None);
    } else {
        // It comes again if readers still need old versions of rows, or if the process ends before it is complete.
        part.due_at = now.after(RETRY);
    }
    tx.erasures().save(&part).await?;
    Ok((now >= settled_at).then_some(part))
}

/// Completes the erasure of users of whom nothing is left but these parts.
async fn complete(app: &App, last: &[Erasure]) -> Result<()> {
    let complete = app.change_by_system(async |tx| {
        for part in last {
            // Another process may have been faster.
            if tx.erasures().delete(part).await? {
                let resource = Some((ResourceType::User, ResourceId(part.user_id.0)));
                let subject = Subject { user_id: Some(part.user_id), resource, ..Subject::default() };
                tx.record(Change::nothing(Action::UserErased, subject));
            }
        }
        Ok(())
    });
    complete.await
}
