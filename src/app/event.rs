//! Listing events, and reading them for the streams of events and of snapshots.

use std::time::Duration;

use tokio::sync::watch;

use super::{
    App, guards,
    streams::{Slot, StreamKind},
};
use crate::{
    db::Conn,
    error::{Error, Result},
    models::{
        Caller, Event, EventFilter, OrganizationId, Page, PageRequest, Reach, ResourceId, ResourceType, Scope,
        Sequence, State, Timestamp, permission,
    },
};

/// Maximum number of events read at once. An event has up to about 70 KiB, and twice the private metadata, so a watch whose client
/// does not read holds at most about 4 MiB, including the messages waiting to be sent.
const EVENTS: i64 = 32;
/// Maximum number of resources of a snapshot read at once. A resource has up to about 50 KiB.
const RESOURCES: i64 = 200;
/// Maximum number of positions of the event stream that one read covers, however many of them match.
const SCAN: Sequence = 5_000;
/// An event whose change began before another one may follow that in the order, by no more than the time that a call may take.
const LATE: Duration = Duration::from_mins(2);
/// Maximum attempts at a snapshot. One fails if a change before its position is not committed yet.
const SNAPSHOT_ATTEMPTS: u32 = 200;

/// The rights that a stream was opened with. They are checked again while it is open.
pub struct StreamRights {
    /// The caller that opened it.
    pub caller: Caller,
    /// The scope that its method requires.
    pub scope: Scope,
}

/// A watch that may begin.
pub struct OpenedWatch {
    /// Its slot among the open streams.
    pub slot: Slot,
    /// The position up to which events can be read, as it advances.
    pub settled: watch::Receiver<Sequence>,
    /// The position after which it begins.
    pub place: Sequence,
    /// The time of its first event, if it begins at a time: some events after the position are earlier.
    pub from: Option<Timestamp>,
}

/// Where a watch begins.
#[derive(Clone, Copy, Debug)]
pub enum WatchStart {
    /// With the events from now on.
    Now,
    /// After a position.
    After(Sequence),
    /// With the first event at this time or later.
    At(Timestamp),
}

/// The next events of a watch.
pub struct EventBatch {
    /// The events in order.
    pub events: Vec<(Sequence, Event)>,
    /// The position up to which there are no further matches.
    pub reached: Sequence,
}

/// A connection that sees the state of one moment.
pub struct Snapshot {
    conn: Conn,
    /// The last event that the state includes.
    pub place: Sequence,
}

/// Lists a page of events.
pub async fn list(
    app: &App,
    caller: &Caller,
    filter: &EventFilter,
    page: &PageRequest,
) -> Result<Page<(Sequence, Event)>> {
    let list = app.db.scan(async |conn| {
        may_see(conn, caller, filter.organization_id).await?;
        conn.events().list(&filter.reach(caller.reach()), filter, page).await
    });
    list.await
}

/// Opens a watch. It begins after a position, at a time, or with the events from now on.
///
/// # Errors
/// [`Error::StreamLimitReached`]; [`Error::EventCursorExpired`] for a position or a time after which events are no longer
/// stored.
pub async fn open_watch(app: &App, caller: &Caller, filter: &EventFilter, start: WatchStart) -> Result<OpenedWatch> {
    app.db.read(async |conn| may_see(conn, caller, filter.organization_id).await).await?;
    let slot = app.streams.open(caller, StreamKind::Watch)?;
    let settled = app.feed.follow();
    let place = match start {
        WatchStart::Now => app.db.read(async |conn| conn.events().settled().await).await?,
        WatchStart::After(place) => {
            let (floor, last) = app.db.read(async |conn| conn.events().ends().await).await?;
            if !(floor..=last).contains(&place) {
                return Err(Error::EventCursorExpired);
            }
            place
        }
        WatchStart::At(time) => {
            let earlier = time.before(LATE);
            app.db.read(async |conn| conn.events().last_before(earlier).await).await?
        }
    };
    let from = match start {
        WatchStart::At(time) => Some(time),
        WatchStart::Now | WatchStart::After(_) => None,
    };
    Ok(OpenedWatch { slot, settled, place, from })
}

