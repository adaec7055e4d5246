//! What `cached` does at the end of a request, with [`per_request`](Cached::per_request): counting what requests need, and
//! keeping no more than the mean of that. Used by `cached` only.

use super::Cached;
use crate::layout::LARGE_PAGE;
use crate::storage::Storage;
use crate::storage::try_cell::FEW;
use crate::sys;
use core::sync::atomic::Ordering;

/// So much of what is kept beyond the end of a request is not left resident: the original leaves a part of its chunks
/// untouched, and ours are fuller.
const LESS: usize = LARGE_PAGE / 8;

impl<S: Storage> Cached<S> {
    /// Counts segments, which are as large as they are aligned: a grant that was of `old` bytes is of `new` bytes now, one of which may be none.
    pub(super) fn count_resized(&self, old: usize, new: usize, align: usize) {
        if new == align {
            self.segments.fetch_add(new, Ordering::Relaxed);
        }
        if old == align {
            self.uncount_segment(old);
        }
    }

    /// Counts a segment less.
    pub(super) fn uncount_segment(&self, size: usize) {
        let less = |segments: usize| Some(segments.saturating_sub(size));
        let _ = self
            .segments
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, less);
    }

    /// Bytes granted in segments. Where grants are divisible nobody knows for sure: segments may be freed in parts, and other
    /// grants in parts that look like segments.
    pub(super) fn in_segments(&self) -> usize {
        let granted = self.granted.load(Ordering::Relaxed);
        self.segments.load(Ordering::Relaxed).min(granted)
    }

    /// Counts the end of a request, with a bound that is the mean of requests.
    ///
    /// A heap that is made and ended again and again, or lives on and needs no more than it has, comes to rest: nothing is
    /// kept, all segments that are granted were needed, what was put off included, and that is the mean. As long as nobody enters the
    /// table, and what lies in the slot is used by each request, their ends change nothing.
    #[inline]
    pub(super) fn end_request(&self) {
        if !(self.at_rest.load(Ordering::Relaxed) && self.slot.end_request()) {
            self.end_request_inside();
        }
    }

    fn end_request_inside(&self) {
        let now = sys::millis();
        let Some(mut store) = self.store.try_enter(FEW) else {
            return;
        };
        let segments = self.in_segments();
        if store.kept.bytes() == 0 && store.bound.is_at_rest(segments) && self.slot.end_request() {
            store.bound.rest(segments.saturating_sub(self.slot.bytes()));
            self.at_rest.store(true, Ordering::Relaxed);
            return;
        }
        self.inside(store, now, |store, _| {
            store.bound.end_request(self.in_segments());
        });
        self.thin_out();
    }

    /// Gives the memory of the last part of what is kept back: of what is needed last, if at all. Its addresses stay.
    fn thin_out(&self) {
        if !self.inner.capabilities().discard {
            return;
        }
        // Inside: it takes some microseconds.
        if let Some(store) = self.store.try_enter(FEW)
            && let Some((start, size)) = store.kept.needed_last(LESS, self.ways())
        {
            // SAFETY: it is kept, so nobody needs what lies there, and cut to the unit of the storage inside.
            unsafe { self.inner.discard(start, size) };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::{Counting, MALLOC};

    #[test]
    fn requests_that_are_all_alike_leave_the_table_alone() {
        const SIZE: usize = 64 << 10;
        let storage = Cached::new(Counting::new(MALLOC)).per_request();
        let segment = || storage.allocate(SIZE, SIZE).unwrap().start;
        let free = |start| {
            // SAFETY: granted above.
            unsafe { storage.free(start, SIZE, SIZE) };
        };
        let is_at_rest = || storage.at_rest.load(Ordering::Relaxed);
        let request = || {
            free(segment());
            storage.request_ended();
        };
        let lasting = segment();
        (0..8).for_each(|_| request());
        let misses = storage.misses();
        for _ in 0..100 {
            request();
            assert!(is_at_rest() && storage.slot.bytes() == SIZE);
        }
        // One that needs more is counted.
        let more = [segment(), segment()];
        more.into_iter().for_each(free);
        storage.request_ended();
        assert!(!is_at_rest());
        (0..8).for_each(|_| request());
        assert_eq!((storage.misses(), is_at_rest()), (misses + 1, true));
        // What no request needs any more goes: the first that does without it is counted as such.
        storage.request_ended();
        assert_eq!(storage.cached_bytes(), 0);
        assert_eq!(storage.inner().counts().live_bytes, SIZE);
        storage.request_ended();
        assert!(is_at_rest());
        free(lasting);
        assert_eq!(storage.trim(), SIZE);
    }
}
