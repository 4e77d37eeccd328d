//! Previews of changes on the wire.

use crate::{
    app::dry_run::Preview,
    error::{Error, Precondition},
    grpc::status::reason,
    pb,
};

/// The preview of a call, if it has one.
pub fn optional(preview: Option<Preview>) -> Option<pb::Impact> {
    preview.map(Into::into)
}

impl From<Preview> for pb::Impact {
    fn from(Preview { impact, blockers }: Preview) -> Self {
        Self {
            memberships: impact.memberships,
            api_keys: impact.api_keys,
            sessions: impact.sessions,
            invitations: impact.invitations,
            organizations_without_owner: impact.organizations_without_owner.iter().map(ToString::to_string).collect(),
            blockers: blockers.into_iter().map(blocker).collect(),
        }
    }
}

fn blocker(precondition: Precondition) -> pb::Blocker {
    let organization_ids = match &precondition {
        Precondition::LastOwner(ids) => ids.iter().map(ToString::to_string).collect(),
        _ => Vec::new(),
    };
    let error = Error::Precondition(precondition);
    pb::Blocker { reason: reason(&error).into(), message: error.to_string(), organization_ids }
}
