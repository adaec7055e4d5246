//! `regions`: grants cut out of few large ones, which grow, are cut, discarded and given back.
#![cfg(feature = "std")]

use std::sync::Arc;

use emalloc::storage::{
    Budget, Cached, Counting, Failing, Fixed, Grant, Limit, MALLOC, Malloc, Regions, Storage,
    StorageError,
};

const MIB: usize = 1 << 20;
const UNIT: usize = 64 << 10;
const REGION: usize = if usize::BITS == 64 { 64 * MIB } else { 4 * MIB };

/// Whether what is free can be discarded; where not, no empty region stays.
const DISCARDS: bool = cfg!(unix);

type Counted = Arc<Counting<Failing<Malloc>>>;

fn regions() -> (Regions<Counted>, Counted) {
    let inner = Arc::new(Counting::new(Failing::new(MALLOC)));
    (Regions::new(Arc::clone(&inner)), inner)
}

fn take(storage: &dyn Storage, bytes: usize) -> Grant {
    storage.allocate(bytes, UNIT).unwrap()
}

fn free(storage: &dyn Storage, grant: Grant, bytes: usize) {
    // SAFETY: callers pass what `take` gave them for as many bytes.
    unsafe { storage.free(grant.start, bytes, UNIT) };
}

fn resize(storage: &dyn Storage, grant: Grant, old: usize, new: usize) -> Result<(), StorageError> {
    // SAFETY: callers pass what `take` gave them for `old` bytes.
    unsafe { storage.resize(grant.start, old, new, UNIT) }
}

#[test]
fn many_grants_are_one_of_the_storage_inside() {
    let (storage, inner) = regions();
    let grants = [0; 20].map(|_| take(&storage, UNIT));
    assert_eq!(
        (inner.counts().allocated, inner.counts().live_bytes),
        (1, REGION)
    );
    for (at, grant) in grants.iter().enumerate() {
        assert!(!grant.zeroed && grant.start.addr().get().is_multiple_of(UNIT));
        assert!(grants[..at].iter().all(|other| other.start != grant.start));
    }
    for grant in grants {
        free(&storage, grant, UNIT);
    }
    // Freed and joined: there is room again for nearly all of it.
    let nearly = take(&storage, REGION - UNIT);
    assert_eq!(inner.counts().allocated, 1 + usize::from(!DISCARDS));
    free(&storage, nearly, REGION - UNIT);
    drop(storage);
    assert_eq!(inner.counts().live_grants, 0);
}

#[test]
fn grants_grow_and_are_cut_in_place() {
    let (storage, inner) = regions();
    let [first, second] = [0; 2].map(|_| take(&storage, 2 * UNIT));
    let one_behind = first.start.addr().get() + 2 * UNIT == second.start.addr().get();
    assert!(one_behind, "first fit");
    // SAFETY: alive.
    unsafe { second.start.write_bytes(7, 2 * UNIT) };
    assert_eq!(
        resize(&storage, first, 2 * UNIT, 3 * UNIT),
        Err(StorageError::Unsupported)
    );
    resize(&storage, second, 2 * UNIT, 40 * UNIT).unwrap();
    // SAFETY: alive.
    assert_eq!(unsafe { second.start.add(2 * UNIT - 1).read() }, 7);
    resize(&storage, second, 40 * UNIT, UNIT).unwrap();
    free(&storage, second, UNIT);
    resize(&storage, first, 2 * UNIT, 3 * UNIT).unwrap();
    resize(&storage, first, 3 * UNIT, 3 * UNIT).unwrap();
    for wrong in [0, 100, UNIT + 64, usize::MAX, usize::MAX & !4095] {
        assert_eq!(
            resize(&storage, first, 3 * UNIT, wrong),
            Err(StorageError::Unsupported)
        );
    }
    for (size, align) in [(0, UNIT), (100, UNIT), (UNIT, 3)] {
        let answer = storage.allocate(size, align).map(|grant| grant.start);
        assert_eq!(answer, Err(StorageError::Unsupported));
    }
    assert_eq!(inner.counts().allocated, 1);
    free(&storage, first, 3 * UNIT);
}

