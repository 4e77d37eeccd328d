//! The server: what is opened at start, the layers in their order, one line per service, and the way down.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use tokio::{net::TcpListener, sync::oneshot, task::JoinHandle};
use tonic::{
    service::{Routes, RoutesBuilder},
    transport::server::{Router, TcpIncoming},
};
use tower::{Layer, ServiceBuilder};

use crate::{
    DESCRIPTOR_SET, bootstrap,
    clock::Clock,
    config::ServeArgs,
    context::{App, Policy},
    db::{Database, migrations},
    error::chain,
    feed::Feed,
    handlers::{
        ApiKeyHandler, EventHandler, MembershipHandler, OAuthAccountHandler, OrganizationHandler, RefreshTokenHandler,
        UserHandler,
    },
    interceptors::{
        AccessTable, Audit, Authenticate, Authorize, Before, Deadline, Inner, Interceptor, RequestId, WireErrors,
    },
    models::{Plaintext, refresh_token::Lifetimes},
    pb, sweep,
};

/// Largest request message. The largest that a rule of a field allows, an OAuth account with its tokens, has about 60 KiB.
const MAX_REQUEST_BYTES: usize = 256 * 1024;
/// Calls in flight on one connection, and local resets before one is cut. The library's own defaults are "no limit"
/// (RUSTSEC-2024-0003).
const MAX_CONCURRENT_STREAMS: u32 = 128;
const MAX_LOCAL_RESETS: usize = 256;
/// Largest header block of a request.
const MAX_HEADER_BYTES: u32 = 16 * 1024;
/// When a silent peer is asked whether it is there, and how long its answer may take.
const KEEPALIVE: (Duration, Duration) = (Duration::from_secs(30), Duration::from_secs(10));

/// A running server.
pub struct Server {
    /// Where it listens.
    pub address: SocketAddr,
    /// The API key of the platform admin that this start made on an empty database.
    pub first_admin_key: Option<Plaintext>,
    feed: Feed,
    stop: oneshot::Sender<()>,
    task: JoinHandle<Result<(), tonic::transport::Error>>,
    shutdown_timeout: Duration,
}

impl Server {
    /// Opens the database and serves.
    ///
    /// # Errors
    /// Says in one line what is wrong.
    pub async fn start(args: &ServeArgs, clock: Arc<dyn Clock>) -> Result<Self, String> {
        let listener = TcpListener::bind(args.listen).await;
        let listener = listener.map_err(|error| format!("cannot listen on {}: {error}", args.listen))?;
        let address = listener.local_addr().map_err(|error| format!("cannot listen on {}: {error}", args.listen))?;

        let access = access_table(args)?;
        let (app, first_admin_key) = migrations::at_startup(&args.database, async || open(args, clock).await).await?;
        let services = services(app.clone(), args).await?;
        let feed = app.feed.clone();
        tokio::spawn(feed.clone().run(app.db.clone()));
        if !args.sweep_interval.is_zero() {
            tokio::spawn(sweep::run(app.clone(), args.sweep_interval));
        }
        let router = router(app, access, args.request_timeout, services);

        let (stop, stopped) = oneshot::channel::<()>();
        let incoming = TcpIncoming::from(listener).with_nodelay(Some(true));
        let task = tokio::spawn(router.serve_with_incoming_shutdown(incoming, async move {
            let _ = stopped.await;
        }));
        Ok(Self { address, first_admin_key, feed, stop, task, shutdown_timeout: args.shutdown_timeout })
    }

    /// Takes no more calls, lets those in flight end for as long as the settings say, and stops.
    ///
    /// # Errors
    /// Says in one line what ended the server before.
    pub async fn stop(self) -> Result<(), String> {
        let _ = self.stop.send(());
        self.feed.stop();
        let abort = self.task.abort_handle();
        match tokio::time::timeout(self.shutdown_timeout, self.task).await {
            Ok(Ok(Ok(()))) => Ok(()),
            Ok(Ok(Err(error))) => Err(format!("the server ended: {}", chain(&error))),
            Ok(Err(error)) => Err(format!("the server ended: {error}")),
            // A peer that never says anything would keep the server for ever.
            Err(_) => {
                tracing::warn!("calls or connections were still open at the end of the shutdown timeout");
                abort.abort();
                Ok(())
            }
        }
    }
}

