//! A heap full of holes, each too small for the block that is asked for again and again: what finding room costs.

use crate::allocator::{Blocks, Peer};
use crate::clock::timed;
use crate::replay::touch_first;

const PAIRS: usize = 2_000;
const WARM: usize = 100;
const WANTED: usize = 256 << 10;
const SMALLEST: usize = 4 << 10;
const LARGEST: usize = 128 << 10;

pub fn run<P: Peer>(peer: &P, megabytes: usize) -> f64 {
    let mut heap = peer.create();
    let mut random = Random::new();
    let mut left = megabytes << 20;
    let mut blocks = Vec::new();
    // Nothing is written to these: it is about places, not about memory.
    while left > 0 {
        let size = SMALLEST + random.below(LARGEST - SMALLEST + 1);
        blocks.push(heap.allocate(size));
        left = left.saturating_sub(size);
    }
    for &block in blocks.iter().step_by(2) {
        // SAFETY: allocated above, and named once.
        unsafe { heap.free(block) };
    }
    let mut pairs = |count| {
        for _ in 0..count {
            let block = heap.allocate(WANTED);
            touch_first(block, WANTED);
            // SAFETY: just allocated.
            unsafe { heap.free(block) };
        }
    };
    pairs(WARM);
    let time = timed(|| pairs(PAIRS));
    if !P::Heap::BULK {
        for &block in blocks.iter().skip(1).step_by(2) {
            // SAFETY: allocated above, not among those freed there.
            unsafe { heap.free(block) };
        }
    }
    time / PAIRS as f64
}

/// Numbers without a pattern, the same ones each time (a linear congruential generator).
pub struct Random(u64);

impl Random {
    /// The same beginning for everybody.
    pub const fn new() -> Self {
        Self(1)
    }

    /// The next one, below `bound`.
    pub const fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(1);
        ((self.0 >> 33) % bound as u64) as usize
    }
}
