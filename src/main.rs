//! The binary: parses the command line, runs the command and reports errors in one line.

use std::{process::ExitCode, sync::Arc};

use tenantry::{
    app::{
        change,
        signing_keys::{self, Former},
    },
    cli::{self, calibrate, selftest},
    clock::{Clock as _, SystemClock},
    config::{
        self, AdminCommand, AdminCreateArgs, Cli, Command, HashCommand, IsolationArgs, MigrateArgs, RotateArgs,
        SelftestCommand, ServeArgs, SigningKeysArgs, SigningKeysCommand,
    },
    db::{Database, migrations},
    error::{Error, Precondition, Taken, chain},
    grpc::ENCODERS,
    server::{Server, bootstrap},
    telemetry,
};
use tokio::signal::unix::{SignalKind, signal};

/// Each call allocates and frees some thirty small objects, often on different threads. Huge pages are off: every page touched would
/// count as 2 MiB, at rest and for every thread after a load.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[tokio::main]
async fn main() -> ExitCode {
    match run(config::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("tenantry: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn run(cli: Cli) -> Result<(), String> {
    if let Some(name) = config::unknown_variable() {
        return Err(format!("the environment variable {name} is not a setting; see `tenantry serve --help`"));
    }
    match cli.command {
        Command::Serve(args) => serve(&args).await,
        Command::Migrate(args) => migrate(&args).await,
        Command::Admin(AdminCommand::Create(args)) => create_admin(&args).await,
        Command::SigningKeys(SigningKeysCommand::List(args)) => signing_keys(&args, None).await,
        Command::SigningKeys(SigningKeysCommand::Rotate(args)) => signing_keys(&args.at, Some(&args)).await,
        Command::Hash(HashCommand::Calibrate(args)) => {
            println!("{}", calibrate::calibrate(args.threads(), args.target));
            Ok(())
        }
        Command::Selftest(SelftestCommand::Isolation(args)) => try_isolation(&args).await,
    }
}

async fn serve(args: &ServeArgs) -> Result<(), String> {
    let telemetry = telemetry::init_serving(&args.telemetry)?;
    // First, so that a signal during start-up is not lost.
    let listen = |kind| signal(kind).map_err(|error| format!("cannot listen for signals: {error}"));
    let (mut interrupt, mut terminate) = (listen(SignalKind::interrupt())?, listen(SignalKind::terminate())?);

    let server = Server::start(args, Arc::new(SystemClock)).await?;
    if let Some(key) = &server.first_admin_key {
        println!(
            "The database was empty: a platform admin was created. This is its API key, which is not shown again:\n\n\
             {key}\n\n\
             Try it:\n\n\
             grpcurl -plaintext -H 'authorization: Bearer {key}' {address} tenantry.v1.UserService/ListUsers\n",
            key = key.expose(),
            address = server.address,
        );
    }
    tracing::info!(
        address = %server.address,
        metrics = server.metrics_address.map(tracing::field::display),
        database = ?args.database.database_url, "serving");

    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
    tracing::info!("shutting down; a second signal exits immediately");
    let stopped = tokio::select! {
        stopped = server.stop() => stopped,
        _ = interrupt.recv() => return Ok(()),
        _ = terminate.recv() => return Ok(()),
    };
    telemetry.end().await;
    stopped
}

async fn migrate(args: &MigrateArgs) -> Result<(), String> {
    telemetry::init(&args.log)?;
    migrations::at_startup(&args.database, async || Ok(())).await?;
    tracing::info!("the schema is up to date");
    Ok(())
}

async fn try_isolation(args: &IsolationArgs) -> Result<(), String> {
    let report = selftest::isolation(&args.endpoint, args.ca.as_deref(), &selftest::Key::new(&args.api_key.0)?).await?;
    println!("{report}");
    if args.by_caller {
        println!("\n{}", report.by_caller());
    }
    if report.is_good() { Ok(()) } else { Err("the isolation of tenants is not proven; see the table".to_owned()) }
}

/// Lists the signing keys, after an optional rotation.
async fn signing_keys(args: &SigningKeysArgs, rotate: Option<&RotateArgs>) -> Result<(), String> {
    telemetry::init(&args.log)?;
    let keys = migrations::at_startup(&args.database, async || {
        let db = Database::open(&args.database, args.database.database_timeout).await?;
        let ring = bootstrap::key_ring(args.sealing.sealing_keys.as_ref(), &args.database, &db, &SystemClock).await?;
        let (ring, now) = (&ring, SystemClock.now());
        let keys = change::by_system(&db, ENCODERS.event, &SystemClock, async |tx| {
            if let Some(rotate) = rotate {
                let former = if rotate.revoke_former { Former::Stop } else { Former::Outlive };
                let algorithm = rotate.signing_algorithm.map(Into::into);
                signing_keys::rotate(tx, ring, algorithm, rotate.lead, former, now).await?;
            }
            tx.signing_keys().all().await
        });
        keys.await.map_err(|error| chain(&error))
    });
    print!("{}", cli::signing_keys::table(&keys.await?, SystemClock.now()));
    Ok(())
}

async fn create_admin(args: &AdminCreateArgs) -> Result<(), String> {
    telemetry::init(&args.log)?;
    let key = migrations::at_startup(&args.database, async || {
        let db = Database::open(&args.database, args.database.database_timeout).await?;
        bootstrap::create_admin(&db, &SystemClock, &args.secrets.prefixes(), (&args.email, &args.name), args.existing)
            .await
            .map_err(|error| no_admin(&error))
    });
    println!("{}", key.await?.expose());
    Ok(())
}

/// Explains in one line why no platform admin was created, and what to do.
fn no_admin(error: &Error) -> String {
    match error {
        Error::Taken(Taken::UserEmail) => {
            "a user with this e-mail exists; --existing makes that user a platform admin and ends its API keys and sessions"
                .to_owned()
        }
        Error::Precondition(Precondition::EmailNotVerified) => {
            "the user with this e-mail never proved to own the address and may be a stranger; use another e-mail, or \
             have it verified first"
                .to_owned()
        }
        error => chain(error),
    }
}
