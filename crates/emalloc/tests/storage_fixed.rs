//! `fixed` beyond the conformance suite: its buffer is used to the last byte, and comes together again.

use emalloc::storage::{Fixed, Grant, Storage, StorageError};
use std::mem::MaybeUninit;
use std::ptr::NonNull;
use std::sync::Mutex;

const KIB: usize = 1 << 10;

/// A buffer for ever, which a leak checker can still find.
fn leaked(bytes: usize) -> &'static mut [MaybeUninit<u8>] {
    static KEPT: Mutex<Vec<usize>> = Mutex::new(Vec::new());
    let buffer = Box::leak(vec![MaybeUninit::uninit(); bytes].into_boxed_slice());
    KEPT.lock().unwrap().push(buffer.as_ptr().addr());
    buffer
}

fn free(storage: &Fixed, grant: Grant, size: usize) {
    // SAFETY: callers pass what they were granted with this size and alignment 64.
    unsafe { storage.free(grant.start, size, 64) };
}

/// Allocates until nothing is left.
fn fill(storage: &Fixed, size: usize, align: usize) -> Vec<Grant> {
    std::iter::from_fn(|| storage.allocate(size, align).ok()).collect()
}

#[test]
fn the_buffer_is_used_up_exactly_and_comes_together_in_any_order() {
    let storage = Fixed::with_capacity(64 * KIB).unwrap();
    assert_eq!(storage.capacity(), 64 * KIB);
    let orders: [fn(usize) -> usize; 4] = [
        |at| at,
        |at| 63 - at,
        |at| at * 37 % 64,
        |at| (at % 32) * 2 + at / 32,
    ];
    for order in orders {
        let grants = fill(&storage, KIB, 64);
        assert_eq!(grants.len(), 64);
        assert_eq!(
            storage.allocate(64, 64).unwrap_err(),
            StorageError::Exhausted { requested: 64 }
        );
        for at in 0..64 {
            free(&storage, grants[order(at)], KIB);
        }
        let whole = storage.allocate(64 * KIB, 64).unwrap();
        free(&storage, whole, 64 * KIB);
    }
}

#[test]
fn neighbours_merge_on_both_sides_and_holes_are_found_first() {
    let storage = Fixed::with_capacity(64 * KIB).unwrap();
    let grants = fill(&storage, 16 * KIB, 64);
    free(&storage, grants[0], 16 * KIB);
    free(&storage, grants[2], 16 * KIB);
    assert!(storage.allocate(32 * KIB, 64).is_err());
    free(&storage, grants[1], 16 * KIB);
    let merged = storage.allocate(48 * KIB, 64).unwrap();
    assert_eq!(merged.start, grants[0].start);
    free(&storage, merged, 48 * KIB);
    free(&storage, grants[3], 16 * KIB);
    assert!(storage.allocate(64 * KIB, 64).is_ok());
}

#[test]
fn in_place_growth_takes_what_is_free_right_behind() {
    let storage = Fixed::with_capacity(64 * KIB).unwrap();
    let first = storage.allocate(16 * KIB, 64).unwrap();
    let second = storage.allocate(16 * KIB, 64).unwrap();
    let resize = |grant: Grant, old, new| {
        // SAFETY: the closure is called with live grants and their sizes.
        unsafe { storage.resize(grant.start, old, new, 64) }
    };
    let refused = Err(StorageError::Unsupported);
    assert_eq!(resize(first, 16 * KIB, 32 * KIB), refused);
    assert_eq!(resize(second, 16 * KIB, 48 * KIB + 64), refused);
    assert_eq!(resize(second, 16 * KIB, 48 * KIB), Ok(()));
    assert!(storage.allocate(64, 64).is_err());
    assert_eq!(resize(second, 48 * KIB, 64), Ok(()));
    assert_eq!(resize(first, 16 * KIB, 64), Ok(()));
    // Between the two there is a hole now, and the rest is behind.
    assert!(storage.allocate(16 * KIB, 64).is_ok());
    assert_eq!(resize(first, 64, 16 * KIB), Ok(()));
    assert_eq!(resize(first, 16 * KIB, 16 * KIB), Ok(()));
}

