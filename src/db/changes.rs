//! Changes recorded by a transaction, and the authority it may grant.

use super::Conn;
use crate::models::{Change, Grant};

impl Conn {
    /// Records a change. It must become an event before the transaction commits.
    pub(crate) fn record(&mut self, change: Change) {
        self.changes.push(change);
    }

    /// The changes recorded so far.
    pub(crate) fn changes(&self) -> &[Change] {
        &self.changes
    }

    /// Permits a grant. Only `app::authority`, which makes that decision, calls it.
    pub(crate) fn grant(&mut self, grant: Grant) {
        if !self.granted.contains(&grant) {
            self.granted.push(grant);
        }
    }

    /// The first recorded change that grants authority which `app::authority` has not permitted.
    pub(crate) fn ungranted(&self) -> Option<&Change> {
        self.changes.iter().find(|change| change.gives().is_some_and(|grant| !self.granted.contains(&grant)))
    }

    /// Changes recorded since the last call. The caller writes their events.
    pub(crate) fn take_changes(&mut self) -> Vec<Change> {
        self.actions.extend(self.changes.iter().map(|change| change.action));
        std::mem::take(&mut self.changes)
    }
}
