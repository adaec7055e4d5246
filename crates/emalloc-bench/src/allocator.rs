//! What every allocator under measurement offers: [`Peer`] makes heaps, [`Blocks`] is one of them. Replays and micro
//! benchmarks are generic over both, so each allocator gets a loop of its own, compiled for it.

use std::alloc::Layout;

/// An allocator that takes part.
pub trait Peer {
    /// What it allocates from.
    type Heap: Blocks;

    /// Makes a heap, or whatever stands for one. Dropping it is its end.
    fn create(&self) -> Self::Heap;
}

/// Allocation as a traced program uses it. Sizes are in bytes; every allocator gets the same plain calls, and no hint
/// of a trace.
pub trait Blocks {
    /// Whether [`end_request`](Self::end_request) drops all blocks. If not, the replay frees each one before it.
    const BULK: bool;

    /// A block of at least `size` bytes and at least 8, aligned to 8.
    fn allocate(&mut self, size: usize) -> *mut u8;

    /// Frees a block.
    ///
    /// # Safety
    /// `block` came from this heap, is alive, and is used no more.
    unsafe fn free(&mut self, block: *mut u8);

    /// Frees a block whose layout the caller knows, as Rust's containers do: the size it was asked for, and 8.
    ///
    /// # Safety
    /// As [`free`](Self::free); the block was last asked for with this size.
    #[inline(always)]
    unsafe fn free_sized(&mut self, block: *mut u8, _layout: Layout) {
        // SAFETY: the caller's promise.
        unsafe { self.free(block) };
    }

    /// Makes a block hold `size` bytes, wherever it ends up.
    ///
    /// # Safety
    /// As [`free`](Self::free).
    unsafe fn resize(&mut self, block: *mut u8, size: usize) -> *mut u8;

    /// The end of a request: nothing allocated so far is used any more.
    fn end_request(&mut self);
}
