//! Calls with `validate_only`: they check every rule, report what would happen, and stop before anything is written.

use crate::{
    error::{Error, Precondition, Result},
    models::{Call, Impact},
};

/// The outcome of a change that was only checked.
pub struct Preview {
    /// The extent of the change.
    pub impact: Impact,
    /// The rules that forbid it.
    pub blockers: Vec<Precondition>,
}

/// Collects the rules that a call with `validate_only` breaks. Other calls fail at the first one.
pub(super) struct DryRun {
    validate_only: bool,
    blockers: Vec<Precondition>,
}

impl DryRun {
    pub(super) fn of(call: &Call) -> Self {
        Self { validate_only: call.validate_only, blockers: Vec::new() }
    }

    /// Notes a rule that forbids the change; without `validate_only` it is the error of the call.
    pub(super) fn rule(&mut self, checked: Result<()>) -> Result<()> {
        match checked {
            Err(Error::Precondition(blocker)) if self.validate_only => {
                self.blockers.push(blocker);
                Ok(())
            }
            checked => checked,
        }
    }

    /// The preview of a call with `validate_only`. `None` for other calls, for which nothing is counted.
    pub(super) async fn preview(self, count: impl Future<Output = Result<Impact>>) -> Result<Option<Preview>> {
        if !self.validate_only {
            return Ok(None);
        }
        Ok(Some(Preview { impact: count.await?, blockers: self.blockers }))
    }
}
