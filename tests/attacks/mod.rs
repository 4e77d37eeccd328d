//! Attacks that were tried, a file per area: each test is named for what must hold against one.

mod signin;
