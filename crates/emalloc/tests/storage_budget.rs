//! `budget`: exact figures, refusals that name the limit, nesting, and many threads at once.
#![cfg(feature = "std")]

use emalloc::storage::{
    BelowHeld, Budget, Cached, Counting, Failing, Fixed, Grant, Limit, MALLOC, Regions, Storage,
    StorageError,
};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

const UNIT: usize = 64 << 10;

fn take(storage: &dyn Storage, units: usize) -> Result<Grant, StorageError> {
    storage.allocate(units * UNIT, 4096)
}

fn free(storage: &dyn Storage, grant: Grant, units: usize) {
    // SAFETY: callers pass what `take` gave them for as many units.
    unsafe { storage.free(grant.start, units * UNIT, 4096) };
}

#[test]
fn the_limit_is_exact_and_the_refusal_says_all() {
    let budget = Budget::new(MALLOC, Limit::Bytes(4 * UNIT));
    assert_eq!(
        take(&budget, 5).unwrap_err(),
        StorageError::Limit {
            limit: 4 * UNIT,
            held: 0,
            requested: 5 * UNIT
        }
    );
    let all = take(&budget, 4).unwrap();
    assert_eq!(
        budget.allocate(4096, 4096).unwrap_err(),
        StorageError::Limit {
            limit: 4 * UNIT,
            held: 4 * UNIT,
            requested: 4096
        }
    );
    free(&budget, all, 4);
    assert_eq!((budget.held(), budget.peak()), (0, 4 * UNIT));
    budget.reset_peak();
    assert_eq!(budget.peak(), 0);
}

#[test]
fn zero_is_a_limit_and_none_is_none() {
    let nothing = Budget::new(MALLOC, Limit::Bytes(0));
    assert_eq!(nothing.limit(), Limit::Bytes(0));
    assert!(take(&nothing, 1).is_err());
    let anything = Budget::new(MALLOC, Limit::Unlimited);
    assert_eq!(anything.limit(), Limit::Unlimited);
    let grant = take(&anything, 100).unwrap();
    free(&anything, grant, 100);
}

#[test]
fn a_limit_below_what_is_held_is_refused_with_both_numbers() {
    let budget = Budget::new(MALLOC, Limit::Unlimited);
    let grant = take(&budget, 3).unwrap();
    let error = budget.set_limit(Limit::Bytes(2 * UNIT)).unwrap_err();
    assert_eq!(
        error,
        BelowHeld {
            limit: 2 * UNIT,
            held: 3 * UNIT
        }
    );
    assert_eq!(
        error.to_string(),
        "a limit of 131072 bytes is below the 196608 bytes held"
    );
    assert_eq!(budget.limit(), Limit::Unlimited);
    budget.set_limit(Limit::Bytes(3 * UNIT)).unwrap();
    assert!(take(&budget, 1).is_err());
    budget.set_limit(Limit::Bytes(4 * UNIT)).unwrap();
    let more = take(&budget, 1).unwrap();
    assert!(take(&budget, 1).is_err());
    budget.set_limit(Limit::Unlimited).unwrap();
    let most = take(&budget, 9).unwrap();
    for (grant, units) in [(grant, 3), (more, 1), (most, 9)] {
        free(&budget, grant, units);
    }
    budget.set_limit(Limit::Bytes(0)).unwrap();
    assert_eq!((budget.held(), budget.limit()), (0, Limit::Bytes(0)));
}

#[test]
fn resizing_counts_the_difference() {
    let budget = Budget::new(
        Fixed::with_capacity(16 * UNIT).unwrap(),
        Limit::Bytes(8 * UNIT),
    );
    let grant = take(&budget, 2).unwrap();
    let resize = |old: usize, new: usize| {
        // SAFETY: called with the grant's sizes as they follow each other.
        unsafe { budget.resize(grant.start, old * UNIT, new * UNIT, 4096) }
    };
    assert_eq!(resize(2, 8), Ok(()));
    assert_eq!((budget.held(), budget.peak()), (8 * UNIT, 8 * UNIT));
    assert!(matches!(
        resize(8, 9),
        Err(StorageError::Limit {
            requested: UNIT,
            ..
        })
    ));
    assert_eq!(resize(8, 1), Ok(()));
    assert_eq!(budget.held(), UNIT);
    // What the storage inside refuses is not counted.
    budget.set_limit(Limit::Unlimited).unwrap();
    assert_eq!(resize(1, 100), Err(StorageError::Unsupported));
    assert_eq!(budget.held(), UNIT);
    free(&budget, grant, 1);
    assert_eq!((budget.held(), budget.peak()), (0, 8 * UNIT));
}

#[test]
fn growing_counts_the_difference_wherever_it_is() {
    let budget = Budget::new(Cached::new(Regions::new(MALLOC)), Limit::Bytes(20 * UNIT));
    let [warm, between, grant] = [8, 1, 2].map(|units| take(&budget, units).unwrap());
    free(&budget, warm, 8);
    // SAFETY: the grant above.
    let grown = unsafe { budget.grow(grant.start, 2 * UNIT, 6 * UNIT, 4096) }.unwrap();
    assert_eq!((grown, budget.held()), (warm.start, 7 * UNIT));
    // SAFETY: the grant with its new size.
    let refused = unsafe { budget.grow(grown, 6 * UNIT, 20 * UNIT, 4096) };
    assert!(matches!(refused, Err(StorageError::Limit { .. })));
    let grown = Grant {
        start: grown,
        zeroed: false,
    };
    free(&budget, grown, 6);
    free(&budget, between, 1);
    assert_eq!((budget.held(), budget.peak()), (0, 11 * UNIT));
}

