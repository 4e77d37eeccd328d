//! Lists of events. Each is driven by one index; conditions that the index does not serve are compared row by row, up to a number of rows.

use diesel::prelude::*;
use diesel_async::RunQueryDsl;

use super::{
    super::{Span, compared, reach::within, spanned},
    EventRepository, EventRow, Placed, PlacedRow,
};
use crate::{
    db::{query, schema::events},
    error::Result,
    models::{
        Action, ActorKind, ApiKeyId, Cursor, EventFilter, EventId, Order, OrganizationId, Page, PageRequest, Reach,
        ResourceId, Sequence, UserId,
    },
};

/// The one index that finds a list's events in order. Indexes of one tenant or one of its resources come before those that may span
/// tenants.
#[derive(Clone, Copy)]
enum Driver {
    Everything,
    Resource(ResourceId),
    User(UserId),
    Organization(OrganizationId),
    ActorApiKey(ApiKeyId),
    ActorUser(UserId),
}

impl Driver {
    /// `None` for a list filtered by actions alone, which several ranges of one index serve.
    fn of(filter: &EventFilter) -> Option<Self> {
        Some(match (filter.resource_id, filter.user_id, filter.organization_id) {
            (Some(id), ..) => Self::Resource(id),
            (None, Some(id), _) => Self::User(id),
            (None, None, Some(id)) => Self::Organization(id),
            (None, None, None) => match (filter.actor_api_key_id, filter.actor_user_id, &filter.actions) {
                (Some(id), ..) => Self::ActorApiKey(id),
                (None, Some(id), _) => Self::ActorUser(id),
                (None, None, Some(_)) => return None,
                (None, None, None) => Self::Everything,
            },
        })
    }
}

/// True if a filter has conditions beyond what one index serves.
fn asks_for_several(filter: &EventFilter) -> bool {
    let asked = [
        filter.resource_id.is_some(),
        filter.user_id.is_some(),
        filter.organization_id.is_some(),
        filter.actor_api_key_id.is_some(),
        filter.actor_user_id.is_some(),
        filter.actions.is_some(),
    ];
    asked.into_iter().filter(|asked| *asked).count() > 1
}

/// Restricts a query to what the driver's index finds, in the order of the list.
macro_rules! searched {
    ($query:expr, $driver:expr, $span:expr, $page:expr) => {{
        let query = match $driver {
            Driver::Everything => $query,
            Driver::Resource(id) => $query.filter(events::resource_id.eq(id)),
            Driver::User(id) => $query.filter(events::user_id.eq(id)),
            Driver::Organization(id) => $query.filter(events::organization_id.eq(id)),
            Driver::ActorApiKey(id) => $query.filter(events::actor_api_key_id.eq(id)),
            Driver::ActorUser(id) => $query.filter(events::actor_user_id.eq(id)),
        };
        spanned!(query, events::id, EventId, $span, $page.order)
    }};
}

