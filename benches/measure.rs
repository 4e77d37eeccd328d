//! The measurements on one database.

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use prost::Message as _;
use tenantry::pb::{self, create_api_key_request::Owner, get_membership_request::Key};

use crate::{
    limits::databases,
    load::{self, CONNECTIONS, IN_FLIGHT, Rate},
    operations::{self, Asked, Cold, CreateUser, Rotate, Same},
    report::{Report, name},
    server::{self, Echo},
    support::{
        Answered as _, Api, Backend, database::TestDatabase, follow::Watch, given::Issued as _, question,
        serving::Serving,
    },
    wire::Script,
};

/// Number of connections, and calls in flight over all of them.
const SHAPE: (usize, usize) = (CONNECTIONS, IN_FLIGHT);
/// Factor of connections and calls in flight for the overload.
const OVERLOAD: usize = 10;
/// Questions in flight on each stream.
const ON_STREAM: u64 = 256;
/// Number of keys for cold verifications.
const COLD_KEYS: usize = 4_000;
/// Number of members of the listed organization.
const MEMBERS: usize = 60;
/// Number of changes that a watch is timed with.
const WATCHED: usize = 60;

/// Data for the operations.
#[derive(Clone)]
pub struct World {
    /// A platform admin's key.
    key: String,
    user: pb::User,
    organization_id: String,
    keys: Vec<String>,
    tokens: Vec<String>,
}

/// Measures the operations on a fresh database, normally and under overload.
pub async fn database(backend: Backend, report: &mut Report, lasting: Duration, rounds: u64) {
    let (database, world) = fresh(backend, report, lasting, rounds).await;
    overload(&database, &world, backend, report, lasting);
    database.remove().await;
}

/// Starts Tenantry on a database. Records the start-up time and the memory at rest.
pub fn started(database: &TestDatabase, backend: Backend, report: &mut Report) -> Serving {
    let begun = Instant::now();
    let serving = server::ours(database);
    report.at_rest(backend, begun.elapsed(), server::memory(&serving));
    serving
}

/// Measures the operations on a fresh database and returns the database.
pub async fn fresh(backend: Backend, report: &mut Report, lasting: Duration, rounds: u64) -> (TestDatabase, World) {
    let database = TestDatabase::create(backend).await;
    let key = server::admin_key(&database);
    let serving = started(&database, backend, report);
    let world = World::make(&serving.with_key(&key), &key).await;
    drop(serving);
    for round in 0..rounds {
        eprintln!("{}: round {} of {rounds}", name(backend), round + 1);
        measure(&database, &world, backend, report, lasting).await;
    }
    (database, world)
}

/// Measures CreateUser with the usual number of calls in flight, then with [`OVERLOAD`] times as many for 20 times as long.
fn overload(database: &TestDatabase, world: &World, backend: Backend, report: &mut Report, lasting: Duration) {
    let serving = server::ours(database);
    let create = |shape, lasting| {
        let script = |_| -> Box<dyn Script> { Box::new(CreateUser) };
        tokio::task::block_in_place(|| load::run(serving.address, Some(&world.key), shape, lasting, script))
    };
    let usual = create(SHAPE, lasting);
    let over = create((CONNECTIONS * OVERLOAD, IN_FLIGHT * OVERLOAD), lasting * 20);
    report.overload(backend, &usual, &over);
}

impl World {
    /// Creates the data.
    pub async fn make(api: &Api, key: &str) -> Self {
        let user = user(api).await;
        let request = pb::CreateOrganizationRequest {
            name: "Acme".to_owned(),
            owner_user_id: user.id.clone(),
            ..Default::default()
        };
        let organization = api.organizations().create_organization(request).await.answered();
        let organization_id = organization.organization.unwrap().id;
        for _ in 0..MEMBERS {
            let request = pb::CreateMembershipRequest {
                user_id: self::user(api).await.id,
                organization_id: organization_id.clone(),
                role: "member".to_owned(),
                ..Default::default()
            };
            api.memberships().create_membership(request).await.unwrap();
        }
        let mut world = Self { key: key.to_owned(), user, organization_id, keys: Vec::new(), tokens: Vec::new() };
        for _ in 0..COLD_KEYS {
            let request = pb::CreateApiKeyRequest {
                owner: Some(Owner::OrganizationId(world.organization_id.clone())),
                name: "key".to_owned(),
                scopes: vec!["users:read".to_owned()],
                environment: pb::ApiKeyEnvironment::Live.into(),
                ..Default::default()
            };
            world.keys.push(api.api_keys().create_api_key(request).await.answered().plaintext_key);
        }
        world
    }

