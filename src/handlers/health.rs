//! The health service of gRPC. The whole, and each service of it, is served as long as the process is ready; `liveness` as long as it
//! is there.

use std::pin::Pin;

use tokio::sync::mpsc;
use tokio_stream::{Stream, StreamExt as _, wrappers::ReceiverStream};
use tonic::{Request, Response, Status};
use tonic_health::pb::{
    HealthCheckRequest, HealthCheckResponse, health_check_response::ServingStatus, health_server::Health as Service,
};

use crate::{
    error::{Entity, Error},
    health::Health,
};

/// The name that asks whether the process is there, whatever its database does.
pub const LIVENESS: &str = "liveness";

/// Answers how things stand.
pub struct HealthHandler {
    health: Health,
    /// Every service that is served.
    services: Vec<&'static str>,
}

impl HealthHandler {
    /// Answers for these services.
    pub fn new(health: Health, services: Vec<&'static str>) -> Self {
        Self { health, services }
    }

    fn knows(&self, service: &str) -> bool {
        service.is_empty() || service == LIVENESS || self.services.contains(&service)
    }
}

fn status(is_ready: bool, service: &str) -> ServingStatus {
    if service == LIVENESS || is_ready { ServingStatus::Serving } else { ServingStatus::NotServing }
}

fn answer(status: ServingStatus) -> HealthCheckResponse {
    HealthCheckResponse { status: status.into() }
}

#[tonic::async_trait]
impl Service for HealthHandler {
    async fn check(&self, request: Request<HealthCheckRequest>) -> Result<Response<HealthCheckResponse>, Status> {
        let service = request.into_inner().service;
        if !self.knows(&service) {
            return Err(Error::NotFound(Entity::Service).into());
        }
        Ok(Response::new(answer(status(self.health.is_ready(), &service))))
    }

    type WatchStream = Pin<Box<dyn Stream<Item = Result<HealthCheckResponse, Status>> + Send>>;

    async fn watch(&self, request: Request<HealthCheckRequest>) -> Result<Response<Self::WatchStream>, Status> {
        let service = request.into_inner().service;
        if !self.knows(&service) {
            // What the protocol asks for: it might be known sometime.
            let unknown = tokio_stream::once(Ok(answer(ServingStatus::ServiceUnknown)));
            return Ok(Response::new(Box::pin(unknown.chain(tokio_stream::pending()))));
        }
        let mut standings = self.health.standings();
        let (sender, answers) = mpsc::channel(1);
        tokio::spawn(async move {
            let mut last = None;
            loop {
                let standing = *standings.borrow_and_update();
                let now = status(standing.is_ready(), &service);
                if last.replace(now) != Some(now) && sender.send(Ok(answer(now))).await.is_err() {
                    return;
                }
                if standing.is_stopping {
                    // A stream that went on would hold up the stop.
                    let _ = sender.send(Err(Error::Stopping.into())).await;
                    return;
                }
                tokio::select! {
                    changed = standings.changed() => if changed.is_err() { return },
                    () = sender.closed() => return,
                }
            }
        });
        Ok(Response::new(Box::pin(ReceiverStream::new(answers))))
    }
}
