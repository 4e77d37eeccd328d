//! Members of an organization with what decides about their permissions.

use diesel::prelude::*;
use diesel_async::RunQueryDsl;

use super::MembershipRepository;
use crate::{
    db::{
        query,
        schema::{memberships, users},
    },
    error::Result,
    models::{MembershipId, MembershipState, OrganizationId, Permissions, RoleName, Timestamp, UserId, UserState},
};

/// A member of an organization, whatever its state.
pub struct Member {
    /// The membership.
    pub id: MembershipId,
    /// The user.
    pub user_id: UserId,
    /// The role.
    pub role: RoleName,
    /// The permissions of the membership.
    pub permissions: Permissions,
    /// Whether the membership is active.
    pub is_active: bool,
    /// Whether the user is neither suspended nor deleted.
    pub user_is_active: bool,
    /// Whether the user is a platform admin.
    pub is_platform_admin: bool,
}

type MemberRow = (MembershipId, UserId, RoleName, Permissions, MembershipState, UserState, Option<Timestamp>, bool);

// The condition of the partial index, word for word: an index is not used for a list that is bound.
diesel::postfix_operator!(IsNotEmpty, " <> '[]'");

/// Memberships joined with their users. The order of id ends the walk of an index early, so the join only looks users up.
macro_rules! members {
    ($organization:expr) => {
        memberships::table
            .inner_join(users::table.on(users::id.eq(memberships::user_id)))
            .filter(memberships::organization_id.eq($organization))
            .select((
                memberships::id,
                memberships::user_id,
                memberships::role,
                memberships::permissions,
                memberships::state,
                users::state,
                users::deleted_at,
                users::is_platform_admin,
            ))
    };
    ($organization:expr, after $after:expr, $limit:expr) => {
        members!($organization).filter(memberships::id.gt($after)).order(memberships::id).limit($limit)
    };
}

fn read(rows: Vec<MemberRow>) -> Vec<Member> {
    let read = |(id, user_id, role, permissions, state, user_state, deleted_at, is_platform_admin): MemberRow| Member {
        id,
        user_id,
        role,
        permissions,
        is_active: state == MembershipState::Active,
        user_is_active: user_state == UserState::Active && deleted_at.is_none(),
        is_platform_admin,
    };
    rows.into_iter().map(read).collect()
}

impl MembershipRepository<'_> {
    /// Up to `limit` members after a membership, in order of id. Takes no reach: the organization was found within it.
    pub async fn members(
        &mut self,
        organization: OrganizationId,
        after: MembershipId,
        limit: i64,
    ) -> Result<Vec<Member>> {
        let rows: Vec<MemberRow> = query!(self.conn, c => {
            members!(organization, after after, limit).load(c)
        })?;
        Ok(read(rows))
    }

    /// As [`Self::members`], with a role. Takes no reach: the organization was found within it.
    pub async fn members_with_role(
        &mut self,
        organization: OrganizationId,
        role: &RoleName,
        after: MembershipId,
        limit: i64,
    ) -> Result<Vec<Member>> {
        let rows: Vec<MemberRow> = query!(self.conn, c => {
            members!(organization, after after, limit).filter(memberships::role.eq(role)).load(c)
        })?;
        Ok(read(rows))
    }

    /// As [`Self::members`], with permissions of their own. Takes no reach: the organization was found within it.
    pub async fn members_with_own_permissions(
        &mut self,
        organization: OrganizationId,
        after: MembershipId,
        limit: i64,
    ) -> Result<Vec<Member>> {
        let rows: Vec<MemberRow> = query!(self.conn, c => {
            members!(organization, after after, limit).filter(IsNotEmpty::new(memberships::permissions)).load(c)
        })?;
        Ok(read(rows))
    }

    /// Those of some users who are members, in any order. Takes no reach: the organization was found within it.
    pub async fn members_of_users(&mut self, organization: OrganizationId, users: &[UserId]) -> Result<Vec<Member>> {
        if users.is_empty() {
            return Ok(Vec::new());
        }
        let rows: Vec<MemberRow> = query!(self.conn, c => {
            members!(organization).filter(memberships::user_id.eq_any(users)).load(c)
        })?;
        Ok(read(rows))
    }
}
