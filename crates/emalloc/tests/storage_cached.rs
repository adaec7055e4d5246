//! `cached`: warm reuse, bounds, decay, sharing between threads, and giving way when memory is short.
#![cfg(feature = "std")]

use emalloc::storage::{
    Budget, Cached, Counting, Failing, Fixed, Grant, MALLOC, Malloc, Storage, StorageError,
};
use std::sync::Arc;
use std::thread::sleep;
use std::time::Duration;

const UNIT: usize = 64 << 10;
const NEVER: Duration = Duration::MAX;

type Counted = Arc<Counting<Malloc>>;

/// A cache that does not decay, over a count of what it asks for.
fn cache(limit_units: usize) -> (Cached<Counted>, Counted) {
    let inner = Arc::new(Counting::new(MALLOC));
    let cached = Cached::new(Arc::clone(&inner))
        .with_limit(limit_units * UNIT)
        .with_interval(NEVER);
    (cached, inner)
}

fn take(storage: &dyn Storage, units: usize) -> Grant {
    storage.allocate(units * UNIT, 4096).unwrap()
}

fn free(storage: &dyn Storage, grant: Grant, units: usize) {
    // SAFETY: callers pass what `take` gave them for as many units.
    unsafe { storage.free(grant.start, units * UNIT, 4096) };
}

#[test]
fn the_last_freed_goes_out_first_and_is_not_called_zero() {
    let (storage, inner) = cache(100);
    let grants = [1, 2, 3].map(|_| take(&storage, 1));
    for grant in grants {
        free(&storage, grant, 1);
    }
    assert_eq!(storage.cached_bytes(), 3 * UNIT);
    for expected in [grants[2], grants[1], grants[0]] {
        let grant = take(&storage, 1);
        assert_eq!(grant.start, expected.start);
        assert!(!grant.zeroed);
    }
    assert_eq!((storage.hits(), storage.misses()), (3, 3));
    assert_eq!(inner.counts().allocated, 3);
    for grant in grants {
        free(&storage, grant, 1);
    }
    drop(storage);
    assert_eq!(inner.counts().live_grants, 0);
}

#[test]
fn only_what_fits_is_served() {
    let (storage, _) = cache(100);
    let grant = take(&storage, 4);
    free(&storage, grant, 4);
    // Another alignment would have to be freed with the first one; `malloc` cannot cut.
    for (size, align) in [
        (4 * UNIT, 8192),
        (4 * UNIT, 64),
        (4 * UNIT - 4096, 4096),
        (5 * UNIT, 4096),
    ] {
        let other = storage.allocate(size, align).unwrap();
        assert_ne!(other.start, grant.start);
        // SAFETY: granted just now.
        unsafe { storage.inner().free(other.start, size, align) };
    }
    assert_eq!(storage.hits(), 0);
    let same = take(&storage, 4);
    assert_eq!((same.start, storage.hits()), (grant.start, 1));
    free(&storage, same, 4);
}

#[test]
fn a_slightly_larger_one_is_cut_where_the_storage_can() {
    let inner = Arc::new(Counting::new(Fixed::with_capacity(64 * UNIT).unwrap()));
    let storage = Cached::new(Arc::clone(&inner)).with_interval(NEVER);
    let grant = take(&storage, 5);
    free(&storage, grant, 5);
    let smaller = take(&storage, 4);
    assert_eq!((smaller.start, storage.hits()), (grant.start, 1));
    assert_eq!(inner.counts().live_bytes, 4 * UNIT);
    assert_eq!(storage.cached_bytes(), 0);
    free(&storage, smaller, 4);
    // More than a quarter too large is left for somebody else.
    let small = take(&storage, 3);
    assert_ne!(small.start, grant.start);
    assert_eq!(inner.counts().live_bytes, 7 * UNIT);
    free(&storage, small, 3);
    // The very size is taken before a larger one, though that one is warmer.
    let large = take(&storage, 4);
    free(&storage, large, 4);
    assert_eq!(take(&storage, 3).start, small.start);
}

