//! Slugs: finding organizations by them, and remembering former ones.

use diesel::prelude::*;
use diesel_async::RunQueryDsl;

use super::{OrganizationRepository, OrganizationRow};
use crate::{
    db::{
        execute, query,
        schema::{former_slugs, organizations},
    },
    error::Result,
    models::{Organization, Reach, Slug},
    repositories::reach::within,
};

/// Maximum number of former slugs kept per organization.
const MAX_FORMER: i64 = 10;
/// Maximum number of former slugs that one change deletes. More than one, so that a lower maximum takes effect.
const MAX_DELETED: i64 = 10;

impl OrganizationRepository<'_> {
    /// The organization with this slug.
    pub async fn get_by_slug(&mut self, reach: &Reach, slug: &Slug) -> Result<Option<Organization>> {
        let row: Option<OrganizationRow> = query!(self.conn, c => {
            let query = organizations::table.filter(organizations::slug.eq(slug));
            let query = query.select(OrganizationRow::as_select()).into_boxed::<Backend>();
            async { within!(organizations, query, reach).get_result(c).await.optional() }
        })?;
        Ok(row.map(Organization::from))
    }

    /// The organization that had this slug before. One statement, so that a foreign slug costs as much as one that does not exist.
    pub async fn get_by_former_slug(&mut self, reach: &Reach, slug: &Slug) -> Result<Option<Organization>> {
        let row: Option<OrganizationRow> = query!(self.conn, c => {
            let query = former_slugs::table
                .inner_join(organizations::table.on(organizations::id.eq(former_slugs::organization_id)))
                .filter(former_slugs::slug.eq(slug))
                .select(OrganizationRow::as_select())
                .into_boxed::<Backend>();
            async { within!(organizations, query, reach).get_result(c).await.optional() }
        })?;
        Ok(row.map(Organization::from))
    }

    /// Forgets that another organization had this slug before.
    pub(super) async fn take_slug(&mut self, slug: &Slug) -> Result<()> {
        let found = former_slugs::table.filter(former_slugs::slug.eq(slug.clone()));
        execute!(self.conn, diesel::delete(found))
    }

    /// Remembers the slug that a locked organization had before a change, and forgets the oldest beyond [`MAX_FORMER`]. The change is
    /// already stored: an organization that waited for the slug sees the row, and takes it.
    pub(super) async fn remember_slug(&mut self, before: &Organization, after: &Organization) -> Result<()> {
        query!(self.conn, c => {
            let taken = former_slugs::table.filter(former_slugs::slug.eq_any([&before.slug, &after.slug]));
            diesel::delete(taken).execute(c)
        })?;
        query!(self.conn, c => {
            let former = (
                former_slugs::slug.eq(&before.slug),
                former_slugs::organization_id.eq(after.id),
                former_slugs::revision.eq(after.revision),
            );
            diesel::insert_into(former_slugs::table).values(former).execute(c)
        })?;
        let oldest: Vec<Slug> = query!(self.conn, c => {
            former_slugs::table
                .filter(former_slugs::organization_id.eq(after.id))
                .order(former_slugs::revision.desc())
                .select(former_slugs::slug)
                .offset(MAX_FORMER)
                .limit(MAX_DELETED)
                .load(c)
        })?;
        if !oldest.is_empty() {
            query!(self.conn, c => {
                diesel::delete(former_slugs::table.filter(former_slugs::slug.eq_any(&oldest))).execute(c)
            })?;
        }
        Ok(())
    }
}
