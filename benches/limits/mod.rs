//! Theoretical limits, measured in the same run: an empty call, bare statements of each database, bare Argon2.

pub mod databases;
pub mod echo;

use std::time::{Duration, Instant};

/// Argon2id hashes per second on all cores, with the default parameters of the service: 19 MiB, two passes.
pub fn argon2_per_second(lasting: Duration) -> f64 {
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let until = Instant::now() + lasting;
    let threads: Vec<_> = (0..cores)
        .map(|_| {
            std::thread::spawn(move || {
                let (hasher, mut out, mut done) = (argon2::Argon2::default(), [0; 32], 0_u32);
                while Instant::now() < until {
                    hasher
                        .hash_password_into(b"a password of some length", b"0123456789abcdef", &mut out)
                        .expect("hashing does not fail");
                    done += 1;
                }
                done
            })
        })
        .collect();
    let done: u32 = threads.into_iter().map(|thread| thread.join().expect("hashing does not panic")).sum();
    f64::from(done) / lasting.as_secs_f64()
}
