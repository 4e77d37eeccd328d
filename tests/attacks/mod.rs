//! Attacks that once worked, each named for its item, with its smallest input and the right answer.

mod authority;
mod sessions;
mod signin;
