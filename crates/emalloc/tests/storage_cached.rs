//! `cached` over a storage that keeps book of its grants: warm reuse, the bound and how it falls, sharing between
//! threads, and giving way when memory is short. (Cutting and joining: `storage_cached_pieces.rs`.)
#![cfg(feature = "std")]

use emalloc::storage::{
    Budget, Cached, Counting, Failing, Fixed, Grant, Limit, MALLOC, Malloc, Storage, StorageError,
};
use std::sync::Arc;
use std::thread::sleep;
use std::time::{Duration, Instant};

const UNIT: usize = 64 << 10;
const NEVER: Duration = Duration::MAX;

type Counted = Arc<Counting<Malloc>>;

/// A cache whose bound does not fall with time, over a count of what it asks for.
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

/// Grants so many units at once, and frees them: that much may be kept then.
fn raise(storage: &dyn Storage, units: usize) {
    let grant = take(storage, units);
    free(storage, grant, units);
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
    // Another alignment would have to be freed with the first one; `malloc` cannot cut.
    for (size, align) in [
        (4 * UNIT, 8192),
        (4 * UNIT, 64),
        (4 * UNIT - 4096, 4096),
        (5 * UNIT, 4096),
    ] {
        let (storage, inner) = cache(100);
        // Gone first when what is kept has to make room.
        let cold = take(&storage, 20);
        let grant = take(&storage, 4);
        free(&storage, cold, 20);
        free(&storage, grant, 4);
        let other = storage.allocate(size, align).unwrap();
        assert_ne!(other.start, grant.start);
        assert_eq!((storage.hits(), storage.misses()), (0, 3));
        assert_eq!(storage.cached_bytes(), 4 * UNIT);
        let same = take(&storage, 4);
        assert_eq!((same.start, storage.hits()), (grant.start, 1));
        free(&storage, same, 4);
        // SAFETY: granted above.
        unsafe { storage.free(other.start, size, align) };
        drop(storage);
        assert_eq!(inner.counts().live_bytes, 0);
    }
}

#[test]
fn a_slightly_larger_one_is_cut_where_the_storage_can() {
    let inner = Arc::new(Counting::new(Fixed::with_capacity(64 * UNIT).unwrap()));
    let storage = Cached::new(Arc::clone(&inner)).with_interval(NEVER);
    let [cold, larger, very, _] = [10, 5, 4, 3].map(|units| take(&storage, units));
    free(&storage, cold, 10);
    free(&storage, larger, 5);
    let smaller = take(&storage, 4);
    assert_eq!((smaller.start, storage.hits()), (larger.start, 1));
    assert_eq!(inner.counts().live_bytes, (10 + 4 + 4 + 3) * UNIT);
    assert_eq!(storage.cached_bytes(), 10 * UNIT);
    free(&storage, smaller, 4);
    // More than a quarter too large is left for somebody else.
    let small = take(&storage, 3);
    assert_ne!(small.start, smaller.start);
    assert_eq!(storage.cached_bytes(), 4 * UNIT);
    free(&storage, small, 3);
    // The very size is taken before a larger one, though that one is warmer.
    free(&storage, very, 4);
    assert_eq!(take(&storage, 3).start, small.start);
}

#[test]
fn a_smaller_one_grows_only_with_the_alignment_it_was_granted_with() {
    let inner = Arc::new(Counting::new(Fixed::with_capacity(64 * UNIT).unwrap()));
    let storage = Cached::new(Arc::clone(&inner)).with_interval(NEVER);
    let grant = take(&storage, 2);
    free(&storage, grant, 2);
    let other = storage.allocate(4 * UNIT, 64).unwrap();
    assert_eq!((storage.hits(), inner.counts().resized), (0, 0));
    free(&storage, other, 4);
    let larger = take(&storage, 8);
    free(&storage, larger, 8);
    assert!(inner.counts().resized <= 1);

    let storage = Cached::new(Counting::new(Fixed::with_capacity(64 * UNIT).unwrap()));
    let grant = take(&storage, 2);
    free(&storage, grant, 2);
    let larger = take(&storage, 4);
    assert_eq!((larger.start, storage.hits()), (grant.start, 1));
    let counts = storage.inner().counts();
    assert_eq!((counts.resized, counts.peak_bytes), (1, 4 * UNIT));
    free(&storage, larger, 4);
}

