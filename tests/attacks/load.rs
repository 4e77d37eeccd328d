//! Attacks of a minute against the real binary, and their effect on other tenants. They take long: see `make help`.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use prost::Message as _;
use tenantry::pb::{self, create_api_key_request::Owner};
use tokio::{
    io::AsyncWriteExt as _,
    runtime::{Builder, Runtime},
    task::JoinSet,
    time::sleep,
};
use tonic::Status;
use tonic_health::pb::{HealthCheckRequest, health_client::HealthClient};

use crate::{
    faults::{attacker, memory_kib, percentile, start},
    support::{
        Answered as _, Api, Backend, both,
        database::TestDatabase,
        given::unique,
        http2::{DATA, END_HEADERS, END_STREAM, HEADERS, PREFACE, SETTINGS, call_headers, frame, framed},
        mask, object, question, raw,
        serving::Serving,
    },
};

const LIST_USERS: &str = "/tenantry.v1.UserService/ListUsers";
const GET_USER: &str = "/tenantry.v1.UserService/GetUser";

/// Duration of an attack.
const LONG: Duration = Duration::from_mins(1);

/// Opens an attacking connection from its own address, with HTTP/2 settings. Everything it receives is discarded.
async fn hostile(to: SocketAddr, number: u8, settings: &[u8]) -> Option<tokio::net::tcp::OwnedWriteHalf> {
    let (mut reads, mut writes) = attacker(to, number).await?.into_split();
    tokio::spawn(async move { tokio::io::copy(&mut reads, &mut tokio::io::sink()).await });
    writes.write_all(&[PREFACE, &frame(SETTINGS, 0, 0, settings)].concat()).await.ok()?;
    Some(writes)
}

/// The setting of a client with a zero window: it accepts no answers.
const NO_ROOM: [u8; 6] = [0, 4, 0, 0, 0, 0];

/// The runtime of the attackers. Its threads have the lowest priority, because real attackers run on other machines. The work they cause
/// in the server still competes with other calls.
fn attackers() -> Runtime {
    let lowest = || {
        // On Linux this sets the priority of the calling thread.
        rustix::process::setpriority_process(None, 19).unwrap();
    };
    Builder::new_multi_thread().worker_threads(2).enable_all().on_thread_start(lowest).build().unwrap()
}

/// The frames of calls of a path; without a message the calls stay half open.
fn calls(path: &str, key: Option<&str>, message: Option<&[u8]>, count: u32) -> Vec<u8> {
    let bearer = key.map(|key| format!("Bearer {key}"));
    let more: Vec<(&str, &str)> = bearer.iter().map(|bearer| ("authorization", bearer.as_str())).collect();
    let block = call_headers(path, &more);
    let mut bytes = Vec::new();
    for number in 0..count {
        bytes.extend(frame(HEADERS, END_HEADERS, number * 2 + 1, &block));
        if let Some(message) = message {
            bytes.extend(frame(DATA, END_STREAM, number * 2 + 1, message));
        }
    }
    bytes
}

/// Sends bytes repeatedly, each time on a new connection.
async fn again_and_again(
    to: SocketAddr,
    number: u8,
    settings: Vec<u8>,
    bytes: Vec<u8>,
    pause: Duration,
    over: Arc<AtomicBool>,
) {
    while !over.load(Ordering::Relaxed) {
        if let Some(mut writes) = hostile(to, number, &settings).await {
            let _ = writes.write_all(&bytes).await;
            sleep(pause).await;
        }
    }
}

/// The calls of a bystander: latencies of the answered ones, and refusals.
#[derive(Default)]
struct Seen {
    times: Vec<Duration>,
    refused: Vec<String>,
}

impl Seen {
    fn note(&mut self, asked: Instant, answer: Result<(), Status>) {
        match answer {
            Ok(()) => self.times.push(asked.elapsed()),
            Err(status) => self.refused.push(format!("{:?} {}", status.code(), status.message())),
        }
    }

    fn p99(&mut self) -> Duration {
        percentile(&mut self.times, 99)
    }
}

/// Another tenant that reads, verifies its key and writes, while a probe checks the health.
struct Bystander {
    api: Api,
    user_id: String,
    key: String,
    probe: Api,
}