#[cfg(target_os = "linux")]
#[test]
fn moving_counts_the_difference() {
    use emalloc::storage::MMAP_ANON;
    let budget = Budget::new(MMAP_ANON, Limit::Bytes(8 * UNIT));
    let grant = take(&budget, 2).unwrap();
    // SAFETY: the grant above.
    let moved = unsafe { budget.move_resize(grant.start, 2 * UNIT, 8 * UNIT, 4096) }.unwrap();
    assert_eq!(budget.held(), 8 * UNIT);
    // SAFETY: the grant with its new size.
    let refused = unsafe { budget.move_resize(moved.start, 8 * UNIT, 9 * UNIT, 4096) };
    assert!(matches!(refused, Err(StorageError::Limit { .. })));
    // SAFETY: as above.
    let moved = unsafe { budget.move_resize(moved.start, 8 * UNIT, 3 * UNIT, 4096) }.unwrap();
    assert_eq!(budget.held(), 3 * UNIT);
    free(&budget, moved, 3);
    assert_eq!((budget.held(), budget.peak()), (0, 8 * UNIT));
}

#[test]
fn a_refusal_inside_takes_nothing() {
    let failing = Arc::new(Failing::new(MALLOC));
    let budget = Budget::new(Arc::clone(&failing), Limit::Bytes(UNIT));
    failing.fail_at(1);
    assert_eq!(
        take(&budget, 1).unwrap_err(),
        StorageError::Exhausted { requested: UNIT }
    );
    assert_eq!((budget.held(), budget.peak()), (0, 0));
    let grant = take(&budget, 1).unwrap();
    free(&budget, grant, 1);
}

#[test]
fn the_tenant_and_the_request_may_refuse() {
    let tenant = Arc::new(Budget::new(MALLOC, Limit::Bytes(6 * UNIT)));
    let one = Budget::new(Arc::clone(&tenant), Limit::Bytes(4 * UNIT));
    let two = Budget::new(Arc::clone(&tenant), Limit::Unlimited);
    let first = take(&one, 4).unwrap();
    assert!(matches!(
        take(&one, 1),
        Err(StorageError::Limit { limit, .. }) if limit == 4 * UNIT
    ));
    let second = take(&two, 2).unwrap();
    assert_eq!(
        take(&two, 1).unwrap_err(),
        StorageError::Limit {
            limit: 6 * UNIT,
            held: 6 * UNIT,
            requested: UNIT
        }
    );
    assert_eq!(
        (one.held(), two.held(), tenant.held()),
        (4 * UNIT, 2 * UNIT, 6 * UNIT)
    );
    free(&one, first, 4);
    free(&two, second, 2);
    assert_eq!((one.held(), two.held(), tenant.held()), (0, 0, 0));
}

#[test]
fn threads_never_hold_more_than_the_tenant_may() {
    const LIMIT: usize = 10 * UNIT;
    let counting = Arc::new(Counting::new(MALLOC));
    let tenant = Arc::new(Budget::new(Arc::clone(&counting), Limit::Bytes(LIMIT)));
    let refusals: usize = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..4)
            .map(|_| {
                let request = Budget::new(Arc::clone(&tenant), Limit::Bytes(4 * UNIT));
                scope.spawn(move || {
                    let mut refusals = 0;
                    for round in 0..500 {
                        let units = [1 + round % 3, 1];
                        let grants = units.map(|units| (take(&request, units), units));
                        // Holding them while others want them is what makes the tenant refuse.
                        std::thread::yield_now();
                        for (grant, units) in grants {
                            match grant {
                                Ok(grant) => free(&request, grant, units),
                                Err(StorageError::Limit { .. }) => refusals += 1,
                                Err(other) => panic!("{other}"),
                            }
                        }
                    }
                    assert_eq!(request.held(), 0);
                    refusals
                })
            })
            .collect();
        threads
            .into_iter()
            .map(|thread| thread.join().unwrap())
            .sum()
    });
    println!("{refusals} refusals, peak {}", tenant.peak());
    assert_eq!(tenant.held(), 0);
    assert!(tenant.peak() <= LIMIT);
    // Counted from inside, by what was really granted.
    assert!(counting.counts().peak_bytes <= LIMIT);
    assert_eq!(counting.counts().live_bytes, 0);
}

struct StopOnDrop<'a>(&'a AtomicBool);

impl Drop for StopOnDrop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[test]
fn a_limit_that_moves_under_threads_holds_from_the_moment_it_is_set() {
    let budget = Budget::new(MALLOC, Limit::Bytes(8 * UNIT));
    let done = AtomicBool::new(false);
    let lowered = std::thread::scope(|scope| {
        // Also when an assertion below fails, else the threads would never end.
        let _stop = StopOnDrop(&done);
        for _ in 0..3 {
            scope.spawn(|| {
                while !done.load(Ordering::Relaxed) {
                    if let Ok(grant) = take(&budget, 2) {
                        free(&budget, grant, 2);
                    }
                }
            });
        }
        let mut lowered = 0;
        for round in 0..3000 {
            let limit = (1 + round % 8) * UNIT;
            match budget.set_limit(Limit::Bytes(limit)) {
                Ok(()) => {
                    lowered += 1;
                    let held = budget.held();
                    assert!(held <= limit, "{held} held, limit {limit}");
                    assert_eq!(budget.limit(), Limit::Bytes(limit));
                }
                Err(error) => assert_eq!(error.limit, limit),
            }
        }
        lowered
    });
    assert!(lowered > 0);
    assert_eq!(budget.held(), 0);
    // Nothing of the arithmetic was lost on the way: all of a limit can be had, and no more.
    budget.set_limit(Limit::Bytes(8 * UNIT)).unwrap();
    let all = take(&budget, 8).unwrap();
    assert!(budget.allocate(4096, 4096).is_err());
    free(&budget, all, 8);
}
