//! Fault points: places where tests make the process die, or a call panic. A release build has none.

use std::sync::atomic::{AtomicU32, Ordering};

/// The variable that names the point at which a debug build dies; after `panic:`, the one at which the first calls panic.
const VARIABLE: &str = "TENANTRY_TEST_FAULT_POINT";
/// How many those are.
const PANICS: u32 = 20;

/// Dies at once, as of `kill -9`, or panics, if this point is armed.
pub fn point(name: &str) {
    static PANICKED: AtomicU32 = AtomicU32::new(0);
    if !cfg!(debug_assertions) {
        return;
    }
    let Ok(armed) = std::env::var(VARIABLE) else { return };
    if armed == name {
        std::process::abort();
    }
    if armed.strip_prefix("panic:") == Some(name) {
        assert!(PANICKED.fetch_add(1, Ordering::Relaxed) >= PANICS, "a fault that a test asked for");
    }
}
