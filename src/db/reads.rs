//! Reads of the same kind that are asked for at once, made one statement.
//!
//! A statement of one row costs PostgreSQL and its driver many times what a further row costs. So while a statement is on its way,
//! whoever asks for another row waits for the next one, which asks for all of them. Nobody waits for more than one statement that
//! was sent before, and none is sent before it is asked for: what is read is never older than the question.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use tokio::sync::oneshot;

use crate::{
    db::{Conn, Database},
    error::{Error, Result, chain},
    models::{Organization, OrganizationId, Reach, User, UserId},
};

/// Most statements of a kind at once: one that hangs does not hold up all others.
const MAX_FLIGHTS: usize = 4;
/// Most rows of a statement.
const MAX_ROWS: usize = 200;

/// What is found by an id.
pub trait Found: Clone + Send + Sync + 'static {
    /// What it is found by.
    type Id: Copy + Eq + std::hash::Hash + Send + Sync + 'static;

    /// Finds that of an id, if it is within a reach.
    fn get(conn: &mut Conn, reach: &Reach, id: Self::Id) -> impl Future<Output = Result<Option<Self>>> + Send;

    /// Finds those of some ids that are within a reach.
    fn find(conn: &mut Conn, reach: &Reach, ids: &[Self::Id]) -> impl Future<Output = Result<Vec<Self>>> + Send;

    /// The id of one.
    fn id(&self) -> Self::Id;
}

macro_rules! found {
    ($model:ident by $id:ident in $repository:ident) => {
        impl Found for $model {
            type Id = $id;

            async fn get(conn: &mut Conn, reach: &Reach, id: $id) -> Result<Option<Self>> {
                conn.$repository().get(reach, id).await
            }

            async fn find(conn: &mut Conn, reach: &Reach, ids: &[$id]) -> Result<Vec<Self>> {
                conn.$repository().get_many(reach, ids).await
            }

            fn id(&self) -> $id {
                self.id
            }
        }
    };
}

found!(User by UserId in users);
found!(Organization by OrganizationId in organizations);

/// Whoever waits for a row.
type Waiting<T> = (<T as Found>::Id, oneshot::Sender<Result<Option<T>>>);

/// Gathers the reads of one kind.
pub struct Gather<T: Found>(Arc<Inner<T>>);

struct Inner<T: Found> {
    db: Database,
    state: Mutex<State<T>>,
}

struct State<T: Found> {
    flights: usize,
    waiting: HashMap<Reach, Vec<Waiting<T>>>,
}

impl<T: Found> Clone for Gather<T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<T: Found> Gather<T> {
    /// Gathers reads of a database.
    pub fn new(db: Database) -> Self {
        Self(Arc::new(Inner { db, state: Mutex::new(State { flights: 0, waiting: HashMap::new() }) }))
    }

    /// The row of an id, if it is within a reach.
    ///
    /// # Errors
    /// When the database cannot be used.
    pub async fn get(&self, reach: Reach, id: T::Id) -> Result<Option<T>> {
        if !self.0.db.has_round_trips() {
            return self.0.db.read(async |conn| T::get(conn, &reach, id).await).await;
        }
        let (sender, found) = oneshot::channel();
        {
            let mut state = self.0.state.lock().unwrap_or_else(PoisonError::into_inner);
            state.waiting.entry(reach).or_default().push((id, sender));
            if state.flights < MAX_FLIGHTS {
                state.flights += 1;
                tokio::spawn(Flight(Arc::clone(&self.0)).fly());
            }
        }
        found.await.unwrap_or_else(|_| Err(Error::internal("a gathered read was lost")))
    }
}

/// The right to have a statement on its way, until it is dropped.
struct Flight<T: Found>(Arc<Inner<T>>);

impl<T: Found> Drop for Flight<T> {
    fn drop(&mut self) {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner).flights -= 1;
    }
}

impl<T: Found> Flight<T> {
    /// Reads for all who wait, and for those who came meanwhile.
    async fn fly(self) {
        while let Some((reach, waiting)) = self.next() {
            let ids: Vec<T::Id> = waiting.iter().map(|(id, _)| *id).collect();
            let (reach, ids) = (&reach, &ids);
            let found = self.0.db.read(async |conn| T::find(conn, reach, ids).await).await;
            let found = found.map(|rows| rows.into_iter().map(|row| (row.id(), row)).collect::<HashMap<_, _>>());
            let found = found.map_err(|error| chain(&error));
            for (id, sender) in waiting {
                let row = match &found {
                    Ok(rows) => Ok(rows.get(&id).cloned()),
                    Err(error) => Err(Error::Unavailable(error.clone().into())),
                };
                // Who asked may have gone.
                let _ = sender.send(row);
            }
        }
    }

    fn next(&self) -> Option<(Reach, Vec<Waiting<T>>)> {
        let mut state = self.0.state.lock().unwrap_or_else(PoisonError::into_inner);
        let reach = *state.waiting.keys().next()?;
        let waiting = state.waiting.get_mut(&reach)?;
        let rest = waiting.split_off(waiting.len().min(MAX_ROWS));
        let waiting = std::mem::replace(waiting, rest);
        state.waiting.retain(|_, waiting| !waiting.is_empty());
        Some((reach, waiting))
    }
}
