//! What a transaction has changed, and the authority that it may give.

use super::Conn;
use crate::models::{Change, Grant};

impl Conn {
    /// Notes a change, which must become an event before the transaction commits.
    pub(crate) fn record(&mut self, change: Change) {
        self.changes.push(change);
    }

    /// Notes that authority may be given. Only `handlers::authority`, which decides that, calls it.
    pub(crate) fn grant(&mut self, grant: Grant) {
        if !self.granted.contains(&grant) {
            self.granted.push(grant);
        }
    }

    /// The first change that gives authority which nobody has decided on.
    pub(crate) fn ungranted(&self) -> Option<&Change> {
        self.changes.iter().find(|change| change.gives().is_some_and(|grant| !self.granted.contains(&grant)))
    }

    /// What was changed since the last call. Who takes it writes the events.
    pub(crate) fn take_changes(&mut self) -> Vec<Change> {
        self.actions.extend(self.changes.iter().map(|change| change.action));
        std::mem::take(&mut self.changes)
    }
}
