//! Owns the spare: the few pages of the large block that was freed last. The next block of that length gets them as they
//! are, in a few steps, for programs that use a buffer and free it do so again and again. Called by `large`, and by
//! `allocate` and `free` for a short way; whoever looks for pages or at them has it given back first. Heaps have one if
//! their builder says so.
//!
//! Its pages count as free ones, and are on no list. It is never the last thing in its segment.

use core::cell::Cell;
use core::ptr::{self, NonNull};

use super::collect::Run;
use super::pages::FEW;
use super::segment::{Page, Segment, page};
use super::site::Site;
use super::state::State;
use crate::layout::{PAGE, PAGE_SHIFT};

/// A page alone is no spare: so a size that rounds to the spare's is none of a small block.
const LEAST: usize = 2;

/// The pages kept, if there are any.
pub(super) struct Spare {
    /// Pages that it may have: 0 if there is none ever.
    most: usize,
    start: Cell<*mut u8>,
    /// [`NONE`] if there are none.
    bytes: Cell<usize>,
}

/// No size of pages.
const NONE: usize = 1;

impl Spare {
    /// None yet; `wanted` says whether there is to be one.
    pub const fn none(wanted: bool) -> Self {
        Self {
            most: if wanted { FEW } else { 0 },
            start: Cell::new(ptr::null_mut()),
            bytes: Cell::new(NONE),
        }
    }

    /// Forgets it.
    pub fn clear(&self) {
        self.bytes.set(NONE);
    }
}

impl State {
    /// A block of at least `size` bytes, aligned to a page, of a call at `at`, if the spare is of that length; else null.
    /// Null in any mode.
    #[inline(always)]
    pub fn allocate_spare(&self, size: usize, at: Site<'_>) -> *mut u8 {
        if self.gate.is_shut() {
            return ptr::null_mut();
        }
        let bytes = size.wrapping_add(PAGE - 1) & !(PAGE - 1);
        let Some(run) = self.take_spare(bytes) else {
            return ptr::null_mut();
        };
        run.segment.fill(run.index, 1, page::LARGE);
        let block = self.spare.start.get();
        if self.usage.count(bytes) {
            return self.turn(block, at);
        }
        block
    }

    /// The spare, if it has that many bytes: as a run that is marked [`page::LARGE_REST`] but for its first page.
    #[inline(always)]
    pub fn take_spare(&self, bytes: usize) -> Option<Page> {
        if bytes != self.spare.bytes.get() {
            return None;
        }
        self.spare.clear();
        let run = self.page_at(self.spare.start.get());
        self.count_free(run, (bytes >> PAGE_SHIFT).wrapping_neg());
        Some(run)
    }

    /// Makes the block at `block` the spare, if it is a large one of few pages and nothing is wrong with it. Says no
    /// otherwise, having done nothing.
    ///
    /// # Safety
    /// As [`Heap::free`](super::Heap::free).
    #[inline(always)]
    pub unsafe fn free_to_spare(&self, block: NonNull<u8>) -> bool {
        // SAFETY: the caller's promise.
        let Some((run, pages)) = (unsafe { self.large_at(block) }) else {
            return false;
        };
        if !self.may_be_spare(run, pages) {
            return false;
        }
        self.make_spare(run, pages);
        true
    }

    /// Whether the large block of `pages` pages at `run`, which is freed, becomes the spare.
    #[inline(always)]
    pub fn may_be_spare(&self, run: Page, pages: usize) -> bool {
        let free_pages = run.segment.header().free_pages.get() as usize + pages;
        (LEAST..=self.spare.most).contains(&pages) && !self.is_whole(run.segment, free_pages)
    }

    /// Makes a large block the spare that may be it.
    #[inline(always)]
    pub fn make_spare(&self, run: Page, pages: usize) {
        if self.spare.bytes.get() != NONE {
            self.give_spare();
        }
        run.segment.fill(run.index, 1, page::SPARE);
        self.count_free(run, pages);
        let bytes = pages << PAGE_SHIFT;
        self.spare.start.set(run.start());
        self.spare.bytes.set(bytes);
        self.usage.sub(bytes);
    }

    /// Gives the spare back, if there is one.
    #[inline(never)]
    pub fn give_spare(&self) {
        let pages = self.spare.bytes.get() >> PAGE_SHIFT;
        if let Some(run) = self.take_spare(pages << PAGE_SHIFT) {
            self.give_pages(run, pages);
        }
    }

    /// Whether `run` is the spare.
    pub fn is_spare(&self, run: Run) -> bool {
        (self.spare.start.get().addr(), self.spare.bytes.get()) == (run.start(), run.bytes())
    }

    /// The page that begins at `start`, in a segment of this heap.
    #[inline(always)]
    fn page_at(&self, start: *mut u8) -> Page {
        let address = start.addr();
        // SAFETY: the caller says that there is one.
        let segment = unsafe { Segment::at(self.geometry.segment_address(address)) };
        let index = segment.index_of(address);
        Page { segment, index }
    }

    /// Counts `pages` more free pages in the segment of `run`.
    #[inline(always)]
    fn count_free(&self, run: Page, pages: usize) {
        let count = &run.segment.header().free_pages;
        count.set(count.get().wrapping_add(pages as u32));
    }
}
