//! The allocator that does nothing: it answers the same buffer each time. What a replay costs with it is the cost of the
//! replay itself.

use std::hint::black_box;

use crate::allocator::{Blocks, Peer};

/// The peer.
pub struct Null;

/// The buffer that is answered.
pub struct Buffer(Box<[u64; 8]>);

impl Peer for Null {
    type Heap = Buffer;

    fn create(&self) -> Buffer {
        Buffer(Box::new([0; 8]))
    }
}

impl Blocks for Buffer {
    const BULK: bool = true;

    #[inline(always)]
    fn allocate(&mut self, size: usize) -> *mut u8 {
        black_box(size);
        self.0.as_mut_ptr().cast()
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