    /// Starts new sessions, each for a different user.
    async fn begin_sessions(&mut self, api: &Api) {
        self.tokens.clear();
        for _ in 0..IN_FLIGHT {
            let request = pb::CreateRefreshTokenRequest { user_id: user(api).await.id, ..Default::default() };
            self.tokens
                .push(api.refresh_tokens().create_refresh_token(request).await.answered().issued().plaintext_token);
        }
    }
}

async fn user(api: &Api) -> pb::User {
    let request = pb::CreateUserRequest { email: databases::email(), name: "A name".to_owned(), ..Default::default() };
    api.users().create_user(request).await.answered().user.unwrap()
}

/// Measures everything once.
pub async fn measure(database: &TestDatabase, world: &World, backend: Backend, report: &mut Report, lasting: Duration) {
    let bare = databases::measure(database, lasting).await;
    report.limit(backend, "bare SELECT of a user", bare.select);
    report.limit(backend, "bare INSERT of a user", bare.insert);
    let serving = server::ours(database);
    let (api, echo) = (serving.with_key(&world.key), Echo::start());
    let mut world = world.clone();
    world.begin_sessions(&api).await;
    let asked = Some(pb::ApiKeyQuestion {
        plaintext_key: world.key.clone(),
        required_scope: "users:read".to_owned(),
        ..Default::default()
    });
    let verify = pb::VerifyApiKeyRequest { question: asked.clone() };
    let verified = api.api_keys().verify_api_key(verify.clone()).await.answered();
    let verify_sizes = (verify.encoded_len(), verified.encoded_len());
    let round = Round { world: &world, backend, lasting, ours: serving.address, bare: echo.address };
    tokio::task::block_in_place(|| {
        round.keys(report, &verify, verify_sizes);
        round.reads(report);
        round.writes(report);
    });
    report.under_load(backend, server::memory(&serving));
    report.watch(backend, &watch(&api).await);
}

/// One round of measurements.
struct Round<'a> {
    world: &'a World,
    backend: Backend,
    lasting: Duration,
    /// Address of Tenantry.
    ours: SocketAddr,
    /// Address of the bare server.
    bare: SocketAddr,
}

