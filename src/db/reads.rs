//! Combines concurrent reads of the same kind into one statement.
//!
//! A statement of one row costs PostgreSQL and its driver many times as much as one more row. So while statements are in flight, further
//! callers wait for the next one, which reads the rows of all of them. A caller waits for at most one statement that was sent before its
//! own, and the result is never older than the request: no statement is sent before its rows are requested.

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

/// Maximum statements of a kind in flight: one that hangs does not delay all others.
const MAX_IN_FLIGHT: usize = 4;
/// Maximum rows per statement.
const MAX_ROWS: usize = 200;

/// A model that can be looked up by id.
pub trait Lookup: Clone + Send + Sync + 'static {
    /// The id type.
    type Id: Copy + Eq + std::hash::Hash + Send + Sync + 'static;

    /// The model with this id, if it is within reach.
    fn get(conn: &mut Conn, reach: &Reach, id: Self::Id) -> impl Future<Output = Result<Option<Self>>> + Send;

    /// The models with these ids that are within reach, in any order.
    fn find(conn: &mut Conn, reach: &Reach, ids: &[Self::Id]) -> impl Future<Output = Result<Vec<Self>>> + Send;

    /// The model's id.
    fn id(&self) -> Self::Id;
}

macro_rules! lookup {
    ($model:ident by $id:ident in $repository:ident) => {
        impl Lookup for $model {
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

lookup!(User by UserId in users);
lookup!(Organization by OrganizationId in organizations);

/// A caller waiting for a row.
type Waiter<T> = (<T as Lookup>::Id, oneshot::Sender<Result<Option<T>>>);

/// Combines the reads of one model.
pub struct BatchedReads<T: Lookup>(Arc<Shared<T>>);

struct Shared<T: Lookup> {
    db: Database,
    state: Mutex<State<T>>,
}

struct State<T: Lookup> {
    in_flight: usize,
    waiting: HashMap<Reach, Vec<Waiter<T>>>,
}

impl<T: Lookup> Clone for BatchedReads<T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<T: Lookup> BatchedReads<T> {
    /// Combines reads of this database.
    pub fn new(db: Database) -> Self {
        Self(Arc::new(Shared { db, state: Mutex::new(State { in_flight: 0, waiting: HashMap::new() }) }))
    }

    /// The row with this id, if it is within reach.
    pub async fn get(&self, reach: Reach, id: T::Id) -> Result<Option<T>> {
        if !self.0.db.is_networked() {
            return self.0.db.read(async |conn| T::get(conn, &reach, id).await).await;
        }
        let (sender, found) = oneshot::channel();
        {
            let mut state = self.0.state.lock().unwrap_or_else(PoisonError::into_inner);
            state.waiting.entry(reach).or_default().push((id, sender));
            if state.in_flight < MAX_IN_FLIGHT {
                state.in_flight += 1;
                tokio::spawn(Batch(Arc::clone(&self.0)).run());
            }
        }
        found.await.unwrap_or_else(|_| Err(Error::internal("a combined read was lost")))
    }
}

/// Permission to have one statement in flight, until dropped.
struct Batch<T: Lookup>(Arc<Shared<T>>);

impl<T: Lookup> Drop for Batch<T> {
    fn drop(&mut self) {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner).in_flight -= 1;
    }
}

impl<T: Lookup> Batch<T> {
    /// Reads the rows of all waiting callers, including those that arrive meanwhile.
    async fn run(self) {
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
                // The receiver may be gone.
                let _ = sender.send(row);
            }
        }
    }

    fn next(&self) -> Option<(Reach, Vec<Waiter<T>>)> {
        let mut state = self.0.state.lock().unwrap_or_else(PoisonError::into_inner);
        let reach = *state.waiting.keys().next()?;
        let waiting = state.waiting.get_mut(&reach)?;
        let rest = waiting.split_off(waiting.len().min(MAX_ROWS));
        let waiting = std::mem::replace(waiting, rest);
        state.waiting.retain(|_, waiting| !waiting.is_empty());
        Some((reach, waiting))
    }
}
