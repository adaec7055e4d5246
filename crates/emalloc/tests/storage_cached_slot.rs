//! The slot in front of the table of `cached`: what lies there counts as kept, whoever looks and however it goes.
#![cfg(feature = "std")]

use emalloc::heap::{FaultKind, Heap, Limit, PageUse};
use emalloc::layout::PAGE;
use emalloc::storage::{Cached, Counting, Grant, MALLOC, Malloc, Storage};
use std::ptr::{self, NonNull};
use std::sync::Arc;
use std::thread::sleep;
use std::time::Duration;

const UNIT: usize = 64 << 10;
const SEGMENT: usize = 4 * UNIT;

fn cache(interval: Duration) -> Cached<Counting<Malloc>> {
    Cached::new(Counting::new(MALLOC)).with_interval(interval)
}

fn segment(storage: &dyn Storage) -> Grant {
    storage.allocate(SEGMENT, SEGMENT).unwrap()
}

fn free_segment(storage: &dyn Storage, grant: Grant) {
    // SAFETY: callers pass what `segment` gave them, once.
    unsafe { storage.free(grant.start, SEGMENT, SEGMENT) };
}

/// A grant that is no segment, freed at once. Answers whether there was one.
fn pass_by(storage: &dyn Storage, size: usize) -> bool {
    storage.allocate(size, 64).is_ok_and(|grant| {
        // SAFETY: granted just now.
        unsafe { storage.free(grant.start, size, 64) };
        true
    })
}

#[test]
fn a_segment_comes_back_and_counts_as_kept_meanwhile() {
    let storage = cache(Duration::MAX);
    let first = segment(&storage);
    for round in 0..100 {
        free_segment(&storage, first);
        assert_eq!(storage.cached_bytes(), SEGMENT);
        let again = segment(&storage);
        assert_eq!((again.start, again.zeroed), (first.start, false));
        assert_eq!((storage.cached_bytes(), storage.hits()), (0, round + 1));
    }
    // A second one goes to the table, and takes the first one there.
    let second = segment(&storage);
    free_segment(&storage, first);
    free_segment(&storage, second);
    assert_eq!(storage.cached_bytes(), 2 * SEGMENT);
    assert_eq!(storage.inner().counts().allocated, 2);
    assert_eq!(storage.trim(), 2 * SEGMENT);

    free_segment(&storage, segment(&storage));
    assert_eq!((storage.trim(), storage.cached_bytes()), (SEGMENT, 0));
    assert_eq!(storage.inner().counts().live_grants, 0);
}

/// What a request with blocks all over the first segment leaves behind is no block of the next request, nor of the next heap.
#[test]
fn marks_of_blocks_that_are_gone_are_gone() {
    static STORE: Cached<Malloc> = Cached::new(MALLOC);
    for checked in [false, true, false] {
        let heap = || {
            let builder = Heap::builder().storage(&STORE).segment_size(SEGMENT);
            let builder = builder.limit(Limit::Bytes(SEGMENT)).checked(checked);
            builder.build().unwrap()
        };
        let use_pages = |heap: &Heap, most: usize| {
            let sizes = [100, 3000, PAGE + 1].into_iter().cycle();
            sizes
                .take_while(|&size| heap.usage() < most && heap.try_allocate(size).is_ok())
                .for_each(drop);
        };
        let is_clean = |heap: &Heap| {
            let block = heap.allocate(16);
            heap.check().unwrap();
            let last = (block.addr().get() | (SEGMENT - 1)) + 1 - PAGE;
            for page in 0..8 {
                let address = last - page * PAGE;
                let wrong = NonNull::new(std::ptr::with_exposed_provenance_mut(address)).unwrap();
                // SAFETY: it lies in the heap's segment and is no block.
                let fault = unsafe { heap.try_free(wrong) }.unwrap_err();
                let is_free = |kind| {
                    matches!(
                        kind,
                        FaultKind::NotABlock {
                            holds: PageUse::Free,
                            ..
                        }
                    )
                };
                assert!(is_free(fault.kind), "{fault:?}");
            }
        };
        for most in [usize::MAX, SEGMENT / 2, 0] {
            let mut first = heap();
            is_clean(&first);
            use_pages(&first, most);
            first.reset();
            is_clean(&first);
            use_pages(&first, most);
            drop(first);
            is_clean(&heap());
        }
    }
    assert_eq!(STORE.misses(), 1);
}

