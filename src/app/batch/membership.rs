//! Batches of memberships.

use super::{Batch, BatchAnswer, BatchCall, ItemResult, Items, lock_in_order, run};
use crate::{
    app::{App, membership, target::Target},
    db::Conn,
    error::Result,
    models::{Call, Membership, MembershipChanges, MembershipId, NewMembership, Seen},
};

/// Creates memberships.
///
/// # Errors
/// Those of the whole call. An item fails as [`membership::create`] does.
pub async fn create_memberships<A: BatchAnswer>(
    app: &App,
    called: &BatchCall<'_>,
    items: &Items<NewMembership>,
    answer: fn(Vec<ItemResult<Membership>>) -> A,
) -> Result<A> {
    run(app, called, &Creation { app, call: called.call }, items, answer).await
}

/// Updates memberships, each by its own changes.
///
/// # Errors
/// Those of the whole call. An item fails as [`membership::update`] does.
pub async fn update_memberships<A: BatchAnswer>(
    app: &App,
    called: &BatchCall<'_>,
    items: &Items<(Target<MembershipId>, MembershipChanges)>,
    answer: fn(Vec<ItemResult<Seen<Membership>>>) -> A,
) -> Result<A> {
    run(app, called, &Update { app, call: called.call }, items, answer).await
}

/// Deletes memberships. The answer has their ids.
///
/// # Errors
/// Those of the whole call. An item fails as [`membership::delete`] does.
pub async fn delete_memberships<A: BatchAnswer>(
    app: &App,
    called: &BatchCall<'_>,
    items: &Items<Target<MembershipId>>,
    answer: fn(Vec<ItemResult<MembershipId>>) -> A,
) -> Result<A> {
    run(app, called, &Deletion { app, call: called.call }, items, answer).await
}

struct Creation<'a> {
    app: &'a App,
    call: &'a Call,
}

impl Batch for Creation<'_> {
    type Item = NewMembership;
    type Done = Membership;

    async fn lock(&self, tx: &mut Conn, items: &[&NewMembership]) -> Result<()> {
        let mut users = items.iter().map(|item| item.user_id).collect();
        let mut organizations = items.iter().map(|item| item.organization_id).collect();
        lock_in_order(tx, &self.call.caller, &mut users, &mut organizations).await
    }

    async fn one(&self, tx: &mut Conn, item: &NewMembership) -> Result<Membership> {
        membership::create_in(self.app, tx, self.call, item).await
    }
}

struct Update<'a> {
    app: &'a App,
    call: &'a Call,
}

impl Batch for Update<'_> {
    type Item = (Target<MembershipId>, MembershipChanges);
    type Done = Seen<Membership>;

    async fn lock(&self, tx: &mut Conn, items: &[&Self::Item]) -> Result<()> {
        let ids: Vec<MembershipId> = items.iter().map(|(target, _)| target.id).collect();
        lock_ends(tx, self.call, &ids).await
    }

    async fn one(&self, tx: &mut Conn, (target, changes): &Self::Item) -> Result<Seen<Membership>> {
        membership::update_in(self.app, tx, self.call, target, changes).await.map(|(membership, _)| membership)
    }
}

struct Deletion<'a> {
    app: &'a App,
    call: &'a Call,
}

impl Batch for Deletion<'_> {
    type Item = Target<MembershipId>;
    type Done = MembershipId;

    async fn lock(&self, tx: &mut Conn, items: &[&Target<MembershipId>]) -> Result<()> {
        let ids: Vec<MembershipId> = items.iter().map(|target| target.id).collect();
        lock_ends(tx, self.call, &ids).await
    }

    async fn one(&self, tx: &mut Conn, item: &Target<MembershipId>) -> Result<MembershipId> {
        membership::delete_in(self.app, tx, self.call, item).await.map(|()| item.id)
    }
}

/// Locks the users and the organizations of memberships. The users too: a change of a user's e-mail writes all of its memberships, in an
/// order of its own, under the user's lock.
async fn lock_ends(tx: &mut Conn, call: &Call, ids: &[MembershipId]) -> Result<()> {
    if ids.is_empty() {
        return Ok(());
    }
    let found = tx.memberships().get_many(&call.caller.reach(), ids).await?;
    let mut users = found.iter().map(|membership| membership.user_id).collect();
    let mut organizations = found.iter().map(|membership| membership.organization_id).collect();
    lock_in_order(tx, &call.caller, &mut users, &mut organizations).await
}
