//! The server: what is opened at start, the chain of interceptors, and shutdown.

mod background;
pub mod bootstrap;
pub mod services;
mod settings;

use std::{net::SocketAddr, sync::Arc, time::Duration};

use tokio::{net::TcpListener, sync::oneshot, task::JoinHandle};

use crate::{
    DESCRIPTOR_SET,
    app::{
        App, AppParts, Policy,
        admission::Overload,
        attempts::Attempts,
        batch::Turns,
        change,
        credentials::Credentials,
        feed::Feed,
        hashing::Hashing,
        health::Health,
        request_memory::RequestMemory,
        shares::Shares,
        shutdown::Shutdown,
        signing_keys::{self, SigningKeys},
        streams::Streams,
    },
    clock::Clock,
    config::ServeArgs,
    db::{Database, migrations, reads::BatchedReads},
    error::chain,
    grpc::ENCODERS,
    http::{port::Port, well_known},
    interceptors::{
        AccessTable, Audit, Authenticate, Authorize, Before, Deadline, Faults, Gate, Intercepted, Layer, Limits,
        Observe, RateLimit, Wire,
    },
    jobs::Jobs,
    models::{Plaintext, session::Lifetimes},
    security::{event_cursor::EventCursors, page_token::PageTokens},
    server::{background::Parts, services::Services},
    telemetry::metrics::Metrics,
    transport::{Tls, Transport, answers::Answers},
};

/// A running server.
pub struct Server {
    /// The address it listens on.
    pub address: SocketAddr,
    /// API key of the platform admin, if this start created one in an empty database.
    pub first_admin_key: Option<Plaintext>,
    /// The address of the operations port, if there is one.
    pub metrics_address: Option<SocketAddr>,
    app: App,
    health: Health,
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
    /// Background tasks that end with the server.
    jobs: Jobs,
    shutdown_delay: Duration,
    shutdown_timeout: Duration,
}

impl Server {
    /// Opens the database and starts to serve.
    ///
    /// # Errors
    /// A one-line description of the problem.
    pub async fn start(args: &ServeArgs, clock: Arc<dyn Clock>) -> Result<Self, String> {
        args.network.check()?;
        let statement_timeout = statement_timeout(args)?;
        let (listener, address) = listen(args.network.listen).await?;
        let metrics_listener = match args.telemetry.metrics_listen {
            Some(address) => Some(listen(address).await?),
            None => None,
        };
        let tls = Tls::open(&args.network.tls)?;

        let access = access_table(args)?;
        args.authentication.parties()?;
        args.authentication.hashing()?;
        let opened = migrations::at_startup(&args.database, async || open(args, statement_timeout, clock).await).await;
        let (app, first_admin_key) = opened?;
        let health = Health::default();
        let services = Services::new(&app, &health, &args.network, args.reflection)?;
        let mut metrics = Metrics::default();
        let mut jobs = Jobs::new(Arc::clone(&app.clock), metrics.registry());
        health.register(metrics.registry());
        app.register(&mut metrics);
        let rates = RateLimit::new(args.rate_limit);
        rates.register(metrics.registry());
        let answers = Answers::new(args.network.answer_memory, args.network.answer_memory_of_owner);
        answers.register(metrics.registry());
        let observed = answers.clone();
        metrics.observe(move || observed.observe());
        let interceptors = interceptors(app.clone(), access, rates.clone(), answers.clone(), &mut metrics, args);
        let service = Intercepted::new(interceptors, services);
        let service = well_known::PlainHttp::new(app.clone(), Arc::new(service));
        let transport = Transport::new(Arc::new(service), args.network.clone(), tls.clone(), answers);
        transport.register(metrics.registry());

        let metrics_address = metrics_listener.as_ref().map(|(_, address)| *address);
        let port = metrics_listener
            .map(|(listener, _)| (Arc::new(listener), Arc::new(Port { metrics, health: health.clone() })));
        jobs.start(background::jobs(&app, Parts { health: health.clone(), rates, tls, port }, args));
        let (stop, stopped) = oneshot::channel::<()>();
        let task = tokio::spawn(transport.serve(listener, async move {
            let _ = stopped.await;
        }));
        let (shutdown_delay, shutdown_timeout) = (args.shutdown_delay, args.shutdown_timeout);
        Ok(Self {
            address,
            first_admin_key,
            metrics_address,
            app,
            health,
            stop,
            task,
            jobs,
            shutdown_delay,
            shutdown_timeout,
        })
    }

    /// Stops accepting calls, lets those in flight finish within the configured time, and stops.
    ///
    /// # Errors
    /// A one-line description of what ended the server before.
    pub async fn stop(self) -> Result<(), String> {
        self.health.stop();
        // Load balancers notice this and send their calls elsewhere.
        tokio::time::sleep(self.shutdown_delay).await;
        let _ = self.stop.send(());
        self.app.shutdown.begin();
        let abort = self.task.abort_handle();
        let stopped = match tokio::time::timeout(self.shutdown_timeout, self.task).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(format!("the server ended: {error}")),
            // A peer that stays silent would keep the server running forever.
            Err(_) => {
                tracing::warn!("calls or connections were still open at the end of the shutdown timeout");
                abort.abort();
                Ok(())
            }
        };
        self.jobs.stop().await;
        stopped
    }
}

async fn listen(address: SocketAddr) -> Result<(TcpListener, SocketAddr), String> {
    let failed = |error| format!("cannot listen on {address}: {error}");
    let listener = TcpListener::bind(address).await.map_err(failed)?;
    let address = listener.local_addr().map_err(failed)?;
    Ok((listener, address))
}