#[test]
fn it_adds_nothing_to_the_peak() {
    let storage = cache(Duration::MAX);
    free_segment(&storage, segment(&storage));
    for units in [1, 3, 2, 4] {
        assert!(pass_by(&storage, units * UNIT));
        free_segment(&storage, segment(&storage));
        let counts = storage.inner().counts();
        assert_eq!(counts.live_bytes, storage.cached_bytes());
        assert_eq!(counts.peak_bytes, SEGMENT);
    }
    let limited = cache(Duration::MAX).with_limit(SEGMENT - 1);
    free_segment(&limited, segment(&limited));
    assert_eq!(limited.cached_bytes(), 0);
}

#[test]
fn the_end_of_a_request_and_time_take_it_too() {
    let storage = cache(Duration::MAX).per_request();
    free_segment(&storage, segment(&storage));
    storage.request_ended();
    // The mean with a request of nothing is less, and `malloc` cannot cut.
    assert_eq!(storage.inner().counts().live_bytes, 0);
    for _ in 0..4 {
        free_segment(&storage, segment(&storage));
        storage.request_ended();
    }
    assert_eq!(storage.cached_bytes(), SEGMENT);

    let storage = cache(Duration::from_millis(1));
    free_segment(&storage, segment(&storage));
    sleep(Duration::from_millis(40));
    assert!(pass_by(&storage, 4096));
    assert!(storage.cached_bytes() < SEGMENT);
}

#[test]
fn what_else_is_kept_decays_though_segments_come_and_go() {
    let storage = cache(Duration::from_millis(5));
    let grants = [0; 8].map(|_| storage.allocate(UNIT, 4096).unwrap());
    for grant in grants {
        // SAFETY: granted above.
        unsafe { storage.free(grant.start, UNIT, 4096) };
    }
    assert_eq!(storage.cached_bytes(), 8 * UNIT);
    for _ in 0..100 {
        free_segment(&storage, segment(&storage));
        if storage.cached_bytes() <= SEGMENT {
            return;
        }
        sleep(Duration::from_millis(10));
    }
    panic!("{} bytes still kept", storage.cached_bytes());
}

#[test]
fn no_segment_is_handed_out_twice() {
    const THREADS: usize = 4;
    let storage = cache(Duration::from_millis(1));
    std::thread::scope(|scope| {
        for mark in 1..=THREADS {
            let storage = &storage;
            scope.spawn(move || {
                for round in 0..20_000 {
                    let grant = segment(storage);
                    let word = grant.start.cast::<usize>();
                    // SAFETY: granted just now, to this thread alone.
                    unsafe { word.write_volatile(mark) };
                    if round % 64 == 0 {
                        assert!(pass_by(storage, UNIT));
                        std::thread::yield_now();
                    }
                    // SAFETY: as above.
                    assert_eq!(unsafe { word.read_volatile() }, mark);
                    free_segment(storage, grant);
                    if round % 1000 == mark {
                        storage.trim();
                    }
                }
            });
        }
    });
    let counts = storage.inner().counts();
    assert_eq!(counts.live_bytes, storage.cached_bytes());
    assert_eq!(storage.hits() + storage.misses(), THREADS * (20_000 + 313));
    let kept = storage.cached_bytes();
    assert_eq!(storage.trim(), kept);
    assert_eq!(storage.inner().counts().live_grants, 0);
    // All that was granted was counted off again: nothing may be kept but what is needed now.
    free_segment(&storage, segment(&storage));
    assert_eq!(storage.cached_bytes(), SEGMENT);
    assert!(pass_by(&storage, UNIT));
    assert!(storage.inner().counts().live_bytes <= SEGMENT);
}

#[test]
fn a_checked_heap_trusts_nothing_that_was_left() {
    let storage = Arc::new(Cached::new(MALLOC));
    let builder = || {
        Heap::builder()
            .storage(Arc::clone(&storage))
            .segment_size(SEGMENT)
    };
    let first = builder().build().unwrap().allocate(8).addr().get() & !(SEGMENT - 1);
    assert_eq!(storage.cached_bytes(), SEGMENT);
    // Somebody writes into the map that the heap has left: of pages that were free, as if they were large blocks.
    let map: *mut u8 = ptr::with_exposed_provenance_mut(first + 256);
    // SAFETY: the segment is kept, and nobody else looks at it meanwhile.
    unsafe { map.write_bytes(0xF2, 128) };
    let hits = storage.hits();
    let heap = builder().checked(true).build().unwrap();
    assert_eq!(storage.hits(), hits + 1);
    heap.check().unwrap();
}
