//! `counting` and `failing`: figures that are exact, and refusals at the very call.

use emalloc::storage::{
    Cached, Counting, Counts, Failing, Fixed, Grant, MALLOC, Regions, Storage, StorageError,
};

const UNIT: usize = 64 << 10;

fn take(storage: &dyn Storage) -> Result<Grant, StorageError> {
    storage.allocate(UNIT, 4096)
}

fn free(storage: &dyn Storage, grant: Grant, size: usize) {
    // SAFETY: callers pass live grants and their sizes.
    unsafe { storage.free(grant.start, size, 4096) };
}

#[test]
fn counting_counts_each_call_once() {
    let storage = Counting::new(Fixed::with_capacity(4 * UNIT).unwrap());
    assert_eq!(storage.counts(), Counts::default());
    let first = take(&storage).unwrap();
    let second = take(&storage).unwrap();
    assert!(storage.allocate(4 * UNIT, 4096).is_err());
    // SAFETY: live grants and their sizes, here and below.
    unsafe { storage.resize(second.start, UNIT, 3 * UNIT, 4096) }.unwrap();
    // SAFETY: as above.
    unsafe { storage.resize(second.start, 3 * UNIT, 4 * UNIT, 4096) }.unwrap_err();
    // SAFETY: as above.
    unsafe { storage.move_resize(first.start, UNIT, 2 * UNIT, 4096) }.unwrap_err();
    // SAFETY: as above.
    assert!(!unsafe { storage.discard(first.start, 4096) });
    storage.trim();
    let counts = storage.counts();
    assert_eq!((counts.allocated, counts.freed), (2, 0));
    assert_eq!((counts.resized, counts.moved), (1, 0));
    assert_eq!(
        (counts.refused, counts.discarded, counts.trimmed),
        (3, 0, 1)
    );
    assert_eq!((counts.live_grants, counts.live_bytes), (2, 4 * UNIT));
    free(&storage, first, UNIT);
    // SAFETY: as above.
    unsafe { storage.resize(second.start, 3 * UNIT, UNIT, 4096) }.unwrap();
    free(&storage, second, UNIT);
    let counts = storage.counts();
    assert_eq!((counts.freed, counts.resized), (2, 2));
    assert_eq!((counts.live_grants, counts.live_bytes), (0, 0));
    assert_eq!(counts.peak_bytes, 4 * UNIT);
}

#[test]
fn counting_tells_growing_where_it_is_from_a_copy() {
    let storage = Counting::new(Cached::new(Regions::new(MALLOC)));
    let warm = storage.allocate(8 * UNIT, 4096).unwrap();
    let [between, grant] = [(); 2].map(|()| take(&storage).unwrap());
    free(&storage, warm, 8 * UNIT);
    // SAFETY: the grant above.
    let grown = unsafe { storage.grow(grant.start, UNIT, 2 * UNIT, 4096) }.unwrap();
    assert_eq!(grown, warm.start);
    // SAFETY: the grant with its new size, behind which all is kept.
    let same = unsafe { storage.grow(grown, 2 * UNIT, 4 * UNIT, 4096) }.unwrap();
    assert_eq!(same, grown);
    let counts = storage.counts();
    assert_eq!((counts.moved, counts.resized), (1, 1));
    assert_eq!((counts.live_grants, counts.live_bytes), (2, 5 * UNIT));
    let grown = Grant {
        start: same,
        zeroed: false,
    };
    free(&storage, grown, 4 * UNIT);
    free(&storage, between, UNIT);
    assert_eq!(storage.counts().live_bytes, 0);
}

#[cfg(target_os = "linux")]
#[test]
fn counting_counts_moves_and_discards() {
    use emalloc::storage::MMAP_ANON;
    let storage = Counting::new(MMAP_ANON);
    let grant = take(&storage).unwrap();
    // SAFETY: the grant above.
    let grant = unsafe { storage.move_resize(grant.start, UNIT, 2 * UNIT, 4096) }.unwrap();
    // SAFETY: inside the grant.
    assert!(unsafe { storage.discard(grant.start, UNIT) });
    let counts = storage.counts();
    assert_eq!((counts.moved, counts.discarded), (1, 1));
    assert_eq!((counts.live_grants, counts.live_bytes), (1, 2 * UNIT));
    free(&storage, grant, 2 * UNIT);
    assert_eq!(storage.counts().live_bytes, 0);
}