/// The statement timeout: less than the request timeout, so that the database has ended a statement when its call ends.
fn statement_timeout(args: &ServeArgs) -> Result<Duration, String> {
    match args.statement_timeout {
        None => Ok(args.request_timeout.mul_f64(0.8)),
        Some(timeout) if timeout < args.request_timeout => Ok(timeout),
        Some(_) => Err("--statement-timeout must be less than --request-timeout".to_owned()),
    }
}

/// Opens the database, checks the keys, and creates the first platform admin. Runs under the start-up lock.
async fn open(
    args: &ServeArgs,
    statement_timeout: Duration,
    clock: Arc<dyn Clock>,
) -> Result<(App, Option<Plaintext>), String> {
    let db = Database::open(&args.database, statement_timeout).await?;
    let keys = bootstrap::key_ring(args.sealing.sealing_keys.as_ref(), &args.database, &db, clock.as_ref()).await?;
    let secrets = args.secrets.prefixes();
    let first_admin = bootstrap::first_admin(&db, clock.as_ref(), &secrets).await;
    let first_admin =
        first_admin.map_err(|error| format!("the first platform admin cannot be created: {}", chain(&error)))?;
    let sign_in = &args.authentication;
    let schedule = sign_in.schedule();
    let now = clock.now();
    let sealing = &keys;
    let keep = change::by_system(&db, ENCODERS.event, clock.as_ref(), async |tx| {
        signing_keys::keep(tx, sealing, schedule, now).await
    });
    let signing_keys = match keep.await {
        Ok(()) => SigningKeys::open(db.clone(), keys.clone(), sign_in.parties()?).await,
        Err(error) => Err(error),
    };
    let signing_keys = signing_keys.map_err(|error| format!("the signing keys cannot be used: {}", chain(&error)))?;
    let policy = Policy {
        restore_window: args.restore_window,
        lifetimes: Lifetimes { token: args.refresh_token_life, session: args.session_life },
        rotation_grace: args.rotation_grace,
        request_memory: args.request_memory,
        event_retention: args.event_retention,
        watch_heartbeat: args.watch_heartbeat,
        stream_timeout: args.stream_timeout,
        max_api_keys: args.max_api_keys,
        max_members: args.max_members,
        max_organizations: args.max_organizations,
        max_sessions: sign_in.max_sessions,
        access_token_life: sign_in.access_token_life,
        email_token_life: sign_in.email_token_life,
        password_reset_life: sign_in.password_reset_life,
    };
    let shares = Shares::default();
    let credentials =
        Credentials::new(db.clone(), ENCODERS.api_key, shares.clone(), args.credential_cache.0, args.usage_interval);
    let app = App::new(AppParts {
        clock,
        pages: PageTokens::new(&keys),
        cursors: EventCursors::new(&keys),
        feed: Feed::default(),
        streams: Streams::new(args.max_streams, shares.clone()),
        shutdown: Shutdown::default(),
        users: BatchedReads::new(db.clone()),
        organizations: BatchedReads::new(db.clone()),
        credentials,
        hashing: Hashing::new(sign_in.hashing()?, shares.clone()),
        passwords: sign_in.password_policy(),
        attempts: Attempts::new(sign_in.limits()),
        signing_keys,
        overload: Overload::new(args.max_calls, args.max_streams),
        shares,
        request_memory: RequestMemory::new(args.max_remembered, args.request_memory),
        turns: Turns::new(db.is_networked()),
        policy,
        plans: args.organizations.plans.clone(),
        reserved_slugs: args.organizations.reserved(),
        encoders: ENCODERS,
        keys,
        secrets,
        db,
    });
    Ok((app, first_admin))
}

/// Reads the access rules from the descriptors of everything that is served.
fn access_table(args: &ServeArgs) -> Result<AccessTable, String> {
    let mut descriptor_sets = vec![DESCRIPTOR_SET, tonic_health::pb::FILE_DESCRIPTOR_SET];
    if args.reflection {
        descriptor_sets.push(tonic_reflection::pb::v1::FILE_DESCRIPTOR_SET);
        descriptor_sets.push(tonic_reflection::pb::v1alpha::FILE_DESCRIPTOR_SET);
    }
    AccessTable::read(&descriptor_sets)
}

/// Nests interceptors, outermost first.
macro_rules! chain {
    ($last:expr $(,)?) => { $last };
    ($first:expr, $($rest:expr),+ $(,)?) => { ($first, chain![$($rest),+]) };
}

/// The interceptors of every call, outermost first.
fn interceptors(
    app: App,
    access: AccessTable,
    rates: RateLimit,
    answers: Answers,
    metrics: &mut Metrics,
    args: &ServeArgs,
) -> impl Layer + 'static {
    let (observe, faults, overload) = (Observe::new(&access), Faults::default(), app.overload.clone());
    observe.register(metrics.registry());
    faults.register(metrics.registry());
    let audit = Audit::new(app.clone());
    let network = &args.network;
    let limits = Limits {
        max_request_size: network.max_request_size,
        body_timeout: network.body_timeout,
        public_stream_age: network.public_stream_age,
    };
    let shares = app.shares.clone();
    let authenticate = Authenticate::new(app, audit.clone());
    // Server capacity, the caller's identity, its rate, its owner's share.
    let gate = Gate { overload, authenticate, rates, shares, answers, limits };
    chain![
        // The call's id, on every log line and every answer, including that to a panic.
        observe,
        faults,
        // Limits everything that can take time.
        Deadline(args.request_timeout),
        // Translates failures that the gRPC library answers by itself.
        Wire,
        // Finds the method: calls of unknown methods end here.
        Before(access),
        // Limits the calls in flight, authenticates, limits the rate, and counts the bytes of the answer.
        gate,
        // Records refusals of known callers.
        audit,
        Before(Authorize),
    ]
}
