//! Owns the pages of a heap's segments: takes runs of pages for blocks, takes
//! them back, joins neighbours, and decides when an empty segment leaves the
//! heap. Called by `small`, `large`, `collect` and `acquire`.

use super::segment::{Kind, Page, Segment, page};
use super::state::State;
use crate::layout::{PAGE, PAGE_GRAINS};
use crate::sys;

/// More bytes than most processors have caches of their own for a core.
const CACHED: usize = 4 << 20;

/// Bytes that processors fetch at a time: some fetch more, few less.
const LINE: usize = 64;

/// A block that has grown to so many pages keeps those behind it to itself, if it can be: the hole it would leave is large.
const GROWING: usize = 32;

impl State {
    /// Takes a run of `pages` pages and marks them all `rest`; `None` if no free run is long enough.
    #[inline]
    pub fn take_pages(&self, pages: usize, rest: u8, thorough: bool) -> Option<Page> {
        let mut run = self.free_runs.find(&self.geometry, pages, thorough)?;
        if run.start().addr() == self.growing_end.get() {
            run = self.spare(run, pages);
        }
        self.take_front(run, pages, rest);
        Some(run)
    }

    /// Another free run of `pages` pages than `run`, which lies behind a block that grows; that one if there is none but
    /// in segments that are empty.
    #[cold]
    #[inline(never)]
    fn spare(&self, run: Page, pages: usize) -> Page {
        self.free_runs
            .find_other(&self.geometry, pages, run)
            .filter(|other| !self.is_whole(other.segment, other.span(&self.geometry)))
            .unwrap_or(run)
    }

    /// Takes a run of `pages` pages that begins at a multiple of `align` bytes.
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
        let skip = run.index.next_multiple_of(step) - run.index;
        if skip == 0 {
            self.take_front(run, pages, rest);
        } else {
            self.take_middle(run, skip, pages, rest);
        }
        Some(run.plus(skip))
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

    /// Takes the first `pages` pages of the free run that begins at `run`.
    #[inline(always)]
    fn take_front(&self, run: Page, pages: usize, rest: u8) {
        let length = run.span(&self.geometry);
        self.note_taking(run.segment, length);
        self.free_runs.cut(&self.geometry, run, length, pages);
        self.mark_taken(run, pages, rest);
    }

    /// Takes `pages` pages out of the free run that begins at `run`, `skip` pages from its beginning.
    fn take_middle(&self, run: Page, skip: usize, pages: usize, rest: u8) {
        let length = run.span(&self.geometry);
        self.note_taking(run.segment, length);
        self.free_runs.remove(&self.geometry, run);
        self.free_runs.insert(&self.geometry, run, skip);
        let taken = run.plus(skip);
        let left = length - skip - pages;
        if left > 0 {
            self.free_runs
                .insert(&self.geometry, taken.plus(pages), left);
        }
        self.mark_taken(taken, pages, rest);
    }

    /// Counts the segment if it was empty up to now: a part of its free run of `length` pages is taken.
    #[inline]
    fn note_taking(&self, segment: Segment, length: usize) {
        if self.is_whole(segment, length) {
            self.empty_segments.set(self.empty_segments.get() - 1);
            self.note_need();
        }
    }

    /// Enters a run of `pages` pages that is no longer free.
    #[inline]
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
        if next.index >= self.geometry.pages || next.map() != page::FREE {
            return false;
        }
        if next.span(&self.geometry) < new - old {
            return false;
        }
        self.take_front(next, new - old, rest);
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
    pub fn give_pages(&self, run: Page, pages: usize) {
        let (mut first, mut length) = (run, pages);
        let segment = run.segment;
        segment.fill(run.index, pages, page::FREE);
        let header = segment.header();
        header
            .free_pages
            .set(header.free_pages.get() + pages as u32);
        let next = run.plus(pages);
        // Page 0 always holds the header, so there is a page before.
        let before = Page {
            segment,
            index: run.index - 1,
        };
        let joins = before.map() == page::FREE;
        if next.index < self.geometry.pages && next.map() == page::FREE {
            length += next.span(&self.geometry);
            // What was taken off the beginning of a long run and comes back.
            if !joins
                && !self.is_whole(segment, length)
                && self.free_runs.join_front(&self.geometry, next, pages)
            {
                return;
            }
            self.free_runs.remove(&self.geometry, next);
        }
        if joins {
            let pages = before.span(&self.geometry);
            first = Page {
                segment,
                index: run.index - pages,
            };
            self.free_runs.remove(&self.geometry, first);
            length += pages;
        }
        if self.is_whole(segment, length) {
            if !self.worth_keeping(segment) {
                self.release_segment(segment);
                return;
            }
            self.empty_segments.set(self.empty_segments.get() + 1);
        }
        self.free_runs.insert(&self.geometry, first, length);
    }

    /// Enters a new segment's pages as one free run.
    pub fn enter_pages(&self, segment: Segment) {
        let header = segment.header();
        let first = header.header_pages.get() as usize;
        let length = self.geometry.pages - first;
        let nursery = self.nursery_start(segment);
        segment.fill_grains(0, nursery, page::HEADER);
        segment.fill_grains(nursery, first * PAGE_GRAINS - nursery, page::NURSERY);
        segment.fill(first, length, page::FREE);
        segment.fill(self.geometry.pages, 1, page::HEADER);
        header.free_pages.set(length as u32);
        self.free_runs.insert(
            &self.geometry,
            Page {
                segment,
                index: first,
            },
            length,
        );
        self.empty_segments.set(self.empty_segments.get() + 1);
    }

    /// Gives empty segments, but never the first, back to the storage until no more than `most` bytes are held.
    /// Answers how many bytes.
    pub fn release_empty_segments(&self, most: usize) -> usize {
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
                self.free_runs
                    .remove(&self.geometry, Page { segment, index });
                self.empty_segments.set(self.empty_segments.get() - 1);
                self.release_segment(segment);
            }
        }
        held - self.held.get()
    }

    /// Whether a free run of `pages` pages is all there is in `segment`.
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
