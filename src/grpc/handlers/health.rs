//! The gRPC health service. The server and each of its services are SERVING while the process is ready; `liveness` as long as the
//! process runs.

use std::pin::Pin;

use tokio::sync::mpsc;
use tokio_stream::{Stream, StreamExt as _, wrappers::ReceiverStream};
use tonic::{Request, Response, Status};
use tonic_health::pb::{
    HealthCheckRequest, HealthCheckResponse, health_check_response::ServingStatus, health_server::Health as Service,
};

use crate::{
    app::health::Health,
    error::{Entity, Error},
};

/// Service name of the liveness check, which ignores the database.
pub const LIVENESS: &str = "liveness";

/// Serves `grpc.health.v1.Health`.
pub struct HealthHandler {
    health: Health,
    /// Names of all services.
    services: Vec<&'static str>,
}

impl HealthHandler {
    /// Creates the handler for these services.
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
            // As the protocol requires: the stream stays open, since the service may become known later.
            let unknown = tokio_stream::once(Ok(answer(ServingStatus::ServiceUnknown)));
            return Ok(Response::new(Box::pin(unknown.chain(tokio_stream::pending()))));
        }
        let mut subscribe = self.health.subscribe();
        let (sender, answers) = mpsc::channel(1);
        tokio::spawn(async move {
            let mut last = None;
            loop {
                let readiness = *subscribe.borrow_and_update();
                let now = status(readiness.is_ready(), &service);
                if last.replace(now) != Some(now) && sender.send(Ok(answer(now))).await.is_err() {
                    return;
                }
                if readiness.is_stopping {
                    // An open stream would delay the shutdown.
                    let _ = sender.send(Err(Error::Stopping.into())).await;
                    return;
                }
                tokio::select! {
                    changed = subscribe.changed() => if changed.is_err() { return },
                    () = sender.closed() => return,
                }
            }
        });
        Ok(Response::new(Box::pin(ReceiverStream::new(answers))))
    }
}