#[test]
fn parts_go_back_by_themselves() {
    let (storage, inner) = regions();
    let grant = take(&storage, 8 * UNIT);
    let part = |at: usize| Grant {
        // SAFETY: inside the grant.
        start: unsafe { grant.start.add(at * UNIT) },
        zeroed: false,
    };
    free(&storage, part(3), 2 * UNIT);
    assert_eq!(take(&storage, 2 * UNIT).start, part(3).start);
    free(&storage, part(0), 4 * UNIT);
    free(&storage, part(4), 4 * UNIT);
    storage.trim();
    assert_eq!(inner.counts().live_bytes, 0);
}

#[test]
fn a_region_goes_back_when_nothing_of_it_is_granted() {
    let (storage, inner) = regions();
    let most = REGION / 4 * 3;
    let grants = [0; 3].map(|_| take(&storage, most));
    let small = take(&storage, UNIT);
    assert_eq!(inner.counts().live_grants, 3);
    for grant in grants {
        free(&storage, grant, most);
    }
    // The small one is in the first region.
    assert_eq!(inner.counts().live_grants, 1);
    assert_eq!(inner.counts().freed, 2);
    assert_eq!(storage.trim(), 0);
    assert_eq!(inner.counts().live_grants, 1);
    free(&storage, small, UNIT);
    assert_eq!(inner.counts().live_grants, usize::from(DISCARDS));
    // Its memory was given back long ago, and is no news.
    assert_eq!(storage.trim(), 0);
    assert_eq!(inner.counts().live_grants, 0);
    assert_eq!(inner.counts().trimmed, 2);
    // And all begins anew.
    let again = take(&storage, UNIT);
    free(&storage, again, UNIT);
}

#[test]
fn what_is_larger_than_a_region_gets_one_with_room_to_grow() {
    let (storage, inner) = regions();
    let grant = take(&storage, 2 * REGION);
    assert_eq!(inner.counts().allocated, 1);
    resize(&storage, grant, 2 * REGION, 2 * REGION + REGION / 2).unwrap();
    free(&storage, grant, 2 * REGION + REGION / 2);
    storage.trim();
    assert_eq!(inner.counts().live_bytes, 0);
}

#[test]
#[cfg(unix)]
fn what_is_freed_is_discarded() {
    let (storage, inner) = regions();
    let [first, second] = [0; 2].map(|_| take(&storage, 8 * UNIT));
    // SAFETY: alive.
    unsafe { first.start.write_bytes(7, 8 * UNIT) };
    free(&storage, first, 8 * UNIT);
    assert_eq!(inner.counts().discarded, 1);
    let again = take(&storage, 8 * UNIT);
    assert_eq!(again.start, first.start);
    #[cfg(target_os = "linux")]
    for at in [UNIT, 8 * UNIT - 1] {
        // SAFETY: alive. Only Linux promises that it reads as zero.
        assert_eq!(unsafe { again.start.add(at).read() }, 0);
    }
    resize(&storage, second, 8 * UNIT, UNIT).unwrap();
    assert_eq!(inner.counts().discarded, 2);
    // SAFETY: inside the grant.
    assert!(unsafe { storage.discard(second.start, UNIT) });
    assert_eq!(inner.counts().discarded, 3);
    free(&storage, again, 8 * UNIT);
    free(&storage, second, UNIT);
    drop(storage);
    assert_eq!(inner.counts().live_grants, 0);
}

