//! Shared test support: a server per test, clients with any key, fixtures, and checks of refusals.

#![allow(
    missing_docs,
    clippy::should_implement_trait,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::match_same_arms,
    clippy::unnecessary_wraps,
    reason = "tests may panic and favour readability"
)]

pub mod canary;
pub mod crowd;
pub mod database;
pub mod follow;
pub mod given;
pub mod held;
pub mod http2;
pub mod invariants;
pub mod load;
pub mod mirror;
pub mod random;
pub mod raw;
pub mod refusal;
pub mod request;
pub mod serving;
pub mod statements;

use std::{sync::Arc, time::Duration};

pub use database::Backend;
pub use refusal::refused;
use tenantry::{
    clock::MovableClock,
    config::{Cli, Command, ServeArgs},
    pb::{
        self, api_key_service_client::ApiKeyServiceClient, authentication_service_client::AuthenticationServiceClient,
        authorization_service_client::AuthorizationServiceClient, event_service_client::EventServiceClient,
        invitation_service_client::InvitationServiceClient, membership_service_client::MembershipServiceClient,
        oauth_account_service_client::OauthAccountServiceClient,
        organization_service_client::OrganizationServiceClient,
        refresh_token_service_client::RefreshTokenServiceClient, role_service_client::RoleServiceClient,
        session_service_client::SessionServiceClient, user_service_client::UserServiceClient,
    },
    server::Server,
};
pub use tenantry_test_macros::both;
use tonic::{
    Request, Status,
    metadata::MetadataValue,
    service::{Interceptor, interceptor::InterceptedService},
    transport::{Channel, Endpoint},
};

/// The directory of the repository.
pub const REPOSITORY: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");

/// The message of a response.
pub trait Answered<T> {
    /// The message; a refused call fails the test.
    fn answered(self) -> T;
}

impl<T> Answered<T> for Result<tonic::Response<T>, Status> {
    #[track_caller]
    fn answered(self) -> T {
        self.unwrap_or_else(|status| panic!("the call was refused: {status:?}")).into_inner()
    }
}

/// The server of one test.
pub struct Test {
    pub clock: Arc<MovableClock>,
    pub database: database::TestDatabase,
    /// The key of the platform admin created at the first start.
    pub admin_key: String,
    pub server: tokio::sync::Mutex<Option<Server>>,
    pub address: std::net::SocketAddr,
}

/// Runs a test on a fresh server. Cleans up even if the test fails.
pub async fn run<F>(backend: Backend, options: &[&str], body: impl FnOnce(Arc<Test>) -> F)
where
    F: Future<Output = ()> + Send + 'static,
{
    let test = Arc::new(Test::start(backend, options).await);
    // Longer than any test takes on any machine, also a thousand sequences of a model beside twenty busy processes.
    let limited = tokio::time::timeout(Duration::from_mins(45), body(Arc::clone(&test)));
    let result = tokio::spawn(async { limited.await.expect("the test ends in time") }).await;
    test.stop().await;
    if let Err(error) = result {
        std::panic::resume_unwind(error.into_panic());
    }
}

/// The settings of a test server.
pub fn args(database_url: &str, options: &[&str]) -> ServeArgs {
    use clap::Parser as _;
    let fixed =
        ["tenantry", "serve", "--listen", "127.0.0.1:0", "--shutdown-timeout", "0s", "--database-url", database_url];
    // Tests run in parallel on a small machine: no test may fail because others are slow.
    let patient = if options.contains(&"--database-timeout") { &[][..] } else { &["--database-timeout", "60s"] };
    let slow = if options.contains(&"--request-timeout") { &[][..] } else { &["--request-timeout", "2m"] };
    // No background writes that a test does not expect.
    let still = if options.contains(&"--usage-interval") { &[][..] } else { &["--usage-interval", "1d"] };
    let keys = ["--sealing-keys", SEALING_KEYS];
    let needs_keys = database_url.starts_with("postgres") && !options.contains(&"--sealing-keys");
    let keys = if needs_keys { &keys[..] } else { &[][..] };
    let all = fixed.iter().chain(options).chain(patient).chain(slow).chain(still).chain(keys);
    match Cli::try_parse_from(all).unwrap().command {
        Command::Serve(args) => *args,
        _ => unreachable!(),
    }
}

