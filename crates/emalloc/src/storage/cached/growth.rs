//! How `cached` lets grants grow: into what is kept behind them, or by a copy to what is kept elsewhere. Used by `cached` only.

use super::kept::{Piece, Wanted, Ways};
use super::{Cached, Store};
use crate::storage::Storage;
use crate::storage::try_cell::FEW;
use core::ptr::NonNull;
use core::sync::atomic::Ordering;

impl<S: Storage> Cached<S> {
    /// Memory out of what is kept for a grant that moves to become larger, where the storage inside can
    /// move grants and they are divisible.
    pub(super) fn take_warm(&self, old: usize, new: usize, align: usize) -> Option<NonNull<u8>> {
        if !self.inner.capabilities().move_without_copy {
            return None;
        }
        let take = |store: &mut Store, ways: Ways| {
            if !ways.divisible {
                return None;
            }
            let wanted = Wanted { size: new, align };
            let piece = store.kept.take(wanted, ways)?;
            self.granted.fetch_add(new - old, Ordering::Relaxed);
            piece.start()
        };
        let start = self.with_store(FEW, take).flatten()?;
        self.hits.fetch_add(1, Ordering::Relaxed);
        Some(start)
    }

    /// As [`take_warm`](Self::take_warm), where the storage inside can only grow grants where they stand: if what lies right behind the
    /// grant is not kept, and copying is worth it. It is if the grant grows by much, or finds room to grow on by half as much
    /// again: so it is copied no more often than one that grows by half each time.
    pub(super) fn take_roomy(
        &self,
        start: NonNull<u8>,
        old: usize,
        new: usize,
        align: usize,
    ) -> Option<NonNull<u8>> {
        let can = self.inner.capabilities();
        if can.move_without_copy || !can.grow_in_place || !can.divisible {
            return None;
        }
        let (end, more) = (start.addr().get() + old, new.checked_sub(old)?);
        let least = if is_by_much(old, new) {
            new
        } else {
            new.checked_add(new / 2)?
        };
        let take = |store: &mut Store, ways: Ways| {
            if store.kept.holds(end, more, ways) {
                return None;
            }
            let piece = store
                .kept
                .take_roomy(Wanted { size: new, align }, least, ways)?;
            self.granted.fetch_add(more, Ordering::Relaxed);
            piece.start()
        };
        let start = self.with_store(FEW, take).flatten()?;
        self.hits.fetch_add(1, Ordering::Relaxed);
        Some(start)
    }

    /// Copies a grant to what was kept, and keeps the memory that it had. That takes less time than bringing in as many pages as
    /// are new.
    ///
    /// # Safety
    /// The `old` bytes at `start` are a grant, aligned to `align`, that is used no more; `warm` has as many, is nobody's, and is
    /// counted in its place.
    pub(super) unsafe fn move_to_kept(
        &self,
        start: NonNull<u8>,
        old: usize,
        warm: NonNull<u8>,
        align: usize,
    ) {
        // SAFETY: the caller's promise.
        unsafe { warm.copy_from_nonoverlapping(start, old) };
        let piece = Piece {
            start: start.as_ptr(),
            size: old,
            align,
            warm_end: false,
        };
        // Counted already: to the caller it is one grant that changed.
        self.put(piece, 0);
    }

    /// Whether a grant had better move to what is kept than grow where it is: it grows by much, for which something kept would
    /// have to go.
    pub(super) fn had_better_move(&self, old: usize, new: usize, align: usize) -> bool {
        let can = self.inner.capabilities();
        let wanted = Wanted { size: new, align };
        can.move_without_copy
            && can.divisible
            && is_by_much(old, new)
            && self.with_store(FEW, |store, ways| store.kept.has(wanted, ways)) == Some(true)
    }

    /// Lengthens a grant by what is kept right behind it.
    pub(super) fn absorb(&self, start: NonNull<u8>, old: usize, new: usize) -> bool {
        let end = start.addr().get() + old;
        self.with_store(FEW, |store, ways| {
            store.bound.begin();
            let taken = ways.divisible && store.kept.take_at(end, new - old, ways).is_some();
            if taken {
                self.granted.fetch_add(new - old, Ordering::Relaxed);
            }
            taken
        })
        .unwrap_or(false)
    }
}

/// Whether a grant grows by so much that it takes longer to bring in what is added than to copy what is there.
const fn is_by_much(old: usize, new: usize) -> bool {
    old < new - new / 4
}
