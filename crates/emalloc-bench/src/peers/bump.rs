//! bumpalo: it never frees a single block, which makes it a floor for time and not a rival. A block's size lies in the
//! word before it, for resizing.

use std::alloc::Layout;

use bumpalo::Bump;

use crate::allocator::{Blocks, Peer};

/// Bytes after which it gives up, and the process with it: it is a floor, not worth a machine's memory.
const LIMIT: usize = 8 << 30;

const WORD: usize = size_of::<usize>();

/// The peer.
pub struct Bumpalo;

/// An arena.
pub struct Arena(Bump);

impl Peer for Bumpalo {
    type Heap = Arena;

    fn create(&self) -> Arena {
        let arena = Bump::new();
        arena.set_allocation_limit(Some(LIMIT));
        Arena(arena)
    }
}

impl Blocks for Arena {
    const BULK: bool = true;

    #[inline(always)]
    fn allocate(&mut self, size: usize) -> *mut u8 {
        let size = size.max(WORD).next_multiple_of(WORD);
        // SAFETY: the alignment is a power of two, and traces hold no size near the end of the address space.
        let layout = unsafe { Layout::from_size_align_unchecked(size + WORD, WORD) };
        let start = self.0.alloc_layout(layout).as_ptr();
        // SAFETY: the first word of the layout.
        unsafe { start.cast::<usize>().write(size) };
        // SAFETY: the layout is longer than a word.
        unsafe { start.add(WORD) }
    }

    #[inline(always)]
    unsafe fn free(&mut self, _block: *mut u8) {}

    #[inline(always)]
    unsafe fn resize(&mut self, block: *mut u8, size: usize) -> *mut u8 {
        // SAFETY: `allocate` wrote it there.
        let old = unsafe { block.cast::<usize>().sub(1).read() };
        if size <= old {
            return block;
        }
        // Room for more, or a block that grows by a byte at a time would leave a copy of itself at each step.
        let new = self.allocate(size + size / 8);
        // SAFETY: both hold `old` bytes, and the new one is not the old one.
        unsafe { new.copy_from_nonoverlapping(block, old) };
        new
    }

    fn end_request(&mut self) {
        self.0.reset();
    }
}
