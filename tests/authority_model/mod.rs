//! Random sequences of all methods with many credentials, compared with a model of authority that is written only from docs/security.md
//! and the protos: a call must succeed exactly when the model permits it. After each sequence, every credential ever created is tested,
//! and must work and reach exactly as far as the model says.
//!
//! The model has sets of permissions, who created what with which credential, and what ends what. It does not know how the server
//! decides.

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

/// Number of parallel workers, each with its own sequences.
const WORKERS: u64 = 8;
/// Number of steps per sequence.
const STEPS: usize = 28;
/// Without limits on wrong passwords and tokens, since the sequences present many.
const OPTIONS: &[&str] =
    &["--max-failures-per-caller", "0", "--max-failures-per-address", "0", "--sweep-interval", "1d"];
/// Number of sequences per server. Keeps its database small and each run within the time limit of a test.
const SEQUENCES_OF_A_SERVER: u64 = 1_000;

/// For each method, how often it succeeded and how often it was refused.
type Counts = BTreeMap<&'static str, (usize, usize)>;

/// Runs the sequences of one worker.
async fn run_sequences(t: &Test, seed: u64, sequences: u64) -> Counts {
    let mut counts = Counts::new();
    // All credentials share one connection.
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

/// Runs sequences on several workers. `TENANTRY_TEST_SEED` repeats those of a seed.
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
    assert!(done > refused / 4 && refused > done / 4, "too few steps of one outcome: {done} done, {refused} refused");
    if sequences >= 100 {
        let missing: Vec<_> = METHODS
            .iter()
            .filter(|(method, _)| counts.get(method).is_none_or(|(done, refused)| *done == 0 || *refused == 0))
            .filter(|(method, _)| !NEVER_REFUSED.contains(method))
            .map(|(method, _)| (method, counts.get(method)))
            .collect();
        assert!(missing.len() <= METHODS.len() / 20, "without both outcomes: {missing:?}");
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

/// Ten thousand, half of them on each database.
#[both(long)]
async fn slow_ten_thousand_random_sequences_are_done_exactly_when_the_model_of_authority_says_so(backend: Backend) {
    for _ in 0..5_000 / SEQUENCES_OF_A_SERVER {
        run(backend, OPTIONS, |t| follow_the_model(t, SEQUENCES_OF_A_SERVER)).await;
    }
}
