//! The server: what is opened at start, the layers in their order, one line per service, and the way down.

pub mod bootstrap;
pub mod services;
mod settings;

use std::{net::SocketAddr, sync::Arc, time::Duration};

use tokio::{
    net::TcpListener,
    sync::oneshot,
    task::{JoinHandle, JoinSet},
};

use crate::{
    DESCRIPTOR_SET,
    app::{
        App, Inner, Policy,
        admission::Overload,
        attempts::{self, Attempts},
        change,
        credentials::Credentials,
        feed::Feed,
        hashing::Hashing,
        health::Health,
        request_memory::RequestMemory,
        shares::Shares,
        signing_keys::{self, SigningKeys},
    },
    clock::Clock,
    config::ServeArgs,
    db::{Database, migrations, reads::Gather},
    error::chain,
    grpc::ENCODERS,
    http::{port::Port, well_known},
    interceptors::{
        AccessTable, Around, Audit, Authenticate, Authorize, Before, Deadline, Faults, Gate, Intercepted, Limits,
        Observe, RateLimit, Wire,
    },
    jobs::{sweep, usage},
    models::{Plaintext, session::Lifetimes},
    security::{event_cursor::EventCursors, page_token::PageTokens},
    server::services::Services,
    telemetry::metrics::Metrics,
    transport::{Tls, Transport, answers::Answers},
};

/// How long a server that stops may take to write when keys were last used.
const LAST_WRITE: Duration = Duration::from_secs(2);

/// A running server.
pub struct Server {
    /// Where it listens.
    pub address: SocketAddr,
    /// The API key of the platform admin that this start made on an empty database.
    pub first_admin_key: Option<Plaintext>,
    /// Where it tells of itself, if it does.
    pub metrics_address: Option<SocketAddr>,
    app: App,
    health: Health,
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
    /// What runs beside the calls, and ends with them.
    beside: JoinSet<()>,
    shutdown_delay: Duration,
    shutdown_timeout: Duration,
}

impl Server {
    /// Opens the database and serves.
    ///
    /// # Errors
    /// Says in one line what is wrong.
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
        let mut beside = JoinSet::new();
        let feed = app.feed.clone();
        tokio::spawn(feed.clone().run(app.db.clone()));
        let (running, credentials) = (feed.clone(), app.credentials.clone());
        tokio::spawn(async move { running.until_stopped(credentials.follow()).await });
        if !args.sweep_interval.is_zero() {
            tokio::spawn(sweep::run(app.clone(), args.sweep_interval));
        }
        tokio::spawn(usage::run(app.clone(), args.usage_interval));
        tokio::spawn(attempts::run(app.clone()));
        tokio::spawn(signing_keys::run(app.clone(), args.authentication.schedule()));
        beside.spawn(health.clone().follow(app.db.clone()));
        if let Some(tls) = &tls {
            beside.spawn(Arc::clone(tls).follow());
        }

        let mut metrics = Metrics::default();
        health.register(metrics.registry());
        app.register(&mut metrics);
        let rates = RateLimit::new(args.rate_limit);
        rates.register(metrics.registry());
        beside.spawn(rates.clone().forget());
        let answers = Answers::new(args.network.answer_memory, args.network.answer_memory_of_owner);
        answers.register(metrics.registry());
        let observed = answers.clone();
        metrics.observe(move || observed.observe());
        let interceptors = interceptors(app.clone(), access, rates, answers.clone(), &mut metrics, args);
        let service = Intercepted::new(interceptors, services);
        let service = well_known::Beside::new(app.clone(), Arc::new(service));
        let transport = Transport::new(Arc::new(service), args.network.clone(), tls, answers);
        transport.register(metrics.registry());

        let metrics_address = metrics_listener.map(|(listener, address)| {
            beside.spawn(Port { metrics, health: health.clone() }.serve(listener));
            address
        });
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
            beside,
            shutdown_delay,
            shutdown_timeout,
        })
    }

    /// Takes no more calls, lets those in flight end for as long as the settings say, and stops.
    ///
    /// # Errors
    /// Says in one line what ended the server before.
    pub async fn stop(mut self) -> Result<(), String> {
        self.health.stop();
        // Who stands in front of it sees that, and sends its calls elsewhere.
        tokio::time::sleep(self.shutdown_delay).await;
        let _ = self.stop.send(());
        self.app.feed.stop();
        let abort = self.task.abort_handle();
        let stopped = match tokio::time::timeout(self.shutdown_timeout, self.task).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(format!("the server ended: {error}")),
            // A peer that never says anything would keep the server for ever.
            Err(_) => {
                tracing::warn!("calls or connections were still open at the end of the shutdown timeout");
                abort.abort();
                Ok(())
            }
        };
        self.beside.abort_all();
        // No call uses a key any more.
        let _ = tokio::time::timeout(LAST_WRITE, usage::write(&self.app)).await;
        let _ = tokio::time::timeout(LAST_WRITE, attempts::write(&self.app)).await;
        stopped
    }
}

async fn listen(address: SocketAddr) -> Result<(TcpListener, SocketAddr), String> {
    let failed = |error| format!("cannot listen on {address}: {error}");
    let listener = TcpListener::bind(address).await.map_err(failed)?;
    let address = listener.local_addr().map_err(failed)?;
    Ok((listener, address))
}

/// How long a statement may take: less than a call, so that the database has ended it when its call ends.
fn statement_timeout(args: &ServeArgs) -> Result<Duration, String> {
    match args.statement_timeout {
        None => Ok(args.request_timeout.mul_f64(0.8)),
        Some(timeout) if timeout < args.request_timeout => Ok(timeout),
        Some(_) => Err("--statement-timeout must be less than --request-timeout".to_owned()),
    }
}

/// Opens the database, checks the keys, and makes the first platform admin. Runs under the start-up lock.
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
        first_admin.map_err(|error| format!("the first platform admin cannot be made: {}", chain(&error)))?;
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
    let app = App::new(Inner {
        clock,
        pages: PageTokens::new(&keys),
        cursors: EventCursors::new(&keys),
        feed: Feed::new(args.max_streams, shares.clone()),
        users: Gather::new(db.clone()),
        organizations: Gather::new(db.clone()),
        credentials,
        hashing: Hashing::new(sign_in.hashing()?, shares.clone()),
        passwords: sign_in.password_policy(),
        attempts: Attempts::new(sign_in.limits()),
        signing_keys,
        overload: Overload::new(args.max_calls, args.max_streams),
        shares,
        request_memory: RequestMemory::new(args.max_remembered, args.request_memory),
        policy,
        encoders: ENCODERS,
        keys,
        secrets,
        db,
    });
    Ok((app, first_admin))
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
) -> impl Around + 'static {
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
    // Nothing beyond what the server takes, who are you, have you not asked enough, do you not hold too much.
    let gate = Gate { overload, authenticate, rates, shares, answers, limits };
    chain![
        // The id of the call: every log line and every answer carries it, also that to a panic.
        observe,
        faults,
        // Bounds everything that can take time.
        Deadline(args.request_timeout),
        // Translates what the gRPC library answers by itself.
        Wire,
        // Finds the method: an unknown one goes no further.
        Before(access),
        // Bounds the calls in flight, authenticates, limits the rate, and counts the bytes of the answer.
        gate,
        // Records refusals of known callers.
        audit,
        Before(Authorize),
    ]
}
