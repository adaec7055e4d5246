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
