//! Storage of roles.

use diesel::{dsl::exists, prelude::*};
use diesel_async::RunQueryDsl;

use super::{
    compared, delete_up_to,
    reach::{first_within, within},
    row,
};
use crate::{
    db::{
        Conn, ForUpdate, execute, query,
        schema::{invitations, memberships, organizations, roles, users},
    },
    error::Result,
    models::{
        Action, Cursor, Name, Organization, OrganizationId, Page, PageRequest, Permissions, Reach, Revision, Role,
        RoleId, RoleKey, RoleName, Timestamp,
    },
    repositories::Locked,
};

row!(roles: RoleRow of Role {
    id: RoleId,
    revision: Revision,
    organization_id: OrganizationId,
    name: RoleName,
    display_name: Option<Name>,
    description: Option<Name>,
    permissions: Permissions,
    created_at: Timestamp,
    updated_at: Timestamp,
});

/// Repository of roles.
pub struct RoleRepository<'c> {
    pub(super) conn: &'c mut Conn,
}

impl RoleRepository<'_> {
    /// Stores a new role of a locked organization.
    ///
    /// # Errors
    /// [`Taken::Role`](crate::error::Taken::Role).
    pub async fn insert(&mut self, _organization: &Locked<Organization>, role: &Role) -> Result<()> {
        execute!(self.conn, diesel::insert_into(roles::table).values(RoleRow::from(role)))?;
        self.conn.created(Action::RoleCreated, role);
        Ok(())
    }

    /// The role with this key.
    pub async fn get(&mut self, reach: &Reach, key: &RoleKey) -> Result<Option<Role>> {
        let row: Option<RoleRow> = match key {
            RoleKey::Id(id) => first_within!(
                self.conn,
                roles,
                roles::table.filter(roles::id.eq(*id)).select(RoleRow::as_select()),
                reach
            )?,
            RoleKey::Named(organization, name) => first_within!(
                self.conn,
                roles,
                roles::table
                    .filter(roles::organization_id.eq(*organization))
                    .filter(roles::name.eq(name.clone()))
                    .select(RoleRow::as_select()),
                reach
            )?,
        };
        Ok(row.map(Role::from))
    }

    /// Permissions that a role grants in an organization beyond the built-in ones; `None` if the role does not exist. Takes no reach: the
    /// caller's reach is derived from it.
    pub async fn given(&mut self, organization: OrganizationId, name: &RoleName) -> Result<Option<Permissions>> {
        if name.is_built_in() {
            return Ok(Some(Permissions::default()));
        }
        let role = self.get(&Reach::by_system(), &RoleKey::Named(organization, name.clone())).await?;
        Ok(role.map(|role| role.permissions))
    }

    /// A page of an organization's roles, in order of id.
    pub async fn list(
        &mut self,
        reach: &Reach,
        organization: OrganizationId,
        page: &PageRequest,
    ) -> Result<Page<Role>> {
        let rows: Vec<RoleRow> = query!(self.conn, c => {
            let query = roles::table.filter(roles::organization_id.eq(organization));
            let mut query = query.select(RoleRow::as_select()).into_boxed::<Backend>();
            if let Some(cursor) = &page.after {
                query = query.filter(roles::id.gt(RoleId(cursor.id)));
            }
            within!(roles, query, reach).order(roles::id).limit(page.limit()).load(c)
        })?;
        Ok(page.page(rows, |row| Cursor::by_id(row.id)))
    }

    /// All roles of an organization with their permissions, in order of name. Their number is limited. Takes no reach: the caller's was
    /// checked when the organization was read.
    pub async fn all(&mut self, organization: OrganizationId) -> Result<Vec<(RoleName, Permissions)>> {
        query!(self.conn, c => {
            let own = roles::table.filter(roles::organization_id.eq(organization));
            own.order(roles::name).select((roles::name, roles::permissions)).load(c)
        })
    }

    /// Number of roles of a locked organization.
    pub async fn count(&mut self, organization: &Locked<Organization>) -> Result<i64> {
        query!(self.conn, c => {
            roles::table.filter(roles::organization_id.eq(organization.id)).count().get_result(c)
        })
    }

    /// Locks a role. Lock its organization first.
    pub async fn lock(&mut self, reach: &Reach, id: RoleId) -> Result<Option<Locked<Role>>> {
        let row: Option<RoleRow> = query!(self.conn, c => {
            let query = roles::table.filter(roles::id.eq(id));
            let query = query.select(RoleRow::as_select()).into_boxed::<Backend>();
            async { ForUpdate(within!(roles, query, reach)).get_result(c).await.optional() }
        })?;
        Ok(row.map(|row| Locked::new(row.into())))
    }

    /// True if an invitation or the membership of a user who is not deleted refers to a locked role.
    pub async fn is_used(&mut self, role: &Locked<Role>) -> Result<bool> {
        query!(self.conn, c => {
            let having = memberships::table
                .filter(memberships::organization_id.eq(role.organization_id))
                .filter(memberships::role.eq(&role.name))
                .filter(compared(
                    users::table
                        .filter(users::id.eq(memberships::user_id))
                        .select(users::deleted_at.is_null())
                        .single_value(),
                ));
            let inviting = invitations::table
                .filter(invitations::organization_id.eq(role.organization_id))
                .filter(invitations::role.eq(&role.name));
            diesel::select(exists(having).or(exists(inviting))).get_result(c)
        })
    }

    /// Updates a locked role. One that is as it was when locked is returned as it is, and nothing is written.
    pub async fn save(&mut self, role: Locked<Role>, action: Action, now: Timestamp) -> Result<Role> {
        let (before, role) = match role.changed(now) {
            Ok(written) => written,
            Err(same) => return Ok(same),
        };
        let found = roles::table.filter(roles::id.eq(role.id));
        execute!(self.conn, diesel::update(found).set(RoleRow::from(&role)))?;
        self.conn.changed(action, before, &role);
        Ok(role)
    }

    /// Deletes a locked role.
    pub async fn delete(&mut self, role: Locked<Role>) -> Result<()> {
        execute!(self.conn, diesel::delete(roles::table.filter(roles::id.eq(role.id))))?;
        self.conn.removed(Action::RoleDeleted, role.into_inner());
        Ok(())
    }

    /// Deletes up to `limit` roles of a locked organization and returns how many.
    pub async fn delete_of_organization(&mut self, organization: &Locked<Organization>, limit: i64) -> Result<usize> {
        let matches = roles::organization_id.eq(organization.id);
        let (found, rows) = delete_up_to!(limit, self.conn, roles: RoleRow of RoleId, matches);
        self.conn.removed_all::<Role, _>(Action::RoleDeleted, rows);
        Ok(found)
    }

    /// A batch of all roles within reach, in order of id, whatever the state of their organizations.
    pub async fn export(&mut self, reach: &Reach, after: Option<RoleId>, limit: i64) -> Result<Vec<Role>> {
        let rows: Vec<RoleRow> = query!(self.conn, c => {
            let mut query = roles::table.select(RoleRow::as_select()).into_boxed::<Backend>();
            query = match *reach {
                Reach::Everything(_) => query,
                Reach::Organization(id) => query.filter(roles::organization_id.eq(id)),
                // Resources of organizations are exported per organization.
                Reach::User(_) => query.filter(roles::id.ne(roles::id)),
            };
            if let Some(after) = after {
                query = query.filter(roles::id.gt(after));
            }
            query.order(roles::id).limit(limit).load(c)
        })?;
        Ok(rows.into_iter().map(Role::from).collect())
    }
}