#[test]
fn keeping_adds_nothing_to_the_peak() {
    let (storage, inner) = cache(usize::MAX / UNIT);
    // None of these fits any other.
    for units in [7, 3, 5, 1, 6, 2, 4, 8] {
        raise(&storage, units);
        let counts = inner.counts();
        assert_eq!(counts.live_bytes, storage.cached_bytes());
    }
    // The first needed 7 units, the last one 8; at no time there was more.
    assert_eq!(inner.counts().peak_bytes, 8 * UNIT);
    let held = [2, 3].map(|units| take(&storage, units));
    assert!(storage.cached_bytes() <= 3 * UNIT);
    free(&storage, held[0], 2);
    free(&storage, held[1], 3);
    assert_eq!(inner.counts().peak_bytes, 8 * UNIT);
}

#[test]
fn a_size_that_is_refused_raises_no_bound() {
    let inner = Arc::new(Counting::new(Budget::new(MALLOC, Limit::Bytes(20 * UNIT))));
    let storage = Cached::new(Arc::clone(&inner)).with_interval(NEVER);
    let grant = take(&storage, 4);
    for units in [30, isize::MAX as usize / UNIT, usize::MAX / UNIT] {
        assert!(storage.allocate(units * UNIT, 4096).is_err());
        // SAFETY: the grant above.
        let resized = unsafe { storage.resize(grant.start, 4 * UNIT, units * UNIT, 4096) };
        assert!(resized.is_err());
    }
    free(&storage, grant, 4);
    for units in [1, 2, 3] {
        raise(&storage, units);
    }
    assert_eq!(inner.counts().peak_bytes, 4 * UNIT);
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
    raise(&nothing, 1);
    assert_eq!((nothing.cached_bytes(), inner.counts().freed), (0, 1));
}

#[test]
fn pieces_that_are_not_worth_a_place_are_not_kept() {
    let storage = Cached::new(Fixed::with_capacity(UNIT).unwrap());
    for size in [64, 4096 - 64] {
        let grant = storage.allocate(size, 64).unwrap();
        // SAFETY: granted above.
        unsafe { storage.free(grant.start, size, 64) };
        assert_eq!(storage.cached_bytes(), 0);
    }
}

#[test]
fn sizes_and_alignments_that_cannot_be_are_refused() {
    let (storage, inner) = cache(100);
    let grant = take(&storage, 2);
    let other = take(&storage, 2);
    free(&storage, other, 2);
    for (size, align) in [
        (0, 4096),
        (100, 4096),
        (UNIT + 64, 4096),
        (UNIT, 0),
        (UNIT, 4095),
    ] {
        let answer = storage.allocate(size, align).map(|grant| grant.start);
        assert_eq!(answer, Err(StorageError::Unsupported), "{size} {align}");
    }
    for size in [0, 100, 2 * UNIT + 64] {
        // SAFETY: the grant above.
        let resized = unsafe { storage.resize(grant.start, 2 * UNIT, size, 4096) };
        assert_eq!(resized, Err(StorageError::Unsupported));
        // SAFETY: the grant above.
        let moved = unsafe { storage.move_resize(grant.start, 2 * UNIT, size, 4096) };
        assert_eq!(
            moved.map(|grant| grant.start),
            Err(StorageError::Unsupported)
        );
    }
    assert_eq!(inner.counts().live_bytes, 4 * UNIT);
    free(&storage, grant, 2);
}

#[test]
fn what_nobody_needs_decays_to_nothing() {
    let inner = Arc::new(Counting::new(MALLOC));
    let storage = Cached::new(Arc::clone(&inner)).with_interval(Duration::from_millis(10));
    let grants = [0; 16].map(|_| take(&storage, 1));
    for grant in grants {
        free(&storage, grant, 1);
    }
    assert_eq!(storage.cached_bytes(), 16 * UNIT);
    let mut rounds = 0;
    while storage.cached_bytes() != 0 {
        sleep(Duration::from_millis(25));
        let before = storage.cached_bytes();
        // The end of somebody's request does nothing but look, unless told otherwise: any other call will do.
        assert!(storage.allocate(UNIT, 4096).is_ok_and(|grant| {
            // SAFETY: granted just now; straight to where it came from.
            unsafe { inner.free(grant.start, UNIT, 4096) };
            true
        }));
        assert!(storage.cached_bytes() <= before);
        rounds += 1;
        assert!(rounds < 100, "{} bytes still kept", storage.cached_bytes());
    }
}

#[test]
fn the_bound_falls_by_halves_from_the_cold_end() {
    assert!((0..20).any(|_| half_falls_per_interval()));
}

