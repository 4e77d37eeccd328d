//! Batches: one call that does the same to many resources.
//!
//! An item is decided and stored by the function that serves the call for a single resource. Items are done in order, in parts: each part
//! is a transaction, so that the writer, the locks and the connection are held only for a part, and calls of others get their turn between
//! two parts. An item that is refused has written nothing, so it needs no savepoint.
//!
//! A part locks the users and then the organizations of all its items, each in order of id, before it does the first item. So two batches
//! in opposite orders wait for each other instead of deadlocking.

mod invitation;
mod membership;
mod user;

use std::{num::NonZeroU32, sync::Arc};

use sha2::{Digest as _, Sha256};
use tokio::sync::Semaphore;

pub use self::{
    invitation::create_invitations,
    membership::{create_memberships, delete_memberships, update_memberships},
    user::{reactivate_users, suspend_users},
};
use super::{
    App,
    change::{Answer, all_is_granted},
    guards,
};
use crate::{
    db::Conn,
    error::{Error, Result, Violation},
    models::{Call, Caller, Once, OrganizationId, RequestId, Scope, UserId},
};

/// Maximum number of items in a transaction. It holds SQLite's writer for about 10 ms.
const PART: usize = 50;
/// Number of parts that run at once on a database that locks rows. On SQLite, whose writer takes one transaction at a time, it is one.
const PARTS_AT_ONCE: usize = 2;

/// The items of a batch: each parsed, or the rules that it breaks.
pub type Items<T> = [std::result::Result<T, Vec<Violation>>];

/// The result for one item.
pub struct ItemResult<T> {
    /// Its position in the request, from 0.
    pub index: usize,
    /// The result of an item, or why it was refused.
    pub outcome: Result<T>,
}

impl<T> ItemResult<T> {
    /// The result with what the item did as another type.
    pub fn map<U>(self, change: impl FnOnce(T) -> U) -> ItemResult<U> {
        ItemResult { index: self.index, outcome: self.outcome.map(change) }
    }
}

/// The answer to a batch, which consists of the answers to its parts.
pub trait BatchAnswer: Answer + Default {
    /// Adds the answer to the next part.
    fn append(&mut self, part: Self);
}

/// A batch to do: the call, and the scope that its method requires.
pub struct BatchCall<'a> {
    /// The call.
    pub call: &'a Call,
    /// The scope, rechecked for each part.
    pub scope: &'a Scope,
}

/// Lets parts of all batches run in order of arrival, few at once, so that others never wait for more than that, however many batches are
/// sent.
#[derive(Clone)]
pub struct Turns(Arc<Semaphore>);

impl Turns {
    /// The turns for a database; `locks_rows` is false if it takes one writing transaction at a time.
    pub fn new(locks_rows: bool) -> Self {
        Self(Arc::new(Semaphore::new(if locks_rows { PARTS_AT_ONCE } else { 1 })))
    }
}

/// The work of a batch on its items.
trait Batch: Sync {
    /// An item.
    type Item: Sync;
    /// The result of an item.
    type Done: Send;

    /// Takes the locks of all items of a part, in order.
    fn lock(&self, tx: &mut Conn, items: &[&Self::Item]) -> impl Future<Output = Result<()>> + Send;

    /// Does one item, by the function that does it in a call by itself. It decides before it writes.
    fn one(&self, tx: &mut Conn, item: &Self::Item) -> impl Future<Output = Result<Self::Done>> + Send;
}

/// Does a batch, part by part.
///
/// # Errors
/// Those of the whole call: the parts before may be done. Repeated with its request id, the call continues where it ended.
async fn run<B: Batch, A: BatchAnswer>(
    app: &App,
    called: &BatchCall<'_>,
    batch: &B,
    items: &Items<B::Item>,
    answer: fn(Vec<ItemResult<B::Done>>) -> A,
) -> Result<A> {
    let count = u32::try_from(items.len().div_ceil(PART)).ok().and_then(NonZeroU32::new).unwrap_or(NonZeroU32::MIN);
    if called.call.once.is_some()
        && let Err(wait) = app.request_memory.take_many(&called.call.caller, count)
    {
        return answered(app, called.call, count).await?.ok_or(Error::RequestMemoryFull(wait));
    }
    let mut all = A::default();
    for (number, items) in (0..).zip(items.chunks(PART)) {
        let call = &part_of(called.call, number);
        // The yield moves the call off its connection's task, whose other calls a part would delay.
        tokio::task::yield_now().await;
        let _turn = app.turns.0.acquire().await.map_err(|error| Error::Internal(Box::new(error)))?;
        let first = usize::try_from(number).unwrap_or(usize::MAX).saturating_mul(PART);
        let done =
            app.change_in_room(call, async |tx| part(app, tx, called, batch, first, items).await.map(Ok), answer);
        all.append(done.await?);
    }
    Ok(all)
}