#[test]
fn refusals_are_handed_on_and_change_nothing() {
    let (storage, inner) = regions();
    let failing = inner.inner();
    failing.fail_from(1);
    let answer = storage.allocate(UNIT, UNIT).map(|grant| grant.start);
    assert!(matches!(answer, Err(StorageError::Exhausted { .. })));
    // An ample region and the size itself.
    assert_eq!(failing.calls(), 2);
    failing.fail_at(0);
    let grant = take(&storage, UNIT);
    failing.fail_from(1);
    // What is there is served all the same.
    let other = take(&storage, UNIT);
    assert!(storage.allocate(REGION, UNIT).is_err());
    for size in [usize::MAX & !4095, isize::MAX as usize & !4095] {
        assert!(storage.allocate(size, UNIT).is_err());
    }
    free(&storage, grant, UNIT);
    free(&storage, other, UNIT);
    storage.trim();
    assert_eq!(inner.counts().live_bytes, 0);
}

#[test]
fn where_no_whole_region_is_to_be_had_the_size_itself_is_taken() {
    let budget = Arc::new(Budget::new(MALLOC, Limit::Bytes(4 * MIB - UNIT)));
    let storage = Regions::new(Arc::clone(&budget));
    let grants = [1, 2, 3].map(|units| (take(&storage, units * UNIT), units * UNIT));
    // A page each lies between one region and the next.
    let held = budget.held();
    assert_eq!(held, 6 * UNIT + 3 * 4096);
    assert!(matches!(
        storage.allocate(4 * MIB, UNIT),
        Err(StorageError::Limit { .. })
    ));
    assert_eq!(budget.held(), held);
    for (grant, bytes) in grants {
        free(&storage, grant, bytes);
    }
    storage.trim();
    assert_eq!(budget.held(), 0);

    let storage = Regions::new(Fixed::with_capacity(2 * MIB).unwrap());
    let grants = [0; 10].map(|_| take(&storage, UNIT));
    assert!(storage.allocate(2 * MIB, UNIT).is_err());
    for grant in grants {
        free(&storage, grant, UNIT);
    }
    let large = take(&storage, MIB);
    free(&storage, large, MIB);
}

#[test]
#[cfg(target_pointer_width = "64")]
fn regions_become_larger_the_more_there_are() {
    let (storage, inner) = regions();
    let most = REGION / 4 * 3;
    let grants = [0; 40].map(|_| take(&storage, most));
    // Up to the 32nd each is just ample for one; then they have room for two and more.
    let counts = inner.counts();
    assert!((34..=38).contains(&counts.allocated), "{counts:?}");
    assert!(counts.live_bytes > 40 * REGION, "{counts:?}");
    for grant in grants {
        free(&storage, grant, most);
    }
    storage.trim();
    assert_eq!(inner.counts().live_grants, 0);
}

#[test]
fn threads_share_regions() {
    let inner = Arc::new(Counting::new(MALLOC));
    let storage = Regions::new(Arc::clone(&inner));
    std::thread::scope(|scope| {
        for thread in 1..=8_usize {
            let storage = &storage;
            scope.spawn(move || {
                for round in 0..1000 {
                    let bytes = (1 + round % 7) * UNIT;
                    let grant = take(storage, bytes);
                    let words = grant.start.cast::<usize>();
                    // SAFETY: inside the grant, here and below.
                    unsafe { words.add(4096).write(thread) };
                    let grown = resize(storage, grant, bytes, bytes + UNIT).is_ok();
                    // SAFETY: written above.
                    assert_eq!(unsafe { words.add(4096).read() }, thread);
                    free(storage, grant, bytes + usize::from(grown) * UNIT);
                }
            });
        }
    });
    storage.trim();
    assert_eq!(inner.counts().live_grants, 0);
}

#[test]
fn threads_that_take_and_give_whole_regions() {
    let inner = Arc::new(Counting::new(MALLOC));
    let storage = Cached::new(Regions::new(Arc::clone(&inner))).with_limit(0);
    let most = REGION / 4 * 3;
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..300 {
                    let grant = take(&storage, most);
                    free(&storage, grant, most);
                }
            });
        }
    });
    storage.trim();
    assert_eq!(inner.counts().live_grants, 0);
}