/// Says no if this thread was held up for so long that more intervals may have passed than were waited for.
fn half_falls_per_interval() -> bool {
    let inner = Arc::new(Counting::new(MALLOC));
    let interval = Duration::from_millis(600);
    let begin = Instant::now();
    let in_time = |waits: u32| begin.elapsed() < interval * (waits + 1);
    let storage = Cached::new(Arc::clone(&inner)).with_interval(interval);
    let grants = [0; 8].map(|_| take(&storage, 1));
    for grant in grants {
        free(&storage, grant, 1);
    }
    // Neither found nor kept; it needs a page's room while it lives.
    let call = || {
        let grant = storage.allocate(4096, 64).unwrap();
        // SAFETY: granted just now.
        unsafe { storage.free(grant.start, 4096, 64) };
        storage.cached_bytes() / UNIT
    };
    // In the first interval all of it was needed.
    sleep(interval + Duration::from_millis(100));
    let first = call();
    if !in_time(1) {
        return false;
    }
    assert!((7..=8).contains(&first), "{first}");
    let again = call();
    assert!(again + 1 >= first, "once per interval: {first}, {again}");
    sleep(interval + Duration::from_millis(100));
    let second = call();
    if !in_time(2) {
        return false;
    }
    // Half of what lay there all the time.
    assert!((1..=4).contains(&second), "{first}, then {second}");
    let warm = &grants[8 - second..];
    for grant in warm.iter().skip(1).rev() {
        assert_eq!(
            take(&storage, 1).start,
            grant.start,
            "the warm ones are left"
        );
    }
    for &grant in &warm[1..] {
        free(&storage, grant, 1);
    }
    true
}

#[test]
fn the_end_of_a_request_leaves_the_mean_of_needs() {
    const SEGMENT: usize = 2 << 20;
    let inner = Arc::new(Counting::new(MALLOC));
    let storage = Cached::new(Arc::clone(&inner))
        .with_interval(NEVER)
        .per_request();
    let segment = || (storage.allocate(SEGMENT, SEGMENT).unwrap(), SEGMENT);
    let huge = || (storage.allocate(5 * SEGMENT, SEGMENT).unwrap(), 5 * SEGMENT);
    let request = |segments: usize, huges: usize| {
        let grants = (0..huges).map(|_| huge());
        let grants: Vec<_> = grants.chain((0..segments).map(|_| segment())).collect();
        for (grant, size) in grants {
            // SAFETY: granted above.
            unsafe { storage.free(grant.start, size, SEGMENT) };
        }
        // Within a request all of it stays.
        assert!(storage.cached_bytes() >= (segments + 5 * huges) * SEGMENT);
        storage.request_ended();
        storage.cached_bytes() / SEGMENT
    };
    let alike = [16; 10].map(|segments| request(segments, 0));
    assert_eq!(alike, [8, 12, 14, 15, 15, 15, 15, 15, 16, 16]);
    assert_eq!(inner.counts().peak_bytes, 16 * SEGMENT);
    // What huge blocks need is not kept for the next request.
    assert_eq!(request(16, 2), 16);
    assert_eq!(inner.counts().peak_bytes, 26 * SEGMENT);
    assert_eq!(
        [0, 0, 1, 1].map(|segments| request(segments, 0)),
        [8, 4, 2, 1]
    );
    assert_eq!([0; 3].map(|huges| request(huges, 1)), [0; 3]);
    assert_eq!(inner.counts().live_bytes, storage.cached_bytes());

    // Without that, the end of a request changes nothing.
    let (plain, _) = cache(100);
    raise(&plain, 8);
    plain.request_ended();
    assert_eq!(plain.cached_bytes(), 8 * UNIT);
}

#[test]
fn the_last_part_of_what_a_request_leaves_is_discarded() {
    const SEGMENT: usize = 2 << 20;
    let storage = Cached::new(Counting::new(MALLOC)).per_request();
    let request = || {
        let grants = [0; 4].map(|_| storage.allocate(SEGMENT, SEGMENT).unwrap());
        for (place, grant) in grants.into_iter().enumerate() {
            // SAFETY: granted above, whole; then used no more.
            unsafe {
                grant.start.write_bytes(1, SEGMENT);
                if place == 0 {
                    storage.leave(grant.start, SEGMENT, SEGMENT);
                } else {
                    storage.free(grant.start, SEGMENT, SEGMENT);
                }
            }
        }
        let before = storage.inner().counts().discarded;
        storage.request_ended();
        (
            storage.inner().counts().discarded - before,
            storage.cached_bytes(),
        )
    };
    // Where malloc's memory can be discarded.
    let once = usize::from(storage.capabilities().discard);
    assert_eq!(request(), (once, 2 * SEGMENT));
    assert_eq!(request(), (once, 3 * SEGMENT));
    // Its addresses stay granted.
    assert_eq!(storage.inner().counts().live_bytes, 3 * SEGMENT);
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
    raise(&storage, 1);
    assert_eq!(storage.cached_bytes(), 4 * UNIT);
}

