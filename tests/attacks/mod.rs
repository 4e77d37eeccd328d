//! Attacks that once worked, each named for its item, with its smallest input and the right answer.

mod authority;
mod deleted;
mod erasure;
mod lists;
mod load;
mod sessions;
mod shares;
mod signin;
mod sources;
mod text;
mod wire;
