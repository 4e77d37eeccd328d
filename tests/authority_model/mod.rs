//! Random sequences of every method, called with many credentials at once, each call beside a model of authority that is written from
//! docs/security.md and the protos alone: a call is done exactly when the model says so. After each sequence every credential that was
//! ever made is tried, and must work, and reach, exactly as far as the model says.
//!
//! The model knows sets of permissions, who made what with what, and what ends what. It knows nothing of how the server decides.

mod calls;
mod model;
mod world;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Instant,
};

use calls::{METHODS, NEVER_REFUSED, NOT_MODELLED};
use world::World;

use crate::support::{Backend, Test, both, invariants, run};

/// Workers beside each other, each with sequences of its own.
const WORKERS: u64 = 8;
/// Steps of a sequence.
const STEPS: usize = 28;
/// No caller is refused for wrong passwords and tokens: the sequences present many.
const OPTIONS: &[&str] =
    &["--max-failures-per-caller", "0", "--max-failures-per-address", "0", "--sweep-interval", "1d"];
/// So many sequences share a server: what it has stored stays small, and one run stays within the time that a test may take.
const SEQUENCES_OF_A_SERVER: u64 = 1_000;

/// How often each method was done, and how often refused.
type Counts = BTreeMap<&'static str, (usize, usize)>;

/// Runs the sequences of one worker.
async fn run_sequences(t: &Test, seed: u64, sequences: u64) -> Counts {
    let mut counts = Counts::new();
    // One connection for all credentials.
    let api = t.anonymous();
    for sequence in 0..sequences {
        let seed = seed.wrapping_add(sequence.wrapping_mul(0x1000_0000));
        let mut world = World::make(t, &api, seed).await;
        for _ in 0..STEPS {
            world.step(&mut counts).await;
        }
        world.probe(&mut counts).await;
        world.clear().await;
    }
    counts
}

/// Runs so many sequences on several workers. `TENANTRY_TEST_SEED` runs those of a seed again.
async fn follow_the_model(t: Arc<Test>, sequences: u64) {
    let seed = std::env::var("TENANTRY_TEST_SEED")
        .map_or_else(|_| u64::from_be_bytes(tenantry::security::random::bytes()), |seed| seed.parse().unwrap());
    println!("seed {seed}: TENANTRY_TEST_SEED={seed} runs the same sequences");
    let began = Instant::now();
    let workers: Vec<_> = (0..WORKERS)
        .map(|worker| {
            let t = Arc::clone(&t);
            tokio::spawn(async move { run_sequences(&t, seed.wrapping_add(worker << 56), sequences / WORKERS).await })
        })
        .collect();
    let mut counts = Counts::new();
    for worker in workers {
        for (method, (done, refused)) in
            worker.await.unwrap_or_else(|error| std::panic::resume_unwind(error.into_panic()))
        {
            let all = counts.entry(method).or_default();
            *all = (all.0 + done, all.1 + refused);
        }
    }
    let (done, refused) = counts.values().fold((0, 0), |all, each| (all.0 + each.0, all.1 + each.1));
    println!("{sequences} sequences in {:?}: {done} steps done, {refused} refused", began.elapsed());
    assert!(done > refused / 4 && refused > done / 4, "both are tried: {done} done, {refused} refused");
    if sequences >= 100 {
        let missing: Vec<_> = METHODS
            .iter()
            .filter(|(method, _)| counts.get(method).is_none_or(|(done, refused)| *done == 0 || *refused == 0))
            .filter(|(method, _)| !NEVER_REFUSED.contains(method))
            .map(|(method, _)| (method, counts.get(method)))
            .collect();
        assert!(missing.len() <= METHODS.len() / 20, "not both done and refused: {missing:?}");
    }
    invariants::assert_hold(&t.database).await;
}

#[test]
fn every_method_of_the_descriptor_set_is_in_the_model() {
    let described: BTreeSet<String> =
        crate::support::raw::methods().iter().map(|method| method.name().to_owned()).collect();
    let modelled: BTreeSet<String> = METHODS
        .iter()
        .map(|(name, _)| *name)
        .chain(NOT_MODELLED.iter().map(|(name, _)| *name))
        .map(str::to_owned)
        .collect();
    assert_eq!(described, modelled);
}

mod random_calls_are_done_exactly_when_the_model_of_authority_says_so {
    use super::*;

    #[both(options = ["--max-failures-per-caller", "0", "--max-failures-per-address", "0", "--sweep-interval", "1d"])]
    async fn sequences(t: Arc<Test>) {
        follow_the_model(t, 48).await;
    }
}

#[both(long)]
async fn slow_ten_thousand_random_sequences_are_done_exactly_when_the_model_of_authority_says_so(backend: Backend) {
    for _ in 0..10_000 / SEQUENCES_OF_A_SERVER {
        run(backend, OPTIONS, |t| follow_the_model(t, SEQUENCES_OF_A_SERVER)).await;
    }
}