#[test]
fn the_cache_gives_way_before_memory_is_refused() {
    // The cache holds the whole buffer in small pieces; a large one needs it.
    let storage =
        Cached::new(Counting::new(Fixed::with_capacity(8 * UNIT).unwrap())).with_interval(NEVER);
    let grants = [0; 8].map(|_| storage.allocate(UNIT, 64).unwrap());
    for grant in &grants[..7] {
        // SAFETY: granted above.
        unsafe { storage.free(grant.start, UNIT, 64) };
    }
    assert_eq!(storage.cached_bytes(), 7 * UNIT);
    let large = storage.allocate(7 * UNIT, 64).unwrap();
    assert_eq!(storage.cached_bytes(), 0);
    assert_eq!(
        storage.allocate(UNIT, 64).unwrap_err(),
        StorageError::Exhausted { requested: UNIT }
    );
    // SAFETY: granted above.
    unsafe { storage.free(large.start, 7 * UNIT, 64) };
    // SAFETY: granted above.
    unsafe { storage.free(grants[7].start, UNIT, 64) };
}

#[test]
fn the_cache_gives_way_to_a_budget_also_for_a_resize() {
    let fixed = Fixed::with_capacity(64 * UNIT).unwrap();
    let storage = Cached::new(Budget::new(fixed, Limit::Bytes(8 * UNIT))).with_interval(NEVER);
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
    let grants = [0; 4].map(|_| take(&storage, 1));
    free(&storage, grants[0], 1);
    free(&storage, grants[1], 1);
    // With something kept it is asked again.
    failing.fail_at(1);
    let other = storage.allocate(UNIT, 8192).unwrap();
    assert_eq!(storage.cached_bytes(), 0);
    // SAFETY: granted above.
    unsafe { storage.free(other.start, UNIT, 8192) };
    free(&storage, grants[2], 1);
    free(&storage, grants[3], 1);
}

#[test]
fn one_heap_begins_with_what_another_thread_gave_up() {
    let (storage, inner) = cache(100);
    let storage = Arc::new(storage);
    let there = Arc::clone(&storage);
    let address = std::thread::spawn(move || {
        let grant = take(&*there, 1);
        free(&*there, grant, 1);
        grant.start.addr()
    });
    let address = address.join().unwrap();
    let grant = take(&*storage, 1);
    assert_eq!(grant.start.addr(), address);
    assert_eq!(inner.counts().allocated, 1);
    free(&*storage, grant, 1);
}

#[test]
fn a_large_grant_for_which_enough_is_kept_is_usual_though_it_lies_in_pieces() {
    let usual = |pieces: usize, wanted: usize| {
        let storage = Cached::new(MALLOC);
        for grant in [pieces; 2].map(|units| take(&storage, units)) {
            free(&storage, grant, pieces);
        }
        storage.is_usual(wanted * UNIT, 4096)
    };
    const LARGE: usize = (4 << 20) / UNIT;
    assert!(usual(LARGE, 2 * LARGE - 1) && !usual(LARGE, 2 * LARGE + 1));
    assert!(!usual(LARGE / 2, LARGE - 1) && usual(LARGE / 2, LARGE));
}

#[test]
fn what_is_cut_off_is_granted_no_more() {
    const LARGE_PAGE: usize = 2 << 20;
    // This one does not let its grants be divided.
    let storage = Cached::new(Counting::new(Fixed::with_capacity(8 * LARGE_PAGE).unwrap()));
    let start = storage.allocate(4 * LARGE_PAGE, 4096).unwrap().start;
    assert!(!storage.is_usual(2 * LARGE_PAGE, 4096));
    // SAFETY: granted above; what is cut off is used no more.
    unsafe { storage.resize(start, 4 * LARGE_PAGE, LARGE_PAGE, 4096) }.unwrap();
    // A large page less than was granted at once, all together.
    assert!(storage.is_usual(2 * LARGE_PAGE, 4096));
    assert!(!storage.is_usual(2 * LARGE_PAGE + 4096, 4096));
    // SAFETY: the grant with its new size, used no more.
    unsafe { storage.free(start, LARGE_PAGE, 4096) };
}
