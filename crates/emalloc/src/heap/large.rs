//! Owns large blocks: runs of whole pages inside segments, and the search for
//! pages that small runs share with them. Called by `allocate`, `free`, `resize`, `small`.

use core::ptr;

use super::error::AllocError;
use super::pages::FEW;
use super::segment::{Page, page};
use super::state::State;
use crate::layout::PAGE;
use crate::storage::Grant;

/// A heap that holds less than this grows without looking for what is scattered.
pub(super) const SCATTERED_FROM: usize = 2 << 20;

/// One that holds more than this is large, and looks at runs only (see `cold` and `sweep`): free blocks are in no cache then,
/// and looking at each takes longer than it is worth.
pub(super) const SCATTERED_TO: usize = 8 << 20;

/// It looks if at least one part in this many of what it holds is in no block.
const SCATTERED_PART: usize = 8;

impl State {
    /// A block of `pages` pages at a multiple of `align` bytes, which is at least a page.
    pub fn allocate_large(&self, pages: usize, align: usize, requested: usize) -> *mut u8 {
        if align <= PAGE
            && let Some(run) = self.take_spare(pages)
        {
            return self.enter_large(run, pages);
        }
        let Some(run) = self.find_pages(pages, align, page::LARGE_REST, requested) else {
            return ptr::null_mut();
        };
        self.enter_large(run, pages)
    }

    /// A block of `pages` pages for one that has grown out of its place, where it can grow by half of that. Null, without
    /// `refuse`, if there is no such place at hand.
    pub fn allocate_with_room(&self, pages: usize) -> *mut u8 {
        let Some(run) = self.take_pages_with_room(pages, pages / 2, page::LARGE_REST) else {
            return ptr::null_mut();
        };
        self.enter_large(run, pages)
    }

    /// Makes the run of `pages` pages at `run`, which is marked [`page::LARGE_REST`], a block.
    #[inline(always)]
    fn enter_large(&self, run: Page, pages: usize) -> *mut u8 {
        run.segment.fill(run.index, 1, page::LARGE);
        self.usage.add(pages * PAGE);
        run.start()
    }

    /// Frees the large block of `pages` pages at `run`.
    pub fn free_large(&self, run: Page, pages: usize) {
        if self.may_be_spare(run, pages) {
            return self.make_spare(run, pages);
        }
        self.usage.sub(pages * PAGE);
        self.give_pages(run, pages);
    }

    /// Makes the large block at `run` take `new` instead of `old` pages where it is.
    pub fn resize_large(&self, run: Page, old: usize, new: usize) -> bool {
        if new > old {
            if !self.extend_pages(run, old, new, page::LARGE_REST) {
                return false;
            }
            self.usage.add((new - old) * PAGE);
        } else if new < old {
            run.set_span(&self.geometry, new);
            self.usage.sub((old - new) * PAGE);
            self.give_pages(run.plus(new), old - new);
        }
        true
    }

    /// A run of `pages` pages at a multiple of `align` bytes, marked `mark`: from the free ones, from a new
    /// segment, or after collecting. `None` after `refuse`.
    pub fn find_pages(
        &self,
        pages: usize,
        align: usize,
        mark: u8,
        requested: usize,
    ) -> Option<Page> {
        if align <= PAGE
            && pages <= FEW
            && let Some(run) = self.take_few_pages(pages, mark)
        {
            return Some(run);
        }
        self.find_pages_slow(pages, align, mark, requested)
    }

    /// A run out of the free ones.
    fn take_free_pages(
        &self,
        pages: usize,
        align: usize,
        mark: u8,
        thorough: bool,
    ) -> Option<Page> {
        if align <= PAGE {
            self.take_pages(pages, mark, thorough)
        } else {
            self.take_aligned_pages(pages, align, mark, thorough)
        }
    }

    /// As [`find_pages`](Self::find_pages), in all cases.
    #[cold]
    #[inline(never)]
    fn find_pages_slow(
        &self,
        pages: usize,
        align: usize,
        mark: u8,
        requested: usize,
    ) -> Option<Page> {
        let take = |thorough| self.take_free_pages(pages, align, mark, thorough);
        if align <= PAGE
            && let Some(run) = self.cut_spare(pages, mark)
        {
            return Some(run);
        }
        self.give_spares();
        if let Some(run) = take(false) {
            return Some(run);
        }
        if self.may_be_scattered()
            && self.collect_runs() > 0
            && let Some(run) = take(false)
        {
            return Some(run);
        }
        if !self.cold.is_on() && self.may_part_runs() {
            // What is on the lists by class by now is used up first, in the order in which it is there.
            self.begin_sorting();
            self.part_runs();
        }
        if self.sweep_is_due(pages)
            && self.sweep() > 0
            && let Some(run) = take(false)
        {
            return Some(run);
        }
        if self.add_segment(requested).is_ok() {
            // The new segment's run is the first of its list.
            return take(false);
        }
        // First a run that only a longer search finds, then what is free but scattered over small runs, then
        // memory the heap merely keeps.
        if let Some(run) = take(true) {
            return Some(run);
        }
        self.collect_runs();
        if let Some(run) = take(true) {
            return Some(run);
        }
        self.drop_kept_memory();
        match self.add_segment(requested) {
            Ok(()) => take(false),
            Err(error) => {
                self.refuse(error);
                None
            }
        }
    }

    /// Whether so much of what is held may be free inside small runs that collecting comes before growing. Asked
    /// anew only when the heap has grown by a quarter, so that the cost stays in proportion to what is held.
    fn may_be_scattered(&self) -> bool {
        let held = self.held.get();
        if held < self.collect_at.get() || held > SCATTERED_TO {
            return false;
        }
        self.collect_at.set(held + held / 4);
        held - self.usage.now() >= held / SCATTERED_PART
    }

    /// Gives back what neither blocks nor runs need: empty segments, and what the storage keeps in store.
    pub fn drop_kept_memory(&self) {
        self.release_empty_segments(0);
        self.storage().trim();
    }

    /// A new grant of `size` bytes, if need be after collecting.
    pub fn acquire_or_collect(
        &self,
        size: usize,
        align: usize,
        requested: usize,
    ) -> Result<Grant, AllocError> {
        self.acquire(size, align, requested).or_else(|_| {
            self.collect_runs();
            self.drop_kept_memory();
            self.acquire(size, align, requested)
        })
    }
}
