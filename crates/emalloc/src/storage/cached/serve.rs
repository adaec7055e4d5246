//! How `cached` uses its table: entering it, leaving it with no more than the bound allows, serving
//! grants out of it, making it give way when memory is short. Used by `cached` only.

use super::bound::Held;
use super::kept::{Piece, Wanted, Ways};
use super::{Cached, Store};
use crate::layout::LARGE_PAGE;
use crate::storage::try_cell::{Entered, FEW, MANY};
use crate::storage::{Grant, Storage, StorageError};
use crate::sys;
use core::ptr::NonNull;
use core::sync::atomic::Ordering;

/// What a search for a grant comes to.
enum Step {
    /// What was wanted.
    Granted(Piece),
    /// A grant of the storage inside of another size, to be cut or made larger.
    Other(Piece),
    /// Nothing.
    Nothing,
}

impl<S: Storage> Cached<S> {
    pub(super) fn ways(&self) -> Ways {
        let can = self.inner.capabilities();
        Ways {
            divisible: can.divisible,
            cut: can.shrink_in_place,
            unit: can.granularity,
            edge: if self.per_request {
                // Large pages stay whole, and so do the segments of most heaps that large.
                LARGE_PAGE.max(can.granularity)
            } else {
                can.granularity
            },
        }
    }

    /// Has `act` done with what is kept, and gives back outside the cell what is beyond the bound then.
    /// `None` if others were inside at each of `looks` looks.
    pub(super) fn with_store<T>(
        &self,
        looks: u32,
        act: impl FnOnce(&mut Store, Ways) -> T,
    ) -> Option<T> {
        let now = sys::millis();
        let store = self.store.try_enter(looks)?;
        Some(self.inside(store, now, act))
    }

    /// As [`with_store`](Self::with_store), inside.
    pub(super) fn inside<T>(
        &self,
        mut store: Entered<'_, Store>,
        now: u64,
        act: impl FnOnce(&mut Store, Ways) -> T,
    ) -> T {
        let ways = self.ways();
        self.at_rest.store(false, Ordering::Relaxed);
        self.free_put_off(&mut store, ways);
        let granted = self.granted.load(Ordering::Relaxed);
        store
            .bound
            .pass_time(now, self.interval, self.held(granted));
        let answer = act(&mut store, ways);
        self.settle(store, ways, 0);
        answer
    }

    /// Gives back what is beyond the bound less `less` bytes.
    pub(super) fn settle_below(&self, less: usize) {
        if let Some(store) = self.store.try_enter(FEW) {
            self.at_rest.store(false, Ordering::Relaxed);
            self.settle(store, self.ways(), less);
        }
    }

