//! Storage of memberships.

mod batch;
mod by_value;
mod count;
mod list;
mod members;

use diesel::{dsl::exists, prelude::*};
use diesel_async::RunQueryDsl;

pub use self::members::Member;
use super::{
    MAX_BATCH, Span, compared, delete_up_to, in_period, metadata,
    reach::{first_within, within},
    role::RoleRow,
    row, spanned,
    user::MemberCopy,
};
use crate::{
    db::{
        Conn, ForUpdate, execute, query,
        schema::{memberships, organizations, roles, users},
    },
    error::Result,
    models::{
        Action, Change, ExternalId, HeldPermissions, JsonObject, Membership, MembershipId, MembershipKey,
        MembershipState, Organization, OrganizationId, OrganizationState, Permissions, Reach, Revision, Role, RoleName,
        Timestamp, User, UserId, UserState, permission::Standing,
    },
    repositories::Locked,
};

row!(memberships: MembershipRow of Membership {
    id: MembershipId,
    revision: Revision,
    user_id: UserId,
    organization_id: OrganizationId,
    role: RoleName,
    permissions: Permissions,
    state: MembershipState,
    created_at: Timestamp,
    updated_at: Timestamp,
    external_id: Option<ExternalId>,
    metadata: JsonObject,
    private_metadata: JsonObject,
});

/// Repository of memberships.
pub struct MembershipRepository<'c> {
    pub(super) conn: &'c mut Conn,
}

