//! Owns the spare runs: the few pages of large blocks that were freed lately, as they are, for the next blocks of their
//! length, which get them in a few steps: nothing is cut or joined. Called by `large`, and by `allocate` and `free` for a short way;
//! whoever looks for pages and finds none at once, or looks at all of them, has them given back first. A heap whose builder
//! says so has a single one, for programs that use a buffer again and again; of the others a large heap (see `cold`) has many.
//!
//! Their pages count as free ones, and are on no list of free runs. They are never all that is left in a segment.

use core::cell::Cell;
use core::ptr::{self, NonNull};

use super::index::Index;
use super::pages::{CACHED, FEW};
use super::segment::{Geometry, Page, PageInfo, page};
use super::site::Site;
use super::state::State;
use crate::layout::{PAGE, PAGE_SHIFT};
use crate::size_class::SMALL_MAX;

/// Those of a large heap are no more than one part in this many of what it holds; and no more than caches hold.
const PART: usize = 8;

/// A single one has so many pages at least: buffers are longer than one.
const LEAST: usize = 2;

/// The spare runs.
pub(super) struct Spares {
    /// Those of each length, the one last freed first.
    lists: [Cell<*mut PageInfo>; FEW],
    /// Bytes of all of them.
    bytes: Cell<usize>,
    /// Pages that one has at least and at most; at most 0 if there are to be none.
    shortest: Cell<usize>,
    longest: Cell<usize>,
    /// If they would come to more bytes, those that are there are given back first.
    most: Cell<usize>,
    /// Whether the heap keeps a single one, however large it is.
    wanted: bool,
}

impl Spares {
    /// None yet, for a heap that holds `held` bytes and is large if that is more than `large`.
    pub fn new(wanted: bool, held: usize, large: usize) -> Self {
        let spares = Self {
            lists: [const { Cell::new(ptr::null_mut()) }; FEW],
            bytes: Cell::new(0),
            shortest: Cell::new(0),
            longest: Cell::new(0),
            most: Cell::new(0),
            wanted,
        };
        spares.settle(held, large);
        spares
    }

    /// Forgets them.
    pub fn clear(&self) {
        if self.bytes.replace(0) != 0 {
            for list in &self.lists {
                list.set(ptr::null_mut());
            }
        }
    }

    /// Lets there be as many as such a heap may have.
    pub fn settle(&self, held: usize, large: usize) {
        let (shortest, longest, most) = if held > large && !self.wanted {
            (1, FEW, (held / PART).min(CACHED))
        } else {
            (LEAST, if self.wanted { FEW } else { 0 }, 0)
        };
        self.shortest.set(shortest);
        self.longest.set(longest);
        self.most.set(most);
    }

    /// Whether there are some that are used up before a long free run is cut, whose pages may be fresh: in a large heap.
    #[inline(always)]
    pub fn come_first(&self) -> bool {
        self.bytes.get().min(self.most.get()) != 0
    }

    /// Enters a run, which is in no list.
    #[inline(always)]
    fn insert(&self, geometry: &Geometry, run: Page, pages: usize) {
        let (list, info) = (&self.lists[pages - 1], run.info(geometry));
        let head = list.get();
        info.next.set(head);
        info.previous.set(ptr::null_mut());
        let pointer = ptr::from_ref(info).cast_mut();
        if let Some(head) = info_at(head) {
            head.previous.set(pointer);
        }
        list.set(pointer);
        self.bytes.set(self.bytes.get() + (pages << PAGE_SHIFT));
    }

    /// Takes out the one of `pages` pages that was entered last.
    #[inline(always)]
    fn pop(&self, geometry: &Geometry, pages: usize) -> Option<Page> {
        let list = self.lists.get(pages.wrapping_sub(1))?;
        let first = list.get();
        let next = info_at(first)?.next.get();
        list.set(next);
        if let Some(next) = info_at(next) {
            next.previous.set(ptr::null_mut());
        }
        self.bytes.set(self.bytes.get() - (pages << PAGE_SHIFT));
        Some(geometry.page_of(first))
    }

    /// Takes out one of at least `pages` pages, the shortest, and answers how many it has.
    pub fn pop_longer(&self, geometry: &Geometry, pages: usize) -> Option<(Page, usize)> {
        (pages..=FEW).find_map(|pages| Some((self.pop(geometry, pages)?, pages)))
    }

    /// Takes out a run.
    fn remove(&self, geometry: &Geometry, run: Page) {
        let (pages, info) = (run.span(geometry), run.info(geometry));
        let (next, previous) = (info.next.get(), info.previous.get());
        if let Some(next) = info_at(next) {
            next.previous.set(previous);
        }
        match info_at(previous) {
            Some(previous) => previous.next.set(next),
            None => self.lists[pages - 1].set(next),
        }
        self.bytes.set(self.bytes.get() - (pages << PAGE_SHIFT));
    }

    /// The pages of all that are entered, each marked as such, in the list of its length and linked both ways; or the address at
    /// which something is wrong: a run's, or what a list leads to instead of one.
    pub fn verify(&self, geometry: &Geometry, segments: &Index) -> Result<usize, usize> {
        let mut pages = 0;
        for (list, length) in self.lists.iter().zip(1..) {
            let mut place = list.get();
            let mut previous = ptr::null_mut();
            while !place.is_null() {
                let run = geometry.find_page(place, segments);
                let run = run.filter(|run| run.map() == page::SPARE);
                let run = run.ok_or(place.addr())?;
                let info = run.info(geometry);
                if run.span(geometry) != length || info.previous.get() != previous {
                    return Err(run.start().addr());
                }
                pages += length;
                previous = place;
                place = info.next.get();
            }
        }
        if pages << PAGE_SHIFT == self.bytes.get() {
            Ok(pages)
        } else {
            Err(0)
        }
    }
}