impl Round<'_> {
    /// Runs a script on Tenantry; the closure gets the number of the connection.
    fn run(&self, script: impl Fn(usize) -> Box<dyn Script>) -> Rate {
        load::run(self.ours, Some(self.world.key.as_str()), SHAPE, self.lasting, script)
    }

    /// Repeats the same request on Tenantry.
    fn repeat(&self, path: &'static str, request: &impl prost::Message) -> Rate {
        self.run(|_| Same::boxed(path, request))
    }

    /// Calls the bare server with requests and answers of the given sizes. Returns calls per second.
    fn run_bare(&self, (request, answer): (usize, usize)) -> f64 {
        load::run(self.bare, None, SHAPE, self.lasting, |_| operations::echo(request, answer)).per_second
    }

    /// Measures verifications of keys.
    fn keys(&self, report: &mut Report, verify: &pb::VerifyApiKeyRequest, sizes: (usize, usize)) {
        let (backend, key) = (self.backend, self.world.key.as_str());
        let requests = |part: usize| -> Box<dyn Script> {
            let own = self.world.keys.iter().skip(part).step_by(CONNECTIONS);
            let request = |key: &String| pb::VerifyApiKeyRequest { question: question(key) };
            Box::new(Cold { requests: own.map(|key| request(key).encode_to_vec()).collect() })
        };
        let empty = self.run_bare(sizes);
        report.limit(backend, "bare call, as large as VerifyApiKey", empty);
        let cold = load::once(self.ours, key, IN_FLIGHT, (0..CONNECTIONS).map(requests).collect());
        report.operation(backend, "VerifyApiKey, cold", cold, None, ("of a bare call", empty, None));
        let warm = self.repeat("/tenantry.v1.ApiKeyService/VerifyApiKey", verify);
        report.rate(backend, "VerifyApiKey, warm", &warm, ("of a bare call", empty, Some(0.80)));
        let question = pb::VerifyStreamRequest { question_id: 1, question: verify.question.clone() };
        let script = || -> Box<dyn Script> { Box::new(Asked(question.clone())) };
        let stream = load::stream(self.ours, key, (CONNECTIONS, ON_STREAM), self.lasting, script);
        report.operation(backend, "VerifyStream", stream, None, ("of VerifyApiKey", warm.per_second, Some(3.0)));
    }

    /// Measures reads of one row and of a page.
    fn reads(&self, report: &mut Report) {
        let (backend, world) = (self.backend, self.world);
        let get = pb::GetUserRequest { user_id: world.user.id.clone() };
        let got = pb::GetUserResponse { user: Some(world.user.clone()) };
        let empty = self.run_bare((get.encoded_len(), got.encoded_len()));
        report.limit(backend, "bare call, as large as GetUser", empty);
        let goal = if backend == Backend::Sqlite { 0.55 } else { 0.50 };
        let rate = self.repeat("/tenantry.v1.UserService/GetUser", &get);
        report.rate(backend, "GetUser", &rate, ("of a bare call", empty, Some(goal)));
        let ends =
            pb::UserAndOrganization { user_id: world.user.id.clone(), organization_id: world.organization_id.clone() };
        let membership = pb::GetMembershipRequest { key: Some(Key::UserAndOrganization(ends)) };
        let rate = self.repeat("/tenantry.v1.MembershipService/GetMembership", &membership);
        report.rate(backend, "GetMembership by user and organization", &rate, ("of a bare call", empty, None));
        let list = pb::ListMembershipsRequest {
            organization_id: world.organization_id.clone(),
            page_size: 50,
            ..Default::default()
        };
        let rate = self.repeat("/tenantry.v1.MembershipService/ListMemberships", &list);
        report.rate(backend, "ListMemberships, a page of 50", &rate, ("of a bare call", empty, None));
    }

    /// Measures changes. CreateUser comes last, because the index of search takes in the new users for some seconds afterwards.
    fn writes(&self, report: &mut Report) {
        let backend = self.backend;
        let share = IN_FLIGHT / CONNECTIONS;
        let rotate = |at: usize| -> Box<dyn Script> {
            Box::new(Rotate { tokens: self.world.tokens[at * share..(at + 1) * share].to_vec() })
        };
        let rotated = self.run(rotate);
        let created = self.run(|_| -> Box<dyn Script> { Box::new(CreateUser) });
        let goal = if backend == Backend::Sqlite { 3.0 } else { 0.45 };
        let insert = report.last_limit(backend, "bare INSERT of a user");
        report.rate(backend, "CreateUser", &created, ("of bare INSERTs, each committed", insert, Some(goal)));
        report.rate(backend, "RotateRefreshToken", &rotated, ("of CreateUser", created.per_second, Some(0.9)));
    }
}

/// Measures the delays between the response to a change and its event, sorted.
async fn watch(api: &Api) -> Vec<Duration> {
    let mut watch = Watch::from_now(api).await;
    let mut taken = Vec::new();
    for _ in 0..WATCHED {
        let user = user(api).await;
        let answered = Instant::now();
        while watch.event().await.resource_id != user.id {}
        taken.push(answered.elapsed());
    }
    taken.sort_unstable();
    taken
}