    /// Leaves the cell, with what is beyond the bound less `less` bytes.
    fn settle<'a>(&'a self, mut store: Entered<'a, Store>, ways: Ways, less: usize) {
        /// Pieces that go back at a time.
        const GOING: usize = 16;
        loop {
            self.free_put_off(&mut store, ways);
            let granted = self.granted.load(Ordering::Relaxed);
            // Only what was granted raises the bound: a size that is refused must not.
            store.bound.see(self.most_held(granted));
            store.bound.see_segments(self.in_segments());
            let asked = self.asked.load(Ordering::Relaxed);
            let room = store
                .bound
                .room(granted.saturating_add(asked).saturating_add(less))
                .min(self.limit);
            if store.kept.bytes() <= room && !store.kept.is_too_full() {
                self.bytes.store(store.kept.bytes(), Ordering::SeqCst);
                // The slot is for times when the table is empty. Whoever put something there before the store above
                // was seen leaves it to us.
                if store.kept.bytes() == 0 || self.slot.bytes() == 0 {
                    return;
                }
                continue;
            }
            let mut out = [None; GOING];
            for place in &mut out {
                let beyond = store.kept.bytes().saturating_sub(room);
                *place = store.kept.take_cold(beyond, ways);
            }
            self.bytes.store(store.kept.bytes(), Ordering::SeqCst);
            drop(store);
            for piece in out.into_iter().flatten() {
                self.give_back(piece);
            }
            if out[GOING - 1].is_none() && self.slot.bytes() == 0 {
                return;
            }
            // More may be waiting; if somebody else is inside now, it is theirs to do.
            let Some(again) = self.store.try_enter(1) else {
                return;
            };
            store = again;
        }
    }

    /// Gives a piece that is out of the table to the storage inside.
    fn give_back(&self, piece: Piece) {
        if let Some(start) = piece.start() {
            // SAFETY: a grant of the storage inside, or as good as one where grants are divisible; ours alone.
            unsafe { self.inner.free(start, piece.size, piece.align) };
        }
    }

    /// Puts the freeing of a segment off if nothing is kept: as often as not the same is asked for next, and then it was
    /// granted all the time. Says no if it cannot be.
    ///
    /// What is granted and kept together stays the same by that, so it is within the bound if it was. It has to be looked at
    /// before it grows, and grows only by what is `asked` for.
    #[inline]
    pub(super) fn put_off(
        &self,
        start: NonNull<u8>,
        size: usize,
        align: usize,
        left: bool,
    ) -> bool {
        if self.bytes.load(Ordering::Relaxed) != 0
            || size > self.limit
            || !self.slot.put(start, size, align, left)
        {
            return false;
        }
        if self.asked.load(Ordering::SeqCst) != 0 || self.bytes.load(Ordering::SeqCst) != 0 {
            self.make_room();
        }
        true
    }

    /// Frees what was put off: into the table.
    fn free_put_off(&self, store: &mut Store, ways: Ways) {
        if let Some((piece, used)) = self.slot.empty() {
            let granted = self.granted.fetch_sub(piece.size, Ordering::Relaxed);
            let unused = if used { 0 } else { piece.size };
            store.bound.see(self.held(granted - unused));
            self.uncount_segment(piece.size);
            store
                .bound
                .see_segments(self.in_segments() + piece.size - unused);
            // A segment is worth a place, but others may have filled the table since it was found empty.
            if store.kept.is_nearly_full() || !store.kept.put(piece, ways) {
                self.give_back(piece);
            }
        }
    }

    /// Gives back what is beyond the bound, also with somebody else inside: then it is what was put off.
    fn make_room(&self) {
        if self.with_store(FEW, |_, _| ()).is_none() {
            self.give_back_put_off();
        }
    }

    /// Gives what was put off to the storage inside. Answers the bytes.
    #[cold]
    fn give_back_put_off(&self) -> usize {
        self.slot.empty().map_or(0, |(piece, _)| {
            self.granted.fetch_sub(piece.size, Ordering::Relaxed);
            self.uncount_segment(piece.size);
            self.give_back(piece);
            piece.size
        })
    }

    /// Gives everything kept to the storage inside. Answers the bytes.
    pub(super) fn drop_kept(&self) -> usize {
        self.with_store(MANY, |store, _| {
            self.filled.store(0, Ordering::Relaxed);
            store.bound.close();
            store.kept.bytes()
        })
        .unwrap_or_else(|| self.give_back_put_off())
    }

    /// Keeps what `less` of the granted bytes were, or gives it back.
    pub(super) fn put(&self, piece: Piece, less: usize) {
        let keep = |store: &mut Store, ways| {
            store.bound.see_segments(self.in_segments());
            // Both counts change at once, so that their sum stays below the bound.
            let granted = self.granted.fetch_sub(less, Ordering::Relaxed);
            store.bound.see(self.most_held(granted));
            store.kept.put(piece, ways)
        };
        match self.with_store(FEW, keep) {
            Some(true) => return,
            Some(false) => {}
            None => {
                self.granted.fetch_sub(less, Ordering::Relaxed);
            }
        }
        self.give_back(piece);
    }

    /// What is `granted`, and how much of that is filled, as far as heaps have told.
    fn held(&self, granted: usize) -> Held {
        Held::new(granted, self.unfilled.load(Ordering::Relaxed))
    }

    /// What is granted, `more` bytes of which are not counted yet, once `size` bytes of it are filled that are the newest.
    pub(super) fn held_with(&self, more: usize, size: usize) -> Held {
        let granted = self.granted.load(Ordering::Relaxed).saturating_add(more);
        let held = self.held(granted);
        Held {
            // (A huge block counts as filled already.)
            filled: held.filled.saturating_add(size).min(granted),
            ..held
        }
    }

    /// What is `granted`, with the most that was filled since somebody asked last.
    fn most_held(&self, granted: usize) -> Held {
        let before = match self.filled.load(Ordering::Relaxed) {
            0 => 0,
            _ => self.filled.swap(0, Ordering::Relaxed),
        };
        let held = self.held(granted);
        Held {
            filled: held.filled.max(before),
            ..held
        }
    }

    /// Counts that of what a heap holds `now` bytes are free, and not `before` any more.
    pub(super) fn count_unfilled(&self, before: usize, now: usize) {
        let more = now.wrapping_sub(before);
        let unfilled = self.unfilled.fetch_add(more, Ordering::Relaxed);
        if now < before {
            let granted = self.granted.load(Ordering::Relaxed);
            let held = Held::new(granted, unfilled.wrapping_add(more));
            self.filled.fetch_max(held.filled, Ordering::Relaxed);
        }
    }

    /// Whether a size is one that the storage inside can have. Anything else would be cut at wrong places.
    pub(super) fn is_whole(&self, size: usize) -> bool {
        size != 0 && size.is_multiple_of(self.inner.capabilities().granularity)
    }

    /// What a grant is aligned to that may be cut: to its unit at least, so that whatever else it is cut for, for a stricter
    /// alignment too, all parts are whole. (A storage that lets its grants be cut keeps no book of alignments.)
    pub(super) fn aligned(&self, align: usize) -> usize {
        let can = self.inner.capabilities();
        match can.divisible {
            true => align.max(can.granularity),
            false => align,
        }
    }

    /// Takes something kept for a grant of `size` bytes. What is granted by that is counted as granted, else the size as
    /// asked for; what cannot be kept beside it then is gone.
    fn find(&self, size: usize, align: usize) -> Step {
        let wanted = Wanted { size, align };
        let can = self.inner.capabilities();
        let stretchable = can.move_without_copy || can.grow_in_place;
        let found = self.with_store(FEW, |store, ways| {
            store.bound.begin();
            let step = match store.kept.take(wanted, ways) {
                Some(piece) if piece.size == size => Step::Granted(piece),
                Some(piece) => Step::Other(piece),
                None if stretchable => store
                    .kept
                    .take_smaller(wanted, ways)
                    .map_or(Step::Nothing, Step::Other),
                None => Step::Nothing,
            };
            let count = match step {
                Step::Granted(_) => &self.granted,
                Step::Other(_) | Step::Nothing => &self.asked,
            };
            count.fetch_add(size, Ordering::SeqCst);
            step
        });
        found.unwrap_or_else(|| {
            self.asked.fetch_add(size, Ordering::SeqCst);
            self.give_back_put_off();
            Step::Nothing
        })
    }

    /// A new grant, of what is kept or of the storage inside.
    pub(super) fn obtain(&self, size: usize, align: usize) -> Result<Grant, StorageError> {
        let kept = match self.find(size, align) {
            Step::Granted(piece) => piece.start(),
            Step::Other(piece) => self.granted_of_asked(size, self.made_to_fit(piece, size, align)),
            Step::Nothing => None,
        };
        if let Some(start) = kept {
            self.hits.fetch_add(1, Ordering::Relaxed);
            return Ok(Grant {
                start,
                zeroed: false,
            });
        }
        self.misses.fetch_add(1, Ordering::Relaxed);
        let answer = match self.inner.allocate(size, align) {
            Err(error) if is_shortage(error) && self.drop_kept() != 0 => {
                self.inner.allocate(size, align)
            }
            answer => answer,
        };
        if self.granted_of_asked(size, answer.ok()).is_none() {
            self.asked.fetch_sub(size, Ordering::Relaxed);
        }
        answer
    }

    /// Counts what was asked for as granted, if it was.
    fn granted_of_asked<T>(&self, size: usize, answer: Option<T>) -> Option<T> {
        if answer.is_some() {
            self.granted.fetch_add(size, Ordering::Relaxed);
            self.asked.fetch_sub(size, Ordering::Relaxed);
        }
        answer
    }

    /// Makes a piece of another size a grant of this one.
    fn made_to_fit(&self, piece: Piece, size: usize, align: usize) -> Option<NonNull<u8>> {
        let start = piece.start()?;
        // SAFETY: a grant of the storage inside with this size and alignment, used by nobody.
        if unsafe { self.inner.resize(start, piece.size, size, align) }.is_ok() {
            return Some(start);
        }
        if piece.size < size {
            // SAFETY: as above, and refused, so it is as it was.
            let moved = unsafe { self.inner.move_resize(start, piece.size, size, align) };
            if let Ok(grant) = moved {
                return Some(grant.start);
            }
        }
        // It is as it was, and may serve another time.
        self.put(piece, 0);
        None
    }

    /// Has `act` done, by which `more` bytes are granted, with the counts right before and after.
    fn growing<T>(
        &self,
        more: usize,
        act: impl FnOnce() -> Result<T, StorageError>,
    ) -> Result<T, StorageError> {
        self.asked.fetch_add(more, Ordering::SeqCst);
        let answer = act();
        if answer.is_ok() {
            self.granted.fetch_add(more, Ordering::Relaxed);
        }
        self.asked.fetch_sub(more, Ordering::Relaxed);
        answer
    }

    /// Has `act` done, which makes a grant of `old` bytes one of `new`; once more with nothing kept if memory was short.
    pub(super) fn changing<T>(
        &self,
        old: usize,
        new: usize,
        act: impl Fn() -> Result<T, StorageError>,
    ) -> Result<T, StorageError> {
        let answer = self.growing(new.saturating_sub(old), || {
            // What is kept makes room before the grant grows; how much was granted is noted before it shrinks.
            self.make_room();
            match act() {
                Err(error) if is_shortage(error) && self.drop_kept() != 0 => act(),
                answer => answer,
            }
        })?;
        self.granted
            .fetch_sub(old.saturating_sub(new), Ordering::Relaxed);
        Ok(answer)
    }
}

/// Whether an error is about memory, so that giving some back may help.
const fn is_shortage(error: StorageError) -> bool {
    matches!(
        error,
        StorageError::Exhausted { .. } | StorageError::Limit { .. }
    )
}
