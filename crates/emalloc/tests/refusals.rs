//! The ten functions when they cannot do what they are asked: overflows, limits, sizes beyond all memory, wrong
//! pointers. The handler unwinds, so that each refusal can be looked at.
#![cfg(feature = "std")]

#[path = "common/bytes.rs"]
mod bytes;
#[path = "common/handlers.rs"]
mod handlers;

use std::ptr::null_mut;
use std::sync::Arc;

use bytes::{fill, holds, is_zero};
use emalloc::heap::{AllocError, Handler, Heap, Limit, Recovery, Site};
use emalloc::storage::{Failing, MALLOC, StorageError};
use emalloc::{
    ecalloc, efree, emalloc, erealloc, erealloc_recoverable, mem_block_size, safe_emalloc,
    safe_erealloc, scope,
};
use handlers::{Telling, What, told};

/// The refusal the handler was told of while `body` ran.
#[track_caller]
fn refusal<R>(body: impl FnOnce() -> R) -> AllocError {
    match told(body).what {
        What::Refused(error) => error,
        What::Fault(fault) => panic!("{fault}"),
    }
}

fn checked() -> Heap {
    Heap::builder()
        .checked(true)
        .handler(Telling)
        .build()
        .unwrap()
}

fn limited(limit: usize) -> Heap {
    Heap::builder()
        .limit(Limit::Bytes(limit))
        .handler(Telling)
        .build()
        .unwrap()
}

#[test]
fn an_overflow_is_refused_with_the_originals_text() {
    const MAX: usize = usize::MAX;
    let heap = checked();
    scope(&heap, || {
        let kept = emalloc(50);
        fill(kept, 50, 3);
        for (count, size, offset) in [
            (MAX, 2, 0),
            (2, MAX, 7),
            (MAX, 1, 1),
            (1, 1, MAX),
            (MAX / 2 + 1, 2, 0),
            (MAX / 3, 3, 3),
            (MAX, MAX, MAX),
        ] {
            let text = format!(
                "Possible integer overflow in memory allocation ({count} * {size} + {offset})"
            );
            let calls: [&dyn Fn() -> *mut u8; 3] = [
                &|| safe_emalloc(count, size, offset),
                // SAFETY: a refused resize leaves the block alone.
                &|| unsafe { safe_erealloc(kept, count, size, offset) },
                // SAFETY: null is a new block.
                &|| unsafe { safe_erealloc(null_mut(), count, size, offset) },
            ];
            for call in calls {
                let error = refusal(call);
                let expected = AllocError::Overflow {
                    count,
                    size,
                    offset,
                };
                assert_eq!((error, error.to_string()), (expected, text.clone()));
            }
        }
        assert_eq!(
            refusal(|| ecalloc(MAX, 2)).to_string(),
            format!("Possible integer overflow in memory allocation ({MAX} * 2 + 0)")
        );
        assert!(holds(kept, 50, 3));
        // A factor of zero is no overflow, however large the other.
        let block = safe_emalloc(MAX, 0, 5);
        // SAFETY: alive.
        assert_eq!(unsafe { mem_block_size(block) }, 8);
        let block = safe_emalloc(0, MAX, 9);
        // SAFETY: alive.
        assert_eq!(unsafe { mem_block_size(block) }, 16);
    });
    heap.check().unwrap();
}

#[test]
fn sizes_beyond_all_memory_are_refused_and_change_nothing() {
    for limit in [Limit::Unlimited, Limit::Bytes(1 << 20)] {
        for checked in [false, true] {
            let heap = Heap::builder()
                .limit(limit)
                .checked(checked)
                .handler(Telling)
                .build()
                .unwrap();
            scope(&heap, || sizes_beyond_all_memory(&heap));
        }
    }
}

fn sizes_beyond_all_memory(heap: &Heap) {
    const MOST: usize = isize::MAX as usize;
    for kept_size in [40, 5000, 300_000] {
        let kept = emalloc(kept_size);
        fill(kept, kept_size, 9);
        let before = (heap.usage(), heap.real_usage());
        for size in [
            usize::MAX,
            usize::MAX - 8,
            usize::MAX - 4096,
            MOST + 1,
            MOST,
            MOST - 4096,
        ] {
            let calls: [&dyn Fn() -> *mut u8; 5] = [
                &|| emalloc(size),
                &|| safe_emalloc(1, size - 5, 5),
                &|| ecalloc(size, 1),
                // SAFETY: a refused resize leaves the block alone.
                &|| unsafe { erealloc(kept, size) },
                // SAFETY: as above.
                &|| unsafe { safe_erealloc(kept, size, 1, 0) },
            ];
            for call in calls {
                let text = refusal(call).to_string();
                // The original's, for what it cannot round up.
                let overflow =
                    format!("Possible integer overflow in memory allocation ({size} + 4096)");
                assert!(size < MOST - 4095 || text == overflow, "{text}");
            }
            // SAFETY: as above.
            assert!(unsafe { erealloc_recoverable(kept, size) }.is_null());
            // SAFETY: null is a new block.
            assert!(unsafe { erealloc_recoverable(null_mut(), size) }.is_null());
        }
        assert!(holds(kept, kept_size, 9));
        assert_eq!((heap.usage(), heap.real_usage()), before);
        heap.check().unwrap();
        // SAFETY: alive.
        unsafe { efree(kept) };
    }
}

