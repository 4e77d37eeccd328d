//! Batches of invitations.

use super::{Batch, BatchAnswer, BatchCall, ItemResult, Items, lock_in_order, run};
use crate::{
    app::{
        App,
        invitation::{self, IssuedInvitation},
    },
    db::Conn,
    error::Result,
    models::{Call, NewInvitation},
};

/// Creates invitations, each with its own token.
///
/// # Errors
/// Those of the whole call. An item fails as [`invitation::create`] does.
pub async fn create_invitations<A: BatchAnswer>(
    app: &App,
    called: &BatchCall<'_>,
    items: &Items<NewInvitation>,
    answer: fn(Vec<ItemResult<IssuedInvitation>>) -> A,
) -> Result<A> {
    run(app, called, &Creation { app, call: called.call }, items, answer).await
}

struct Creation<'a> {
    app: &'a App,
    call: &'a Call,
}

impl Batch for Creation<'_> {
    type Item = NewInvitation;
    type Done = IssuedInvitation;

    async fn lock(&self, tx: &mut Conn, items: &[&NewInvitation]) -> Result<()> {
        // The inviting user too: its row is locked by the reference to it.
        let mut users = self.call.caller.user_id().into_iter().collect();
        let mut organizations = items.iter().map(|item| item.organization_id).collect();
        lock_in_order(tx, &self.call.caller, &mut users, &mut organizations).await
    }

    async fn one(&self, tx: &mut Conn, item: &NewInvitation) -> Result<IssuedInvitation> {
        invitation::create_in(self.app, tx, self.call, item).await
    }
}
