//! Attacks that once worked, each as the sentence that must hold now.

mod lists;
