//! The allocator that does nothing: it answers the same memory each time. What a replay costs with it is the cost of the
//! replay itself.

use std::hint::black_box;

use super::space::Space;
use crate::allocator::{Blocks, Peer};

/// Bytes of address space; a trace with larger blocks cannot be replayed.
const LARGEST: usize = 16 << 30;

/// The peer, with its memory.
pub struct Null(Space);

/// The memory that is answered.
pub struct Buffer(*mut u8);

impl Null {
    /// Reserves the memory.
    pub fn new() -> Self {
        Self(Space::new(LARGEST))
    }
}

impl Peer for Null {
    type Heap = Buffer;

    fn create(&self) -> Buffer {
        Buffer(self.0.start())
    }
}

impl Blocks for Buffer {
    const BULK: bool = true;

    #[inline(always)]
    fn allocate(&mut self, size: usize) -> *mut u8 {
        black_box(size);
        self.0
    }

    #[inline(always)]
    unsafe fn free(&mut self, block: *mut u8) {
        black_box(block);
    }

    #[inline(always)]
    unsafe fn resize(&mut self, block: *mut u8, size: usize) -> *mut u8 {
        black_box(size);
        block
    }

    fn end_request(&mut self) {}
}
