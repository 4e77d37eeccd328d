//! Answers take equally long with and without an account.

use std::time::{Duration, Instant};

use argon2::{Algorithm, Argon2, Params, Version};
use base64::{Engine as _, engine::general_purpose::STANDARD_NO_PAD};
use tenantry::pb::{self, ImportedUser};

use crate::support::{Api, Backend, Test, both, given::CHEAP_HASH, random::Random};

/// Number of compared pairs, with one attempt each.
const PAIRS: usize = 2000;
/// Limit of the median of the differences.
const MOST: f64 = 0.2;
/// Standard deviations that chance exceeds in one of a hundred runs.
const BEYOND: f64 = 2.576;

/// An imported hash with the server's own parameters: 19 MiB, two passes.
fn current_hash() -> String {
    let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, Params::new(19_456, 2, 1, Some(32)).unwrap());
    let mut digest = [0; 32];
    argon2.hash_password_into(b"a phrase that nobody says", b"0123456789abcdef", &mut digest).unwrap();
    let (salt, digest) = (STANDARD_NO_PAD.encode(b"0123456789abcdef"), STANDARD_NO_PAD.encode(digest));
    format!("$argon2id$v=19$m=19456,t=2,p=1${salt}${digest}")
}

fn known(at: usize) -> String {
    format!("known-{at:06}@example.com")
}

fn unknown(at: usize) -> String {
    format!("other-{at:06}@example.com")
}

async fn bring(t: &Test, from: usize, count: usize, hash: &str) {
    let users: Vec<ImportedUser> = (from..from + count)
        .map(|at| ImportedUser {
            external_id: at.to_string(),
            email: known(at),
            name: "Known".to_owned(),
            password_hash: hash.to_owned(),
            ..Default::default()
        })
        .collect();
    for batch in users.chunks(500) {
        crate::user::import::import(t, batch.to_vec()).await;
    }
}

/// Duration of a refusal, in milliseconds.
async fn refusal(api: &Api, email: &str) -> f64 {
    let request =
        pb::SignInRequest { email: email.to_owned(), password: "a wrong password".to_owned(), ..Default::default() };
    let begun = Instant::now();
    let status = api.authentication().sign_in(request).await.unwrap_err();
    let took = begun.elapsed();
    assert_eq!(crate::support::refusal::reason_of(&status), "SIGN_IN_REJECTED");
    took.as_secs_f64() * 1000.0
}

fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted[sorted.len() / 2]
}

/// Standard deviations of a number of heads from a half.
fn deviations(heads: usize, of: usize) -> f64 {
    let (heads, of) = (f64::from(u32::try_from(heads).unwrap()), f64::from(u32::try_from(of).unwrap()));
    (heads - of / 2.0) / (of / 4.0).sqrt()
}

/// The differences of pairs, known minus unknown, each pair in random order.
async fn differences(api: &Api, from: usize, pairs: usize, random: &mut Random) -> Vec<f64> {
    let mut differences = Vec::with_capacity(pairs);
    for at in from..from + pairs {
        let (one, other) = (known(at), unknown(at));
        let difference = if random.below(2) == 0 {
            let first = refusal(api, &one).await;
            first - refusal(api, &other).await
        } else {
            let first = refusal(api, &other).await;
            refusal(api, &one).await - first
        };
        differences.push(difference);
    }
    differences
}

#[both(long)]
async fn slow_r11_nobody_takes_as_long_as_somebody(backend: Backend) {
    let limits = ["--max-failures-per-address", "0", "--max-failures-per-caller", "0"];
    let body = async move |t: std::sync::Arc<Test>| {
        let mut random = Random::seeded();
        bring(&t, 0, 2 * PAIRS + 100, &current_hash()).await;
        bring(&t, 3 * PAIRS, 100, CHEAP_HASH).await;
        let api = t.admin();
        // Warm-up.
        differences(&api, 2 * PAIRS, 100, &mut random).await;

        // Sequentially.
        let differences_of_pairs = differences(&api, 0, PAIRS, &mut random).await;
        let (middle, slower) =
            (median(&differences_of_pairs), differences_of_pairs.iter().filter(|d| **d > 0.0).count());
        let sign = deviations(slower, PAIRS);
        println!("{backend:?}: sequential: median difference {middle:.3} ms, sign test {sign:.2} standard deviations");

        // Both at once in one segment: counts which one is answered first.
        let mut known_first = 0;
        for at in PAIRS..2 * PAIRS {
            let (one, other) = (known(at), unknown(at));
            let begun = Instant::now();
            let timed = async |email: &str| {
                refusal(&api, email).await;
                begun.elapsed()
            };
            let (of_known, of_unknown): (Duration, Duration) = if random.below(2) == 0 {
                let (a, b) = tokio::join!(timed(&one), timed(&other));
                (a, b)
            } else {
                let (b, a) = tokio::join!(timed(&other), timed(&one));
                (a, b)
            };
            known_first += usize::from(of_known < of_unknown);
        }
        let share = f64::from(u32::try_from(known_first).unwrap()) / f64::from(u32::try_from(PAIRS).unwrap());
        println!("{backend:?}: concurrent: the known one first in {:.1} %", share * 100.0);

        // A known leak: users whose hash has other costs, until they sign in.
        let old = median(&differences(&api, 3 * PAIRS, 100, &mut random).await);
        println!("{backend:?}: users with a hash of another system: median difference {old:.1} ms");

        assert!(middle.abs() <= MOST, "{middle} ms");
        assert!(sign.abs() < BEYOND, "{sign} standard deviations");
        assert!((0.47..=0.53).contains(&share), "{share}");
    };
    crate::support::run(backend, &limits, body).await;
}
