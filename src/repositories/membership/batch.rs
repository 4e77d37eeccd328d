//! Reads of many memberships at once, for batches.

use diesel::{dsl::exists, prelude::*};
use diesel_async::RunQueryDsl;

use super::{MembershipRepository, MembershipRow};
use crate::{
    db::{
        query,
        schema::{memberships, organizations, users},
    },
    error::Result,
    models::{Membership, MembershipId, OrganizationId, Reach, RoleName, UserId},
    repositories::reach::within,
};

impl MembershipRepository<'_> {
    /// The memberships with these ids, in any order.
    pub async fn get_many(&mut self, reach: &Reach, ids: &[MembershipId]) -> Result<Vec<Membership>> {
        let rows: Vec<MembershipRow> = query!(self.conn, c => {
            let query = memberships::table.filter(memberships::id.eq_any(ids));
            let query = query.select(MembershipRow::as_select()).into_boxed::<Backend>();
            within!(memberships, query, reach).load(c)
        })?;
        Ok(rows.into_iter().map(Membership::from).collect())
    }

    /// Organizations owned by any of some users, deleted or not. Takes no reach: every owner counts.
    pub async fn owned_by_any(&mut self, users: &[UserId]) -> Result<Vec<OrganizationId>> {
        query!(self.conn, c => {
            memberships::table
                .filter(memberships::user_id.eq_any(users))
                .filter(memberships::role.eq(RoleName::OWNER))
                .select(memberships::organization_id)
                .load(c)
        })
    }
}