impl EventRepository<'_> {
    /// A page of events, in order of id.
    pub async fn list(&mut self, reach: &Reach, filter: &EventFilter, page: &PageRequest) -> Result<Page<Placed>> {
        // Without an organization, a user sees only events about itself, which one index finds.
        let own = match *reach {
            Reach::User(id) if filter.organization_id.is_none() => Some(id),
            _ => None,
        };
        if filter.user_id.zip(own).is_some_and(|(asked, own)| asked != own) {
            return Ok(page.page(Vec::<PlacedRow>::new(), PlacedRow::cursor));
        }
        let user_id = filter.user_id.or(own);
        let organization_id = match *reach {
            Reach::Organization(id) => filter.organization_id.or(Some(id)),
            Reach::Everything(_) | Reach::User(_) => filter.organization_id,
        };
        let filter = EventFilter { organization_id, user_id, ..filter.clone() };
        // The index on actions is ordered within each action; a page is merged from the first events of each.
        let Some(driver) = Driver::of(&filter) else {
            let actions = filter.actions.as_deref().unwrap_or_default();
            let rows = self.heads(reach, actions, page).await?;
            return Ok(page.page(rows.into_iter().map(PlacedRow).collect(), PlacedRow::cursor));
        };
        let span = Span::of(page);
        let mut looked_to: Option<EventId> = None;
        if asks_for_several(&filter) {
            looked_to = query!(self.conn, c => {
                let query = events::table.select(events::id).into_boxed::<Backend>();
                let last = searched!(query, driver, span, page).limit(1).offset(page.look() - 1);
                async { last.get_result(c).await.optional() }
            })?;
        }
        let span = looked_to.map_or(span, |last| span.until(last.0, page.order));
        let rows = self.looked_at(reach, &filter, driver, span, page).await?;
        let looked_to = looked_to.map(Cursor::by_id);
        let rows = rows.into_iter().map(PlacedRow).collect();
        Ok(page.page_looked_at(rows, looked_to, PlacedRow::cursor))
    }

    /// The first events of a span that pass the filter.
    async fn looked_at(
        &mut self,
        reach: &Reach,
        filter: &EventFilter,
        driver: Driver,
        span: Span,
        page: &PageRequest,
    ) -> Result<Vec<(Sequence, EventRow)>> {
        query!(self.conn, c => {
            let query = events::table.select((events::sequence, EventRow::as_select())).into_boxed::<Backend>();
            let mut query = searched!(query, driver, span, page);
            if let Some(actions) = &filter.actions {
                query = query.filter(compared(events::action.eq_any(actions)));
            }
            // The driver's own condition is compared once more, which costs nothing.
            if let Some(id) = filter.organization_id {
                query = query.filter(compared(events::organization_id.eq(id)));
            }
            if let Some(id) = filter.user_id {
                query = query.filter(compared(events::user_id.eq(id)));
            }
            if let Some(id) = filter.actor_user_id {
                query = query.filter(compared(events::actor_user_id.eq(id)));
            }
            if let Some(id) = filter.actor_api_key_id {
                query = query.filter(compared(events::actor_api_key_id.eq(id)));
            }
            query = match *reach {
                Reach::Everything(_) => query,
                Reach::Organization(organization) => {
                    query.filter(compared(events::organization_id.eq(organization)))
                }
                Reach::User(user) => query.filter(compared(events::user_id.eq(user))),
            };
            if !reach.is_everything() && (filter.actor_user_id.is_some() || filter.actor_api_key_id.is_some()) {
                // Actors of the platform are not shown, so they cannot be filtered by either.
                query = query.filter(events::actor_kind.eq_any([ActorKind::User, ActorKind::Organization]));
            }
            query.limit(page.limit()).load(c)
        })
    }

    /// The first events of the given actions, one page. Only a reach of everything lists by action alone.
    async fn heads(
        &mut self,
        reach: &Reach,
        actions: &[Action],
        page: &PageRequest,
    ) -> Result<Vec<(Sequence, EventRow)>> {
        let mut ids: Vec<EventId> = Vec::new();
        for action in actions {
            let more: Vec<EventId> = query!(self.conn, c => {
                let query = events::table.select(events::id).into_boxed::<Backend>();
                let query = query.filter(events::action.eq(*action));
                spanned!(query, events::id, EventId, Span::of(page), page.order).limit(page.limit()).load(c)
            })?;
            ids.extend(more);
        }
        ids.sort_unstable();
        if page.order == Order::NewestFirst {
            ids.reverse();
        }
        ids.truncate(usize::try_from(page.limit()).unwrap_or(usize::MAX));
        let mut rows: Vec<(Sequence, EventRow)> = query!(self.conn, c => {
            let query = events::table.select((events::sequence, EventRow::as_select())).into_boxed::<Backend>();
            within!(events, query.filter(events::id.eq_any(&ids)), reach).load(c)
        })?;
        rows.sort_unstable_by_key(|(_, row)| row.id);
        if page.order == Order::NewestFirst {
            rows.reverse();
        }
        Ok(rows)
    }
}

impl PlacedRow {
    fn cursor(&self) -> Cursor {
        Cursor::by_id(self.0.1.id)
    }
}
