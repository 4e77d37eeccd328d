//! `EventService`.

use std::time::Duration;

use tokio::{sync::watch, time::Instant};
use tonic::{Request, Response, Status};

use super::{
    called_by, lists, scope_of,
    stream::{Messages, Sender, stream},
};
use crate::{
    app::{
        self, App,
        event::{OpenedWatch, Snapshot, StreamRights},
    },
    error::{Error, Result},
    grpc::convert,
    models::{EventFilter, OrganizationId, Page, ResourceType, Sequence, Timestamp},
    pb::{self, event_service_server::EventService, export_snapshot_response::Item},
};

/// Time limit for a snapshot. While it runs, the database retains every old row version.
const MAX_SNAPSHOT: Duration = Duration::from_mins(15);

/// Serves `EventService`.
#[derive(Clone)]
pub struct EventHandler {
    app: App,
}

impl EventHandler {
    /// Creates the handler.
    pub fn new(app: App) -> Self {
        Self { app }
    }
}

/// Extracts the rights that a stream is opened with.
fn rights<T>(request: Request<T>) -> Result<(StreamRights, T)> {
    let scope = scope_of(&request)?;
    let (caller, request) = called_by(request)?;
    Ok((StreamRights { caller, scope }, request))
}

/// A running WatchEvents.
struct Watch {
    app: App,
    rights: StreamRights,
    filter: EventFilter,
    /// Every event up to here was sent or does not match the filter.
    place: Sequence,
    /// Earlier events are left out.
    from: Option<Timestamp>,
    sender: Sender<pb::WatchEventsResponse>,
    heartbeat: Instant,
}

impl Watch {
    async fn follow(mut self, mut settled: watch::Receiver<Sequence>) -> Result<()> {
        let mut is_open = self.send(None).await?;
        while is_open {
            let up_to = *settled.borrow_and_update();
            if up_to > self.place {
                is_open = self.send_next(up_to).await?;
                continue;
            }
            tokio::select! {
                () = self.sender.closed() => is_open = false,
                // The sender is dropped only at shutdown.
                changed = settled.changed() => changed.map_err(|_| Error::Stopping)?,
                () = tokio::time::sleep_until(self.heartbeat) => {
                    app::event::may_still_see(&self.app, &self.rights, self.filter.organization_id).await?;
                    is_open = self.send(None).await?;
                }
            }
        }
        Ok(())
    }

    /// Sends the next batch of events up to a position. Returns false if the client has disconnected.
    async fn send_next(&mut self, up_to: Sequence) -> Result<bool> {
        let batch = app::event::next_events(&self.app, &self.rights, &self.filter, (self.place, up_to)).await?;
        let view = self.filter.view(self.filter.reach(self.rights.caller.reach()));
        for event in batch.events {
            self.place = event.0;
            if self.from.is_some_and(|from| event.1.created_at < from) {
                continue;
            }
            if !self.send(Some(convert::event::visible(event, view)?)).await? {
                return Ok(false);
            }
        }
        self.place = batch.reached;
        if Instant::now() >= self.heartbeat { self.send(None).await } else { Ok(true) }
    }

    async fn send(&mut self, event: Option<pb::Event>) -> Result<bool> {
        self.heartbeat = Instant::now() + self.app.policy.watch_heartbeat;
        self.sender.send(pb::WatchEventsResponse { event, cursor: self.app.cursors.write(self.place) }).await
    }
}

/// A running ExportSnapshot.
struct Export {
    app: App,
    rights: StreamRights,
    organization: Option<OrganizationId>,
    kinds: Vec<ResourceType>,
    sender: Sender<pb::ExportSnapshotResponse>,
}

impl Export {
    async fn send(self) -> Result<()> {
        let mut snapshot = Snapshot::begin(&self.app).await?;
        for kind in &self.kinds {
            if !self.send_all(&mut snapshot, *kind).await? {
                return Ok(());
            }
        }
        let place = snapshot.place;
        snapshot.end().await?;
        self.send_item(Item::Cursor(self.app.cursors.write(place))).await.map(drop)
    }

    /// Sends all resources of a kind. Returns false if the client has disconnected.
    async fn send_all(&self, snapshot: &mut Snapshot, kind: ResourceType) -> Result<bool> {
        let mut after = None;
        loop {
            let batch = snapshot.next_resources(&self.app, &self.rights, self.organization, kind, after).await?;
            let Some(last) = batch.last() else { return Ok(true) };
            after = last.subject().resource.map(|(_, id)| id);
            for resource in batch {
                if !self.send_item(convert::event::snapshot_item(self.rights.caller.sees(resource))).await? {
                    return Ok(false);
                }
            }
        }
    }

    async fn send_item(&self, item: Item) -> Result<bool> {
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
        let (listing, of_call) = convert::event::list(lists, &request)?;
        let examined = of_call.examined(&listing.page);
        let page = app::event::list(&self.app, &caller, &listing.filter, &examined).await?;
        let view = listing.filter.view(caller.reach());
        let visible = |(cursor, event)| Ok((cursor, convert::event::visible(event, view)?));
        let rows = page.rows.into_iter().map(visible).collect::<Result<Vec<_>>>()?;
        let page = Page { rows, has_more: page.has_more, searched_to: page.searched_to };
        let (events, next_page_token) = listing.answer(lists, of_call.matches(page, listing.page.size));
        Ok(Response::new(pb::ListEventsResponse { events, next_page_token }))
    }

    async fn watch_events(
        &self,
        request: Request<pb::WatchEventsRequest>,
    ) -> Result<Response<Self::WatchEventsStream>, Status> {
        let (rights, request) = rights(request)?;
        let (filter, start) = convert::event::watch(&self.app.cursors, &request)?;
        let opened = app::event::open_watch(&self.app, &rights.caller, &filter, start).await?;
        let OpenedWatch { slot, settled, place, from } = opened;
        let app = self.app.clone();
        let follow = |sender| {
            let heartbeat = Instant::now();
            Watch { app, rights, filter, place, from, sender, heartbeat }.follow(settled)
        };
        Ok(Response::new(stream(&self.app.shutdown, slot, self.app.policy.stream_timeout, follow)))
    }

    async fn export_snapshot(
        &self,
        request: Request<pb::ExportSnapshotRequest>,
    ) -> Result<Response<Self::ExportSnapshotStream>, Status> {
        let (rights, request) = rights(request)?;
        let (organization, kinds) = convert::event::export(&request)?;
        let slot = app::event::open_export(&self.app, &rights.caller, organization).await?;
        let app = self.app.clone();
        let send = |sender| {
            let export = Export { app, rights, organization, kinds, sender };
            async { tokio::time::timeout(MAX_SNAPSHOT, export.send()).await.unwrap_or(Err(Error::StreamTooSlow)) }
        };
        Ok(Response::new(stream(&self.app.shutdown, slot, self.app.policy.stream_timeout, send)))
    }
}