/// Reads the next events of a watch after one position, up to another.
pub async fn next_events(
    app: &App,
    rights: &StreamRights,
    filter: &EventFilter,
    (after, up_to): (Sequence, Sequence),
) -> Result<EventBatch> {
    let up_to = up_to.min(after.saturating_add(SCAN));
    let reach = filter.reach(rights.caller.reach());
    may_still_see(app, rights, filter.organization_id).await?;
    let events = app.db.scan(async |conn| conn.events().between(&reach, filter, (after, up_to), EVENTS).await).await?;
    let is_all = i64::try_from(events.len()).unwrap_or(i64::MAX) < EVENTS;
    let reached = if is_all { up_to } else { events.last().map_or(after, |(place, _)| *place) };
    Ok(EventBatch { events, reached })
}

/// Refuses a caller whose credential, scope or standing has ended since its stream began.
pub async fn may_still_see(app: &App, rights: &StreamRights, organization: Option<OrganizationId>) -> Result<()> {
    let (StreamRights { caller, scope }, now) = (rights, app.now());
    let look = app.db.read(async |conn| {
        guards::still_holds(conn, caller, scope, now).await?;
        may_see(conn, caller, organization).await
    });
    look.await
}

/// Opens the stream of a snapshot of an organization or, for platform admins, of everything.
///
/// # Errors
/// [`Error::StreamLimitReached`].
pub async fn open_export(app: &App, caller: &Caller, organization: Option<OrganizationId>) -> Result<Slot> {
    if organization.is_none() {
        guards::platform_admin(caller)?;
    }
    app.db.read(async |conn| may_see(conn, caller, organization).await).await?;
    app.streams.open(caller, StreamKind::Snapshot)
}

impl Snapshot {
    /// Takes a snapshot at a position up to which all events are committed.
    ///
    /// # Errors
    /// [`Error::Conflict`] if no such moment is found; [`Error::Unavailable`] if no connection is free in time.
    pub async fn begin(app: &App) -> Result<Self> {
        for _ in 0..SNAPSHOT_ATTEMPTS {
            let settled = app.db.read(async |conn| conn.events().settled().await).await?;
            let mut conn = app.db.snapshot().await?;
            if let Some(place) = conn.events().last_if_whole(settled).await? {
                return Ok(Self { conn, place });
            }
            conn.end().await?;
        }
        Err(Error::Conflict)
    }

    /// Reads the next resources of a kind after one, ordered by id. An empty batch is the end.
    pub async fn next_resources(
        &mut self,
        app: &App,
        rights: &StreamRights,
        organization: Option<OrganizationId>,
        kind: ResourceType,
        after: Option<ResourceId>,
    ) -> Result<Vec<State>> {
        let reach = &organization.map_or_else(Reach::by_system, Reach::Organization);
        macro_rules! batch {
            ($repository:ident $(, $now:expr)?) => {{
                let after = after.map(|id| id.0.into());
                let rows = self.conn.$repository().export(reach, after, RESOURCES $(, $now)?).await?;
                rows.into_iter().map(State::from).collect()
            }};
        }
        let batch: Vec<State> = match kind {
            ResourceType::User => batch!(users),
            ResourceType::Organization => batch!(organizations),
            ResourceType::Membership => batch!(memberships),
            ResourceType::Role => batch!(roles),
            ResourceType::Invitation => batch!(invitations),
            ResourceType::OauthAccount => batch!(oauth_accounts),
            ResourceType::Session => batch!(sessions, app.now()),
            ResourceType::ApiKey => batch!(api_keys),
        };
        if !batch.is_empty() {
            may_still_see(app, rights, organization).await?;
        }
        Ok(batch)
    }

    /// Returns the connection.
    pub async fn end(self) -> Result<()> {
        self.conn.end().await
    }
}

/// Refuses a caller that may not see the events of an organization. Platform admins may, even if the organization was purged.
async fn may_see(conn: &mut Conn, caller: &Caller, organization: Option<OrganizationId>) -> Result<()> {
    let Some(id) = organization.filter(|_| !caller.is_platform_admin()) else { return Ok(()) };
    guards::may_read(conn, caller, id, permission::READ_EVENTS).await
}
