//! The cost of hashes, and their working memory.

use argon2::Block;

/// The cost of a new hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cost {
    /// Memory in KiB.
    pub memory_kib: u32,
    /// Number of passes over the memory.
    pub passes: u32,
    /// Number of lanes.
    pub lanes: u32,
}

impl Cost {
    /// Its work in KiB times passes.
    pub(super) fn work(self) -> u64 {
        u64::from(self.memory_kib) * u64::from(self.passes)
    }
}

/// Limits on the cost of a hash.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Memory in KiB.
    pub memory_kib: u32,
    /// The cost of a new hash, which is within the limits whatever its work.
    pub cost: Cost,
}

/// Working memory for one hash at a time. It grows as needed and is kept.
#[derive(Default)]
pub struct Memory(Vec<Block>);

impl Memory {
    /// Its size in KiB.
    pub fn kib(&self) -> u32 {
        u32::try_from(self.0.len()).unwrap_or(u32::MAX)
    }

    pub(super) fn of(&mut self, kib: usize) -> &mut [Block] {
        if self.0.len() < kib {
            // Not grown in place, which would copy the old blocks.
            self.0 = Vec::new();
            self.0.resize(kib, Block::default());
        }
        &mut self.0[..kib]
    }
}