#[test]
fn at_the_limit_recoverable_answers_null_and_keeps_the_block() {
    let heap = limited(1 << 20);
    scope(&heap, || {
        for size in [30, 5000, 400_000] {
            let block = emalloc(size);
            fill(block, size, 4);
            let usage = heap.usage();
            // SAFETY: null means that the block was left alone.
            assert!(unsafe { erealloc_recoverable(block, 2 << 20) }.is_null());
            assert!(holds(block, size, 4));
            assert_eq!(heap.usage(), usage);
            // SAFETY: it is still ours: it can grow within the limit.
            let block = unsafe { erealloc_recoverable(block, size + 100) };
            assert!(holds(block, size, 4));
            // SAFETY: alive.
            unsafe { efree(block) };
        }
    });
    heap.check().unwrap();
}

#[test]
fn a_refusal_names_the_limit_or_the_storage() {
    let heap = limited(1 << 20);
    let held = heap.real_usage();
    scope(&heap, || {
        let error = refusal(|| emalloc(2 << 20));
        let expected = AllocError::Limit {
            limit: 1 << 20,
            held,
            requested: 2 << 20,
        };
        assert_eq!(error, expected);
        assert_eq!(
            error.to_string(),
            "Allowed memory size of 1048576 bytes exhausted (tried to allocate 2097152 bytes)"
        );
    });

    let storage = Arc::new(Failing::new(MALLOC));
    let heap = Heap::builder()
        .storage(Arc::clone(&storage))
        .handler(Telling)
        .build()
        .unwrap();
    storage.fail_from(1);
    scope(&heap, || {
        let error = refusal(|| ecalloc(300_000, 1));
        assert!(
            matches!(
                error,
                AllocError::Storage {
                    cause: StorageError::Exhausted { .. },
                    held: 262_144,
                    requested: 300_000
                }
            ),
            "{error:?}"
        );
        assert_eq!(
            error.to_string(),
            "Out of memory (allocated 262144 bytes) (tried to allocate 300000 bytes)"
        );
    });
}

#[test]
fn a_handler_that_makes_room_lets_the_call_go_on() {
    struct Raise;
    impl Handler for Raise {
        fn out_of_memory(&self, heap: &Heap, error: &AllocError, _: Site<'_>) -> Recovery {
            let AllocError::Limit { limit, .. } = *error else {
                panic!("{error}")
            };
            heap.set_limit(Limit::Bytes(limit * 2)).unwrap();
            Recovery::Retry
        }
    }
    let heap = Heap::builder()
        .limit(Limit::Bytes(1 << 20))
        .handler(Raise)
        .build()
        .unwrap();
    scope(&heap, || {
        let block = ecalloc(3 << 20, 1);
        assert!(is_zero(block, 3 << 20));
        // SAFETY: alive, and given up for the answer.
        let block = unsafe { erealloc(block, 6 << 20) };
        fill(block, 6 << 20, 5);
    });
    assert_ne!(heap.limit(), Limit::Bytes(1 << 20));
    heap.check().unwrap();
}

#[test]
fn wrong_pointers_are_reported_and_nothing_else_happens() {
    let heap = checked();
    scope(&heap, || {
        let block = emalloc(100);
        fill(block, 100, 6);
        let usage = heap.usage();
        let mut other = 5u64;
        for wrong in [(&raw mut other).cast(), block.wrapping_add(8)] {
            let calls: [&dyn Fn(); 4] = [
                // SAFETY: in checked mode any pointer may be given.
                &|| unsafe { efree(wrong) },
                // SAFETY: as above.
                &|| unsafe { _ = erealloc(wrong, 10) },
                // SAFETY: as above.
                &|| unsafe { _ = safe_erealloc(wrong, 1, 10, 0) },
                // SAFETY: as above.
                &|| unsafe { _ = mem_block_size(wrong) },
            ];
            for call in calls {
                let What::Fault(fault) = told(call).what else {
                    panic!("a refusal")
                };
                assert_eq!(fault.address, wrong.addr());
            }
            // Here a null is the answer to everything that cannot be.
            // SAFETY: as above.
            assert!(unsafe { erealloc_recoverable(wrong, 10) }.is_null());
        }
        assert!(holds(block, 100, 6));
        assert_eq!((heap.usage(), other), (usage, 5));
    });
    heap.check().unwrap();
}
