//! Storage of organizations.

mod by_value;
mod list;
mod slug;

use diesel::prelude::*;
use diesel_async::RunQueryDsl;

use super::{MAX_BATCH, left, metadata, reach::within, row};
use crate::{
    db::{
        Conn, ForUpdate, execute, query,
        schema::{memberships, organizations},
    },
    error::Result,
    models::{
        Action, ExternalId, Impact, JsonObject, Name, Organization, OrganizationId, OrganizationState, Plan, Reach,
        Revision, SearchKey, Slug, Timestamp, UserId, WebUrl, search::Searched,
    },
    repositories::Locked,
};

row!(organizations: OrganizationRow of Organization {
    id: OrganizationId,
    revision: Revision,
    name: Name,
    name_normalized: SearchKey,
    slug: Slug,
    logo_url: Option<WebUrl>,
    plan: Plan,
    settings: JsonObject,
    state: OrganizationState,
    deleted_at: Option<Timestamp>,
    created_at: Timestamp,
    updated_at: Timestamp,
    external_id: Option<ExternalId>,
    private_metadata: JsonObject,
});

/// Repository of organizations.
pub struct OrganizationRepository<'c> {
    pub(super) conn: &'c mut Conn,
}

impl OrganizationRepository<'_> {
    /// Names and slugs of up to 100 organizations of a member. Takes no reach: they are never revealed.
    pub async fn names_of_member(&mut self, user: UserId) -> Result<Vec<(Name, Slug)>> {
        query!(self.conn, c => {
            memberships::table
                .inner_join(organizations::table.on(organizations::id.eq(memberships::organization_id)))
                .filter(memberships::user_id.eq(user))
                .filter(organizations::deleted_at.is_null())
                .select((organizations::name, organizations::slug))
                .limit(100)
                .load(c)
        })
    }

    /// Stores a new organization. The usage of its API keys counts towards `accountable`; see `membership.rs` for when that ends.
    /// Takes no reach: the row is new.
    ///
    /// # Errors
    /// [`Taken::OrganizationSlug`](crate::error::Taken::OrganizationSlug),
    /// [`Taken::OrganizationExternalId`](crate::error::Taken::OrganizationExternalId).
    pub async fn insert(&mut self, organization: &Organization, accountable: UserId) -> Result<()> {
        let accountable = organizations::accountable_user_id.eq(Some(accountable));
        let values = (OrganizationRow::from(organization), accountable);
        execute!(self.conn, diesel::insert_into(organizations::table).values(values))?;
        self.conn.search().note_new(Searched::Organizations, organization.id.0).await?;
        metadata::index(self.conn, organization).await?;
        self.take_slug(&organization.slug).await?;
        self.conn.created(Action::OrganizationCreated, organization);
        Ok(())
    }

    /// The organization with this id.
    pub async fn get(&mut self, reach: &Reach, id: OrganizationId) -> Result<Option<Organization>> {
        let row: Option<OrganizationRow> = query!(self.conn, c => {
            let query = organizations::table.filter(organizations::id.eq(id));
            let query = query.select(OrganizationRow::as_select()).into_boxed::<Backend>();
            async { within!(organizations, query, reach).get_result(c).await.optional() }
        })?;
        Ok(row.map(Organization::from))
    }

    /// The organizations with these ids, in any order.
    pub async fn get_many(&mut self, reach: &Reach, ids: &[OrganizationId]) -> Result<Vec<Organization>> {
        let rows: Vec<OrganizationRow> = query!(self.conn, c => {
            let query = organizations::table.filter(organizations::id.eq_any(ids));
            let query = query.select(OrganizationRow::as_select()).into_boxed::<Backend>();
            within!(organizations, query, reach).load(c)
        })?;
        Ok(rows.into_iter().map(Organization::from).collect())
    }

    /// Locks an organization. The lock also serialises all changes of its memberships.
    pub async fn lock(&mut self, reach: &Reach, id: OrganizationId) -> Result<Option<Locked<Organization>>> {
        let row: Option<OrganizationRow> = query!(self.conn, c => {
            let query = organizations::table.filter(organizations::id.eq(id));
            let query = query.select(OrganizationRow::as_select()).into_boxed::<Backend>();
            async { ForUpdate(within!(organizations, query, reach)).get_result(c).await.optional() }
        })?;
        Ok(row.map(|row| Locked::new(row.into())))
    }

    /// Locks organizations in order of id, for a transaction that changes things in several.
    pub async fn lock_in_order(&mut self, reach: &Reach, ids: &[OrganizationId]) -> Result<()> {
        let _: Vec<OrganizationId> = query!(self.conn, c => {
            let query = organizations::table.filter(organizations::id.eq_any(ids)).select(organizations::id);
            ForUpdate(within!(organizations, query.into_boxed::<Backend>(), reach).order(organizations::id)).load(c)
        })?;
        Ok(())
    }

    /// Locks an organization that may be deleted.
    pub async fn lock_including_deleted(
        &mut self,
        reach: &Reach,
        id: OrganizationId,
    ) -> Result<Option<Locked<Organization>>> {
        let row: Option<OrganizationRow> = query!(self.conn, c => {
            let query = organizations::table.filter(organizations::id.eq(id));
            let query = query.select(OrganizationRow::as_select()).into_boxed::<Backend>();
            async { ForUpdate(within!(also deleted organizations, query, reach)).get_result(c).await.optional() }
        })?;
        Ok(row.map(|row| Locked::new(row.into())))
    }

    /// Locks organizations in order of id, so that their owners cannot change and none is restored meanwhile, and returns those that are
    /// not deleted. Takes no reach: a departing user leaves every organization it owns, including those the caller cannot see.
    pub async fn lock_many(&mut self, ids: &[OrganizationId]) -> Result<Vec<OrganizationId>> {
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        let locked: Vec<(OrganizationId, Option<Timestamp>)> = query!(self.conn, c => {
            let query = organizations::table
                .filter(organizations::id.eq_any(ids))
                .order(organizations::id)
                .select((organizations::id, organizations::deleted_at));
            ForUpdate(query).load(c)
        })?;
        Ok(locked.into_iter().filter(|(_, deleted_at)| deleted_at.is_none()).map(|(id, _)| id).collect())
    }

    /// Updates a locked organization. One that is as it was when locked is returned as it is, and nothing is written.
    ///
    /// # Errors
    /// [`Taken::OrganizationSlug`](crate::error::Taken::OrganizationSlug),
    /// [`Taken::OrganizationExternalId`](crate::error::Taken::OrganizationExternalId).
    pub async fn save(
        &mut self,
        organization: Locked<Organization>,
        action: Action,
        now: Timestamp,
    ) -> Result<Organization> {
        let (before, organization) = match organization.changed(now) {
            Ok(written) => written,
            Err(same) => return Ok(same),
        };
        let found = organizations::table.filter(organizations::id.eq(organization.id));
        execute!(self.conn, diesel::update(found).set(OrganizationRow::from(&organization)))?;
        if before.searched() != organization.searched() {
            self.conn.search().changed(Searched::Organizations, organization.id.0).await?;
        }
        metadata::reindex(self.conn, &before, &organization).await?;
        if before.slug != organization.slug {
            self.remember_slug(&before, &organization).await?;
        } else if action == Action::OrganizationUndeleted {
            self.take_slug(&organization.slug).await?;
        }
        self.conn.changed(action, before, &organization);
        Ok(organization)
    }

    /// A batch of all organizations within reach, in order of id, including deleted ones.
    pub async fn export(
        &mut self,
        reach: &Reach,
        after: Option<OrganizationId>,
        limit: i64,
    ) -> Result<Vec<Organization>> {
        let rows: Vec<OrganizationRow> = query!(self.conn, c => {
            let mut query = organizations::table.select(OrganizationRow::as_select()).into_boxed::<Backend>();
            query = match *reach {
                Reach::Everything(_) => query,
                Reach::Organization(id) => query.filter(organizations::id.eq(id)),
                // Organizations belong to no user.
                Reach::User(_) => query.filter(organizations::id.ne(organizations::id)),
            };
            if let Some(after) = after {
                query = query.filter(organizations::id.gt(after));
            }
            query.order(organizations::id).limit(limit).load(c)
        })?;
        Ok(rows.into_iter().map(Organization::from).collect())
    }

    /// Up to `limit` organizations deleted before `before`. Takes no reach: only the service itself calls it.
    pub async fn deleted_before(&mut self, before: Timestamp, limit: i64) -> Result<Vec<OrganizationId>> {
        query!(self.conn, c => {
            let deleted = organizations::table.filter(organizations::deleted_at.lt(before));
            deleted.order(organizations::deleted_at).select(organizations::id).limit(limit).load(c)
        })
    }

    /// Counts of what depends on a locked organization and stops working along with it.
    pub async fn impact(&mut self, organization: &Locked<Organization>, now: Timestamp) -> Result<Impact> {
        Ok(Impact {
            memberships: self.conn.memberships().count_shown(organization).await?,
            api_keys: self.conn.api_keys().count_of_organization(organization).await?,
            sessions: 0,
            invitations: self.conn.invitations().count_pending(organization, now).await?,
            organizations_without_owner: Vec::new(),
        })
    }

    /// Deletes up to `limit` resources that depend on a locked organization and returns how many.
    pub async fn delete_dependents(&mut self, organization: &Locked<Organization>, limit: i64) -> Result<usize> {
        let mut removed = self.conn.memberships().delete_of_organization(organization, limit).await?;
        removed += self.conn.api_keys().delete_of_organization(organization, left(limit, removed)).await?;
        removed += self.conn.invitations().delete_of_organization(organization, left(limit, removed)).await?;
        Ok(removed + self.conn.roles().delete_of_organization(organization, left(limit, removed)).await?)
    }

    /// Erases a locked organization and everything that depends on it.
    pub async fn delete(&mut self, organization: Locked<Organization>) -> Result<()> {
        while self.delete_dependents(&organization, MAX_BATCH).await? > 0 {}
        metadata::unindex(self.conn, [&*organization]).await?;
        execute!(self.conn, diesel::delete(organizations::table.filter(organizations::id.eq(organization.id))))?;
        self.conn.removed(Action::OrganizationPurged, organization.into_inner());
        Ok(())
    }
}
