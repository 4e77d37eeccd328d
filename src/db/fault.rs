//! Fault points: places where tests make the process abort or a call panic. Disabled in release builds.

use std::sync::atomic::{AtomicU32, Ordering};

/// Names the fault point at which a debug build aborts; with the prefix `panic:`, the one at which the first calls panic.
const VARIABLE: &str = "TENANTRY_TEST_FAULT_POINT";
/// Number of calls that panic before the point is passed normally.
const PANICS: u32 = 20;

/// If this point is armed, aborts immediately (like `kill -9`) or panics.
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
        assert!(PANICKED.fetch_add(1, Ordering::Relaxed) >= PANICS, "a fault requested by a test");
    }
}