#[test]
fn counting_is_exact_between_threads() {
    let storage = Counting::new(MALLOC);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..1000 {
                    let grant = take(&storage).unwrap();
                    free(&storage, grant, UNIT);
                }
            });
        }
    });
    let counts = storage.counts();
    assert_eq!((counts.allocated, counts.freed), (4000, 4000));
    assert_eq!((counts.live_grants, counts.live_bytes), (0, 0));
    assert!((UNIT..=4 * UNIT).contains(&counts.peak_bytes));
}

/// Which of the next ten calls are refused.
fn refused(storage: &Failing<Fixed>) -> Vec<usize> {
    let calls = 1..=10;
    calls
        .filter(|_| match take(storage) {
            Ok(grant) => {
                free(storage, grant, UNIT);
                false
            }
            Err(error) => {
                assert_eq!(error, StorageError::Exhausted { requested: UNIT });
                true
            }
        })
        .collect()
}

#[test]
fn failing_refuses_the_very_call() {
    let storage = Failing::new(Fixed::with_capacity(4 * UNIT).unwrap());
    assert_eq!(refused(&storage), []);
    for n in 1..=10 {
        storage.fail_at(n);
        assert_eq!(refused(&storage), [n]);
        assert_eq!(refused(&storage), []);
        storage.fail_from(n);
        assert_eq!(refused(&storage), (n..=10).collect::<Vec<_>>());
        assert_eq!(refused(&storage).len(), 10);
    }
    storage.never_fail();
    assert_eq!(refused(&storage), []);
    for n in [0, 11, usize::MAX] {
        storage.fail_at(n);
        assert_eq!(refused(&storage), []);
        storage.fail_from(n);
        assert_eq!(refused(&storage), []);
        storage.never_fail();
    }
}

#[test]
fn failing_counts_resizes_and_moves_too_and_frees_never_fail() {
    let storage = Failing::new(Fixed::with_capacity(4 * UNIT).unwrap());
    let grant = take(&storage).unwrap();
    storage.fail_from(2);
    // SAFETY: live grants and their sizes, here and below.
    unsafe { storage.resize(grant.start, UNIT, 2 * UNIT, 4096) }.unwrap();
    let exhausted = StorageError::Exhausted { requested: UNIT };
    // SAFETY: as above.
    let answer = unsafe { storage.resize(grant.start, 2 * UNIT, UNIT, 4096) };
    assert_eq!(answer, Err(exhausted));
    // SAFETY: as above.
    let answer = unsafe { storage.move_resize(grant.start, 2 * UNIT, UNIT, 4096) };
    assert_eq!(answer.unwrap_err(), exhausted);
    // SAFETY: as above.
    let answer = unsafe { storage.grow(grant.start, 2 * UNIT, 3 * UNIT, 4096) };
    assert!(answer.is_err());
    free(&storage, grant, 2 * UNIT);
    assert_eq!((storage.calls(), storage.refused()), (5, 3));
    storage.never_fail();
    assert!(storage.allocate(4 * UNIT, 64).is_ok());
}

#[test]
fn exactly_one_thread_meets_the_failure() {
    let storage = Failing::new(MALLOC);
    storage.fail_at(700);
    let met: usize = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..4)
            .map(|_| {
                scope.spawn(|| {
                    let tries = (0..500).map(|_| take(&storage));
                    tries
                        .filter_map(|answer| answer.map(|grant| free(&storage, grant, UNIT)).err())
                        .count()
                })
            })
            .collect();
        threads
            .into_iter()
            .map(|thread| thread.join().unwrap())
            .sum()
    });
    assert_eq!((met, storage.refused(), storage.calls()), (1, 1, 2000));
}
