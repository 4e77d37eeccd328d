//! Many concurrent sign-ins: throughput, refusals, memory, and the latency of other calls.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use argon2::{Algorithm, Argon2, Params, Version};
use base64::{Engine as _, engine::general_purpose::STANDARD_NO_PAD};
use tenantry::pb::{self, create_api_key_request::Owner};
use tokio::task::JoinSet;
use tonic::Code;
use tonic_health::pb::{HealthCheckRequest, health_client::HealthClient};

use crate::{
    server::{admin_key, memory, ours},
    support::{Answered as _, Api, Backend, database::TestDatabase, question},
};

/// Number of clients that sign in repeatedly.
const CLIENTS: usize = 64;
/// Interval of the other calls.
const EVERY: Duration = Duration::from_millis(5);
/// Goals: maximum latency of refusals and of other calls, and maximum memory on top of the hashes.
const REFUSAL: Duration = Duration::from_millis(600);
const OTHERS: Duration = Duration::from_millis(60);
const REST_MIB: f64 = 64.0;

const PASSWORD: &str = "a phrase of the benchmark";

/// Latencies seen by the clients.
#[derive(Default)]
struct Seen {
    signed_in: Vec<Duration>,
    refused: Vec<Duration>,
}

/// Measures and prints. Returns true if all goals are met.
pub async fn run(lasting: Duration) -> bool {
    let mut is_good = true;
    for backend in [Backend::Sqlite, Backend::Postgres] {
        is_good &= measure(backend, lasting).await;
    }
    is_good
}

async fn measure(backend: Backend, lasting: Duration) -> bool {
    let database = TestDatabase::create(backend).await;
    let key = admin_key(&database);
    let serving = ours(&database);
    let api = |key: &str| Api::new(serving.address, Some(key.to_owned()));
    let admin = api(&key);
    import_users(&admin).await;
    let verify = warm_up(&admin).await;
    let base = memory(&serving);

    let is_over = Arc::new(AtomicBool::new(false));
    let mut clients = JoinSet::new();
    for at in 0..CLIENTS {
        clients.spawn(sign_in(at, api(&key), Arc::clone(&is_over)));
    }
    let mut others = JoinSet::new();
    others.spawn(verify_keys(verify, api(&key), Arc::clone(&is_over)));
    others.spawn(check_health(Api::new(serving.address, None), Arc::clone(&is_over)));

    let (begun, mut peak) = (Instant::now(), base);
    while begun.elapsed() < lasting {
        tokio::time::sleep(Duration::from_millis(50)).await;
        peak = peak.max(memory(&serving));
    }
    is_over.store(true, Ordering::Relaxed);
    let mut all = Seen::default();
    for seen in clients.join_all().await {
        all.signed_in.extend(seen.signed_in);
        all.refused.extend(seen.refused);
    }
    let permits = std::thread::available_parallelism().map_or(1, std::num::NonZero::get).min(256 / 19);
    let bound = base + permits as f64 * 19.0 + REST_MIB;
    println!("\n{backend:?}: {CLIENTS} clients sign in for {} s, {permits} concurrent hashes", lasting.as_secs());
    let mut is_good = report_sign_ins(all, lasting);
    while let Some(done) = others.join_next().await {
        let (what, mut took) = done.unwrap();
        is_good &= goal(&format!("{what}: p99"), millis(quantile(&mut took, 99)), millis(OTHERS), "ms");
        println!("    ({} calls, p50 {:.1} ms)", took.len(), millis(quantile(&mut took, 50)));
    }
    is_good &= goal(&format!("memory: peak ({base:.0} MiB before)"), peak, bound, "MiB");
    drop(serving);
    database.remove().await;
    is_good
}

/// Imports one user per client, with the password.
async fn import_users(admin: &Api) {
    let hash = current_hash();
    let users: Vec<pb::ImportedUser> = (0..CLIENTS)
        .map(|at| pb::ImportedUser {
            external_id: at.to_string(),
            email: format!("user-{at}@example.com"),
            name: "User".to_owned(),
            password_hash: hash.clone(),
            ..Default::default()
        })
        .collect();
    let batch = tokio_stream::once(pb::ImportUsersRequest { users });
    let mut answers = admin.users().import_users(batch).await.answered();
    while answers.message().await.unwrap().is_some() {}
}

