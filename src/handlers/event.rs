//! `EventService`.

use std::time::Duration;

use tokio::{sync::watch, time::Instant};
use tonic::{Request, Response, Status};

use super::{
    called_by, guards, lists, scope_of,
    stream::{Messages, Sender, stream},
};
use crate::{
    context::App,
    convert,
    db::Conn,
    error::{Error, Result},
    feed::Kind,
    models::{Caller, EventFilter, OrganizationId, Page, Reach, ResourceType, Scope, Sequence, permission},
    pb::{self, event_service_server::EventService, export_snapshot_response::Item},
};

/// Most events that a watch looks up at once. An event has up to about 70 KiB, so that a watch whose client does not read holds at
/// most some 3 MiB, [`stream`]'s room included.
const EVENTS: i64 = 32;
/// Most resources that a snapshot looks up at once. One has up to about 35 KiB.
const RESOURCES: i64 = 200;
/// Most places that one look goes through, whatever of them matches.
const SCAN: Sequence = 5_000;
/// How often a snapshot is begun anew because a change was on its way.
const SNAPSHOT_ATTEMPTS: u32 = 200;
/// How long a snapshot may take: so long the database keeps what has changed since.
const MAX_SNAPSHOT: Duration = Duration::from_mins(15);

/// Answers `EventService`.
#[derive(Clone)]
pub struct EventHandler {
    app: App,
}

impl EventHandler {
    /// The handler on an application.
    pub fn new(app: App) -> Self {
        Self { app }
    }
}

/// Refuses whoever may not see the events of an organization. Platform admins may, also of what is long erased.
async fn may_see(conn: &mut Conn, caller: &Caller, organization: Option<OrganizationId>) -> Result<()> {
    let Some(id) = organization.filter(|_| !caller.is_platform_admin()) else { return Ok(()) };
    guards::visible_organization(conn, caller, id).await?;
    guards::may(conn, caller, id, permission::READ_EVENTS).await.map(drop)
}

/// Who opened a stream, and the scope that its method asks for: what the interceptors have checked, a stream goes on to.
struct Rights {
    caller: Caller,
    scope: Scope,
}

/// The rights that a call to a stream came with.
fn rights<T>(request: Request<T>) -> Result<(Rights, T)> {
    let scope = scope_of(&request)?;
    let (caller, request) = called_by(request)?;
    Ok((Rights { caller, scope }, request))
}

/// Refuses a caller whose key, scope or standing has ended since its stream began.
async fn may_still_see(app: &App, rights: &Rights, organization: Option<OrganizationId>) -> Result<()> {
    let (Rights { caller, scope }, now) = (rights, app.now());
    let look = app.db.read(async |conn| {
        guards::still_holds(conn, caller, scope, now).await?;
        may_see(conn, caller, organization).await
    });
    look.await
}

/// One WatchEvents, as it goes on.
struct Watch {
    app: App,
    rights: Rights,
    filter: EventFilter,
    /// Everything up to here was told or does not match.
    place: Sequence,
    sender: Sender<pb::WatchEventsResponse>,
    heartbeat: Instant,
}

impl Watch {
    async fn follow(mut self, mut settled: watch::Receiver<Sequence>) -> Result<()> {
        let mut goes_on = self.tell(None).await?;
        while goes_on {
            let up_to = *settled.borrow_and_update();
            if up_to > self.place {
                goes_on = self.look(up_to).await?;
                continue;
            }
            tokio::select! {
                () = self.sender.closed() => goes_on = false,
                // It ends with the process only.
                changed = settled.changed() => changed.map_err(|_| Error::Stopping)?,
                () = tokio::time::sleep_until(self.heartbeat) => {
                    may_still_see(&self.app, &self.rights, self.filter.organization_id).await?;
                    goes_on = self.tell(None).await?;
                }
            }
        }
        Ok(())
    }

    /// Tells the next events up to a place, as many as one look finds.
    async fn look(&mut self, up_to: Sequence) -> Result<bool> {
        let up_to = up_to.min(self.place.saturating_add(SCAN));
        let reach = self.filter.reach(self.rights.caller.reach());
        may_still_see(&self.app, &self.rights, self.filter.organization_id).await?;
        let (filter, places) = (&self.filter, (self.place, up_to));
        let found = self.app.db.scan(async |conn| conn.events().between(&reach, filter, places, EVENTS).await).await?;
        let is_all = i64::try_from(found.len()).unwrap_or(i64::MAX) < EVENTS;
        for event in found {
            self.place = event.0;
            if !self.tell(Some(convert::event::told(event, self.filter.view(reach))?)).await? {
                return Ok(false);
            }
        }
        if is_all {
            self.place = up_to;
        }
        if Instant::now() >= self.heartbeat { self.tell(None).await } else { Ok(true) }
    }

    async fn tell(&mut self, event: Option<pb::Event>) -> Result<bool> {
        self.heartbeat = Instant::now() + self.app.policy.watch_heartbeat;
        self.sender.send(pb::WatchEventsResponse { event, cursor: self.app.cursors.write(self.place) }).await
    }
}

/// One ExportSnapshot, as it goes on.
struct Export {
    app: App,
    rights: Rights,
    organization: Option<OrganizationId>,
    kinds: Vec<ResourceType>,
    reach: Reach,
    sender: Sender<pb::ExportSnapshotResponse>,
}

impl Export {
    async fn send(self) -> Result<()> {
        let (mut conn, place) = self.begin().await?;
        for kind in &self.kinds {
            if !self.send_all(&mut conn, *kind).await? {
                return Ok(());
            }
        }
        conn.end().await?;
        self.item(Item::Cursor(self.app.cursors.write(place))).await.map(drop)
    }