/// The answer that this batch received before, if all of its parts did.
async fn answered<A: BatchAnswer>(app: &App, call: &Call, count: NonZeroU32) -> Result<Option<A>> {
    let mut all = A::default();
    for number in 0..count.get() {
        match app.answered(&part_of(call, number)).await? {
            Some(part) => all.append(part),
            None => return Ok(None),
        }
    }
    Ok(Some(all))
}

/// The call of a part. Each part is remembered by itself: the first under the id of the request, the others under ids of their own.
fn part_of(call: &Call, number: u32) -> Call {
    let mut call = call.clone();
    if let (Some(once), 1..) = (&mut call.once, number) {
        once.request_id = part_id(once, number);
    }
    call
}

/// The id of a part after the first. It depends on the whole request, so that no other request uses it.
fn part_id(once: &Once, number: u32) -> RequestId {
    let request = Sha256::new().chain_update(once.request_id.0.as_bytes()).chain_update(once.fingerprint);
    let digest: [u8; 32] = request.chain_update(number.to_be_bytes()).finalize().into();
    let bytes = digest.first_chunk().copied().unwrap_or_default();
    RequestId(uuid::Builder::from_custom_bytes(bytes).into_uuid())
}

/// Does the items of one part, the first of which has the position `first` in the request.
async fn part<B: Batch>(
    app: &App,
    tx: &mut Conn,
    called: &BatchCall<'_>,
    batch: &B,
    first: usize,
    items: &Items<B::Item>,
) -> Result<Vec<ItemResult<B::Done>>> {
    let BatchCall { call, scope } = called;
    // The check at the beginning of the call does not cover all of its parts.
    guards::still_holds(tx, &call.caller, scope, app.now()).await?;
    let valid: Vec<&B::Item> = items.iter().filter_map(|item| item.as_ref().ok()).collect();
    batch.lock(tx, &valid).await?;
    let mut results = Vec::with_capacity(items.len());
    for (index, item) in (first..).zip(items) {
        let outcome = match item {
            Err(violations) => Err(Error::Invalid(violations.clone())),
            Ok(item) => one(tx, call, batch, item).await?,
        };
        results.push(ItemResult { index, outcome });
    }
    Ok(results)
}

/// Does one item. The outer error is one of the whole part, which is rolled back.
async fn one<B: Batch>(tx: &mut Conn, call: &Call, batch: &B, item: &B::Item) -> Result<Result<B::Done>> {
    let recorded = tx.recorded();
    match batch.one(tx, item).await {
        Err(error) if !error.is_of_item() => Err(error),
        Err(error) if tx.recorded() > recorded => {
            Err(Error::internal(format!("an item of a batch was refused after it had changed something: {error}")))
        }
        outcome => {
            all_is_granted(tx, &call.origin)?;
            tx.end_item();
            Ok(outcome)
        }
    }
}

/// Locks users and organizations that the caller can reach, in the order in which every call locks them.
async fn lock_in_order(
    tx: &mut Conn,
    caller: &Caller,
    users: &mut Vec<UserId>,
    organizations: &mut Vec<OrganizationId>,
) -> Result<()> {
    users.sort_unstable();
    users.dedup();
    organizations.sort_unstable();
    organizations.dedup();
    if !users.is_empty() {
        tx.users().lock_in_order(&caller.reach(), users).await?;
    }
    if !organizations.is_empty() {
        tx.organizations().lock_in_order(&caller.reach(), organizations).await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use uuid::Uuid;

    use super::*;

    #[test]
    fn each_part_of_each_request_has_an_id_of_its_own() {
        let once = |request_id, fingerprint| Once {
            request_id: RequestId(Uuid::from_u128(request_id)),
            fingerprint: [fingerprint; 32],
        };
        let requests = [once(1, 1), once(1, 2), once(2, 1)];
        let ids: BTreeSet<RequestId> =
            requests.iter().flat_map(|once| (1..20).map(|number| part_id(once, number))).collect();
        assert_eq!(ids.len(), 3 * 19);
        assert_eq!(part_id(&once(1, 1), 7), part_id(&once(1, 1), 7));
    }
}
