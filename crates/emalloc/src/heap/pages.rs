//! Owns the pages of a heap's segments: takes runs of pages for blocks, takes
//! them back, joins neighbours, and decides when an empty segment leaves the
//! heap. Called by `small`, `large`, `collect` and `acquire`.

use super::runs::FreeRun;
use super::segment::{Kind, LINE, Page, Segment, page};
use super::state::State;
use crate::layout::PAGE;
use crate::sys;

/// More bytes than most processors have caches of their own for a core.
pub(super) const CACHED: usize = 4 << 20;

/// A block that has grown to so many pages keeps those behind it to itself, if it can be, and is moved to where there are
/// some: the hole it would leave is large, and it would be copied again.
pub(super) const GROWING: usize = 8;

/// Runs of up to so many pages are taken and given in a few steps.
pub(super) const FEW: usize = 16;

impl State {
    /// Takes a run of `pages` pages, no more than [`FEW`], and marks them all `rest`. `None` if no free run is long enough,
    /// or what is found first had better be spared.
    #[inline(always)]
    pub fn take_few_pages(&self, pages: usize, rest: u8) -> Option<Page> {
        let run = self.free_runs.find_short(&self.geometry, pages)?;
        if run.first.start().addr() == self.growing_end.get()
            || (run.is_long() && self.spares.come_first())
        {
            return None;
        }
        self.take_front(run, pages, rest);
        Some(run.first)
    }

    /// Takes a run of `pages` pages and marks them all `rest`; `None` if no free run is long enough.
    pub fn take_pages(&self, pages: usize, rest: u8, thorough: bool) -> Option<Page> {
        let mut run = self.free_runs.find(&self.geometry, pages, thorough)?;
        if run.first.start().addr() == self.growing_end.get() {
            run = self.spare(run, pages);
        }
        self.take_front(run, pages, rest);
        Some(run.first)
    }

    /// Takes a run of `pages` pages with `room` free ones behind it, and marks it `rest`. `None` if there is none but behind
    /// a block that grows, or in segments that are empty.
    pub fn take_pages_with_room(&self, pages: usize, room: usize, rest: u8) -> Option<Page> {
        let run = self.free_runs.find(&self.geometry, pages + room, false)?;
        if run.first.start().addr() == self.growing_end.get()
            || self.is_whole(run.first.segment, run.pages)
        {
            return None;
        }
        self.take_front(run, pages, rest);
        Some(run.first)
    }

    /// Another free run of `pages` pages than `run`, which lies behind a block that grows; that one if there is none but
    /// in segments that are empty.
    fn spare(&self, run: FreeRun, pages: usize) -> FreeRun {
        self.free_runs
            .find_other(&self.geometry, pages, run)
            .filter(|other| !self.is_whole(other.first.segment, other.pages))
            .unwrap_or(run)
    }

    /// Takes a run of `pages` pages that begins at a multiple of `align` bytes.
    #[cold]
    #[inline(never)]
    pub fn take_aligned_pages(
        &self,
        pages: usize,
        align: usize,
        rest: u8,
        thorough: bool,
    ) -> Option<Page> {
        let step = align >> crate::layout::PAGE_SHIFT;
        // Segments are aligned at least as strictly, so page numbers tell.
        let run = self
            .free_runs
            .find(&self.geometry, pages + step - 1, thorough)?;
        let index = run.first.index;
        let skip = index.next_multiple_of(step) - index;
        if skip == 0 {
            self.take_front(run, pages, rest);
        } else {
            self.take_middle(run, skip, pages, rest);
        }
        Some(run.first.plus(skip))
    }

    /// Has the processor fetch a page that blocks are probably carved out of next, if the heap is too large for its
    /// caches to hold it already.
    #[inline]
    pub fn fetch_ahead(&self, page: *mut u8) {
        if self.held.get() > CACHED {
            for line in (0..PAGE).step_by(LINE) {
                sys::prefetch(page.wrapping_add(line));
            }
        }
    }

    /// Takes the first `pages` pages of a free run.
    #[inline(always)]
    fn take_front(&self, run: FreeRun, pages: usize, rest: u8) {
        self.note_taking(run);
        self.free_runs.cut(&self.geometry, run, pages);
        self.mark_taken(run.first, pages, rest);
    }

