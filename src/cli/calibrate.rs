//! `tenantry hash calibrate`: measures the cost of password hashes on this machine and proposes settings.

use std::{
    fmt::{self, Write as _},
    thread,
    time::{Duration, Instant},
};

use crate::security::password::{Cost, Memory, Peppers, make};

/// Candidate costs: the minimum ones, of equal strength (OWASP Password Storage Cheat Sheet), then stronger ones.
const COSTS: [(u32, u32); 9] = [
    (7 * 1024, 5),
    (9 * 1024, 4),
    (12 * 1024, 3),
    (19 * 1024, 2),
    (46 * 1024, 1),
    (32 * 1024, 3),
    (64 * 1024, 3),
    (128 * 1024, 3),
    (256 * 1024, 4),
];
/// The number of minimum costs at the start of [`COSTS`].
const LEAST: usize = 5;
/// Duration of each measurement, single-threaded and with all threads.
const LASTING: Duration = Duration::from_millis(700);

/// Measurements of one cost.
struct Measured {
    cost: Cost,
    /// Duration of a hash on its own, and while every thread hashes.
    alone: Duration,
    at_once: Duration,
    /// Hashes per second while every thread hashes.
    rate: f64,
}

/// The measurements and the proposed settings.
pub struct Report {
    threads: usize,
    target: Duration,
    measured: Vec<Measured>,
}

/// Measures all candidate costs, alone and with `threads` threads. The report proposes the strongest cost whose hash takes at most
/// `target` while every thread hashes.
pub fn calibrate(threads: usize, target: Duration) -> Report {
    let measured = COSTS.iter().map(|(memory_kib, passes)| {
        let cost = Cost { memory_kib: *memory_kib, passes: *passes, lanes: 1 };
        let (_, alone) = hash_for(cost, 1);
        let (hashes, at_once) = hash_for(cost, threads);
        Measured { cost, alone, at_once, rate: f64::from(hashes) / LASTING.as_secs_f64() }
    });
    Report { threads, target, measured: measured.collect() }
}

/// Hashes on `threads` threads for [`LASTING`]. Returns the number of hashes and the median duration.
fn hash_for(cost: Cost, threads: usize) -> (u32, Duration) {
    let took: Vec<Duration> = thread::scope(|scope| {
        let work = || {
            let (mut memory, mut took, begun) = (Memory::default(), Vec::new(), Instant::now());
            // Warm-up: the first hash also pays for the page faults.
            let _ = make(b"a password of 24 characters", cost, &Peppers::default(), &mut memory);
            while begun.elapsed() < LASTING || took.is_empty() {
                let one = Instant::now();
                let _ = make(b"a password of 24 characters", cost, &Peppers::default(), &mut memory);
                took.push(one.elapsed());
            }
            took
        };
        let running: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        running.into_iter().flat_map(|thread| thread.join().unwrap_or_default()).collect()
    });
    let mut sorted = took.clone();
    sorted.sort_unstable();
    let median = sorted.get(sorted.len() / 2).copied().unwrap_or_default();
    (u32::try_from(took.len()).unwrap_or(u32::MAX), median)
}

impl Report {
    /// The strongest cost (most memory times passes) within the target; otherwise the fastest of the minimum costs.
    fn proposed(&self) -> Option<&Measured> {
        let work = |one: &&Measured| u64::from(one.cost.memory_kib) * u64::from(one.cost.passes);
        let stronger = self.measured.iter().skip(LEAST).filter(|one| one.at_once <= self.target).max_by_key(work);
        stronger.or_else(|| {
            let least = self.measured.iter().take(LEAST);
            let fast = least.clone().filter(|one| one.at_once <= self.target);
            // They are of equal strength: prefer memory, the scarcest resource of an attacker.
            fast.max_by_key(|one| one.cost.memory_kib).or_else(|| least.min_by_key(|one| one.at_once))
        })
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "Argon2id on this machine, {} concurrent hashes:\n", self.threads)?;
        writeln!(f, "| Memory | Passes | One alone | One of {} | Hashes per second | Total memory |", self.threads)?;
        writeln!(f, "| --- | --- | --- | --- | --- | --- |")?;
        for one in &self.measured {
            let mib = one.cost.memory_kib / 1024;
            let all = u64::from(mib) * u64::try_from(self.threads).unwrap_or(u64::MAX);
            writeln!(
                f,
                "| {mib}MiB | {} | {:.1} ms | {:.1} ms | {:.0} | {all}MiB |",
                one.cost.passes,
                one.alone.as_secs_f64() * 1000.0,
                one.at_once.as_secs_f64() * 1000.0,
                one.rate,
            )?;
        }
        let Some(one) = self.proposed() else { return Ok(()) };
        let mib = one.cost.memory_kib / 1024;
        let all = u64::from(mib) * u64::try_from(self.threads).unwrap_or(u64::MAX);
        let mut settings = String::new();
        write!(
            settings,
            "TENANTRY_HASH_MEMORY={mib}MiB TENANTRY_HASH_PASSES={} TENANTRY_HASH_LANES=1",
            one.cost.passes
        )?;
        write!(settings, " TENANTRY_HASH_THREADS={} TENANTRY_HASH_TOTAL_MEMORY={}MiB", self.threads, all.max(256))?;
        let target = self.target.as_millis();
        write!(f, "\nThe strongest settings within {target} ms per hash, or else the fastest:\n\n{settings}")
    }
}