impl MembershipRepository<'_> {
    /// Stores a new membership of a user that is locked or new. Takes no reach: the row is new.
    ///
    /// # Errors
    /// [`Taken::Membership`](crate::error::Taken::Membership),
    /// [`Taken::MembershipExternalId`](crate::error::Taken::MembershipExternalId).
    pub async fn insert(&mut self, membership: &Membership, user: &User) -> Result<()> {
        self.free_external_id(None, membership).await?;
        // Copies of the member's data, by which members are searched; `UserRepository::save` keeps them up to date.
        let copy = MemberCopy::of(user);
        let columns = (
            memberships::user_email.eq(copy.email),
            memberships::user_search.eq(copy.search),
            memberships::user_state.eq(copy.state),
        );
        let values = (MembershipRow::from(membership), columns);
        execute!(self.conn, diesel::insert_into(memberships::table).values(values))?;
        metadata::index(self.conn, membership).await?;
        // With the event, the organization begins to see the user.
        let created = Change::new(Action::MembershipCreated, None, Some(membership.clone().into()));
        self.conn.record(Change { member: Some(user.clone()), ..created });
        Ok(())
    }

    /// The membership with this key.
    pub async fn get(&mut self, reach: &Reach, key: MembershipKey) -> Result<Option<Membership>> {
        let row: Option<MembershipRow> = match key {
            MembershipKey::Id(id) => first_within!(
                self.conn,
                memberships,
                memberships::table.filter(memberships::id.eq(id)).select(MembershipRow::as_select()),
                reach
            )?,
            MembershipKey::Ends(user, organization) => first_within!(
                self.conn,
                memberships,
                memberships::table
                    .filter(memberships::user_id.eq(user))
                    .filter(memberships::organization_id.eq(organization))
                    .select(MembershipRow::as_select()),
                reach
            )?,
            MembershipKey::External(organization, external_id) => {
                self.by_external_id(reach, organization, &external_id).await?
            }
        };
        Ok(row.map(Membership::from))
    }

    /// The authority a user holds in an organization that is not deleted: none by a disabled membership. Takes no reach: the caller's reach is derived from it.
    pub async fn held(&mut self, user: UserId, organization: OrganizationId) -> Result<HeldPermissions> {
        let membership = self.get(&Reach::by_system(), MembershipKey::Ends(user, organization)).await?;
        match membership {
            Some(membership) if membership.is_active() => {
                self.held_by(organization, &membership.role, &membership.permissions).await
            }
            Some(_) | None => Ok(HeldPermissions::nothing()),
        }
    }

    /// A member's standing in an organization, in one statement. Deleted users and organizations are not found; suspended ones are.
    pub async fn standing(
        &mut self,
        reach: &Reach,
        user: UserId,
        organization: OrganizationId,
    ) -> Result<Option<Standing>> {
        type MemberRow = (MembershipRow, Option<RoleRow>, Option<UserState>, Option<bool>, Option<OrganizationState>);
        let found: Option<MemberRow> =
            first_within!(
                self.conn,
                memberships,
                memberships::table
                    .left_join(roles::table.on(
                        roles::organization_id.eq(memberships::organization_id).and(roles::name.eq(memberships::role))
                    ),)
                    .filter(memberships::user_id.eq(user))
                    .filter(memberships::organization_id.eq(organization))
                    .select((
                        MembershipRow::as_select(),
                        Option::<RoleRow>::as_select(),
                        users::table.filter(users::id.eq(user)).select(users::state).single_value(),
                        users::table.filter(users::id.eq(user)).select(users::is_platform_admin).single_value(),
                        organizations::table
                            .filter(organizations::id.eq(organization))
                            .select(organizations::state)
                            .single_value(),
                    )),
                reach
            )?;
        Ok(found.map(|(membership, role, user, is_platform_admin, organization)| Standing {
            membership: membership.into(),
            role: role.map(Role::from),
            user_is_active: user == Some(UserState::Active),
            is_platform_admin: is_platform_admin == Some(true),
            organization_is_active: organization == Some(OrganizationState::Active),
        }))
    }

    /// The authority that a role, which grants nothing if it does not exist, and permissions give a member. Takes no
    /// reach: the caller's reach is derived from it.
    pub async fn held_by(
        &mut self,
        organization: OrganizationId,
        role: &RoleName,
        given: &Permissions,
    ) -> Result<HeldPermissions> {
        let own = self.conn.roles().given(organization, role).await?;
        Ok(HeldPermissions::by(role, given).and(&own.unwrap_or_default()))
    }

    /// Locks a membership. Lock its organization first.
    pub async fn lock(&mut self, reach: &Reach, key: MembershipKey) -> Result<Option<Locked<Membership>>> {
        let row: Option<MembershipRow> = query!(self.conn, c => {
            let query = memberships::table.select(MembershipRow::as_select()).into_boxed::<Backend>();
            let query = match key {
                MembershipKey::Id(id) => query.filter(memberships::id.eq(id)),
                MembershipKey::Ends(user, organization) => {
                    query.filter(memberships::user_id.eq(user)).filter(memberships::organization_id.eq(organization))
                }
                MembershipKey::External(organization, external_id) => query
                    .filter(memberships::organization_id.eq(organization))
                    .filter(memberships::external_id.eq(external_id)),
            };
            async { ForUpdate(within!(memberships, query, reach)).get_result(c).await.optional() }
        })?;
        Ok(row.map(|row| Locked::new(row.into())))
    }

    /// Organizations owned by a user, deleted or not. Takes no reach: every owner counts.
    pub async fn owned_by(&mut self, user_id: UserId) -> Result<Vec<OrganizationId>> {
        query!(self.conn, c => {
            memberships::table
                .filter(memberships::user_id.eq(user_id))
                .filter(memberships::role.eq(RoleName::OWNER))
                .select(memberships::organization_id)
                .load(c)
        })
    }

    /// Those of the given organizations that have an active owner, not counting the user `without`. Takes no reach: every owner counts.
    pub async fn with_active_owner(
        &mut self,
        organizations: &[OrganizationId],
        without: Option<UserId>,
    ) -> Result<Vec<OrganizationId>> {
        query!(self.conn, c => {
            let mut query = memberships::table
                .inner_join(users::table.on(users::id.eq(memberships::user_id)))
                .filter(memberships::organization_id.eq_any(organizations))
                .filter(memberships::role.eq(RoleName::OWNER))
                .filter(compared(memberships::state.eq(MembershipState::Active)))
                .filter(users::state.eq(UserState::Active))
                .filter(users::deleted_at.is_null())
                .select(memberships::organization_id)
                .distinct()
                .into_boxed::<Backend>();
            if let Some(user) = without {
                query = query.filter(memberships::user_id.ne(user));
            }
            query.load(c)
        })
    }

    /// Updates a locked membership. One that is as it was when locked is returned as it is, and nothing is written.
    ///
    /// # Errors
    /// [`Taken::MembershipExternalId`](crate::error::Taken::MembershipExternalId).
    pub async fn save(&mut self, membership: Locked<Membership>, action: Action, now: Timestamp) -> Result<Membership> {
        // A transfer to a member who is an owner already changes who is accountable.
        let written = if action == Action::MembershipOwnershipTransferred {
            Ok(membership.written(now))
        } else {
            membership.changed(now)
        };
        let (before, membership) = match written {
            Ok(written) => written,
            Err(same) => return Ok(same),
        };
        self.free_external_id(Some(&before), &membership).await?;
        let found = memberships::table.filter(memberships::id.eq(membership.id));
        execute!(self.conn, diesel::update(found).set(MembershipRow::from(&membership)))?;
        if action == Action::MembershipOwnershipTransferred {
            let found = organizations::table.filter(organizations::id.eq(membership.organization_id));
            // Not the new owner, who has not agreed to answer for the keys of others.
            let accountable = organizations::accountable_user_id.eq(None::<UserId>);
            execute!(self.conn, diesel::update(found).set(accountable))?;
        } else if before.role.is_owner() && !(membership.role.is_owner() && membership.is_active()) {
            self.no_longer_accountable(membership.user_id, vec![membership.organization_id]).await?;
        }
        metadata::reindex(self.conn, &before, &membership).await?;
        self.conn.changed(action, before, &membership);
        Ok(membership)
    }

    /// Ends a user's accountability for the API keys of some organizations: a founder who has left or is shut out must not be able to use up
    /// their share, nor they the founder's. From then on such an organization has its own share.
    async fn no_longer_accountable(&mut self, user: UserId, organizations: Vec<OrganizationId>) -> Result<()> {
        query!(self.conn, c => {
            let own = organizations::table
                .filter(organizations::id.eq_any(&organizations))
                .filter(organizations::accountable_user_id.eq(user));
            diesel::update(own).set(organizations::accountable_user_id.eq(None::<UserId>)).execute(c)
        })?;
        Ok(())
    }

    /// A batch of all memberships within reach, in order of id, whatever the state of their users and organizations.
    pub async fn export(&mut self, reach: &Reach, after: Option<MembershipId>, limit: i64) -> Result<Vec<Membership>> {
        let rows: Vec<MembershipRow> = query!(self.conn, c => {
            let mut query = memberships::table.select(MembershipRow::as_select()).into_boxed::<Backend>();
            query = match *reach {
                Reach::Everything(_) => query,
                Reach::Organization(id) => query.filter(memberships::organization_id.eq(id)),
                Reach::User(id) => query.filter(memberships::user_id.eq(id)),
            };
            if let Some(after) = after {
                query = query.filter(memberships::id.gt(after));
            }
            query.order(memberships::id).limit(limit).load(c)
        })?;
        Ok(rows.into_iter().map(Membership::from).collect())
    }

    /// Gives memberships with a role that is being deleted the role `viewer`. Only those of deleted users have it still.
    pub async fn remove_role(&mut self, role: &Locked<Role>, now: Timestamp) -> Result<()> {
        let matches = || memberships::organization_id.eq(role.organization_id).and(memberships::role.eq(&role.name));
        loop {
            let ids: Vec<MembershipId> = query!(self.conn, c => {
                memberships::table.filter(matches()).select(memberships::id).order(memberships::id).limit(MAX_BATCH).load(c)
            })?;
            if ids.is_empty() {
                return Ok(());
            }
            let rows: Vec<MembershipRow> = query!(self.conn, c => {
                diesel::update(memberships::table.filter(memberships::id.eq_any(&ids)))
                    .set((
                        memberships::role.eq(RoleName::viewer()),
                        memberships::updated_at.eq(now),
                        memberships::revision.eq(memberships::revision + 1),
                    ))
                    .returning(MembershipRow::as_returning())
                    .get_results(c)
            })?;
            for after in rows.into_iter().map(Membership::from) {
                let before = Membership { role: role.name.clone(), ..after.clone() };
                self.conn.changed(Action::MembershipRoleRemoved, before, &after);
            }
        }
    }

    /// Deletes up to `limit` memberships of a locked user and returns how many.
    pub async fn delete_of_user(&mut self, user: &Locked<User>, limit: i64) -> Result<usize> {
        let matches = memberships::user_id.eq(user.id);
        let (found, rows) = delete_up_to!(limit, self.conn, memberships: MembershipRow of MembershipId, matches);
        let owned = rows.iter().filter(|row| row.role.is_owner()).map(|row| row.organization_id);
        let owned: Vec<OrganizationId> = owned.collect();
        if !owned.is_empty() {
            self.no_longer_accountable(user.id, owned).await?;
        }
        let removed: Vec<Membership> = rows.into_iter().map(Membership::from).collect();
        metadata::unindex(self.conn, &removed).await?;
        self.conn.removed_all::<Membership, _>(Action::MembershipDeleted, removed);
        Ok(found)
    }

    /// Deletes up to `limit` memberships of a locked organization and returns how many.
    pub async fn delete_of_organization(&mut self, organization: &Locked<Organization>, limit: i64) -> Result<usize> {
        let matches = memberships::organization_id.eq(organization.id);
        let (found, rows) = delete_up_to!(limit, self.conn, memberships: MembershipRow of MembershipId, matches);
        let removed: Vec<Membership> = rows.into_iter().map(Membership::from).collect();
        metadata::unindex(self.conn, &removed).await?;
        self.conn.removed_all::<Membership, _>(Action::MembershipDeleted, removed);
        Ok(found)
    }

    /// Deletes a locked membership.
    pub async fn delete(&mut self, membership: Locked<Membership>) -> Result<()> {
        metadata::unindex(self.conn, [&*membership]).await?;
        execute!(self.conn, diesel::delete(memberships::table.filter(memberships::id.eq(membership.id))))?;
        if membership.role.is_owner() {
            self.no_longer_accountable(membership.user_id, vec![membership.organization_id]).await?;
        }
        self.conn.removed(Action::MembershipDeleted, membership.into_inner());
        Ok(())
    }
}
