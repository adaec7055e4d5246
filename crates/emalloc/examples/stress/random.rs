//! Owns chance: numbers that follow from a seed, and the sizes, alignments and limits that walks ask for.

use emalloc::heap::{Limit, Sampling};

/// By this walks are shorter, and sizes smaller: Miri takes a thousand times as long.
pub const SCALE: usize = if cfg!(miri) { 6 } else { 1 };

/// Numbers that follow from a seed.
#[derive(Debug)]
pub struct Random {
    state: u64,
    /// Half of the sizes are large.
    large: bool,
}

impl Random {
    pub fn new(seed: u64) -> Self {
        Self {
            state: seed,
            large: false,
        }
    }

    /// The next number, by the mixing of "splitmix64": seeds that are neighbours have nothing in common.
    pub fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// A number below `end`; 0 if there is none.
    pub fn below(&mut self, end: usize) -> usize {
        // Never as large as `end`, which came from a `usize`.
        (self.next() % end.max(1) as u64) as usize
    }

    /// True once in `n` times.
    pub fn one_in(&mut self, n: usize) -> bool {
        self.below(n) == 0
    }

    /// From now on half of the sizes are large ones, or few.
    pub fn prefer_large(&mut self, large: bool) {
        self.large = large;
    }

    /// A size over the whole range, most of them small.
    pub fn size(&mut self) -> usize {
        if self.large && self.one_in(2) {
            return self.below(1_500_000 / SCALE);
        }
        match self.below(20) {
            0..10 => self.below(300),
            10..14 => self.below(3200),
            14..17 => self.below(40_000 / SCALE),
            17 => 4096 * (1 + self.below(20 / SCALE)),
            18 => self.below(400_000 / SCALE),
            _ => match self.below(8) {
                0 => 0,
                1 => usize::MAX - self.below(10_000),
                2 => isize::MAX as usize - self.below(10_000),
                3 => isize::MAX as usize + self.below(10_000),
                4 => usize::MAX / 2 + 1 - 4096,
                _ => self.below(1_500_000 / SCALE),
            },
        }
    }

    /// An alignment, up to the largest there is.
    pub fn align(&mut self) -> usize {
        let shift = match self.below(12) {
            0..7 => self.below(4),
            7..10 => self.below(13),
            10 => self.below(21),
            _ => self.below(usize::BITS as usize - 1),
        };
        1 << shift
    }

    /// A limit: none, low, or hardly one.
    pub fn limit(&mut self) -> Limit {
        match self.below(4) {
            0 => Limit::Unlimited,
            1 => Limit::Bytes(self.below(500_000)),
            2 => Limit::Bytes(usize::MAX - self.below(3)),
            _ => Limit::Bytes(self.below(8_000_000)),
        }
    }

    /// Samples often or rarely, with much memory or none.
    pub fn sampling(&mut self) -> Sampling {
        let every = [0, 1, 100, 1000, 100_000, usize::MAX][self.below(6)];
        let most = isize::MAX as usize;
        let memory = [0, 4096, 65536, 65536, 300_000, usize::MAX, most][self.below(7)];
        Sampling::every(every).memory(memory)
    }
}
