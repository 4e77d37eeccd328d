//! What a change would do, on the wire.

use crate::{
    error::{Error, Precondition},
    grpc::status::reason,
    models::Impact,
    pb,
};

/// What a change would do, and what stands in its way.
pub fn impact(impact: &Impact, blockers: Vec<Precondition>) -> pb::Impact {
    pb::Impact {
        memberships: impact.memberships,
        api_keys: impact.api_keys,
        sessions: impact.sessions,
        invitations: impact.invitations,
        organizations_without_owner: impact.organizations_without_owner.iter().map(ToString::to_string).collect(),
        blockers: blockers.into_iter().map(blocker).collect(),
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
