//! Owns the numbers every layer agrees on: the page, the grain, the range of segment
//! sizes, the rounding of sizes, how a number of bytes is said, and what a bound in bytes is. Depends on nothing; anyone may use it.

use core::fmt;

/// A bound in bytes, or none. Zero is a bound like any other and never means "none".
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Limit {
    /// No bound.
    #[default]
    Unlimited,
    /// At most so many bytes.
    Bytes(usize),
}

/// A page: the unit in which a heap cuts its segments, in bytes.
///
/// This is the heap's own unit and does not change with the system's page size.
pub const PAGE: usize = 4096;

/// What every block is aligned to at least, in bytes.
pub const MIN_ALIGN: usize = 8;

/// `log2` of [`PAGE`].
pub(crate) const PAGE_SHIFT: u32 = PAGE.trailing_zeros();

/// A grain: the unit in which a segment's map says what its bytes hold. Pages are marked whole, the nursery's
/// short runs by the grain.
// For tests, which know a heap's inside.
#[doc(hidden)]
pub const GRAIN: usize = 512;

/// `log2` of [`GRAIN`].
pub(crate) const GRAIN_SHIFT: u32 = GRAIN.trailing_zeros();

/// Grains in a page.
pub(crate) const PAGE_GRAINS: usize = PAGE / GRAIN;

/// The system's large pages on most machines, in bytes: one takes the place of 512 usual ones.
pub(crate) const LARGE_PAGE: usize = 2 << 20;

/// The smallest segment a heap can work with, in bytes.
pub const MIN_SEGMENT: usize = 64 << 10;

/// The largest segment a heap can work with, in bytes.
pub const MAX_SEGMENT: usize = 1 << 30;

/// The segment size of a heap that was not told another, in bytes (the original's `256K`).
pub const DEFAULT_SEGMENT: usize = 256 << 10;

/// Rounds `n` up to a multiple of `to`, a power of two; `None` if that is more than a `usize` holds.
#[inline]
pub(crate) const fn round_up(n: usize, to: usize) -> Option<usize> {
    debug_assert!(to.is_power_of_two());
    match n.checked_add(to - 1) {
        Some(sum) => Some(sum & !(to - 1)),
        None => None,
    }
}

/// So many bytes, in words.
pub(crate) struct Bytes(pub usize);

impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            1 => f.write_str("1 byte"),
            bytes => write!(f, "{bytes} bytes"),
        }
    }
}
