//! The measurements on one database.

use std::time::{Duration, Instant};

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
    let get = pb::GetUserRequest { user_id: world.user.id.clone() };
    let got = pb::GetUserResponse { user: Some(world.user.clone()) };
    let verify_sizes = (verify.encoded_len(), verified.encoded_len());
    let get_sizes = (get.encoded_len(), got.encoded_len());

    tokio::task::block_in_place(|| {
        let key = world.key.as_str();
        let ours =
            |script: &dyn Fn(usize) -> Box<dyn Script>| load::run(serving.address, Some(key), SHAPE, lasting, script);
        let bare = |(request, answer)| {
            load::run(echo.address, None, SHAPE, lasting, |_| operations::echo(request, answer)).per_second
        };
        let same = |script: &dyn Fn() -> Box<dyn Script>| -> Rate { ours(&|_| script()) };

        let requests = |part: usize| -> Box<dyn Script> {
            let own = world.keys.iter().skip(part).step_by(CONNECTIONS);
            let request = |key: &String| pb::VerifyApiKeyRequest { question: question(key) };
            Box::new(Cold { requests: own.map(|key| request(key).encode_to_vec()).collect() })
        };
        let empty = bare(verify_sizes);
        report.limit(backend, "bare call, as large as VerifyApiKey", empty);
        let cold = load::once(serving.address, key, IN_FLIGHT, (0..CONNECTIONS).map(requests).collect());
        report.operation(backend, "VerifyApiKey, cold", cold, None, ("of a bare call", empty, None));
        let warm = same(&|| Same::boxed("/tenantry.v1.ApiKeyService/VerifyApiKey", &verify));
        report.rate(backend, "VerifyApiKey, warm", &warm, ("of a bare call", empty, Some(0.80)));
        let question = pb::VerifyStreamRequest { question_id: 1, question: asked.clone() };
        let script = || -> Box<dyn Script> { Box::new(Asked(question.clone())) };
        let stream = load::stream(serving.address, key, (CONNECTIONS, ON_STREAM), lasting, script);
        report.operation(backend, "VerifyStream", stream, None, ("of VerifyApiKey", warm.per_second, Some(3.0)));

        let empty = bare(get_sizes);
        report.limit(backend, "bare call, as large as GetUser", empty);
        let goal = if backend == Backend::Sqlite { 0.55 } else { 0.50 };
        let rate = same(&|| Same::boxed("/tenantry.v1.UserService/GetUser", &get));
        report.rate(backend, "GetUser", &rate, ("of a bare call", empty, Some(goal)));
        let ends =
            pb::UserAndOrganization { user_id: world.user.id.clone(), organization_id: world.organization_id.clone() };
        let membership = pb::GetMembershipRequest { key: Some(Key::UserAndOrganization(ends)) };
        let rate = same(&|| Same::boxed("/tenantry.v1.MembershipService/GetMembership", &membership));
        report.rate(backend, "GetMembership by user and organization", &rate, ("of a bare call", empty, None));
        let list = pb::ListMembershipsRequest {
            organization_id: world.organization_id.clone(),
            page_size: 50,
            ..Default::default()
        };
        let rate = same(&|| Same::boxed("/tenantry.v1.MembershipService/ListMemberships", &list));
        report.rate(backend, "ListMemberships, a page of 50", &rate, ("of a bare call", empty, None));

        let created = same(&|| Box::new(CreateUser));
        let goal = if backend == Backend::Sqlite { 3.0 } else { 0.45 };
        let insert = report.last_limit(backend, "bare INSERT of a user");
        report.rate(backend, "CreateUser", &created, ("of bare INSERTs, each committed", insert, Some(goal)));
        let share = IN_FLIGHT / CONNECTIONS;
        let rate = ours(&|at| Box::new(Rotate { tokens: world.tokens[at * share..(at + 1) * share].to_vec() }));
        report.rate(backend, "RotateRefreshToken", &rate, ("of CreateUser", created.per_second, Some(0.9)));
    });
    report.under_load(backend, server::memory(&serving));
    report.watch(backend, &watch(&api).await);
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
