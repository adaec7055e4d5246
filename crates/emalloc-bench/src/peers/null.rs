//! The allocator that does nothing: it answers the same memory each time. What a replay costs with it is the cost of the
//! replay itself.

use std::hint::black_box;
use std::ptr;

use crate::allocator::{Blocks, Peer};

/// Bytes of address space; a trace with larger blocks cannot be replayed.
const LARGEST: usize = 16 << 30;

/// The peer, with its memory: reserved, but there only where it is written to.
pub struct Null(*mut u8);

/// The memory that is answered.
pub struct Buffer(*mut u8);

impl Null {
    /// Reserves the memory.
    pub fn new() -> Self {
        let access = libc::PROT_READ | libc::PROT_WRITE;
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE;
        // SAFETY: a new mapping, wherever there is room.
        let start = unsafe { libc::mmap(ptr::null_mut(), LARGEST, access, flags, -1, 0) };
        assert_ne!(start, libc::MAP_FAILED, "there are addresses");
        Self(start.cast())
    }
}

impl Drop for Null {
    fn drop(&mut self) {
        // SAFETY: mapped by `new`; heaps are used no more, as a peer outlives them.
        unsafe { libc::munmap(self.0.cast(), LARGEST) };
    }
}

impl Peer for Null {
    type Heap = Buffer;

    fn create(&self) -> Buffer {
        Buffer(self.0)
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
