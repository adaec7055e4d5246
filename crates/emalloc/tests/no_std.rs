//! A heap in a fixed buffer, by what the library has without `std` only: this file takes nothing from `std` itself.
//! `cargo test -p emalloc --no-default-features --test no_std` builds the library without it as well.
#![no_std]

use core::mem::MaybeUninit;
use core::sync::atomic::{AtomicUsize, Ordering};

use emalloc::heap::{AllocError, Handler, Heap, HeapError, Limit, Recovery, Site, SoftLimitEvent};
use emalloc::interface::parse_size;
use emalloc::storage::{Budget, Fixed, StorageError};

const SEGMENT: usize = 64 << 10;

/// A buffer for ever that holds exactly so many segments. Each test has its own.
macro_rules! buffer {
    ($segments:literal) => {{
        // One more than wanted: not every object format aligns a static as a segment must be.
        static mut BUFFER: [[MaybeUninit<u8>; SEGMENT]; $segments + 1] =
            [[MaybeUninit::uninit(); SEGMENT]; $segments + 1];
        let buffer = &raw mut BUFFER;
        // SAFETY: nothing else names the buffer, and a test runs once in a process.
        let bytes = unsafe { &mut *buffer }.as_flattened_mut();
        let begin = bytes.as_ptr().align_offset(SEGMENT);
        &mut bytes[begin..begin + $segments * SEGMENT]
    }};
}

#[test]
fn a_heap_in_a_buffer_and_its_end() {
    let storage = Fixed::new(buffer!(4));
    let mut heap = Heap::builder()
        .storage(storage)
        .segment_size(SEGMENT)
        .build()
        .unwrap();
    let mut rounds = [0; 3];
    for count in &mut rounds {
        let mut last = heap.alloc_str("the first");
        let error = loop {
            match heap.try_alloc_slice(last.as_bytes()) {
                Ok(bytes) => last = core::str::from_utf8(bytes).unwrap(),
                Err(error) => break error,
            }
            *count += 1;
        };
        assert_eq!(last, "the first");
        let AllocError::Storage {
            cause,
            held,
            requested,
        } = error
        else {
            panic!("{error}")
        };
        assert_eq!((held, requested), (4 * SEGMENT, 9));
        assert_eq!(cause, StorageError::Exhausted { requested: SEGMENT });
        heap.check().unwrap();
        heap.reset();
    }
    // 16 bytes each, and most of the buffer is for blocks.
    assert!(rounds[0] > 3 * SEGMENT / 16);
    assert!(rounds.iter().all(|&count| count == rounds[0]));
}

#[test]
fn values_boxes_limits_and_handlers() {
    static WARNED: AtomicUsize = AtomicUsize::new(0);
    static ASKED: AtomicUsize = AtomicUsize::new(0);
    struct Watch;
    impl Handler for Watch {
        fn soft_limit(&self, _: &Heap, event: &SoftLimitEvent) {
            WARNED.fetch_add(event.limit, Ordering::Relaxed);
        }
        fn out_of_memory(&self, heap: &Heap, error: &AllocError, at: Site<'_>) -> Recovery {
            assert!(matches!(error, AllocError::Limit { .. }) && at.file() == file!());
            ASKED.fetch_add(1, Ordering::Relaxed);
            heap.set_limit(Limit::Unlimited).unwrap();
            Recovery::Retry
        }
    }
    let budget = Budget::new(Fixed::new(buffer!(8)), Limit::Bytes(6 * SEGMENT));
    let heap = Heap::builder()
        .storage(budget)
        .segment_size(SEGMENT)
        .limit(Limit::Bytes(parse_size("128K").unwrap()))
        .soft_limit(Limit::Bytes(SEGMENT))
        .handler(Watch)
        .build()
        .unwrap();
    let boxed = heap.boxed([1u32; 100]);
    let squares = heap.alloc_slice_with(100, |index| index * index);
    assert_eq!((boxed[99], squares[99]), (1, 9801));
    drop(boxed);
    // Beyond the soft limit, then beyond the hard one, then beyond the budget.
    heap.alloc([0u8; 30_000]);
    heap.alloc([0u8; 40_000]);
    assert_eq!(
        (
            WARNED.load(Ordering::Relaxed),
            ASKED.load(Ordering::Relaxed)
        ),
        (SEGMENT, 0)
    );
    heap.alloc([0u8; 50_000]);
    assert_eq!(ASKED.load(Ordering::Relaxed), 1);
    let error = heap.try_alloc_slice(&[0u8; 4 * SEGMENT]).unwrap_err();
    let AllocError::Storage {
        cause: StorageError::Limit { limit, .. },
        ..
    } = error
    else {
        panic!("{error}")
    };
    assert_eq!(limit, 6 * SEGMENT);
    heap.check().unwrap();
}

#[test]
fn a_buffer_too_small_for_a_segment() {
    let storage = Fixed::new(&mut buffer!(1)[..SEGMENT / 2]);
    let error = Heap::builder()
        .storage(storage)
        .segment_size(SEGMENT)
        .build()
        .unwrap_err();
    assert_eq!(
        error,
        HeapError::Storage(StorageError::Exhausted { requested: SEGMENT })
    );
}

#[cfg(feature = "allocator-api2-02")]
#[test]
fn containers() {
    let storage = Fixed::new(buffer!(8));
    let heap = Heap::builder()
        .storage(storage)
        .segment_size(SEGMENT)
        .build()
        .unwrap();
    let mut numbers = allocator_api2_02::vec::Vec::new_in(heap.here());
    let mut map = hashbrown::HashMap::new_in(&heap);
    for number in 0..2000u32 {
        numbers.push(number);
        map.insert(number, number * 2);
    }
    assert!(numbers.iter().all(|number| map[number] == number * 2));
    assert!(heap.owns(numbers.as_ptr().cast()));
    assert!(numbers.try_reserve(1 << 20).is_err());
}