#[test]
fn the_limit_bounds_what_is_kept() {
    let (storage, inner) = cache(3);
    let grants = [0; 5].map(|_| take(&storage, 1));
    let large = take(&storage, 4);
    free(&storage, large, 4);
    assert_eq!(storage.cached_bytes(), 0);
    for (at, grant) in grants.into_iter().enumerate() {
        free(&storage, grant, 1);
        assert_eq!(storage.cached_bytes(), (at + 1).min(3) * UNIT);
    }
    assert_eq!(inner.counts().live_bytes, 3 * UNIT);
    assert_eq!(storage.trim(), 3 * UNIT);
    assert_eq!((storage.cached_bytes(), storage.trim()), (0, 0));
    assert_eq!(inner.counts().live_bytes, 0);
    assert_eq!(inner.counts().trimmed, 2);

    let (nothing, inner) = cache(0);
    let grant = take(&nothing, 1);
    free(&nothing, grant, 1);
    assert_eq!((nothing.cached_bytes(), inner.counts().freed), (0, 1));
}

#[test]
fn pieces_too_small_for_a_note_are_not_kept() {
    let storage = Cached::new(MALLOC);
    let grant = storage.allocate(8, 8).unwrap();
    // SAFETY: granted above.
    unsafe { storage.free(grant.start, 8, 8) };
    assert_eq!(storage.cached_bytes(), 0);
}

#[test]
fn what_nobody_needs_decays_to_nothing() {
    let inner = Arc::new(Counting::new(MALLOC));
    let storage = Cached::new(Arc::clone(&inner)).with_interval(Duration::from_millis(10));
    let grants = [0; 16].map(|_| take(&storage, 1));
    for grant in grants {
        free(&storage, grant, 1);
    }
    let mut before = storage.cached_bytes();
    let mut rounds = 0;
    while storage.cached_bytes() != 0 {
        sleep(Duration::from_millis(25));
        // Any call will do; this one neither finds anything kept nor adds to it.
        let grant = storage.allocate(UNIT, 64).unwrap();
        assert!(storage.cached_bytes() <= before);
        before = storage.cached_bytes();
        // SAFETY: granted just now; straight to where it came from.
        unsafe { inner.free(grant.start, UNIT, 64) };
        rounds += 1;
        assert!(rounds < 100, "{} bytes still kept", storage.cached_bytes());
    }
    assert_eq!(inner.counts().live_bytes, 0);
}

#[test]
fn decay_goes_by_halves_from_the_cold_end() {
    let inner = Arc::new(Counting::new(MALLOC));
    let interval = Duration::from_millis(600);
    let storage = Cached::new(Arc::clone(&inner)).with_interval(interval);
    let grants = [0; 8].map(|_| take(&storage, 1));
    for grant in grants {
        free(&storage, grant, 1);
    }
    let call = || {
        let grant = storage.allocate(UNIT, 64).unwrap();
        // SAFETY: granted just now; straight to where it came from.
        unsafe { inner.free(grant.start, UNIT, 64) };
        storage.cached_bytes() / UNIT
    };
    // The first interval has seen the cache nearly empty: nearly all of it was needed.
    sleep(interval + Duration::from_millis(100));
    let first = call();
    assert!((7..=8).contains(&first), "{first}");
    assert_eq!(call(), first, "once per interval");
    sleep(interval + Duration::from_millis(100));
    let second = call();
    // Half of what lay there all the time; less only if this thread was held up for intervals.
    assert!(second <= first.div_ceil(2), "{first}, then {second}");
    let warm = &grants[8 - second..];
    for grant in warm.iter().rev() {
        assert_eq!(
            take(&storage, 1).start,
            grant.start,
            "the warm ones are left"
        );
    }
    for &grant in warm {
        free(&storage, grant, 1);
    }
}

#[test]
fn what_is_needed_each_time_stays() {
    let storage = Cached::new(MALLOC).with_interval(Duration::from_millis(40));
    for _ in 0..12 {
        let grants = [0; 8].map(|_| take(&storage, 1));
        sleep(Duration::from_millis(50));
        for grant in grants {
            free(&storage, grant, 1);
        }
    }
    // Without decay there are 8 misses; being held up by other programs may cost a few more.
    assert!(storage.misses() < 48, "{} misses", storage.misses());
    assert!(storage.hits() > 48, "{} hits", storage.hits());
}

#[test]
fn without_an_end_of_the_interval_nothing_decays() {
    let (storage, _) = cache(100);
    for grant in [0; 4].map(|_| take(&storage, 1)) {
        free(&storage, grant, 1);
    }
    sleep(Duration::from_millis(30));
    let grant = take(&storage, 1);
    free(&storage, grant, 1);
    assert_eq!(storage.cached_bytes(), 4 * UNIT);
}

