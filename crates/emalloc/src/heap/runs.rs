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

/// A free run that is entered.
#[derive(Clone, Copy)]
pub(super) struct FreeRun {
    pub first: Page,
    pub pages: usize,
    /// The list it is on.
    list: usize,
}

impl FreeRun {
    /// Whether it shares a list with others.
    #[inline(always)]
    pub fn is_long(&self) -> bool {
        self.list >= EXACT
    }
}

/// The list that holds runs of `pages` pages.
#[inline(always)]
fn list_of(pages: usize) -> usize {
    if pages <= EXACT {
        return pages - 1;
    }
    let doubling = pages.ilog2() as usize;
    // What is shifted comes to 4 to 7, and the first doubling is the sixth.
    EXACT + 4 * doubling + (pages >> (doubling - 2)) - 28
}

/// Whether list `list` holds runs of several lengths, that of `pages` pages among them.
#[inline(always)]
fn is_shared(list: usize, pages: usize) -> bool {
    pages > EXACT && list_of(pages) == list
}

/// The first list of which every run has at least `pages` pages.
#[inline(always)]
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
        for (word, lists) in self.filled.iter().zip(self.lists.chunks(64)) {
            let mut bits = word.replace(0);
            while bits != 0 {
                lists[bits.trailing_zeros() as usize].set(ptr::null_mut());
                bits &= bits - 1;
            }
        }
    }

    /// The free run that begins at `first`.
    #[inline(always)]
    pub fn run_at(&self, geometry: &Geometry, first: Page) -> FreeRun {
        let pages = first.span(geometry);
        let list = list_of(pages);
        FreeRun { first, pages, list }
    }

    /// Enters the run that begins at `first` and has `pages` pages.
    #[inline(always)]
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

    /// Takes out a run.
    #[inline(always)]
    pub fn remove(&self, geometry: &Geometry, run: FreeRun) {
        self.unlist(run.first.info(geometry), run.list);
    }

    /// Takes out of list `list` what is on it.
    #[inline(always)]
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

    /// Takes `pages` pages off the beginning of a run.
    #[inline(always)]
    pub fn cut(&self, geometry: &Geometry, run: FreeRun, pages: usize) {
        let rest = (run.first.plus(pages), run.pages - pages);
        if is_shared(run.list, rest.1) {
            return self.replace(geometry, run, rest);
        }
        self.remove(geometry, run);
        if rest.1 > 0 {
            self.insert(geometry, rest.0, rest.1);
        }
    }

    /// Joins a run with the `pages` pages before it, which are to be free, if the sum belongs on the same list; no
    /// otherwise, and nothing has changed.
    #[inline(always)]
    pub fn join_front(&self, geometry: &Geometry, run: FreeRun, pages: usize) -> bool {
        let sum = run.pages + pages;
        if !is_shared(run.list, sum) {
            return false;
        }
        self.replace(geometry, run, (run.first.minus(pages), sum));
        true
    }

    /// Puts the run that begins at `first` and has `pages` pages into the place that `old` has in its list.
    #[inline(always)]
    fn replace(&self, geometry: &Geometry, old: FreeRun, (first, pages): (Page, usize)) {
        let (old_info, info) = (old.first.info(geometry), first.info(geometry));
        let (next, previous) = (old_info.next.get(), old_info.previous.get());
        info.next.set(next);
        info.previous.set(previous);
        first.set_span(geometry, pages);
        first.plus(pages - 1).set_span(geometry, pages);
        let pointer = ptr::from_ref(info).cast_mut();
        if let Some(next) = info_at(next) {
            next.previous.set(pointer);
        }
        match info_at(previous) {
            Some(previous) => previous.next.set(pointer),
            None => self.lists[old.list].set(pointer),
        }
    }

    /// The shortest run of at least `pages` pages, which are few; it stays entered.
    #[inline(always)]
    pub fn find_short(&self, geometry: &Geometry, pages: usize) -> Option<FreeRun> {
        debug_assert!(pages <= EXACT);
        let list = match self.filled[0].get() & (u64::MAX << (pages - 1)) {
            0 => EXACT + self.filled[1].get().trailing_zeros() as usize,
            bits => bits.trailing_zeros() as usize,
        };
        let info = self.lists.get(list)?.get();
        let first = geometry.page_of(info);
        let pages = first.span(geometry);
        Some(FreeRun { first, pages, list })
    }

    /// A run of at least `pages` pages; it stays entered. With `thorough`, one is found if there is any.
    pub fn find(&self, geometry: &Geometry, pages: usize, thorough: bool) -> Option<FreeRun> {
        if pages > EXACT {
            let list = list_of(pages);
            let mut run = self.lists.get(list)?.get();
            let mut tries = if thorough { usize::MAX } else { TRIES };
            while let Some(info) = info_at(run) {
                let first = geometry.page_of(run);
                let length = first.span(geometry);
                if length >= pages {
                    let pages = length;
                    return Some(FreeRun { first, pages, list });
                }
                tries -= 1;
                if tries == 0 {
                    break;
                }
                run = info.next.get();
            }
        }
        let list = self.first_filled(list_above(pages))?;
        let first = geometry.page_of(self.lists[list].get());
        let pages = first.span(geometry);
        Some(FreeRun { first, pages, list })
    }

    /// Another run of at least `pages` pages than `run`, which `find` answered, as near to it in length as a short search
    /// finds.
    pub fn find_other(&self, geometry: &Geometry, pages: usize, run: FreeRun) -> Option<FreeRun> {
        let mut list = run.list;
        let mut other = run.first.info(geometry).next.get();
        for _ in 0..TRIES {
            while other.is_null() {
                list = self.first_filled(list + 1)?;
                other = self.lists[list].get();
            }
            let first = geometry.page_of(other);
            let length = first.span(geometry);
            if length >= pages {
                let pages = length;
                return Some(FreeRun { first, pages, list });
            }
            other = info_at(other)?.next.get();
        }
        None
    }

    /// The free runs of more than [`EXACT`] pages.
    pub fn long(&self, geometry: &Geometry) -> impl Iterator<Item = FreeRun> {
        let lists =
            (EXACT..LISTS).filter(|list| self.filled[list / 64].get() >> (list % 64) & 1 != 0);
        lists.flat_map(move |list| {
            let mut next = self.lists[list].get();
            core::iter::from_fn(move || {
                let info = info_at(next)?;
                let first = geometry.page_of(next);
                next = info.next.get();
                let pages = first.span(geometry);
                Some(FreeRun { first, pages, list })
            })
        })
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

    /// The first list from `from` on that has runs.
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
    #[cfg_attr(miri, ignore = "only arithmetic, and much of it")]
    fn lists_rise_with_the_length_and_above_means_long_enough() {
        let most = (1 << 18) - 1;
        for pages in 1..=most {
            assert!(list_of(pages) < LISTS);
            assert!(pages == 1 || list_of(pages) >= list_of(pages - 1));
        }
        for pages in 0..2000 {
            for list in 0..LISTS {
                let same = pages > EXACT && list_of(pages) == list;
                assert_eq!(is_shared(list, pages), same, "{pages} {list}");
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
