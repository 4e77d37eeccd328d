//! Ranges of ids. Ids begin with the creation time, so a range of time is a range of ids, and so is what a page continues with.

use uuid::Uuid;

use crate::{
    models::{Order, PageRequest},
    security::random::first_uuid_at,
};

/// A range of ids. There is one bound at each end: given two, SQLite seeks to the first and scans to the other.
#[derive(Clone, Copy, Debug)]
pub(super) struct Span {
    /// Exclusive; no resource has the nil id.
    pub(super) after: Uuid,
    /// Inclusive.
    pub(super) up_to: Uuid,
}

impl Span {
    /// The ids of a list within a period of creation that follow the page before.
    pub(super) fn of(page: &PageRequest) -> Self {
        let span = Self {
            after: page.created.from.map_or(Uuid::nil(), |from| before(first_uuid_at(from))),
            up_to: page.created.before.map_or(Uuid::max(), |time| before(first_uuid_at(time))),
        };
        page.after.as_ref().map_or(span, |cursor| span.beyond(cursor.id, page.order))
    }

    /// The part that follows `id` in an order.
    pub(super) fn beyond(self, id: Uuid, order: Order) -> Self {
        match order {
            Order::OldestFirst => Self { after: self.after.max(id), ..self },
            Order::NewestFirst => Self { up_to: self.up_to.min(before(id)), ..self },
        }
    }

    /// The part that ends with `id` in an order.
    pub(super) fn until(self, id: Uuid, order: Order) -> Self {
        match order {
            Order::OldestFirst => Self { up_to: self.up_to.min(id), ..self },
            Order::NewestFirst => Self { after: self.after.max(before(id)), ..self },
        }
    }

    pub(super) fn contains(&self, id: Uuid) -> bool {
        self.after < id && id <= self.up_to
    }
}

fn before(id: Uuid) -> Uuid {
    Uuid::from_u128(id.as_u128().saturating_sub(1))
}
