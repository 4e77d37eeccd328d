//! The single entry point of every change. One transaction does the work, writes its events and, if the request carries an id, stores
//! the answer: all of it commits, or none of it.

use crate::{
    app::{App, credentials::Invalidation},
    clock::Clock,
    db::{Conn, Database, Work, fault},
    error::{Entity, Error, Result, Taken},
    models::{Actor, Call, Change, Event, EventId, Once, Origin, Person, PersonId, Sealed, Timestamp, erasure},
    repositories::ClaimedRequest,
    security::{
        random,
        sealing::{KeyRing, SealedAt},
    },
};

/// The answer to a call, in the form in which it is stored and returned to a repeated request.
pub trait Answer: Sized + Send + Sync {
    /// Encodes it.
    fn to_bytes(&self) -> Vec<u8>;

    /// Decodes it.
    ///
    /// # Errors
    /// [`Error::Internal`] for malformed bytes.
    fn from_bytes(bytes: &[u8]) -> Result<Self>;

    /// The users, and the addresses of invitations, whose data an encoded answer holds.
    fn persons(bytes: &[u8]) -> Vec<PersonId>;
}

/// Encodes the event of a change, without the data of persons who are being erased.
pub type EncodeEvent = fn(Change, &Origin, EventId, Timestamp, &[Person]) -> Event;

impl App {
    /// Makes a change for a call. `work` does it and returns models; `answer` turns them into the answer. A repeated request gets the
    /// remembered answer, and no work is done.
    ///
    /// # Errors
    /// Those of `work` and of the transaction; [`Taken::RequestId`] if the request id belongs to another request.
    pub async fn change<T, A, F>(&self, call: &Call, work: F, answer: fn(T) -> A) -> Result<A>
    where
        T: Send,
        A: Answer,
        for<'tx> F: Work<&'tx mut Conn, Result<T>, Running: Send> + Copy + Send + Sync,
    {
        self.change_or_refuse(call, async |tx| work(tx).await.map(Ok), answer).await
    }

    /// As [`App::change`]; the changes are also kept when the inner result of `work` is a refusal.
    ///
    /// # Errors
    /// The refusal, and the errors of [`App::change`].
    pub async fn change_or_refuse<T, A, F>(&self, call: &Call, work: F, answer: fn(T) -> A) -> Result<A>
    where
        T: Send,
        A: Answer,
        for<'tx> F: Work<&'tx mut Conn, Result<Result<T>>, Running: Send> + Copy + Send + Sync,
    {
        if call.once.is_some()
            && let Err(wait) = self.request_memory.take(&call.caller)
        {
            // A request already remembered takes no more room.
            return self.answered(call).await?.ok_or(Error::RequestMemoryFull(wait));
        }
        self.change_in_room(call, work, answer).await
    }

    /// As [`App::change_or_refuse`], for a call that has taken its room among the remembered requests.
    ///
    /// # Errors
    /// Those of [`App::change_or_refuse`].
    pub(super) async fn change_in_room<T, A, F>(&self, call: &Call, work: F, answer: fn(T) -> A) -> Result<A>
    where
        T: Send,
        A: Answer,
        for<'tx> F: Work<&'tx mut Conn, Result<Result<T>>, Running: Send> + Copy + Send + Sync,
    {
        let now = self.now();
        let done = self.db.transaction(async |tx| {
            let claimed = match self.claim(tx, call, now).await? {
                Claim::Answered(answer) => return Ok((Ok(answer), Vec::new())),
                Claim::Open(claimed) => claimed,
            };
            let answer = work(tx).await?.map(answer);
            if let Some(claimed) = claimed {
                match &answer {
                    Ok(answer) => self.remember(tx, call, claimed, answer).await?,
                    Err(_) => tx.remembered_answers().forget(claimed).await?,
                }
            }
            let forgotten = write_events(tx, self.encoders.event, &call.origin, now).await?;
            fault::point("before_commit");
            Ok((answer, forgotten))
        });
        let (answer, forgotten) = done.await?;
        self.credentials.forget(forgotten);
        fault::point("after_commit");
        answer
    }

    /// The answer that this request received before, if any. For calls that do work before they change anything, because repeated work may
    /// give another result.
    ///
    /// # Errors
    /// [`Taken::RequestId`] if the request id belongs to another request.
    pub async fn answered<A: Answer>(&self, call: &Call) -> Result<Option<A>> {
        let Some(once) = &call.once else { return Ok(None) };
        let (credential, since) = (call.caller.presented.id(), self.now().before(self.policy.request_memory));
        let sealed = self.db.read(async |conn| conn.remembered_answers().get(credential, once.request_id, since).await);
        match sealed.await? {
            Some(sealed) => self.open(call, once, &sealed).map(Some),
            None => Ok(None),
        }
    }

    /// Writes an event without a change.
    pub async fn note(&self, origin: &Origin, change: Change) -> Result<()> {
        let (now, change) = (self.now(), &change);
        let note = self.db.transaction(async |tx| {
            tx.record(change.clone());
            write_events(tx, self.encoders.event, origin, now).await.map(drop)
        });
        note.await
    }

    /// Claims a request, or returns the answer that it received before.
    async fn claim<A: Answer>(&self, tx: &mut Conn, call: &Call, now: Timestamp) -> Result<Claim<A>> {
        let Some(once) = &call.once else { return Ok(Claim::Open(None)) };
        let credential = call.caller.presented.id();
        let since = now.before(self.policy.request_memory);
        let sealed = match tx.remembered_answers().claim(credential, once.request_id, since, now).await? {
            Ok(claimed) => return Ok(Claim::Open(Some(claimed))),
            Err(sealed) => sealed,
        };
        self.open(call, once, &sealed).map(Claim::Answered)
    }

