//! `cached` told that some of what was granted was never filled.
#![cfg(feature = "std")]

use std::sync::Arc;
use std::time::Duration;

use emalloc::storage::{Cached, Counting, Grant, MALLOC, Storage};

const UNIT: usize = 64 << 10;

fn take(storage: &dyn Storage) -> Grant {
    storage.allocate(UNIT, 4096).unwrap()
}

fn free(storage: &dyn Storage, grant: Grant) {
    // SAFETY: callers pass what `take` gave them.
    unsafe { storage.free(grant.start, UNIT, 4096) };
}

#[test]
fn much_that_was_never_filled_is_kept_less_once() {
    let inner = Arc::new(Counting::new(MALLOC));
    // Its bound does not fall with time.
    let storage = Cached::new(Arc::clone(&inner)).with_interval(Duration::MAX);
    // Nothing is kept, so nothing goes.
    storage.keep_less(UNIT);
    let grants = [1, 2, 3].map(|_| take(&storage));
    for grant in grants {
        free(&storage, grant);
    }
    let last = take(&storage);
    // Of three, one is granted and two are kept.
    storage.keep_less(UNIT / 2);
    assert_eq!(storage.cached_bytes(), UNIT);
    assert_eq!(inner.counts().freed, 1);
    // The bound is what it was.
    let more = [0; 2].map(|_| take(&storage));
    for grant in [last, more[0], more[1]] {
        free(&storage, grant);
    }
    assert_eq!(storage.cached_bytes(), 3 * UNIT);
    storage.keep_less(usize::MAX);
    assert_eq!(storage.cached_bytes(), 0);
    assert_eq!(inner.counts().live_grants, 0);
}

#[test]
fn what_is_not_filled_counts_as_if_it_was_not_granted() {
    for per_request in [false, true] {
        let storage = Cached::new(MALLOC).with_interval(Duration::MAX);
        let storage = if per_request {
            storage.per_request()
        } else {
            storage
        };
        let round = |unfilled: [usize; 2]| {
            storage.note_unfilled(0, unfilled[0]);
            let grants = [0; 4].map(|_| take(&storage));
            storage.note_unfilled(unfilled[0], unfilled[1]);
            for grant in grants {
                free(&storage, grant);
            }
            storage.note_unfilled(unfilled[1], 0);
            storage.cached_bytes() / UNIT
        };
        // With `per_request` it makes no difference.
        let kept = |filled| if per_request { 4 } else { filled };
        assert_eq!(round([UNIT, UNIT]), kept(3));
        // Half of one, which is cut as a whole because these grants are not divisible.
        assert_eq!(round([2 * UNIT, UNIT / 2]), kept(3));
        // So little is not worth a cut.
        assert_eq!(round([2 * UNIT, UNIT / 2 - 1]), 4);
        assert_eq!(storage.trim(), 4 * UNIT);
        // Filled before anything was freed.
        assert_eq!(round([2 * UNIT, 0]), 4);
        // The bound is as it was, and nothing is left of what was told before all was given back.
        assert_eq!(round([UNIT, UNIT]), 4);
        assert_eq!(storage.trim(), 4 * UNIT);
        assert_eq!(round([UNIT, UNIT]), kept(3));
    }
}
