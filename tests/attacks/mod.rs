//! Attacks that once worked, each as a test of what must hold instead.

mod load;
mod shares;
mod wire;