#[test]
fn the_cache_gives_way_before_memory_is_refused() {
    // The cache holds the whole buffer in small pieces; a large one needs it.
    let storage = Cached::new(Fixed::with_capacity(8 * UNIT).unwrap()).with_interval(NEVER);
    for grant in [0; 8].map(|_| storage.allocate(UNIT, 64).unwrap()) {
        // SAFETY: granted above.
        unsafe { storage.free(grant.start, UNIT, 64) };
    }
    assert_eq!(storage.cached_bytes(), 8 * UNIT);
    let large = storage.allocate(8 * UNIT, 64).unwrap();
    assert_eq!(storage.cached_bytes(), 0);
    assert_eq!(
        storage.allocate(UNIT, 64).unwrap_err(),
        StorageError::Exhausted { requested: UNIT }
    );
    // SAFETY: granted above.
    unsafe { storage.free(large.start, 8 * UNIT, 64) };
}

#[test]
fn the_cache_gives_way_to_a_budget_also_for_a_resize() {
    let fixed = Fixed::with_capacity(64 * UNIT).unwrap();
    let storage = Cached::new(Budget::new(fixed, Some(8 * UNIT))).with_interval(NEVER);
    let first = take(&storage, 2);
    let second = take(&storage, 6);
    // SAFETY: the grants above, with their sizes.
    let over = unsafe { storage.resize(second.start, 6 * UNIT, 7 * UNIT, 4096) };
    assert!(matches!(over, Err(StorageError::Limit { .. })));
    free(&storage, first, 2);
    assert_eq!(storage.inner().held(), 8 * UNIT);
    // SAFETY: as above.
    unsafe { storage.resize(second.start, 6 * UNIT, 8 * UNIT, 4096) }.unwrap();
    assert_eq!(
        (storage.cached_bytes(), storage.inner().held()),
        (0, 8 * UNIT)
    );
    free(&storage, second, 8);
}

#[test]
fn a_refusal_with_an_empty_cache_is_handed_on_at_once() {
    let failing = Arc::new(Failing::new(MALLOC));
    let storage = Cached::new(Arc::clone(&failing));
    failing.fail_at(1);
    assert!(storage.allocate(UNIT, 4096).is_err());
    assert_eq!(failing.calls(), 1);
    let grant = take(&storage, 1);
    free(&storage, grant, 1);
    // With something kept it is asked again.
    failing.fail_at(1);
    let other = take(&storage, 2);
    assert_eq!(storage.cached_bytes(), 0);
    free(&storage, other, 2);
}

#[test]
fn one_heap_begins_with_what_another_thread_gave_up() {
    let (storage, inner) = cache(100);
    let storage = Arc::new(storage);
    let there = Arc::clone(&storage);
    let address = std::thread::spawn(move || {
        let grant = take(&there, 1);
        free(&there, grant, 1);
        grant.start.addr()
    });
    let address = address.join().unwrap();
    let grant = take(&storage, 1);
    assert_eq!(grant.start.addr(), address);
    assert_eq!(inner.counts().allocated, 1);
    free(&storage, grant, 1);
}

#[test]
fn threads_at_once_never_share_a_grant_and_lose_nothing() {
    let inner = Arc::new(Counting::new(MALLOC));
    let storage = Cached::new(Arc::clone(&inner))
        .with_limit(6 * UNIT)
        .with_interval(Duration::from_millis(1));
    std::thread::scope(|scope| {
        for thread in 1..=4_usize {
            let storage = &storage;
            scope.spawn(move || {
                for round in 0..3000 {
                    let units = 1 + round % 2;
                    let grant = take(storage, units);
                    let words = grant.start.cast::<usize>();
                    // SAFETY: inside the grant, far from its first words.
                    unsafe { words.add(64).write(thread) };
                    std::hint::spin_loop();
                    // SAFETY: written above.
                    assert_eq!(unsafe { words.add(64).read() }, thread);
                    if round % 500 == 499 {
                        storage.trim();
                    }
                    free(storage, grant, units);
                }
            });
        }
    });
    let counts = inner.counts();
    assert_eq!(counts.live_bytes, storage.cached_bytes());
    assert!(counts.live_bytes <= 6 * UNIT);
    assert_eq!(storage.hits() + storage.misses(), 12_000);
    assert_eq!(storage.misses(), counts.allocated);
    storage.trim();
    assert_eq!((inner.counts().live_grants, storage.cached_bytes()), (0, 0));
}