#[test]
fn large_alignments_leave_their_gaps_usable() {
    let storage = Fixed::with_capacity(256 * KIB).unwrap();
    let small = storage.allocate(64, 64).unwrap();
    let aligned = fill(&storage, 64 * KIB, 64 * KIB);
    assert_eq!(aligned.len(), 3);
    for grant in &aligned {
        assert!(grant.start.addr().get().is_multiple_of(64 * KIB));
    }
    let gap = storage.allocate(64 * KIB - 64, 64).unwrap();
    free(&storage, gap, 64 * KIB - 64);
    free(&storage, small, 64);
    for grant in aligned {
        free(&storage, grant, 64 * KIB);
    }
    assert!(storage.allocate(256 * KIB, 64).is_ok());
}

#[test]
fn any_buffer_will_do() {
    for skip in [0, 1, 7, 63, 64] {
        let buffer = leaked(4 * KIB);
        let range = buffer.as_ptr_range();
        let storage = Fixed::new(&mut buffer[skip..]);
        let grants = fill(&storage, 64, 64);
        assert_eq!(grants.len() * 64, storage.capacity());
        assert!(storage.capacity() >= 4 * KIB - skip - 126);
        for grant in grants {
            let start = grant.start.as_ptr().cast::<MaybeUninit<u8>>().cast_const();
            assert!(range.contains(&start) && start.wrapping_add(64) <= range.end);
            // SAFETY: inside the grant.
            unsafe { grant.start.write_bytes(1, 64) };
        }
    }
}

#[test]
fn a_buffer_too_small_is_always_exhausted() {
    for bytes in [0, 1, 63] {
        let storage = Fixed::new(leaked(bytes));
        assert_eq!(storage.capacity(), 0);
        assert!(storage.allocate(64, 64).is_err());
    }
    assert!(Fixed::with_capacity(0).is_err());
    assert!(Fixed::with_capacity(usize::MAX).is_err());
    assert!(Fixed::with_capacity(isize::MAX as usize).is_err() || usize::BITS == 32);
}

#[test]
fn what_no_caller_may_ask_is_refused() {
    let storage = Fixed::with_capacity(64 * KIB).unwrap();
    for (size, align) in [(0, 64), (65, 64), (64, 0), (64, 3)] {
        assert_eq!(
            storage.allocate(size, align).unwrap_err(),
            StorageError::Unsupported
        );
    }
    assert!(storage.allocate(64 * KIB, 64).is_ok());
}

#[test]
fn threads_share_it_and_nothing_is_lost() {
    let storage = Fixed::with_capacity(1024 * KIB).unwrap();
    std::thread::scope(|scope| {
        for thread in 1..=4_u8 {
            let storage = &storage;
            scope.spawn(move || {
                for round in 0..2000 {
                    let size = 64 << (round % 8);
                    let Ok(grant) = storage.allocate(size, 64) else {
                        continue;
                    };
                    // SAFETY: inside the grant.
                    unsafe { grant.start.write_bytes(thread, size) };
                    // SAFETY: inside the grant, written just now.
                    let bytes = unsafe { std::slice::from_raw_parts(grant.start.as_ptr(), size) };
                    assert!(bytes.iter().all(|&byte| byte == thread));
                    free(storage, grant, size);
                }
            });
        }
    });
    assert!(storage.allocate(1024 * KIB, 64).is_ok());
}

#[test]
fn raw_memory_of_any_kind() {
    let mut memory = vec![0_u64; 1024];
    let start = NonNull::from(memory.as_mut_slice()).cast();
    // SAFETY: the vector outlives the storage, and nobody else looks at it meanwhile.
    let storage = unsafe { Fixed::from_raw(start, 8 * KIB) };
    let grant = storage.allocate(4 * KIB, 64).unwrap();
    // SAFETY: inside the grant.
    unsafe { grant.start.write_bytes(0xEE, 4 * KIB) };
    drop(storage);
    let written = memory.iter().filter(|&&word| word == 0xEEEE_EEEE_EEEE_EEEE);
    assert_eq!(written.count(), 512);
}
