//! A grant under test and the marks written into it. Used by the checks only.

use core::ptr::NonNull;

/// Bytes between two marks. Smaller than any page, so that each page has some.
const STEP: usize = 512;

const WORD: usize = size_of::<usize>();

/// A grant, and the seed of the marks it carries.
#[derive(Clone, Copy)]
pub(super) struct Piece {
    pub(super) start: NonNull<u8>,
    pub(super) size: usize,
    pub(super) align: usize,
    pub(super) seed: usize,
}

impl Piece {
    /// Whether two pieces share a byte.
    pub(super) fn overlaps(&self, other: &Self) -> bool {
        let (a, b) = (self.start.addr().get(), other.start.addr().get());
        a < b.wrapping_add(other.size) && b < a.wrapping_add(self.size)
    }

    /// Writes the marks from offset `from` on, and one into the last word.
    pub(super) fn mark(&self, from: usize) {
        let first = from.next_multiple_of(STEP);
        for at in (first..=self.size - WORD).step_by(STEP) {
            self.write(at);
        }
        if self.size - WORD >= from {
            self.write(self.size - WORD);
        }
    }

    /// Whether the marks in the first `len` bytes are there, and the last word's if `len` is all.
    pub(super) fn is_intact(&self, len: usize) -> bool {
        self.is_intact_between(0, len)
    }

    /// Whether the marks between two offsets are there.
    pub(super) fn is_intact_between(&self, from: usize, to: usize) -> bool {
        let first = from.next_multiple_of(STEP);
        let inside = (first..self.size.min(to))
            .step_by(STEP)
            .take_while(|at| at + WORD <= to)
            .all(|at| self.read(at) == self.value(at));
        let last = self.size - WORD;
        inside && (to < self.size || last < from || self.read(last) == self.value(last))
    }

    /// Whether the bytes between two offsets are all zero: each word of the beginning,
    /// where leftovers are likeliest, then a word of each cache line.
    pub(super) fn is_zero(&self, from: usize, to: usize) -> bool {
        let thorough = to.min(from.saturating_add(16 << 10));
        let beginning = (from..thorough).step_by(WORD);
        let rest = (thorough..to).step_by(64);
        beginning.chain(rest).all(|at| self.read(at) == 0)
    }

    fn value(&self, at: usize) -> usize {
        // Never zero, and another one in each piece and at each place.
        (self.seed.wrapping_mul(0x9E37_79B1) ^ at.wrapping_mul(0x85EB)) | 1
    }

    fn write(&self, at: usize) {
        let word = self.start.as_ptr().wrapping_add(at).cast::<usize>();
        // SAFETY: `at + WORD` lies inside the grant, which the storage promises is writable.
        // Unaligned, for a storage under test may have aligned wrongly.
        unsafe { word.write_unaligned(self.value(at)) };
    }

    fn read(&self, at: usize) -> usize {
        let word = self.start.as_ptr().wrapping_add(at).cast::<usize>();
        // SAFETY: as for `write`; what is read was written or is said to be zero.
        unsafe { word.read_unaligned() }
    }
}
