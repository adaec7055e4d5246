//! Owns the free runs of pages of a heap, across all its segments, in lists by
//! length: finding a run, or knowing that there is none, takes the same few
//! steps however many segments there are. Used by `pages` only.
//!
//! Runs of up to 64 pages have a list for each length. Longer ones share lists,
//! four per doubling, as in two-level segregated fit. The run last given back
//! is the first taken, because it is the warmest.

use core::cell::Cell;
use core::ptr;

use super::index::Index;
use super::segment::{Geometry, Page, PageInfo};

/// Lengths up to this have a list of their own.
const EXACT: usize = 64;

/// Lists: the exact ones, and four per doubling up to 2^18 pages.
const LISTS: usize = EXACT + 4 * 12;

/// How many runs of the wanted list are tried before a longer one is split.
const TRIES: usize = 8;

/// The free runs, by length.
pub(super) struct FreeRuns {
    /// Bit `n` says whether list `n` has runs.
    filled: [Cell<u64>; 2],
    lists: [Cell<*mut PageInfo>; LISTS],
}

/// The list that holds runs of `pages` pages.
fn list_of(pages: usize) -> usize {
    if pages <= EXACT {
        return pages - 1;
    }
    let doubling = pages.ilog2() as usize;
    EXACT + (doubling - 6) * 4 + ((pages >> (doubling - 2)) & 3)
}

/// Whether a run of `length` pages and a shorter one of `left` are on the same list.
fn share_list(length: usize, left: usize) -> bool {
    left > EXACT && (length ^ left) >> (length.ilog2() - 2) == 0
}

/// The first list of which every run has at least `pages` pages.
fn list_above(pages: usize) -> usize {
    if pages <= EXACT {
        return pages - 1;
    }
    list_of(pages + (1 << (pages.ilog2() - 2)) - 1)
}

impl FreeRuns {
    pub const fn new() -> Self {
        Self {
            filled: [const { Cell::new(0) }; 2],
            lists: [const { Cell::new(ptr::null_mut()) }; LISTS],
        }
    }

    /// Forgets all runs.
    pub fn clear(&self) {
        for list in &self.lists {
            list.set(ptr::null_mut());
        }
        for word in &self.filled {
            word.set(0);
        }
    }

    /// Enters the run that begins at `first` and has `pages` pages.
    #[inline]
    pub fn insert(&self, geometry: &Geometry, first: Page, pages: usize) {
        let info = first.info(geometry);
        first.set_span(geometry, pages);
        first.plus(pages - 1).set_span(geometry, pages);
        let list = list_of(pages);
        let head = self.lists[list].get();
        info.next.set(head);
        info.previous.set(ptr::null_mut());
        let pointer = ptr::from_ref(info).cast_mut();
        if let Some(head) = info_at(head) {
            head.previous.set(pointer);
        }
        self.lists[list].set(pointer);
        let word = &self.filled[list / 64];
        word.set(word.get() | 1 << (list % 64));
    }

    /// Takes out the run that begins at `first`.
    pub fn remove(&self, geometry: &Geometry, first: Page) {
        let info = first.info(geometry);
        self.unlist(info, list_of(first.span(geometry)));
    }

    /// Takes out of list `list` what is on it.
    #[inline]
    fn unlist(&self, info: &PageInfo, list: usize) {
        let (next, previous) = (info.next.get(), info.previous.get());
        if let Some(next) = info_at(next) {
            next.previous.set(previous);
        }
        match info_at(previous) {
            Some(previous) => previous.next.set(next),
            None => {
                self.lists[list].set(next);
                if next.is_null() {
                    let word = &self.filled[list / 64];
                    word.set(word.get() & !(1 << (list % 64)));
                }
            }
        }
    }

    /// Takes `pages` pages off the beginning of the run of `length` pages that begins at `first`.
    #[inline]
    pub fn cut(&self, geometry: &Geometry, first: Page, length: usize, pages: usize) {
        let info = first.info(geometry);
        let left = length - pages;
        let list = list_of(length);
        if !share_list(length, left) {
            self.unlist(info, list);
            if left > 0 {
                self.insert(geometry, first.plus(pages), left);
            }
            return;
        }
        self.replace(geometry, info, list, (first.plus(pages), left));
    }

    /// Joins the free run that begins at `next` with the `pages` pages before it, which are to be free, if the sum
    /// belongs on the same list; no otherwise, and nothing has changed.
    #[inline]
    pub fn join_front(&self, geometry: &Geometry, next: Page, pages: usize) -> bool {
        let length = next.span(geometry);
        let sum = length + pages;
        if !share_list(sum, length) {
            return false;
        }
        let first = Page {
            segment: next.segment,
            index: next.index - pages,
        };
        self.replace(geometry, next.info(geometry), list_of(sum), (first, sum));
        true
    }

