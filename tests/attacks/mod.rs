//! Attacks that once worked, each with its smallest input and the right answer.

mod authority;
mod signin;
