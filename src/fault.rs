//! Fault points: places where tests make the process die. A release build has none.

/// The variable that names the point at which a debug build dies.
const VARIABLE: &str = "TENANTRY_TEST_FAULT_POINT";

/// Dies at once, as of `kill -9`, if this point is armed.
pub fn point(name: &str) {
    if cfg!(debug_assertions) && std::env::var_os(VARIABLE).is_some_and(|armed| armed == name) {
        std::process::abort();
    }
}