    /// A connection that shows the state after all events up to a place, and that place.
    async fn begin(&self) -> Result<(Conn, Sequence)> {
        for _ in 0..SNAPSHOT_ATTEMPTS {
            let settled = self.app.db.read(async |conn| conn.events().settled().await).await?;
            let mut conn = self.app.db.snapshot().await?;
            if let Some(place) = conn.events().last_if_whole(settled).await? {
                return Ok((conn, place));
            }
            conn.end().await?;
        }
        Err(Error::Conflict)
    }

    async fn send_all(&self, conn: &mut Conn, kind: ResourceType) -> Result<bool> {
        macro_rules! all {
            ($repository:ident, $item:ident $(, $now:expr)?) => {{
                let mut after = None;
                loop {
                    let batch = conn.$repository().export(&self.reach, after, RESOURCES $(, $now)?).await?;
                    let Some(last) = batch.last() else { return Ok(true) };
                    after = Some(last.id);
                    self.may_go_on().await?;
                    for row in batch {
                        if !self.item(Item::$item(row.into())).await? {
                            return Ok(false);
                        }
                    }
                }
            }};
        }
        match kind {
            ResourceType::User => all!(users, User),
            ResourceType::Organization => all!(organizations, Organization),
            ResourceType::Membership => all!(memberships, Membership),
            ResourceType::Role => all!(roles, Role),
            ResourceType::Invitation => all!(invitations, Invitation),
            ResourceType::OauthAccount => all!(oauth_accounts, OauthAccount),
            ResourceType::RefreshToken => all!(refresh_tokens, RefreshToken, self.app.now()),
            ResourceType::ApiKey => all!(api_keys, ApiKey),
        }
    }

    async fn may_go_on(&self) -> Result<()> {
        may_still_see(&self.app, &self.rights, self.organization).await
    }

    async fn item(&self, item: Item) -> Result<bool> {
        self.sender.send(pb::ExportSnapshotResponse { item: Some(item) }).await
    }
}

#[tonic::async_trait]
impl EventService for EventHandler {
    type WatchEventsStream = Messages<pb::WatchEventsResponse>;
    type ExportSnapshotStream = Messages<pb::ExportSnapshotResponse>;

    async fn list_events(
        &self,
        request: Request<pb::ListEventsRequest>,
    ) -> Result<Response<pb::ListEventsResponse>, Status> {
        let (caller, request) = called_by(request)?;
        let lists = lists(&self.app, &caller);
        let listing = convert::event::list(lists, &request)?;
        let page = self.app.db.scan(async |conn| {
            may_see(conn, &caller, listing.filter.organization_id).await?;
            conn.events().list(&listing.filter.reach(caller.reach()), &listing.filter, &listing.page).await
        });
        let page = page.await?;
        let view = listing.filter.view(caller.reach());
        let told = |(cursor, event)| Ok((cursor, convert::event::told(event, view)?));
        let rows = page.rows.into_iter().map(told).collect::<Result<Vec<_>>>()?;
        let (events, next_page_token) =
            listing.answer(lists, Page { rows, has_more: page.has_more, looked_to: page.looked_to });
        Ok(Response::new(pb::ListEventsResponse { events, next_page_token }))
    }

    async fn watch_events(
        &self,
        request: Request<pb::WatchEventsRequest>,
    ) -> Result<Response<Self::WatchEventsStream>, Status> {
        let (rights, request) = rights(request)?;
        let (filter, after) = convert::event::watch(&self.app.cursors, &request)?;
        let caller = &rights.caller;
        self.app.db.read(async |conn| may_see(conn, caller, filter.organization_id).await).await?;
        let slot = self.app.feed.open(caller, Kind::Watch)?;
        let settled = self.app.feed.follow();
        let place = match after {
            None => self.app.db.read(async |conn| conn.events().settled().await).await?,
            Some(place) => {
                let (floor, last) = self.app.db.read(async |conn| conn.events().ends().await).await?;
                if !(floor..=last).contains(&place) {
                    return Err(Error::EventCursorExpired.into());
                }
                place
            }
        };
        let app = self.app.clone();
        let follow = |sender| {
            let heartbeat = Instant::now();
            Watch { app, rights, filter, place, sender, heartbeat }.follow(settled)
        };
        Ok(Response::new(stream(&self.app.feed, slot, self.app.policy.stream_timeout, follow)))
    }

    async fn export_snapshot(
        &self,
        request: Request<pb::ExportSnapshotRequest>,
    ) -> Result<Response<Self::ExportSnapshotStream>, Status> {
        let (rights, request) = rights(request)?;
        let (organization, kinds) = convert::event::export(&request)?;
        let reach = organization.map_or(Reach::Everything, Reach::Organization);
        if reach == Reach::Everything {
            guards::platform_admin(&rights.caller)?;
        }
        self.app.db.read(async |conn| may_see(conn, &rights.caller, organization).await).await?;
        let slot = self.app.feed.open(&rights.caller, Kind::Snapshot)?;
        let app = self.app.clone();
        let send = |sender| {
            let export = Export { app, rights, organization, kinds, reach, sender };
            async { tokio::time::timeout(MAX_SNAPSHOT, export.send()).await.unwrap_or(Err(Error::StreamTooSlow)) }
        };
        Ok(Response::new(stream(&self.app.feed, slot, self.app.policy.stream_timeout, send)))
    }
}
