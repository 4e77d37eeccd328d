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

    /// The first change of the current item that grants authority which `app::authority` has not permitted.
    pub(crate) fn ungranted(&self) -> Option<&Change> {
        let of_item = self.changes.get(self.settled..).unwrap_or_default();
        of_item.iter().find(|change| change.gives().is_some_and(|grant| !self.granted.contains(&grant)))
    }

    /// Number of changes recorded so far.
    pub(crate) fn recorded(&self) -> usize {
        self.changes.len()
    }

    /// Ends one item of a transaction that has several, once [`Conn::ungranted`] has found nothing. What was permitted for it is not
    /// permitted for the next one.
    pub(crate) fn end_item(&mut self) {
        self.settled = self.changes.len();
        self.granted.clear();
    }

    /// Changes recorded since the last call. The caller writes their events.
    pub(crate) fn take_changes(&mut self) -> Vec<Change> {
        self.actions.extend(self.changes.iter().map(|change| change.action));
        self.settled = 0;
        std::mem::take(&mut self.changes)
    }
}
