//! Lists of events. Each is driven by one index; conditions that the index does not serve are compared row by row, up to a number of rows.

use std::cmp::Reverse;

use diesel::prelude::*;
use diesel_async::RunQueryDsl;

use super::{
    super::{compared, reach::within},
    EventRepository, EventRow, Placed, PlacedRow,
};
use crate::{
    db::{query, schema::events},
    error::Result,
    models::{
        Action, ActorKind, ApiKeyId, Cursor, EventFilter, EventId, OrganizationId, Page, PageRequest, Reach,
        ResourceId, Sequence, UserId,
    },
    security::random::first_uuid_at,
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

/// Applies a list's time range, page and order, down to `looked_to` if given. There is one bound at each end: given two, SQLite seeks to
/// the first and scans to the other.
macro_rules! in_time {
    ($query:expr, $filter:expr, $page:expr, $looked_to:expr) => {{
        let mut query = $query;
        let from = $page.created.from.map(|from| EventId(first_uuid_at(from)));
        if let Some(from) = from.max($looked_to) {
            query = query.filter(events::id.ge(from));
        }
        let before = $page.created.before.map(|before| EventId(first_uuid_at(before)));
        let before = before.into_iter().chain($page.after.as_ref().map(|cursor| EventId(cursor.id))).min();
        if let Some(before) = before {
            query = query.filter(events::id.lt(before));
        }
        query.order(events::id.desc())
    }};
}

/// Restricts a query to what the driver's index finds, in the order of the list.
macro_rules! searched {
    ($query:expr, $driver:expr, $filter:expr, $page:expr, $looked_to:expr) => {{
        let query = match $driver {
            Driver::Everything => $query,
            Driver::Resource(id) => $query.filter(events::resource_id.eq(id)),
            Driver::User(id) => $query.filter(events::user_id.eq(id)),
            Driver::Organization(id) => $query.filter(events::organization_id.eq(id)),
            Driver::ActorApiKey(id) => $query.filter(events::actor_api_key_id.eq(id)),
            Driver::ActorUser(id) => $query.filter(events::actor_user_id.eq(id)),
        };
        in_time!(query, $filter, $page, $looked_to)
    }};
}

impl EventRepository<'_> {
    /// A page of events, newest first, in order of id.
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
        // The index on actions is ordered within each action; a page is merged from the newest events of each.
        let Some(driver) = Driver::of(&filter) else {
            let actions = filter.actions.as_deref().unwrap_or_default();
            let rows = self.heads(reach, &filter, actions, page).await?;
            return Ok(page.page(rows.into_iter().map(PlacedRow).collect(), PlacedRow::cursor));
        };
        let mut looked_to = None;
        if asks_for_several(&filter) {
            looked_to = query!(self.conn, c => {
                let query = events::table.select(events::id).into_boxed::<Backend>();
                let last = searched!(query, driver, &filter, page, None::<EventId>).limit(1).offset(page.look() - 1);
                async { last.get_result(c).await.optional() }
            })?;
        }
        let rows = self.looked_at(reach, &filter, driver, looked_to, page).await?;
        let looked_to = looked_to.map(Cursor::by_id);
        let rows = rows.into_iter().map(PlacedRow).collect();
        Ok(page.page_looked_at(rows, looked_to, PlacedRow::cursor))
    }

    /// The newest events that pass the filter, down to the last row to be examined.
    async fn looked_at(
        &mut self,
        reach: &Reach,
        filter: &EventFilter,
        driver: Driver,
        looked_to: Option<EventId>,
        page: &PageRequest,
    ) -> Result<Vec<(Sequence, EventRow)>> {
        query!(self.conn, c => {
            let query = events::table.select((events::sequence, EventRow::as_select())).into_boxed::<Backend>();
            let mut query = searched!(query, driver, filter, page, looked_to);
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

    /// The newest events of the given actions, one page. Only a reach of everything lists by action alone.
    async fn heads(
        &mut self,
        reach: &Reach,
        filter: &EventFilter,
        actions: &[Action],
        page: &PageRequest,
    ) -> Result<Vec<(Sequence, EventRow)>> {
        let mut ids: Vec<EventId> = Vec::new();
        for action in actions {
            let more: Vec<EventId> = query!(self.conn, c => {
                let query = events::table.select(events::id).into_boxed::<Backend>();
                in_time!(query.filter(events::action.eq(*action)), filter, page, None::<EventId>).limit(page.limit()).load(c)
            })?;
            ids.extend(more);
        }
        ids.sort_unstable_by_key(|id| Reverse(*id));
        ids.truncate(usize::try_from(page.limit()).unwrap_or(usize::MAX));
        let mut rows: Vec<(Sequence, EventRow)> = query!(self.conn, c => {
            let query = events::table.select((events::sequence, EventRow::as_select())).into_boxed::<Backend>();
            within!(events, query.filter(events::id.eq_any(&ids)), reach).load(c)
        })?;
        rows.sort_unstable_by_key(|(_, row)| Reverse(row.id));
        Ok(rows)
    }
}

impl PlacedRow {
    fn cursor(&self) -> Cursor {
        Cursor::by_id(self.0.1.id)
    }
}
