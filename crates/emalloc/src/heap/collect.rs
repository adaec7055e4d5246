//! Owns finding what is free but scattered: small runs without a block in use,
//! and empty segments. Also owns sorting the free lists by run, on which `walk`
//! and `check` rely.

use core::ptr;

use super::Heap;
use super::segment::{Kind, Page, Segment, class_in, page};
use super::state::{FreeBlock, State};
use crate::layout::{PAGE, PAGE_SHIFT};
use crate::size_class::{CLASSES, CODES, blocks_of_class, pages_of_class, size_of_class};

/// What [`Heap::collect`] and [`Heap::trim`] found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Collected {
    /// Bytes of pages that held only free small blocks and now are free for anything (`zend_mm_gc`'s answer).
    pub pages: usize,
    /// Bytes the heap gave back to its storage.
    pub returned: usize,
    /// Bytes that [`Heap::trim`] made the storage give back: parts it discarded, and what it kept in store itself.
    pub discarded: usize,
}

/// A run as it stands in a segment: its first page, what the map says of that page, its pages.
#[derive(Clone, Copy)]
pub(super) struct Run {
    pub first: Page,
    pub byte: u8,
    pub pages: usize,
}

impl State {
    /// The runs of a segment that is cut into pages, by rising address.
    pub fn runs(&self, segment: Segment) -> impl Iterator<Item = Run> + '_ {
        self.runs_from(segment, 0)
    }

    /// The runs of a segment from page `index` on, where one begins.
    fn runs_from(&self, segment: Segment, mut index: usize) -> impl Iterator<Item = Run> + '_ {
        core::iter::from_fn(move || {
            if index >= self.geometry.pages {
                return None;
            }
            let first = Page { segment, index };
            let byte = first.map();
            let pages = match class_in(byte) {
                Some(class) => pages_of_class(class),
                None if byte == page::HEADER => segment.header().header_pages.get() as usize,
                None => first.info(&self.geometry).length.get() as usize,
            };
            // A length of 0 can only be read from a broken heap; `check` must end there too.
            index = index.saturating_add(pages.max(1));
            Some(Run { first, byte, pages })
        })
    }

    /// The segments that are cut into pages.
    pub fn page_segment_list(&self) -> impl Iterator<Item = Segment> {
        self.segments()
            .filter(|segment| segment.header().kind.get() == Kind::Pages)
    }

    /// Gives every small run its own list of its free blocks, and empties the lists by class.
    pub fn sort_lists(&self) {
        for segment in self.page_segment_list() {
            for run in self
                .runs(segment)
                .filter(|run| class_in(run.byte).is_some())
            {
                let info = run.first.info(&self.geometry);
                info.next.set(ptr::null_mut());
                info.previous.set(ptr::null_mut());
            }
        }
        for class in 0..CLASSES {
            let mut block = self.list(class).head.replace(ptr::null_mut());
            // SAFETY: a list holds null or a free block, whose first word leads to the next.
            while let Some(node) = unsafe { block.as_ref() } {
                let next = node.next.get();
                // SAFETY: the block lies in a segment of this heap.
                let segment = unsafe { Segment::at(self.geometry.segment_address(block.addr())) };
                let index = (block.addr() - segment.address()) >> PAGE_SHIFT;
                let info = self.run_of(Page { segment, index }).info(&self.geometry);
                node.next.set(info.next.get().cast());
                info.next.set(block.cast());
                let count = info.previous.get().addr() + 1;
                info.previous.set(ptr::without_provenance_mut(count));
                block = next;
            }
        }
    }

    /// The free blocks of a small run, while the lists are sorted by run.
    pub fn free_blocks(&self, run: Page) -> impl Iterator<Item = *mut FreeBlock> + use<> {
        let mut block: *mut FreeBlock = run.info(&self.geometry).next.get().cast();
        core::iter::from_fn(move || {
            let found = block;
            // SAFETY: a run's list holds null or a free block, like the lists by class.
            block = unsafe { found.as_ref() }?.next.get();
            Some(found)
        })
    }

    /// Puts the runs' lists back together into lists by class.
    pub fn unsort_lists(&self) {
        for segment in self.page_segment_list() {
            for run in self.runs(segment) {
                if let Some(class) = class_in(run.byte) {
                    let head: *mut FreeBlock = run.first.info(&self.geometry).next.get().cast();
                    if let Some(last) = self.free_blocks(run.first).last() {
                        // SAFETY: it is a free block of that run.
                        unsafe { &*last }.next.set(self.list(class).head.get());
                        self.list(class).head.set(head);
                    }
                }
            }
        }
    }

    /// Frees the pages of small runs that have no block in use. Answers how many bytes.
    pub fn collect_runs(&self) -> usize {
        self.sort_lists();
        let mut pages = 0;
        for segment in self.page_segment_list() {
            // Giving a run back joins it with its neighbours and may end the segment, so each search
            // begins anew behind the last run given back, and behind the free one that it was joined with:
            // inside that, nothing says any more where runs begin.
            let mut index = 0;
            while let Some(run) = self.empty_run(segment, index) {
                let Some(class) = class_in(run.byte) else {
                    break;
                };
                if self.holds_fresh(class, run.first) {
                    self.fresh[class].bytes.set(0);
                }
                self.run_counts[class].set(self.run_counts[class].get() - 1);
                pages += run.pages;
                index = run.first.index + run.pages;
                if let Some(next) = self.runs_from(segment, index).next()
                    && next.byte == page::FREE
                {
                    index += next.pages;
                }
                // If the segment ends with this, `index` is at its end, and nothing is looked at any more.
                self.give_pages(run.first, run.pages);
            }
        }
        self.unsort_lists();
        pages * PAGE
    }

    /// The first small run from page `index` on that has no block in use, while the lists are sorted by run.
    fn empty_run(&self, segment: Segment, index: usize) -> Option<Run> {
        self.runs_from(segment, index).find(|run| {
            class_in(run.byte).is_some_and(|class| {
                let mut free = run.first.info(&self.geometry).previous.get().addr();
                if self.holds_fresh(class, run.first) {
                    free += self.fresh[class].bytes.get() / size_of_class(class);
                }
                free == blocks_of_class(class)
            })
        })
    }

    /// Whether the part of `class` that is not carved yet lies in the run at `first`.
    pub fn holds_fresh(&self, class: usize, first: Page) -> bool {
        let fresh = &self.fresh[class];
        let (start, next) = (first.start().addr(), fresh.next.get().addr());
        fresh.bytes.get() > 0 && (start..start + pages_of_class(class) * PAGE).contains(&next)
    }

    /// Gives back the memory of free pages, where the storage can. Answers how many bytes.
    fn discard_free_pages(&self) -> usize {
        let step = self.capabilities.granularity.max(PAGE) / PAGE;
        let mut bytes = 0;
        for segment in self.page_segment_list() {
            for run in self.runs(segment).filter(|run| run.byte == page::FREE) {
                let first = run.first.index.next_multiple_of(step);
                let end = (run.first.index + run.pages) / step * step;
                let start = ptr::NonNull::new(segment.byte(first * PAGE));
                if let (Some(start), true) = (start, first < end) {
                    let size = (end - first) * PAGE;
                    // SAFETY: the pages are free, inside the segment's grant, and cut to the storage's unit.
                    if unsafe { self.storage().discard(start, size) } {
                        bytes += size;
                    }
                }
            }
        }
        bytes
    }
}

