//! How `cached` has large pages brought in where they add nothing to the peak: for fresh grants, and for what was used
//! before. Used by `cached` only.

use core::ptr::{self, NonNull};

use super::bound::Held;
use super::kept::{Piece, Ways};
use super::{Cached, Store};
use crate::layout::{LARGE_PAGE, round_up};
use crate::storage::Storage;
use crate::storage::try_cell::FEW;

/// One part in so many of what a heap has filled is little.
const LITTLE: usize = 32;

/// Whole large pages that are to be brought in anew.
struct Renewal {
    start: usize,
    end: usize,
    /// What of that was kept before and behind the grant, and is out of the table meanwhile.
    beside: [Option<Piece>; 2],
}

impl<S: Storage> Cached<S> {
    /// Has large pages brought in for a fresh grant of a heap that has filled as much before, where they add nothing to the peak, or
    /// the grant, if nothing but its beginning is filled, little to that.
    ///
    /// # Safety
    /// As for [`Storage::will_fill`].
    pub(super) unsafe fn fill_with_large_pages(
        &self,
        start: NonNull<u8>,
        size: usize,
        filled: usize,
    ) {
        let is_usual = |store: &mut Store, _| store.bound.is_usual(self.held_with(0, size));
        if size.max(LARGE_PAGE) <= filled / LITTLE || self.with_store(FEW, is_usual) == Some(true) {
            // SAFETY: the same promise.
            unsafe { self.inner.will_fill(start, size, filled) };
        }
    }

    /// Has a grant that was used before brought in anew, in large pages: all of it or, where grants need not stay one
    /// mapping each, as many whole ones as it is part of together with what is kept beside it. So segments that are smaller
    /// than large pages get them, too, at the first of those that lie in one.
    ///
    /// # Safety
    /// As for [`Storage::will_refill`].
    pub(super) unsafe fn refill_with_large_pages(&self, start: NonNull<u8>, size: usize) {
        let can = self.inner.capabilities();
        let beside = can.divisible && !can.move_without_copy;
        if !beside && !(start.addr().get() | size).is_multiple_of(LARGE_PAGE) {
            return;
        }
        let take = |store: &mut Store, ways| {
            let held = self.held_with(0, size);
            take_renewal(store, ways, held, (start.addr().get(), size))
        };
        let Some(renewal) = self.with_store(FEW, take).flatten() else {
            return;
        };
        // Where grants and pieces border, only exposed provenance leads across.
        let first = ptr::with_exposed_provenance_mut(renewal.start);
        if let Some(first) = NonNull::new(first) {
            // SAFETY: of the caller's grant, in which nothing lies, and of what was kept and is ours alone.
            unsafe { self.inner.will_refill(first, renewal.end - renewal.start) };
        }
        for piece in renewal.beside.into_iter().flatten() {
            self.put(piece, 0);
        }
    }
}

/// The large pages that consist of the grant at `from` and of what is kept, if they may be brought in anew.
fn take_renewal(
    store: &mut Store,
    ways: Ways,
    held: Held,
    (from, size): (usize, usize),
) -> Option<Renewal> {
    let to = from + size;
    let (first, last) = (from & !(LARGE_PAGE - 1), round_up(to, LARGE_PAGE)?);
    let [before, behind] = [(first, from), (to, last)]
        .map(|(start, end)| start == end || store.kept.holds(start, end - start, ways));
    let start = if before { first } else { first + LARGE_PAGE };
    let end = if behind { last } else { last - LARGE_PAGE };
    if start >= end || !store.bound.renew(held, end - start) {
        return None;
    }
    let mut take = |start: usize, end: usize| {
        let size = end.checked_sub(start).filter(|&size| size > 0)?;
        store.kept.take_at(start, size, ways)
    };
    let beside = [take(start, from), take(to, end)];
    Some(Renewal { start, end, beside })
}