    /// Takes `pages` pages out of a free run, `skip` pages from its beginning.
    fn take_middle(&self, run: FreeRun, skip: usize, pages: usize, rest: u8) {
        self.note_taking(run);
        self.free_runs.remove(&self.geometry, run);
        self.free_runs.insert(&self.geometry, run.first, skip);
        let taken = run.first.plus(skip);
        let left = run.pages - skip - pages;
        if left > 0 {
            self.free_runs
                .insert(&self.geometry, taken.plus(pages), left);
        }
        self.mark_taken(taken, pages, rest);
    }

    /// Counts the segment if it was empty up to now: a part of its free run is taken.
    #[inline(always)]
    fn note_taking(&self, run: FreeRun) {
        if self.is_whole(run.first.segment, run.pages) {
            self.empty_segments.set(self.empty_segments.get() - 1);
            self.note_need();
        }
    }

    /// Enters a run of `pages` pages that is no longer free.
    #[inline(always)]
    fn mark_taken(&self, run: Page, pages: usize, rest: u8) {
        run.set_span(&self.geometry, pages);
        run.segment.fill(run.index, pages, rest);
        let header = run.segment.header();
        header
            .free_pages
            .set(header.free_pages.get() - pages as u32);
    }

    /// Lengthens the run of `old` pages at `run` to `new` by the pages that follow it, if those are free.
    pub fn extend_pages(&self, run: Page, old: usize, new: usize, rest: u8) -> bool {
        let next = run.plus(old);
        if next.map() == page::SPARE {
            self.give_spare(next);
        }
        if !is_free(next) {
            return false;
        }
        let free = self.free_runs.run_at(&self.geometry, next);
        if free.pages < new - old {
            return false;
        }
        self.take_front(free, new - old, rest);
        run.set_span(&self.geometry, new);
        self.note_growing(run.plus(new).start().addr(), new);
        true
    }

    /// Notes that a large block of now `pages` pages has grown, and ends at `end`.
    #[inline]
    pub fn note_growing(&self, end: usize, pages: usize) {
        if pages >= GROWING {
            self.growing_end.set(end);
        }
    }

    /// Gives a run of `pages` pages back. The segment may leave the heap because of it.
    #[inline]
    pub fn give_pages(&self, run: Page, pages: usize) {
        let segment = run.segment;
        let header = segment.header();
        let free_pages = header.free_pages.get() as usize + pages;
        header.free_pages.set(free_pages as u32);
        // Page 0 always holds the header, so there is a page before.
        if pages > FEW || self.is_whole(segment, free_pages) || is_free(run.minus(1)) {
            return self.give_pages_slow(run, pages);
        }
        segment.fill(run.index, pages, page::FREE);
        let (next, mut length) = (run.plus(pages), pages);
        if is_free(next) {
            let free = self.free_runs.run_at(&self.geometry, next);
            // What was taken off the beginning of a long run and comes back.
            if self.free_runs.join_front(&self.geometry, free, pages) {
                return;
            }
            self.free_runs.remove(&self.geometry, free);
            length += free.pages;
        }
        self.free_runs.insert(&self.geometry, run, length);
    }

    /// As [`give_pages`](Self::give_pages), in all cases, once the run is counted.
    #[inline(never)]
    fn give_pages_slow(&self, run: Page, pages: usize) {
        let (segment, header) = (run.segment, run.segment.header());
        if self.is_whole(segment, header.free_pages.get() as usize) {
            // What is left beside it is spare.
            self.give_spares();
            self.tell_filled();
        }
        let (first, length) = self.join(run, pages);
        if self.is_whole(segment, length) {
            if !self.worth_keeping(segment) {
                return self.release_segment(segment);
            }
            self.empty_segments.set(self.empty_segments.get() + 1);
        }
        self.free_runs.insert(&self.geometry, first, length);
    }

    /// Makes a run of `pages` pages a free one that is counted as free already, and is not all that is left in its segment.
    pub fn enter_free(&self, run: Page, pages: usize) {
        let (first, length) = self.join(run, pages);
        self.free_runs.insert(&self.geometry, first, length);
    }

    /// Takes a run of `pages` pages off the beginning of a spare run, the shortest that is long enough, and marks them all `rest`.
    pub fn cut_spare(&self, pages: usize, rest: u8) -> Option<Page> {
        let (run, length) = self.spares.pop_longer(&self.geometry, pages)?;
        self.mark_taken(run, pages, rest);
        if length > pages {
            self.enter_free(run.plus(pages), length - pages);
        }
        Some(run)
    }

