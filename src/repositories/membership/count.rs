//! Counts of memberships.

use diesel::prelude::*;
use diesel_async::RunQueryDsl;

use super::{MemberCopy, MembershipRepository, compared};
use crate::{
    db::{
        Counted, query,
        schema::{memberships, organizations},
    },
    error::Result,
    models::{Count, Organization, OrganizationId, RoleName, User, UserId, UserState},
    repositories::Locked,
};

impl MembershipRepository<'_> {
    /// Number of memberships of a locked organization, including those of deleted users.
    pub async fn count(&mut self, organization: &Locked<Organization>) -> Result<i64> {
        query!(self.conn, c => {
            memberships::table.filter(memberships::organization_id.eq(organization.id)).count().get_result(c)
        })
    }

    /// Number of members of a locked organization, without deleted users.
    pub async fn count_shown(&mut self, organization: &Locked<Organization>) -> Result<i64> {
        query!(self.conn, c => {
            memberships::table
                .filter(memberships::organization_id.eq(organization.id))
                .filter(compared(memberships::user_state.ne(MemberCopy::DELETED)))
                .count()
                .get_result(c)
        })
    }

    /// Number of memberships of a locked user, including those in deleted organizations.
    pub async fn count_of_user(&mut self, user: &Locked<User>) -> Result<i64> {
        query!(self.conn, c => {
            memberships::table.filter(memberships::user_id.eq(user.id)).count().get_result(c)
        })
    }

    /// Number of memberships of a locked user, without those in deleted organizations.
    pub async fn count_shown_of_user(&mut self, user: &Locked<User>) -> Result<i64> {
        query!(self.conn, c => {
            memberships::table
                .inner_join(organizations::table.on(organizations::id.eq(memberships::organization_id)))
                .filter(memberships::user_id.eq(user.id))
                .filter(compared(organizations::deleted_at.is_null()))
                .count()
                .get_result(c)
        })
    }

    /// Number of organizations owned by a user, without deleted ones. Takes no reach: all of them count.
    pub async fn count_owned_by(&mut self, user: UserId) -> Result<i64> {
        query!(self.conn, c => {
            memberships::table
                .inner_join(organizations::table.on(organizations::id.eq(memberships::organization_id)))
                .filter(memberships::user_id.eq(user))
                .filter(memberships::role.eq(RoleName::OWNER))
                .filter(organizations::deleted_at.is_null())
                .count()
                .get_result(c)
        })
    }

    /// Number of members of an organization in a state, or not deleted, up to [`Count::MOST`]. Takes no reach: the caller sees the
    /// organization.
    pub async fn count_members(
        &mut self,
        organization: OrganizationId,
        state: Option<UserState>,
        roles: &[RoleName],
    ) -> Result<Count> {
        let states: Vec<&str> = match state {
            Some(state) => vec![MemberCopy::state(state)],
            None => UserState::ALL.iter().map(|state| MemberCopy::state(*state)).collect(),
        };
        let counted: i64 = query!(self.conn, c => {
            let query = memberships::table.select(memberships::id).into_boxed::<Backend>();
            let query = query.filter(memberships::organization_id.eq(organization));
            let query = if roles.is_empty() {
                query.filter(memberships::user_state.eq_any(&states))
            } else {
                query.filter(memberships::role.eq_any(roles)).filter(compared(memberships::user_state.eq_any(&states)))
            };
            Counted(query.limit(Count::MOST + 1)).get_result(c)
        })?;
        Ok(Count::of(counted))
    }
}