/// A key ring for PostgreSQL, which requires one.
pub const SEALING_KEYS: &str = "k1:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";

impl Test {
    async fn start(backend: Backend, options: &[&str]) -> Self {
        canary::watch();
        let database = database::TestDatabase::create(backend).await;
        let clock = Arc::new(MovableClock::default());
        let args = args(&database.url(), options);
        let server = Server::start(&args, clock.clone()).await.unwrap();
        let admin_key = server.first_admin_key.as_ref().unwrap().expose().to_owned();
        let address = server.address;
        Self { clock, database, admin_key, server: Some(server).into(), address }
    }

    /// Starts another server, on a new database of the same kind.
    pub async fn start_like(other: &Self) -> Self {
        let backend = match other.database {
            database::TestDatabase::Sqlite(_) => Backend::Sqlite,
            database::TestDatabase::Postgres(_) => Backend::Postgres,
        };
        Self::start(backend, &[]).await
    }

    /// Stops the server and removes the database.
    pub async fn stop(&self) {
        if let Some(server) = self.server.lock().await.take() {
            server.stop().await.unwrap();
        }
        self.database.remove().await;
    }

    /// A client without a credential.
    pub fn anonymous(&self) -> Api {
        Api::new(self.address, None)
    }

    /// A client with a key.
    pub fn with_key(&self, key: &str) -> Api {
        Api::new(self.address, Some(key.to_owned()))
    }

    /// A client of the first platform admin.
    pub fn admin(&self) -> Api {
        self.with_key(&self.admin_key)
    }

    /// Moves the server's clock forward.
    pub fn advance(&self, by: Duration) {
        self.clock.advance(by);
    }
}

/// Clients of all services with one credential.
#[derive(Clone)]
pub struct Api {
    pub channel: Channel,
    pub bearer: Bearer,
}

/// Adds a key to every call.
#[derive(Clone)]
pub struct Bearer(Option<String>);

impl Interceptor for Bearer {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        if let Some(key) = &self.0 {
            let value = MetadataValue::try_from(format!("Bearer {key}")).unwrap();
            request.metadata_mut().insert("authorization", value);
        }
        Ok(request)
    }
}

pub type Through = InterceptedService<Channel, Bearer>;

impl Api {
    /// A client with small flow-control windows.
    pub fn with_small_windows(address: std::net::SocketAddr, key: &str) -> Self {
        let endpoint = Endpoint::from_shared(format!("http://{address}")).unwrap();
        let endpoint = endpoint.initial_stream_window_size(65_535).initial_connection_window_size(65_535);
        Self { channel: endpoint.connect_lazy(), bearer: Bearer(Some(key.to_owned())) }
    }

    pub fn new(address: std::net::SocketAddr, key: Option<String>) -> Self {
        let channel = Endpoint::from_shared(format!("http://{address}")).unwrap().connect_lazy();
        Self { channel, bearer: Bearer(key) }
    }

    /// A client on the same connection with another key.
    pub fn with(&self, key: &str) -> Self {
        Self { channel: self.channel.clone(), bearer: Bearer(Some(key.to_owned())) }
    }

    pub fn users(&self) -> UserServiceClient<Through> {
        UserServiceClient::with_interceptor(self.channel.clone(), self.bearer.clone())
    }

    pub fn organizations(&self) -> OrganizationServiceClient<Through> {
        OrganizationServiceClient::with_interceptor(self.channel.clone(), self.bearer.clone())
    }

    pub fn memberships(&self) -> MembershipServiceClient<Through> {
        MembershipServiceClient::with_interceptor(self.channel.clone(), self.bearer.clone())
    }