    /// Marks a run of `pages` pages as free and joins it with its neighbours, which are taken out of their lists.
    fn join(&self, run: Page, pages: usize) -> (Page, usize) {
        run.segment.fill(run.index, pages, page::FREE);
        let (mut first, mut length) = (run, pages);
        let next = run.plus(pages);
        if is_free(next) {
            let next = self.free_runs.run_at(&self.geometry, next);
            self.free_runs.remove(&self.geometry, next);
            length += next.pages;
        }
        if is_free(run.minus(1)) {
            let before = run.minus(run.minus(1).span(&self.geometry));
            let before = self.free_runs.run_at(&self.geometry, before);
            self.free_runs.remove(&self.geometry, before);
            first = before.first;
            length += before.pages;
        }
        (first, length)
    }

    /// Marks what is no page for runs in a segment that is new.
    pub fn mark_header(&self, segment: Segment) {
        let (nursery, end) = (self.nursery_start(segment), self.header_grains(segment));
        segment.fill_grains(0, nursery, page::HEADER);
        segment.fill_grains(nursery, end - nursery, page::NURSERY);
        segment.fill(self.geometry.pages, 1, page::HEADER);
    }

    /// Enters the pages of a segment that holds nothing as one free run. Those from `free` on are marked free already.
    pub fn enter_pages(&self, segment: Segment, free: usize) {
        self.enter(segment, 0, free);
        self.empty_segments.set(self.empty_segments.get() + 1);
    }

    /// As [`enter_pages`](Self::enter_pages), for the first segment, which is to be used first: before the free run
    /// lies the reserve, for which there always is room.
    pub fn enter_first(&self, free: usize) {
        let (segment, reserve) = (self.first, self.reserve.get());
        if reserve == 0 {
            return self.enter_pages(segment, free);
        }
        self.enter(segment, reserve, free);
        let index = segment.header().header_pages.get() as usize;
        let run = Page { segment, index };
        run.set_span(&self.geometry, reserve);
        segment.fill(index, reserve, page::RESERVE);
        self.reserve_at.set(Some((segment, index)));
        self.note_need();
    }

    /// Enters a free run behind the first `taken` pages of a segment that holds nothing.
    fn enter(&self, segment: Segment, taken: usize, free: usize) {
        let header = segment.header();
        let index = header.header_pages.get() as usize + taken;
        let length = self.geometry.pages - index;
        if index < free {
            segment.fill(index, free - index, page::FREE);
        }
        header.free_pages.set(length as u32);
        self.free_runs
            .insert(&self.geometry, Page { segment, index }, length);
    }

    /// Where the free run begins with which a segment ends; its end if it ends with another one, and in checked mode, which
    /// trusts no marks.
    pub fn free_end(&self, segment: Segment) -> usize {
        let index = self.geometry.pages - 1;
        let last = Page { segment, index };
        match last.map() {
            page::FREE if !self.geometry.checked() => index + 1 - last.span(&self.geometry),
            _ => index + 1,
        }
    }

    /// Gives empty segments, but never the first, back to the storage until no more than `most` bytes are held.
    /// Answers how many bytes.
    pub fn release_empty_segments(&self, most: usize) -> usize {
        self.tell_filled();
        let held = self.held.get();
        for segment in self.segments() {
            if self.held.get() <= most {
                break;
            }
            let header = segment.header();
            let pages = header.free_pages.get() as usize;
            if segment != self.first
                && header.kind.get() == Kind::Pages
                && self.is_whole(segment, pages)
            {
                let index = header.header_pages.get() as usize;
                let run = self
                    .free_runs
                    .run_at(&self.geometry, Page { segment, index });
                self.free_runs.remove(&self.geometry, run);
                self.empty_segments.set(self.empty_segments.get() - 1);
                self.release_segment(segment);
            }
        }
        held - self.held.get()
    }

    /// Whether a free run of `pages` pages is all there is in `segment`.
    #[inline(always)]
    pub fn is_whole(&self, segment: Segment, pages: usize) -> bool {
        pages + segment.header().header_pages.get() as usize == self.geometry.pages
    }

    /// Whether a segment that has become empty stays: the first one always, one more so that a
    /// block allocated and freed at a segment's border does not cost a segment each time, and as
    /// much as past requests have needed.
    fn worth_keeping(&self, segment: Segment) -> bool {
        segment == self.first
            || self.empty_segments.get() == 0
            || self.held.get() <= self.keep.get()
    }
}

/// Whether a page is free. It may be the one behind its segment's last, which the map calls a header's.
#[inline(always)]
fn is_free(page: Page) -> bool {
    page.map() == page::FREE
}