/// Opens the database, checks the keys, and makes the first platform admin. Runs under the start-up lock.
async fn open(args: &ServeArgs, clock: Arc<dyn Clock>) -> Result<(App, Option<Plaintext>), String> {
    // A call's own deadline comes first; this ends what a lost call has left running.
    let statement_timeout = args.request_timeout.saturating_add(Duration::from_secs(1));
    let db = Database::open(&args.database, statement_timeout).await?;
    let keys = bootstrap::key_ring(args.sealing.sealing_keys.as_ref(), &args.database, &db, clock.as_ref()).await?;
    let first_admin = bootstrap::first_admin(&db, clock.as_ref()).await;
    let first_admin =
        first_admin.map_err(|error| format!("the first platform admin cannot be made: {}", chain(&error)))?;
    let policy = Policy {
        restore_window: args.restore_window,
        lifetimes: Lifetimes { token: args.refresh_token_life, family: args.session_life },
        rotation_grace: args.rotation_grace,
        request_memory: args.request_memory,
        event_retention: args.event_retention,
        watch_heartbeat: args.watch_heartbeat,
        stream_timeout: args.stream_timeout,
    };
    Ok((App::new(db, clock, keys, Feed::new(args.max_streams), policy), first_admin))
}

/// Reads who may call what from the descriptors of everything that is served.
fn access_table(args: &ServeArgs) -> Result<AccessTable, String> {
    let mut descriptor_sets = vec![DESCRIPTOR_SET, tonic_health::pb::FILE_DESCRIPTOR_SET];
    if args.reflection {
        descriptor_sets.push(tonic_reflection::pb::v1::FILE_DESCRIPTOR_SET);
        descriptor_sets.push(tonic_reflection::pb::v1alpha::FILE_DESCRIPTOR_SET);
    }
    AccessTable::read(&descriptor_sets)
}

/// The chain that every call walks, outermost first, and the services behind it.
fn router(
    app: App,
    access: AccessTable,
    request_timeout: Duration,
    services: Routes,
) -> Router<impl Layer<Routes, Service = impl Inner> + Clone> {
    let audit = Audit::new(app.clone());
    let layers = ServiceBuilder::new()
        // First, so that every line that is logged and every answer carries the id.
        .layer(Interceptor(RequestId))
        // Around everything that can take time.
        .layer(Interceptor(Deadline(request_timeout)))
        // Around everything that can answer in the library's words.
        .layer(Interceptor(WireErrors))
        // Which method is it: nothing unknown goes further.
        .layer(Interceptor(Before(access)))
        // Who are you, and after that, may you.
        .layer(Interceptor(Before(Authenticate::new(app, audit.clone()))))
        // Around everything that can deny a known caller.
        .layer(Interceptor(audit))
        .layer(Interceptor(Before(Authorize)))
        .into_inner();

    tonic::transport::Server::builder()
        .max_concurrent_streams(MAX_CONCURRENT_STREAMS)
        .http2_max_local_error_reset_streams(Some(MAX_LOCAL_RESETS))
        .http2_max_header_list_size(MAX_HEADER_BYTES)
        .http2_keepalive_interval(Some(KEEPALIVE.0))
        .http2_keepalive_timeout(Some(KEEPALIVE.1))
        .layer(layers)
        .add_routes(services)
}

/// One line per service.
async fn services(app: App, args: &ServeArgs) -> Result<Routes, String> {
    use pb::{
        api_key_service_server::ApiKeyServiceServer, event_service_server::EventServiceServer,
        membership_service_server::MembershipServiceServer, o_auth_account_service_server::OAuthAccountServiceServer,
        organization_service_server::OrganizationServiceServer,
        refresh_token_service_server::RefreshTokenServiceServer, user_service_server::UserServiceServer,
    };
    let (health, health_service) = tonic_health::server::health_reporter();
    let mut routes = RoutesBuilder::default();
    routes.add_service(health_service);

    macro_rules! serve {
        ($server:ident, $handler:expr) => {
            let service = $server::new($handler).max_decoding_message_size(MAX_REQUEST_BYTES);
            set_serving(&health, &service).await;
            routes.add_service(service);
        };
    }
    serve!(UserServiceServer, UserHandler::new(app.clone()));
    serve!(OrganizationServiceServer, OrganizationHandler::new(app.clone()));
    serve!(MembershipServiceServer, MembershipHandler::new(app.clone()));
    serve!(OAuthAccountServiceServer, OAuthAccountHandler::new(app.clone()));
    serve!(RefreshTokenServiceServer, RefreshTokenHandler::new(app.clone()));
    serve!(ApiKeyServiceServer, ApiKeyHandler::new(app.clone()));
    serve!(EventServiceServer, EventHandler::new(app));

    if args.reflection {
        let builder = || {
            tonic_reflection::server::Builder::configure()
                .register_encoded_file_descriptor_set(DESCRIPTOR_SET)
                .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
                // The details of errors, so that grpcurl can show them.
                .register_encoded_file_descriptor_set(tonic_types::pb::FILE_DESCRIPTOR_SET)
        };
        let failed = |error| format!("reflection cannot be built: {error}");
        routes.add_service(builder().build_v1().map_err(failed)?);
        routes.add_service(builder().build_v1alpha().map_err(failed)?);
    }
    Ok(routes.routes())
}

/// Tells the health service that a service is served.
async fn set_serving<S: tonic::server::NamedService>(health: &tonic_health::server::HealthReporter, _: &S) {
    health.set_serving::<S>().await;
}