impl Bystander {
    async fn new(serving: &Serving, admin: &str) -> Self {
        let (user, key) = tenant(serving.address, admin, &["*"]).await;
        let api = serving.with_key(&key);
        Self { api, user_id: user.id, key, probe: serving.with_key("none") }
    }

    /// Calls for a while, in the order of [`KINDS`].
    async fn watch(&self, time: Duration) -> [Seen; 4] {
        let mut seen = <[Seen; 4]>::default();
        let end = Instant::now() + time;
        let mut health = HealthClient::new(self.probe.channel.clone());
        while Instant::now() < end {
            let asked = Instant::now();
            let service = if seen[0].times.len().is_multiple_of(2) { "liveness" } else { "" }.to_owned();
            seen[0].note(asked, health.check(HealthCheckRequest { service }).await.map(drop));
            let asked = Instant::now();
            let verify = pb::VerifyApiKeyRequest { question: question(&self.key) };
            seen[1].note(asked, self.api.api_keys().verify_api_key(verify).await.map(drop));
            let asked = Instant::now();
            let get = pb::GetUserRequest { user_id: self.user_id.clone() };
            seen[2].note(asked, self.api.users().get_user(get).await.map(drop));
            let asked = Instant::now();
            let update = pb::UpdateUserRequest {
                user_id: self.user_id.clone(),
                name: unique("name"),
                update_mask: mask(&["name"]),
                ..Default::default()
            };
            seen[3].note(asked, self.api.users().update_user(update).await.map(drop));
            sleep(Duration::from_millis(10)).await;
        }
        seen
    }
}

/// Creates a user and its key with scopes.
async fn tenant(to: SocketAddr, admin: &str, scopes: &[&str]) -> (pb::User, String) {
    let email = format!("{}@example.com", unique("load"));
    let create = pb::CreateUserRequest { email, name: "Load".to_owned(), ..Default::default() };
    let api = Api::new(to, Some(admin.to_owned()));
    let user = api.users().create_user(create).await.answered().user.unwrap();
    let key = key_of(&api, Owner::UserId(user.id.clone()), scopes).await.unwrap();
    (user, key)
}

async fn key_of(api: &Api, owner: Owner, scopes: &[&str]) -> Result<String, Status> {
    let create = pb::CreateApiKeyRequest {
        owner: Some(owner),
        name: "key".to_owned(),
        scopes: scopes.iter().map(ToString::to_string).collect(),
        environment: pb::ApiKeyEnvironment::Live.into(),
        ..Default::default()
    };
    Ok(api.api_keys().create_api_key(create).await?.into_inner().plaintext_key)
}

const KINDS: [&str; 4] = ["health", "verification", "reads", "writes"];

#[both(long)]
async fn minute_of_half_calls_takes_nothing_from_others(backend: Backend) {
    let database = TestDatabase::empty(backend).await;
    let serving = start(database.url(), &[]).await;
    let (admin, to) = (serving.first_admin_key.clone().unwrap(), serving.address);
    let (_, key) = tenant(serving.address, &admin, &["users:read"]).await;
    let bystander = Bystander::new(&serving, &admin).await;
    bystander.watch(Duration::from_secs(2)).await;
    let over = Arc::new(AtomicBool::new(false));
    let mut attacks = JoinSet::new();
    for number in 0..3 {
        let pause = Duration::from_secs(1);
        let health = calls("/grpc.health.v1.Health/Check", None, None, 100);
        attacks.spawn(again_and_again(to, 60 + number, Vec::new(), health, pause, Arc::clone(&over)));
        let reads = calls(LIST_USERS, Some(&key), None, 100);
        attacks.spawn(again_and_again(to, 70 + number, Vec::new(), reads, pause, Arc::clone(&over)));
    }
    let seen = bystander.watch(LONG).await;
    over.store(true, Ordering::Relaxed);
    attacks.join_all().await;
    for (kind, mut seen) in KINDS.into_iter().zip(seen) {
        let p99 = seen.p99();
        println!(
            "{backend:?}: during half calls: {kind}: {} answered, {} refused, p99 {p99:.1?}",
            seen.times.len(),
            seen.refused.len()
        );
        assert!(seen.refused.is_empty(), "{kind}: {:?}", seen.refused);
        assert!(kind == "writes" || p99 <= Duration::from_millis(100), "{kind}: {p99:?}");
    }
    drop(serving);
    database.remove().await;
}

