//! The single entry point of every change. In one transaction the work is done, its changes become events, and the answer is
//! stored if the request carries an id: all of it commits, or none of it.

use crate::{
    app::{App, credentials::Forgotten},
    clock::Clock,
    db::{Conn, Database, Work, fault},
    error::{Error, Result, Taken},
    models::{Actor, Call, Change, Event, EventId, Once, Origin, Sealed, Timestamp},
    repositories::ClaimedRequest,
    security::{
        random,
        sealing::{KeyRing, Place},
    },
};

/// The answer to a call in the form in which it is stored and returned again.
pub trait Answer: Sized + Send + Sync {
    /// Encodes it.
    fn to_bytes(&self) -> Vec<u8>;

    /// Decodes it.
    ///
    /// # Errors
    /// [`Error::Internal`] for bytes that are no such answer.
    fn from_bytes(bytes: &[u8]) -> Result<Self>;
}

/// Makes the event of a change.
pub type EncodeEvent = fn(Change, &Origin, EventId, Timestamp) -> Event;

impl App {
    /// Makes a change for a call. `work` does it and returns models, of which `answer` makes the answer. A request that was
    /// answered before is answered the same again, without any work.
    ///
    /// # Errors
    /// Those of `work`; [`Taken::RequestId`] for a request id that named another request; those of a transaction.
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
            // What is remembered already takes no more room.
            return self.answered(call).await?.ok_or(Error::RequestMemoryFull(wait));
        }
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

    /// The answer that a request got before, for a call that does work before it changes anything: done again, that work might not come
    /// to the same.
    ///
    /// # Errors
    /// [`Taken::RequestId`] for a request id that named another request; when the database cannot be used.
    pub async fn answered<A: Answer>(&self, call: &Call) -> Result<Option<A>> {
        let Some(once) = &call.once else { return Ok(None) };
        let (credential, since) = (call.caller.presented.id(), self.now().before(self.policy.request_memory));
        let sealed = self.db.read(async |conn| conn.remembered_answers().get(credential, once.request_id, since).await);
        match sealed.await? {
            Some(sealed) => self.open(call, once, &sealed).map(Some),
            None => Ok(None),
        }
    }

    /// Writes the event of something that changes nothing.
    ///
    /// # Errors
    /// When it cannot be written.
    pub async fn note(&self, origin: &Origin, change: Change) -> Result<()> {
        let (now, change) = (self.now(), &change);
        let note = self.db.transaction(async |tx| {
            tx.record(change.clone());
            write_events(tx, self.encoders.event, origin, now).await.map(drop)
        });
        note.await
    }

    /// Takes a request on, or finds the answer that it got before.
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

    /// Opens a remembered answer, if it is one to the same request.
    fn open<A: Answer>(&self, call: &Call, once: &Once, sealed: &Sealed) -> Result<A> {
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
        let answer = seal(&self.keys, call, &once.fingerprint, answer);
        tx.remembered_answers().remember(claimed, answer).await
    }
}

/// What becomes of a request that may have been sent before.
enum Claim<A> {
    /// It was answered so.
    Answered(A),
    /// It is to be answered now, and remembered if it has a name.
    Open(Option<ClaimedRequest>),
}

/// Answers may carry secrets, so all of them are sealed.
fn seal(keys: &KeyRing, call: &Call, fingerprint: &[u8; 32], answer: &impl Answer) -> Sealed {
    let mut plaintext = zeroize::Zeroizing::new(fingerprint.to_vec());
    plaintext.extend(answer.to_bytes());
    keys.seal(&plaintext, place(call))
}

/// Where the sealed answer to a call belongs.
fn place(call: &Call) -> Place<'static> {
    let row = call.once.as_ref().map(|once| once.request_id.0).unwrap_or_default();
    Place { table: "cf_remembered_answers", column: "answer", row, owner: call.caller.presented.id().0 }
}

impl App {
    /// Does work of the service's own, that nobody called for.
    ///
    /// # Errors
    /// What `work` and a transaction answer.
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

/// Does work of the service's own on a database that nobody is served from yet.
///
/// # Errors
/// What `work` and a transaction answer.
pub async fn by_system<T, F>(db: &Database, encode: EncodeEvent, clock: &dyn Clock, work: F) -> Result<T>
where
    T: Send,
    for<'tx> F: Work<&'tx mut Conn, Result<T>, Running: Send> + Copy + Send + Sync,
{
    at_once(db, encode, clock.now(), work).await.map(|(done, _)| done)
}

async fn at_once<T, F>(db: &Database, encode: EncodeEvent, now: Timestamp, work: F) -> Result<(T, Vec<Forgotten>)>
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

/// Makes events of what a transaction has changed, and tells what is known of API keys that is not true any more once it commits.
/// It is the last thing before the commit.
async fn write_events(tx: &mut Conn, encode: EncodeEvent, origin: &Origin, now: Timestamp) -> Result<Vec<Forgotten>> {
    if let (Actor::Caller { .. }, Some(change)) = (origin.actor, tx.ungranted()) {
        return Err(Error::internal(format!("{:?} gives authority that nobody has decided on", change.action)));
    }
    let changes = tx.take_changes();
    // In order, so that events of one moment are listed as they happened.
    let mut ids: Vec<_> = changes.iter().map(|_| random::uuid(now)).collect();
    ids.sort_unstable();
    let forgotten = changes.iter().flat_map(|change| Forgotten::all_by(change.action, &change.subject)).collect();
    let events = changes.into_iter().zip(ids);
    let events: Vec<_> = events.map(|(change, id)| encode(change, origin, id.into(), now)).collect();
    tx.events().insert(&events).await?;
    Ok(forgotten)
}