    pub fn roles(&self) -> RoleServiceClient<Through> {
        RoleServiceClient::with_interceptor(self.channel.clone(), self.bearer.clone())
    }

    pub fn invitations(&self) -> InvitationServiceClient<Through> {
        InvitationServiceClient::with_interceptor(self.channel.clone(), self.bearer.clone())
    }

    pub fn authentication(&self) -> AuthenticationServiceClient<Through> {
        AuthenticationServiceClient::with_interceptor(self.channel.clone(), self.bearer.clone())
    }

    pub fn authorization(&self) -> AuthorizationServiceClient<Through> {
        AuthorizationServiceClient::with_interceptor(self.channel.clone(), self.bearer.clone())
    }

    pub fn oauth_accounts(&self) -> OauthAccountServiceClient<Through> {
        OauthAccountServiceClient::with_interceptor(self.channel.clone(), self.bearer.clone())
    }

    pub fn refresh_tokens(&self) -> RefreshTokenServiceClient<Through> {
        RefreshTokenServiceClient::with_interceptor(self.channel.clone(), self.bearer.clone())
    }

    pub fn sessions(&self) -> SessionServiceClient<Through> {
        SessionServiceClient::with_interceptor(self.channel.clone(), self.bearer.clone())
    }

    pub fn events(&self) -> EventServiceClient<Through> {
        EventServiceClient::with_interceptor(self.channel.clone(), self.bearer.clone())
    }

    pub fn api_keys(&self) -> ApiKeyServiceClient<Through> {
        ApiKeyServiceClient::with_interceptor(self.channel.clone(), self.bearer.clone())
    }
}

/// Number of rounds of a race: `count` times `TENANTRY_TEST_ROUNDS`, which `make test-slow` sets.
pub fn rounds(count: usize) -> usize {
    count * std::env::var("TENANTRY_TEST_ROUNDS").map_or(1, |times| times.parse().expect("a number of rounds"))
}

/// An update mask.
pub fn mask(paths: &[&str]) -> Option<prost_types::FieldMask> {
    Some(prost_types::FieldMask { paths: paths.iter().map(ToString::to_string).collect() })
}

/// The question whether a key is valid.
pub fn question(key: &str) -> Option<pb::ApiKeyQuestion> {
    Some(pb::ApiKeyQuestion { plaintext_key: key.to_owned(), ..Default::default() })
}

/// A JSON object with one string.
pub fn object(key: &str, value: &str) -> Option<prost_types::Struct> {
    let value = prost_types::Value { kind: Some(prost_types::value::Kind::StringValue(value.to_owned())) };
    Some(prost_types::Struct { fields: [(key.to_owned(), value)].into() })
}

/// A JSON object of some values.
pub fn json(values: &[(&str, prost_types::value::Kind)]) -> Option<prost_types::Struct> {
    let value = |kind: &prost_types::value::Kind| prost_types::Value { kind: Some(kind.clone()) };
    let fields = values.iter().map(|(key, kind)| ((*key).to_owned(), value(kind))).collect();
    Some(prost_types::Struct { fields })
}

/// A text as a JSON value.
pub fn words(text: &str) -> prost_types::value::Kind {
    prost_types::value::Kind::StringValue(text.to_owned())
}

/// A filter by metadata.
pub fn having(key: &str, value: &str) -> Option<pb::MetadataFilter> {
    Some(pb::MetadataFilter { key: key.to_owned(), value: value.to_owned() })
}

/// The time of the server's clock plus some seconds, as a message.
pub fn time_in(t: &Test, seconds: i64) -> Option<prost_types::Timestamp> {
    use tenantry::clock::Clock as _;
    let now = t.clock.now().as_micros() / 1_000_000;
    Some(prost_types::Timestamp { seconds: now + seconds, nanos: 0 })
}

/// An id that does not exist.
pub const MISSING_ID: &str = "01900000-0000-7000-8000-000000000000";
/// A day.
pub const DAY: Duration = Duration::from_hours(24);
