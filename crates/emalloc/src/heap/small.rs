//! Owns blocks of the size classes, beyond the fast path: carves blocks out of
//! runs, a few at a time, so that memory is not touched before it is needed.
//! Called by `allocate`, `free`, `resize`.

use core::ptr;

use super::segment::Page;
use super::state::{FreeBlock, State};
use crate::layout::PAGE;
use crate::size_class::{blocks_of_class, pages_of_class, size_of_class};

/// Blocks are carved in batches of about this many bytes ...
const BATCH_BYTES: usize = 1024;

/// ... and at most this many blocks.
const BATCH_BLOCKS: usize = 32;

impl State {
    /// A block of `class`; `requested` is for the error.
    pub fn allocate_small(&self, class: usize, requested: usize) -> *mut u8 {
        let mut block = self.pop(class);
        if block.is_null() {
            if self.fresh[class].bytes.get() == 0 && !self.add_run(class, requested) {
                return ptr::null_mut();
            }
            block = self.carve(class);
        }
        self.add_usage(size_of_class(class));
        if self.geometry.checked() {
            self.set_alive(block, true);
        }
        block
    }

    /// Puts a block of `class` on its list.
    #[inline(always)]
    pub fn push(&self, class: usize, block: *mut u8) {
        // SAFETY: classes come from the page map or the table of classes, and each has a list.
        let list = unsafe { self.lists.get_unchecked(class) };
        let node = block.cast::<FreeBlock>();
        // SAFETY: the block is not in use, and it has room and alignment for a node.
        unsafe { node.write(FreeBlock { next: list.clone() }) };
        list.set(node);
    }

    fn pop(&self, class: usize) -> *mut u8 {
        let block = self.lists[class].get();
        // SAFETY: a list holds null or a free block.
        if let Some(head) = unsafe { block.as_ref() } {
            self.lists[class].set(head.next.get());
        }
        block.cast()
    }

    /// Gives `class` a new run. Says no after `refuse`.
    fn add_run(&self, class: usize, requested: usize) -> bool {
        let pages = pages_of_class(class);
        let Some(run) = self.find_pages(pages, PAGE, class as u8, requested) else {
            return false;
        };
        for back in 1..pages {
            run.plus(back).info(&self.geometry).back.set(back as u32);
        }
        // A handler that was told of the soft limit may have used the heap and got a run meanwhile.
        while self.fresh[class].bytes.get() > 0 {
            let block = self.carve(class);
            self.push(class, block);
        }
        self.fresh[class].next.set(run.start());
        self.fresh[class]
            .bytes
            .set(blocks_of_class(class) * size_of_class(class));
        self.run_counts[class].set(self.run_counts[class].get() + 1);
        true
    }

    /// The next block of the class's newest run, which has one; the few after it go on the list.
    fn carve(&self, class: usize) -> *mut u8 {
        let size = size_of_class(class);
        let fresh = &self.fresh[class];
        let (block, bytes) = (fresh.next.get(), fresh.bytes.get());
        let batch = (BATCH_BYTES / size)
            .clamp(1, BATCH_BLOCKS)
            .min(bytes / size);
        for number in (1..batch).rev() {
            // Last first, so that they are handed out by rising address.
            self.push(class, block.wrapping_add(number * size));
        }
        fresh.next.set(block.wrapping_add(batch * size));
        fresh.bytes.set(bytes - batch * size);
        block
    }

    /// The first page of the small run that `page` belongs to.
    pub fn run_of(&self, page: Page) -> Page {
        let back = page.info(&self.geometry).back.get() as usize;
        Page {
            segment: page.segment,
            index: page.index - back,
        }
    }

    /// Whether the block at `address` lies where its class's run is not carved yet.
    pub fn is_uncarved(&self, class: usize, address: usize) -> bool {
        let fresh = &self.fresh[class];
        let start = fresh.next.get().addr();
        (start..start + fresh.bytes.get()).contains(&address)
    }

    /// Notes in checked mode that the block at `block` is in use, or not.
    pub fn set_alive(&self, block: *mut u8, alive: bool) {
        let segment = self.index.find(self.geometry.segment_address(block.addr()));
        if let Some(segment) = segment {
            let (word, bit) = segment.live_bit(&self.geometry, block.addr());
            word.set(if alive {
                word.get() | bit
            } else {
                word.get() & !bit
            });
        }
    }
}