    /// Puts the run that begins at `first` and has `pages` pages into the place that `info` has in list `list`.
    #[inline(always)]
    fn replace(
        &self,
        geometry: &Geometry,
        info: &PageInfo,
        list: usize,
        (first, pages): (Page, usize),
    ) {
        let new = first.info(geometry);
        let (next, previous) = (info.next.get(), info.previous.get());
        new.next.set(next);
        new.previous.set(previous);
        first.set_span(geometry, pages);
        first.plus(pages - 1).set_span(geometry, pages);
        let pointer = ptr::from_ref(new).cast_mut();
        if let Some(next) = info_at(next) {
            next.previous.set(pointer);
        }
        match info_at(previous) {
            Some(previous) => previous.next.set(pointer),
            None => self.lists[list].set(pointer),
        }
    }

    /// A run of at least `pages` pages; it stays entered. With `thorough`, one is found if there is any.
    #[inline]
    pub fn find(&self, geometry: &Geometry, pages: usize, thorough: bool) -> Option<Page> {
        if pages > EXACT {
            let mut run = self.lists.get(list_of(pages))?.get();
            let mut tries = if thorough { usize::MAX } else { TRIES };
            while let Some(info) = info_at(run) {
                let first = geometry.page_of(run);
                if first.span(geometry) >= pages {
                    return Some(first);
                }
                tries -= 1;
                if tries == 0 {
                    break;
                }
                run = info.next.get();
            }
        }
        let list = self.first_filled(list_above(pages))?;
        Some(geometry.page_of(self.lists[list].get()))
    }

    /// Another run of at least `pages` pages than `run`, which `find` answered, as near to it in length as a short search
    /// finds.
    pub fn find_other(&self, geometry: &Geometry, pages: usize, run: Page) -> Option<Page> {
        let info = run.info(geometry);
        let mut list = list_of(run.span(geometry));
        let mut other = info.next.get();
        for _ in 0..TRIES {
            while other.is_null() {
                list = self.first_filled(list + 1)?;
                other = self.lists[list].get();
            }
            let first = geometry.page_of(other);
            if first.span(geometry) >= pages {
                return Some(first);
            }
            other = info_at(other)?.next.get();
        }
        None
    }

    /// Pages of the longest free run.
    pub fn longest(&self, geometry: &Geometry) -> usize {
        let last = match (self.filled[0].get(), self.filled[1].get()) {
            (0, 0) => return 0,
            (low, 0) => low.ilog2() as usize,
            (_, high) => 64 + high.ilog2() as usize,
        };
        let mut run = self.lists[last].get();
        let mut longest = 0;
        while let Some(info) = info_at(run) {
            longest = longest.max(geometry.page_of(run).span(geometry));
            run = info.next.get();
        }
        longest
    }

    /// The pages of all runs that are entered, each in the list that fits it and linked both ways; or the address
    /// at which something is wrong: a run's, or what a list leads to instead of one.
    pub fn verify(&self, geometry: &Geometry, index: &Index) -> Result<usize, usize> {
        let mut pages = 0;
        for (number, list) in self.lists.iter().enumerate() {
            let mut run = list.get();
            let mut previous = ptr::null_mut();
            if run.is_null() == (self.filled[number / 64].get() & 1 << (number % 64) != 0) {
                return Err(0);
            }
            while !run.is_null() {
                let page = geometry.free_run_of(run, index).ok_or(run.addr())?;
                let info = page.info(geometry);
                let length = page.span(geometry);
                if length == 0 || list_of(length) != number || info.previous.get() != previous {
                    return Err(page.start().addr());
                }
                pages += length;
                previous = run;
                run = info.next.get();
            }
        }
        Ok(pages)
    }

    fn first_filled(&self, from: usize) -> Option<usize> {
        let mut word = from / 64;
        let mut bits = self.filled.get(word)?.get() & (u64::MAX << (from % 64));
        while bits == 0 {
            word += 1;
            bits = self.filled.get(word)?.get();
        }
        Some(word * 64 + bits.trailing_zeros() as usize)
    }
}

fn info_at<'a>(info: *mut PageInfo) -> Option<&'a PageInfo> {
    // SAFETY: lists hold null or infos of free runs, whose segments are alive; all of an info is cells,
    // and callers use the reference at once.
    unsafe { info.as_ref() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_rise_with_the_length_and_above_means_long_enough() {
        let most = (1 << 18) - 1;
        for pages in 1..=most {
            assert!(list_of(pages) < LISTS);
            assert!(pages == 1 || list_of(pages) >= list_of(pages - 1));
        }
        for length in 1..2000 {
            for left in 0..length {
                let same = left > 0 && list_of(length) == list_of(left);
                assert_eq!(share_list(length, left), same, "{length} {left}");
            }
        }
        // The shortest run of `list_above(n)` has at least n pages.
        let mut shortest = [usize::MAX; LISTS + 1];
        for pages in (1..=most).rev() {
            shortest[list_of(pages)] = pages;
        }
        for pages in 1..=most {
            let list = list_above(pages);
            assert!(shortest[list.min(LISTS)] >= pages, "{pages}");
        }
    }
}