/// Giving memory back.
impl Heap {
    /// Finds pages that hold only free small blocks, and gives empty segments back to the storage. (`zend_mm_gc`)
    ///
    /// The heap does this by itself before it refuses a request.
    ///
    /// ```
    /// # use emalloc::heap::Heap;
    /// let heap = Heap::new()?;
    /// let block = heap.allocate(100);
    /// // SAFETY: the block is alive and used no more.
    /// unsafe { heap.free(block) };
    /// assert_eq!(heap.collect().pages, 4096);
    /// # Ok::<(), emalloc::heap::HeapError>(())
    /// ```
    pub fn collect(&self) -> Collected {
        let state = self.state();
        if state.walking.get() {
            return Collected::default();
        }
        let held = state.held.get();
        let pages = state.collect_runs();
        state.release_empty_segments(0);
        Collected {
            pages,
            returned: held - state.held.get(),
            discarded: 0,
        }
    }

    /// As [`collect`](Self::collect), and gives back to the system what it can of the rest: free pages whose
    /// memory the storage can discard, and what the storage keeps in store. One segment always stays.
    pub fn trim(&self) -> Collected {
        let mut collected = self.collect();
        let state = self.state();
        if state.walking.get() {
            return collected;
        }
        if state.capabilities.discard {
            collected.discarded = state.discard_free_pages();
        }
        collected.discarded += state.storage().trim();
        collected
    }
}

const _: () = assert!(CODES <= page::HEADER as usize);
