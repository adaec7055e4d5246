//! What a heap gives back before it takes more, so that what it does not need adds nothing to the peak.
#![cfg(all(feature = "std", unix))]

mod common;

use std::sync::Arc;

use common::probe::{on, probe};
use emalloc::heap::Heap;
use emalloc::layout::PAGE;
use emalloc::storage::{Cached, Counting, MmapAnon};

const MIB: usize = 1 << 20;
const SEGMENT: usize = 2 * MIB;

/// Fills most of a segment, frees that, and asks for a huge block.
fn shift(heap: &Heap) {
    let rest = heap.allocate(PAGE * 16);
    let large = heap.allocate(3 * MIB / 2);
    // SAFETY: alive, and used no more.
    unsafe { heap.free(large) };
    let huge = heap.allocate(3 * MIB);
    // SAFETY: as above.
    unsafe {
        heap.free(huge);
        heap.free(rest);
    }
}

#[test]
fn a_long_free_run_is_discarded_before_the_heap_grows() {
    let probe = probe(MmapAnon);
    let heap = on(&probe, SEGMENT).build().unwrap();
    shift(&heap);
    assert_eq!(probe.counts().discarded, 1);
    heap.check().unwrap();
    // Nothing goes for what fits into what is there.
    let large = heap.allocate(3 * MIB / 2);
    assert_eq!(probe.counts().discarded, 1);
    // SAFETY: alive, and used no more.
    unsafe { heap.free(large) };
}

#[test]
fn what_a_store_keeps_makes_no_run_go() {
    let store = Arc::new(Cached::new(Counting::new(MmapAnon)));
    let discarded = || store.inner().counts().discarded;
    let build = || {
        Heap::builder()
            .storage(store.clone())
            .segment_size(SEGMENT)
            .build()
            .unwrap()
    };
    shift(&build());
    assert_eq!(discarded(), 1);
    for _ in 0..3 {
        // The next heap knows nothing of the last one, but the store does.
        shift(&build());
    }
    assert_eq!(discarded(), 1);
}
