//! Owns [`Target`]: whom a call on blocks goes to, and what all of them can do. The other functions are made of it in `derived`.

use emalloc::heap::{AllocError, Site};

use crate::heap::EmallocHeap;

/// A heap, the handlers in its place, or the system. All answer null where the fatal handler said to go on.
///
/// Blocks that are given back are null or alive and of this target; that is what C promises.
pub trait Target: Copy {
    fn alloc(self, size: usize, at: Site<'_>) -> *mut u8;
    /// Null if it is refused.
    fn try_alloc(self, size: usize, at: Site<'_>) -> *mut u8;
    fn alloc_zeroed(self, size: usize, at: Site<'_>) -> *mut u8;
    /// `align` is a power of two.
    fn alloc_aligned(self, size: usize, align: usize, at: Site<'_>) -> *mut u8;

    /// # Safety
    /// See above; and the old block is used no more, unless null is answered.
    unsafe fn realloc(self, block: *mut u8, size: usize, at: Site<'_>) -> *mut u8;

    /// Null if it is refused.
    ///
    /// # Safety
    /// As [`realloc`](Self::realloc).
    unsafe fn try_realloc(self, block: *mut u8, size: usize, at: Site<'_>) -> *mut u8;

    /// # Safety
    /// See above; and the block is used no more.
    unsafe fn free(self, block: *mut u8, at: Site<'_>);

    /// # Safety
    /// As [`free`](Self::free), and the block was last asked for with this size.
    unsafe fn free_size(self, block: *mut u8, size: usize, at: Site<'_>);

    /// # Safety
    /// See above.
    unsafe fn block_size(self, block: *mut u8, at: Site<'_>) -> usize;

    /// Whose fatal handler is asked first; without a heap it is the process's.
    fn asked(&self) -> Option<&EmallocHeap>;

    /// A request that can never be served.
    fn refuse(self, error: AllocError, at: Site<'_>) -> *mut u8;
}
