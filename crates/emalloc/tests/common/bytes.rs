//! Contents of blocks: written, and found again.

use std::slice;
use std::sync::LazyLock;

/// Bytes that look random, more than any test needs.
fn pattern(size: usize, seed: usize) -> &'static [u8] {
    static BYTES: LazyLock<Vec<u8>> = LazyLock::new(|| {
        let next = |state: &u32| Some(state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223));
        let states = std::iter::successors(Some(1), next);
        states
            .map(|state| (state >> 24) as u8)
            .take(7 << 20)
            .collect()
    });
    &BYTES[seed..seed + size]
}

/// Writes a pattern over `size` bytes that depends on `seed`.
pub fn fill(block: *mut u8, size: usize, seed: usize) {
    // SAFETY: callers pass live blocks of at least that size.
    unsafe { block.copy_from_nonoverlapping(pattern(size, seed).as_ptr(), size) };
}

/// Whether `fill` left these bytes there.
pub fn holds(block: *mut u8, size: usize, seed: usize) -> bool {
    // SAFETY: callers pass live blocks of which so much was written.
    unsafe { slice::from_raw_parts(block, size) == pattern(size, seed) }
}

/// Whether `size` bytes are zero.
pub fn is_zero(block: *mut u8, size: usize) -> bool {
    // SAFETY: callers pass live blocks of at least that size, zeroed.
    unsafe { slice::from_raw_parts(block, size) == vec![0; size] }
}