/// Warms up everything except the memory of the hashes. Returns the verification of a key.
async fn warm_up(admin: &Api) -> pb::VerifyApiKeyRequest {
    let request = pb::GetUserByEmailRequest { email: "user-0@example.com".to_owned() };
    let user = admin.users().get_user_by_email(request).await.answered().user.unwrap();
    let request = pb::CreateApiKeyRequest {
        owner: Some(Owner::UserId(user.id)),
        name: "key".to_owned(),
        scopes: vec!["*".to_owned()],
        environment: 1,
        ..Default::default()
    };
    let plaintext_key = admin.api_keys().create_api_key(request).await.answered().plaintext_key;
    // Warm up everything except the memory of the hashes.
    let verify = pb::VerifyApiKeyRequest { question: question(&plaintext_key) };
    for _ in 0..1000 {
        admin.api_keys().verify_api_key(verify.clone()).await.unwrap();
    }
    verify
}

/// Signs a client's user in repeatedly.
async fn sign_in(at: usize, api: Api, is_over: Arc<AtomicBool>) -> Seen {
    let mut seen = Seen::default();
    let request = pb::SignInRequest {
        email: format!("user-{at}@example.com"),
        password: PASSWORD.to_owned(),
        ..Default::default()
    };
    while !is_over.load(Ordering::Relaxed) {
        let begun = Instant::now();
        match api.authentication().sign_in(request.clone()).await {
            Ok(_) => seen.signed_in.push(begun.elapsed()),
            Err(status) if status.code() == Code::ResourceExhausted => {
                seen.refused.push(begun.elapsed());
                // The delay in RetryInfo.
                tokio::time::sleep(Duration::from_millis(200)).await;
            }
            Err(status) => panic!("{status:?}"),
        }
    }
    seen
}

/// Verifies a key at intervals. Returns the name of the call and its latencies.
async fn verify_keys(
    verify: pb::VerifyApiKeyRequest,
    api: Api,
    is_over: Arc<AtomicBool>,
) -> (&'static str, Vec<Duration>) {
    let mut took = Vec::new();
    while !is_over.load(Ordering::Relaxed) {
        let begun = Instant::now();
        api.api_keys().verify_api_key(verify.clone()).await.unwrap();
        took.push(begun.elapsed());
        tokio::time::sleep(EVERY).await;
    }
    ("VerifyApiKey", took)
}

/// Checks the health at intervals. Returns the name of the call and its latencies.
async fn check_health(api: Api, is_over: Arc<AtomicBool>) -> (&'static str, Vec<Duration>) {
    let mut took = Vec::new();
    while !is_over.load(Ordering::Relaxed) {
        let begun = Instant::now();
        HealthClient::new(api.channel.clone()).check(HealthCheckRequest::default()).await.unwrap();
        took.push(begun.elapsed());
        tokio::time::sleep(EVERY).await;
    }
    ("health", took)
}

/// Prints the sign-ins and the refusals. Returns true if the slowest refusal meets its goal.
fn report_sign_ins(mut all: Seen, lasting: Duration) -> bool {
    let slowest_refusal = all.refused.iter().max().copied().unwrap_or_default();
    println!(
        "  {} signed in, {:.1} per second, p50 {:.0} ms, p99 {:.0} ms",
        all.signed_in.len(),
        all.signed_in.len() as f64 / lasting.as_secs_f64(),
        millis(quantile(&mut all.signed_in, 50)),
        millis(quantile(&mut all.signed_in, 99)),
    );
    let is_good = goal("refusals: slowest", millis(slowest_refusal), millis(REFUSAL), "ms");
    println!("    ({} refusals, p50 {:.1} ms)", all.refused.len(), millis(quantile(&mut all.refused, 50)));
    is_good
}

fn goal(what: &str, found: f64, most: f64, unit: &str) -> bool {
    let is_met = found < most;
    println!("  {what} {found:.1} {unit}, goal under {most:.1} {unit}: {}", if is_met { "met" } else { "MISSED" });
    is_met
}

fn millis(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1000.0
}

fn quantile(durations: &mut [Duration], percent: usize) -> Duration {
    durations.sort_unstable();
    durations.get(durations.len() * percent / 100).copied().unwrap_or_default()
}

/// A hash of the password with the server's current parameters.
fn current_hash() -> String {
    let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, Params::new(19 * 1024, 2, 1, Some(32)).unwrap());
    let mut digest = [0; 32];
    argon2.hash_password_into(PASSWORD.as_bytes(), b"0123456789abcdef", &mut digest).unwrap();
    let (salt, digest) = (STANDARD_NO_PAD.encode(b"0123456789abcdef"), STANDARD_NO_PAD.encode(digest));
    format!("$argon2id$v=19$m=19456,t=2,p=1${salt}${digest}")
}
