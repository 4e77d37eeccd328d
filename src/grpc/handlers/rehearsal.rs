//! Calls with `validate_only`: they look at every rule, tell what would happen, and stop before anything is written.

use crate::{
    error::{Error, Precondition, Result},
    grpc::convert,
    models::{Call, Impact},
    pb,
};

/// What a call finds on its way that may be one with `validate_only`.
pub(super) struct Rehearsal {
    validate_only: bool,
    blockers: Vec<Precondition>,
}

impl Rehearsal {
    /// The rehearsal of a call; of one that is to do what it says, none.
    pub(super) fn of(call: &Call) -> Self {
        Self { validate_only: call.validate_only, blockers: Vec::new() }
    }

    /// Notes what stands in the way; a call that is to do what it says ends there.
    pub(super) fn rule(&mut self, checked: Result<()>) -> Result<()> {
        match checked {
            Err(Error::Precondition(blocker)) if self.validate_only => {
                self.blockers.push(blocker);
                Ok(())
            }
            checked => checked,
        }
    }

    /// What would happen. `None` for a call that is to do what it says, and then nothing is counted.
    pub(super) async fn impact(self, count: impl Future<Output = Result<Impact>>) -> Result<Option<pb::Impact>> {
        if !self.validate_only {
            return Ok(None);
        }
        Ok(Some(convert::impact::impact(&count.await?, self.blockers)))
    }
}