impl State {
    /// A block of at least `size` bytes, aligned to a page, of a call at `at`, if there is a spare run of that length; else null.
    /// Null in any mode.
    #[inline(always)]
    pub fn allocate_spare(&self, size: usize, at: Site<'_>) -> *mut u8 {
        if size <= SMALL_MAX || self.gate.is_shut() {
            return ptr::null_mut();
        }
        // (Of more bytes than addresses it has no page.)
        let pages = size.wrapping_add(PAGE - 1) >> PAGE_SHIFT;
        let Some(run) = self.take_spare(pages) else {
            return ptr::null_mut();
        };
        run.segment.fill(run.index, 1, page::LARGE);
        if self.usage.count(pages << PAGE_SHIFT) {
            return self.turn(run.start(), at);
        }
        run.start()
    }

    /// A spare run of `pages` pages, marked [`page::LARGE_REST`] but for its first page.
    #[inline(always)]
    pub fn take_spare(&self, pages: usize) -> Option<Page> {
        let run = self.spares.pop(&self.geometry, pages)?;
        let count = &run.segment.header().free_pages;
        count.set(count.get() - pages as u32);
        Some(run)
    }

    /// Makes the block at `block` a spare run, if it is a large one of few pages and nothing is wrong with it. Says no
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

    /// Whether the large block of `pages` pages at `run`, which is freed, becomes a spare run.
    #[inline(always)]
    pub fn may_be_spare(&self, run: Page, pages: usize) -> bool {
        let free_pages = run.segment.header().free_pages.get() as usize + pages;
        let lengths = self.spares.shortest.get()..=self.spares.longest.get();
        lengths.contains(&pages) && !self.is_whole(run.segment, free_pages)
    }

    /// Makes a large block a spare run that may be one.
    #[inline(always)]
    pub fn make_spare(&self, run: Page, pages: usize) {
        let bytes = pages << PAGE_SHIFT;
        if self.spares.bytes.get() + bytes > self.spares.most.get() {
            self.give_spares();
        }
        run.segment.fill(run.index, 1, page::SPARE);
        let count = &run.segment.header().free_pages;
        count.set(count.get() + pages as u32);
        self.spares.insert(&self.geometry, run, pages);
        self.usage.sub(bytes);
    }

    /// Makes all spare runs free ones.
    #[inline]
    pub fn give_spares(&self) {
        if self.spares.bytes.get() != 0 {
            self.give_each_spare();
        }
    }

    #[inline(never)]
    fn give_each_spare(&self) {
        for pages in 1..=FEW {
            while let Some(run) = self.spares.pop(&self.geometry, pages) {
                self.enter_free(run, pages);
            }
        }
    }

    /// Makes the spare run at `run` a free one.
    #[cold]
    pub fn give_spare(&self, run: Page) {
        self.spares.remove(&self.geometry, run);
        self.enter_free(run, run.span(&self.geometry));
    }
}

fn info_at<'a>(info: *mut PageInfo) -> Option<&'a PageInfo> {
    // SAFETY: lists hold null or infos of spare runs, whose segments are alive; all of an info is cells,
    // and callers use the reference at once.
    unsafe { info.as_ref() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::heap::{Heap, Invariant};

    #[test]
    fn what_is_marked_and_what_is_listed_must_be_the_same() {
        let heap = Heap::builder().large_from(0).build().unwrap();
        let blocks = [4, 4, 5].map(|pages| heap.allocate(pages * PAGE));
        let state = heap.state();
        let [spare, other, _] = blocks.map(|block| {
            // SAFETY: the block is alive.
            unsafe { state.large_at(block) }.unwrap().0
        });
        // SAFETY: alive, and used no more.
        unsafe { heap.free(blocks[0]) };
        let found = || heap.check().map_err(|corruption| corruption.invariant);
        let wrong = Err(Invariant::FreeRuns);
        let info = |run: Page| ptr::from_ref(run.info(&state.geometry)).cast_mut();
        // A block that is marked as one; what is no spare run in its list, or nothing of the heap's; one in two lists.
        let free_pages = &other.segment.header().free_pages;
        other.segment.fill(other.index, 1, page::SPARE);
        assert_eq!(found(), Err(Invariant::Counts));
        free_pages.set(free_pages.get() + 4);
        assert_eq!(found(), wrong);
        free_pages.set(free_pages.get() - 4);
        other.segment.fill(other.index, 1, page::LARGE);
        let lists = &state.spares.lists;
        for (list, place) in [
            (3, info(other)),
            (3, ptr::null_mut()),
            (3, ptr::without_provenance_mut(0x1230)),
            (4, info(spare)),
        ] {
            let before = lists[list].replace(place);
            assert_eq!(found(), wrong, "{place:?}");
            lists[list].set(before);
        }
        info_at(info(spare)).unwrap().previous.set(info(other));
        assert_eq!(found(), wrong);
        info_at(info(spare)).unwrap().previous.set(ptr::null_mut());
        assert_eq!(found(), Ok(()));
    }
}
