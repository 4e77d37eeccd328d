//! Attacks on the first release, each named for its item, and what becomes of them.

mod sessions;
