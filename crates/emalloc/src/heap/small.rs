//! Owns blocks of the size classes, beyond the fast path: carves blocks out of
//! runs, a few at a time, so that memory is not touched before it is needed.
//! Called by `allocate`, `free`, `resize`.

use core::ptr;

use super::segment::{Page, code_in_map};
use super::state::{Bin, FreeBlock, State};
use crate::layout::PAGE;
use crate::size_class::{blocks_of_class, pages_of_class, size_of_class};

/// The first run of a class begins with a batch of this many blocks.
const FIRST_BATCH: usize = 8;

impl Bin {
    /// Puts a block on the list.
    #[inline(always)]
    pub fn push(&self, block: *mut u8) {
        let node = block.cast::<FreeBlock>();
        let next = self.head.clone();
        // SAFETY: the block is not in use, and it has room and alignment for a node.
        unsafe { node.write(FreeBlock { next }) };
        self.head.set(node);
    }

    /// Takes the block last put on the list; null if there is none.
    #[inline(always)]
    fn pop(&self) -> *mut u8 {
        let block = self.head.get();
        // SAFETY: a list holds null or a free block.
        if let Some(head) = unsafe { block.as_ref() } {
            self.head.set(head.next.get());
        }
        block.cast()
    }
}

impl State {
    /// A block of `class`; `requested` is for the error. Null after `refuse`.
    pub fn allocate_small(&self, class: usize, requested: usize) -> *mut u8 {
        let block = self.take_small(class, requested);
        if block.is_null() {
            return block;
        }
        self.add_usage(size_of_class(class));
        if self.geometry.checked() {
            self.set_alive(block, true);
        }
        block
    }

    /// A block of `class` that is counted nowhere yet. Null after `refuse`.
    #[inline]
    pub fn take_small(&self, class: usize, requested: usize) -> *mut u8 {
        let block = self.bins[class].pop();
        if !block.is_null() {
            return block;
        }
        self.carve_or_add_run(class, requested)
    }

    #[cold]
    #[inline(never)]
    fn carve_or_add_run(&self, class: usize, requested: usize) -> *mut u8 {
        if self.fresh[class].bytes.get() == 0 && !self.add_run(class, requested) {
            return ptr::null_mut();
        }
        self.carve(class)
    }

    /// Gives `class` a new run. Says no after `refuse`.
    fn add_run(&self, class: usize, requested: usize) -> bool {
        let pages = pages_of_class(class);
        let Some(run) = self.find_pages(pages, PAGE, code_in_map(class), requested) else {
            return false;
        };
        for back in 1..pages {
            run.plus(back).info(&self.geometry).back.set(back as u32);
        }
        // A handler that was told of the soft limit may have used the heap and got a run meanwhile.
        while self.fresh[class].bytes.get() > 0 {
            let block = self.carve(class);
            self.bins[class].push(block);
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
        // As much again as the run has given so far, up to the end of the page: a heap that needs few
        // blocks is spared the rest, one that needs many is soon served by the page.
        let given = blocks_of_class(class) * size - bytes;
        let most = match self.run_counts[class].get() {
            1 => given.max(FIRST_BATCH * size),
            _ => PAGE,
        };
        let to_page_end = PAGE - block.addr() % PAGE;
        let batch = (to_page_end.min(most) / size).max(1).min(bytes / size);
        for number in (1..batch).rev() {
            // Last first, so that they are handed out by rising address.
            self.bins[class].push(block.wrapping_add(number * size));
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
