//! Batches of users' states.

use super::{Batch, BatchAnswer, BatchCall, ItemResult, Items, lock_in_order, run};
use crate::{
    app::{App, target::Target, user},
    db::Conn,
    error::Result,
    models::{Call, User, UserId},
};

/// Suspends users.
///
/// # Errors
/// Those of the whole call. An item fails as [`user::suspend`] does.
pub async fn suspend_users<A: BatchAnswer>(
    app: &App,
    called: &BatchCall<'_>,
    items: &Items<Target<UserId>>,
    answer: fn(Vec<ItemResult<User>>) -> A,
) -> Result<A> {
    run(app, called, &Suspension { app, call: called.call }, items, answer).await
}

/// Reactivates users.
///
/// # Errors
/// Those of the whole call. An item fails as [`user::reactivate`] does.
pub async fn reactivate_users<A: BatchAnswer>(
    app: &App,
    called: &BatchCall<'_>,
    items: &Items<Target<UserId>>,
    answer: fn(Vec<ItemResult<User>>) -> A,
) -> Result<A> {
    run(app, called, &Reactivation { app, call: called.call }, items, answer).await
}

struct Suspension<'a> {
    app: &'a App,
    call: &'a Call,
}

impl Batch for Suspension<'_> {
    type Item = Target<UserId>;
    type Done = User;

    async fn lock(&self, tx: &mut Conn, items: &[&Target<UserId>]) -> Result<()> {
        let mut users: Vec<UserId> = items.iter().map(|target| target.id).collect();
        let admins = tx.users().active_platform_admins().await?;
        if admins.iter().any(|admin| users.contains(admin)) {
            // The suspension of a platform admin locks all of them.
            users.extend(admins);
        }
        lock_in_order(tx, &self.call.caller, &mut users, &mut Vec::new()).await?;
        let owned = tx.memberships().owned_by_any(&users).await?;
        tx.organizations().lock_many(&owned).await.map(drop)
    }

    async fn one(&self, tx: &mut Conn, item: &Target<UserId>) -> Result<User> {
        user::suspend_in(self.app, tx, self.call, item).await.map(|(user, _)| user)
    }
}

struct Reactivation<'a> {
    app: &'a App,
    call: &'a Call,
}

impl Batch for Reactivation<'_> {
    type Item = Target<UserId>;
    type Done = User;

    async fn lock(&self, tx: &mut Conn, items: &[&Target<UserId>]) -> Result<()> {
        let mut users = items.iter().map(|target| target.id).collect();
        lock_in_order(tx, &self.call.caller, &mut users, &mut Vec::new()).await
    }

    async fn one(&self, tx: &mut Conn, item: &Target<UserId>) -> Result<User> {
        user::reactivate_in(self.app, tx, self.call, item).await
    }
}