    /// Opens a remembered answer if it belongs to the same request. One about a person who was erased since is gone.
    fn open<A: Answer>(&self, call: &Call, once: &Once, sealed: &Sealed) -> Result<A> {
        if sealed.is_erased() {
            return Err(Error::NotFound(Entity::User));
        }
        let opened = self.keys.open(sealed, place(call)).map_err(Error::SealedValueUnreadable)?;
        let Some((fingerprint, answer)) = opened.split_first_chunk::<32>() else {
            return Err(Error::internal("a remembered answer is too short"));
        };
        if *fingerprint != once.fingerprint {
            return Err(Error::Taken(Taken::RequestId));
        }
        A::from_bytes(answer)
    }

    async fn remember<A: Answer>(&self, tx: &mut Conn, call: &Call, claimed: ClaimedRequest, answer: &A) -> Result<()> {
        let Some(once) = &call.once else { return Ok(()) };
        let answer = zeroize::Zeroizing::new(answer.to_bytes());
        // What a call is about, and what its answer shows: an unchanged resource has no change, and the answer to a started change of an
        // e-mail names no user.
        let mut persons = [A::persons(&answer), erasure::persons_in_changes(tx.changes())].concat();
        persons.sort_unstable();
        persons.dedup();
        let answer = seal(&self.keys, call, &once.fingerprint, &answer);
        tx.remembered_answers().remember(claimed, answer, &persons).await
    }
}

/// The result of claiming a request.
enum Claim<A> {
    /// Answered before, with this.
    Answered(A),
    /// To be answered now, and remembered if it has an id.
    Open(Option<ClaimedRequest>),
}

/// All answers are sealed, because they may carry secrets.
fn seal(keys: &KeyRing, call: &Call, fingerprint: &[u8; 32], answer: &[u8]) -> Sealed {
    let mut plaintext = zeroize::Zeroizing::new(fingerprint.to_vec());
    plaintext.extend(answer);
    keys.seal(&plaintext, place(call))
}

/// The row and column that a sealed answer belongs to.
fn place(call: &Call) -> SealedAt<'static> {
    let row = call.once.as_ref().map(|once| once.request_id.0).unwrap_or_default();
    SealedAt { table: "cf_remembered_answers", column: "answer", row, owner: call.caller.presented.id().0 }
}

impl App {
    /// Makes a change of the service itself, without a call.
    ///
    /// # Errors
    /// Those of `work` and of the transaction.
    pub async fn change_by_system<T, F>(&self, work: F) -> Result<T>
    where
        T: Send,
        for<'tx> F: Work<&'tx mut Conn, Result<T>, Running: Send> + Copy + Send + Sync,
    {
        let (done, forgotten) = at_once(&self.db, self.encoders.event, self.now(), work).await?;
        self.credentials.forget(forgotten);
        Ok(done)
    }
}

/// Makes a change of the service itself on a database that is not serving calls yet.
///
/// # Errors
/// Those of `work` and of the transaction.
pub async fn by_system<T, F>(db: &Database, encode: EncodeEvent, clock: &dyn Clock, work: F) -> Result<T>
where
    T: Send,
    for<'tx> F: Work<&'tx mut Conn, Result<T>, Running: Send> + Copy + Send + Sync,
{
    at_once(db, encode, clock.now(), work).await.map(|(done, _)| done)
}

async fn at_once<T, F>(db: &Database, encode: EncodeEvent, now: Timestamp, work: F) -> Result<(T, Vec<Invalidation>)>
where
    T: Send,
    for<'tx> F: Work<&'tx mut Conn, Result<T>, Running: Send> + Copy + Send + Sync,
{
    let origin = &Origin::system();
    let done = db.transaction(async |tx| {
        let done = work(tx).await?;
        let forgotten = write_events(tx, encode, origin, now).await?;
        Ok((done, forgotten))
    });
    done.await
}

/// Refuses changes that give authority which nobody has decided on. The service itself may give any.
pub(super) fn all_is_granted(tx: &Conn, origin: &Origin) -> Result<()> {
    match (origin.actor, tx.ungranted()) {
        (Actor::Caller { .. }, Some(change)) => {
            Err(Error::internal(format!("{:?} gives authority that was not granted", change.action)))
        }
        _ => Ok(()),
    }
}

/// Writes the events of the changes of a transaction. Returns which cached API keys they outdate once it commits. It is the last step
/// before the commit.
async fn write_events(
    tx: &mut Conn,
    encode: EncodeEvent,
    origin: &Origin,
    now: Timestamp,
) -> Result<Vec<Invalidation>> {
    all_is_granted(tx, origin)?;
    let (changes, erasing) = (tx.take_changes(), tx.erasing().to_vec());
    // In order, so that events with the same timestamp are listed in the order in which they happened.
    let mut ids: Vec<_> = changes.iter().map(|_| random::uuid(now)).collect();
    ids.sort_unstable();
    let forgotten = changes.iter().flat_map(|change| Invalidation::all_by(change.action, &change.subject)).collect();
    for (change, id) in changes.iter().zip(&ids) {
        if let Some(user) = change.shown_to_organizations_of() {
            tx.events().show_to_organizations_of(user, (*id).into()).await?;
        }
    }
    let events = changes.into_iter().zip(ids);
    let events: Vec<_> = events.map(|(change, id)| encode(change, origin, id.into(), now, &erasing)).collect();
    tx.events().insert(&events).await?;
    Ok(forgotten)
}