/// The peak resident memory of a process, in KiB.
fn peak_kib(process: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.split_whitespace().next().unwrap().parse().unwrap()
}

/// Creates an organization with 200 users of 15 KB each. Returns its key.
async fn large_organization(serving: &Serving, admin: &str) -> String {
    let (owner, _) = tenant(serving.address, admin, &["*"]).await;
    let api = serving.with_key(admin);
    let create = pb::CreateOrganizationRequest {
        name: "Large".to_owned(),
        slug: unique("large-"),
        owner_user_id: owner.id.clone(),
        ..Default::default()
    };
    let organization = api.organizations().create_organization(create).await.answered().organization.unwrap();
    let key = key_of(&api, Owner::OrganizationId(organization.id.clone()), &["*"]).await.unwrap();
    for _ in 0..200 {
        let user = pb::CreateUserRequest {
            email: format!("{}@example.com", unique("large")),
            name: "Large".to_owned(),
            metadata: object("large", &"x".repeat(15_500)),
            ..Default::default()
        };
        let user_id = api.users().create_user(user).await.answered().user.unwrap().id;
        let (organization_id, role) = (organization.id.clone(), "member".to_owned());
        let member = pb::CreateMembershipRequest { user_id, organization_id, role, ..Default::default() };
        api.memberships().create_membership(member).await.unwrap();
    }
    key
}

#[both(long)]
async fn minute_of_untaken_answers_takes_little_memory(backend: Backend) {
    let database = TestDatabase::empty(backend).await;
    let serving = start(database.url(), &[]).await;
    let (admin, process) = (serving.first_admin_key.clone().unwrap(), serving.process.id());
    let api = serving.with_key(&admin);
    let own = large_organization(&serving, &admin).await;
    let list = pb::ListUsersRequest { page_size: 1000, ..Default::default() };
    for _ in 0..3 {
        let bytes = api.users().list_users(list.clone()).await.answered().encoded_len();
        assert!(bytes > 2_500_000, "{bytes}");
    }
    let bystander = Bystander::new(&serving, &admin).await;
    bystander.watch(Duration::from_secs(2)).await;
    // Only the budget for all callers limits a platform admin.
    for (name, key) in [("an organization", &own), ("a platform admin", &admin)] {
        let before = memory_kib(process);
        let mut held = Vec::new();
        for number in 0..4 {
            let mut writes = hostile(serving.address, 80 + number, &NO_ROOM).await.unwrap();
            writes.write_all(&calls(LIST_USERS, Some(key), Some(&framed(&list)), 120)).await.unwrap();
            held.push(writes);
        }
        let mut seen = bystander.watch(Duration::from_secs(20)).await;
        let grown = peak_kib(process).saturating_sub(before) / 1024;
        println!(
            "{backend:?}: 480 unread lists of 3 MB of {name}: memory +{grown} MiB at most, {} MiB in all; others' reads \
             {} answered, {} refused, p99 {:.1?}",
            peak_kib(process) / 1024,
            seen[2].times.len(),
            seen[2].refused.len(),
            seen[2].p99(),
        );
        assert!(grown <= 96, "memory grew by {grown} MiB");
        assert!(peak_kib(process) < 256 * 1024, "a process limited to 256 MiB would have been killed");
        for (kind, seen) in KINDS.into_iter().zip(seen) {
            assert!(seen.refused.is_empty(), "{kind}: {:?}", seen.refused);
        }
        drop(held);
    }
    drop(serving);
    database.remove().await;
}

/// A signed-up user who tries everything: organizations and keys, streams, snapshots, many kinds of refusals, more calls than allowed,
/// half calls, unread answers.
async fn tricks(to: SocketAddr, admin: String, over: Arc<AtomicBool>) -> JoinSet<()> {
    let with_key = |key: &str| Api::new(to, Some(key.to_owned()));
    let (user, key) = tenant(to, &admin, &["*"]).await;
    let (admin, api) = (with_key(&admin), with_key(&key));
    let mut keys = vec![key.clone()];
    for _ in 0..12 {
        let create = pb::CreateOrganizationRequest {
            name: "Trick".to_owned(),
            slug: unique("trick-"),
            owner_user_id: user.id.clone(),
            ..Default::default()
        };
        let Ok(created) = api.organizations().create_organization(create).await else { continue };
        let owner = Owner::OrganizationId(created.into_inner().organization.unwrap().id);
        keys.extend(key_of(&admin, owner, &["*"]).await);
    }
    keys.extend(key_of(&admin, Owner::UserId(user.id.clone()), &["nothing:here"]).await);
    let mut attacks = JoinSet::new();
    let second = Duration::from_secs(1);
    let get = framed(&pb::GetUserRequest { user_id: user.id.clone() });
    let list = framed(&pb::ListUsersRequest { page_size: 1000, ..Default::default() });
    for (number, key) in keys.iter().enumerate() {
        let number = 100 + u8::try_from(number).unwrap();
        let half = calls(GET_USER, Some(key), None, 50);
        attacks.spawn(again_and_again(to, number, Vec::new(), half, second, Arc::clone(&over)));
        let untaken = calls(GET_USER, Some(key), Some(&get), 50);
        attacks.spawn(again_and_again(to, number, NO_ROOM.to_vec(), untaken, second, Arc::clone(&over)));
        let lists = calls(LIST_USERS, Some(key), Some(&list), 20);
        attacks.spawn(again_and_again(to, number, NO_ROOM.to_vec(), lists, second, Arc::clone(&over)));
        for path in ["WatchEvents", "ExportSnapshot"] {
            let path = format!("/tenantry.v1.EventService/{path}");
            let streams = calls(&path, Some(key), Some(&[0; 5]), 50);
            attacks.spawn(again_and_again(to, number, NO_ROOM.to_vec(), streams, second * 5, Arc::clone(&over)));
        }
        // Refusals of every method.
        let (api, key, is_over) = (with_key("none"), key.clone(), Arc::clone(&over));
        attacks.spawn(async move {
            let methods = raw::methods();
            while !is_over.load(Ordering::Relaxed) {
                for method in &methods {
                    let _ = raw::call(&api, &raw::path(method), vec![0xff], raw::bearer(&[&key])).await;
                    sleep(Duration::from_millis(20)).await;
                }
            }
        });
    }
    let watches = calls("/grpc.health.v1.Health/Watch", None, Some(&[0; 5]), 100);
    attacks.spawn(again_and_again(to, 99, NO_ROOM.to_vec(), watches, second, Arc::clone(&over)));
    attacks
}

#[both(long)]
async fn minute_of_every_trick_of_one_user_is_that_users_own(backend: Backend) {
    let database = TestDatabase::empty(backend).await;
    let serving = start(database.url(), &[]).await;
    let admin = serving.first_admin_key.clone().unwrap();
    let bystander = Bystander::new(&serving, &admin).await;
    bystander.watch(Duration::from_secs(2)).await;
    let quiet = bystander.watch(Duration::from_secs(10)).await;
    let over = Arc::new(AtomicBool::new(false));
    let attackers = attackers();
    let attacks = attackers.spawn(tricks(serving.address, admin, Arc::clone(&over))).await.unwrap();
    let memory = memory_kib(serving.process.id());
    let beside = bystander.watch(LONG).await;
    let grown = peak_kib(serving.process.id()).saturating_sub(memory) / 1024;
    over.store(true, Ordering::Relaxed);
    attackers.spawn(attacks.join_all()).await.unwrap();
    attackers.shutdown_background();
    let mut slow = Vec::new();
    for (kind, (mut quiet, mut beside)) in KINDS.into_iter().zip(quiet.into_iter().zip(beside)) {
        let (normal, p99) = (quiet.p99(), beside.p99());
        println!(
            "{backend:?}: during every trick: {kind}: {} answered, {} refused, p99 {p99:.1?}, quiet {normal:.1?}",
            beside.times.len(),
            beside.refused.len(),
        );
        assert!(beside.refused.is_empty(), "{kind}: {:?}", beside.refused);
        if p99 > normal * 3 + Duration::from_millis(5) {
            slow.push((kind, p99, normal));
        }
    }
    println!("{backend:?}: memory +{grown} MiB");
    assert!(slow.is_empty(), "{slow:?}");
    drop(serving);
    database.remove().await;
}
