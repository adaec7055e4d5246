//! What a heap gives back before it takes more, so that what it does not need adds nothing to the peak.
#![cfg(all(feature = "std", unix))]

mod common;

use std::sync::Arc;

use common::probe::{on, probe};
use emalloc::heap::{Explained, Heap, Limit, Retain, explain};
use emalloc::layout::PAGE;
use emalloc::storage::{Cached, Counting, MmapAnon, Storage};

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

/// A heap that takes its segments from there.
fn over(store: &Arc<Cached<Counting<MmapAnon>>>) -> Heap {
    Heap::builder()
        .storage(Arc::clone(store))
        .segment_size(SEGMENT)
        .build()
        .unwrap()
}

#[test]
fn what_a_store_keeps_makes_no_run_go() {
    let store = Arc::new(Cached::new(Counting::new(MmapAnon)));
    let discarded = || store.inner().counts().discarded;
    let build = || over(&store);
    shift(&build());
    assert_eq!(discarded(), 1);
    // A second time it is as the first: no more than this was filled at once.
    shift(&build());
    assert_eq!(discarded(), 2);
    // More is granted to somebody else, and kept.
    let grant = store.allocate(8 * MIB, SEGMENT).unwrap();
    // SAFETY: just granted.
    unsafe { store.free(grant.start, 8 * MIB, SEGMENT) };
    for _ in 0..3 {
        // The next heap knows nothing of the last one, but the store does.
        shift(&build());
    }
    assert_eq!(discarded(), 2);
}

#[test]
fn what_was_held_and_never_filled_is_not_kept_in_store() {
    let store = Arc::new(Cached::new(MmapAnon));
    let heap = on(&store, SEGMENT).keep_filled(true).build().unwrap();
    let fill = || {
        // A third of each segment stays free.
        let blocks = [0; 3].map(|_| heap.allocate(4 * MIB / 3));
        assert_eq!(heap.real_usage(), 3 * SEGMENT);
        for block in blocks {
            // SAFETY: alive, and used no more.
            unsafe { heap.free(block) };
        }
    };
    fill();
    // Of 6 MiB blocks had filled 4.7 at most, and headers a little, so no more than that is held and kept now. (It was all 6.)
    let real = heap.real_usage();
    let filled = 2 * (4 * MIB / 3) + SEGMENT;
    let resident = real + store.cached_bytes();
    assert!(
        resident <= filled + MIB / 4,
        "{resident} held and kept, {filled} filled"
    );
    // What was kept is used again.
    assert!(store.cached_bytes() > 0);
    let misses = store.misses();
    fill();
    assert_eq!(store.misses(), misses);
    heap.check().unwrap();
}

/// Has three segments filled by two thirds, and says how much is held at most.
fn fill_two_thirds(heap: &Heap) -> usize {
    for _ in 0..3 {
        heap.allocate(4 * MIB / 3);
    }
    heap.real_usage()
}

#[test]
fn what_no_request_filled_is_not_kept() {
    let store = Arc::new(Cached::new(Counting::new(MmapAnon)));
    let mut heap = on(&store, SEGMENT)
        .retain(Retain::Bytes(0))
        .build()
        .unwrap();
    let resident = |heap: &Heap| heap.real_usage() + store.cached_bytes();
    for _ in 0..3 {
        assert_eq!(fill_two_thirds(&heap), 3 * SEGMENT);
        let filled = heap.peak() + MIB / 8;
        heap.reset();
        // (It was all 6 MiB.)
        let kept = resident(&heap);
        assert!(
            (filled - MIB / 4..=filled).contains(&kept),
            "{kept}, {filled}"
        );
    }
    // What fills all that it holds may keep that.
    while heap.real_usage() < 3 * SEGMENT || heap.figures().free_pages > 0 {
        heap.allocate(PAGE);
    }
    heap.reset();
    assert_eq!(resident(&heap), 3 * SEGMENT);
    // So it is if what was filled was given back before the end.
    assert_eq!(store.trim(), 2 * SEGMENT);
    let mut blocks = Vec::new();
    while heap.real_usage() < 3 * SEGMENT || heap.figures().free_pages > 0 {
        blocks.push(heap.allocate(PAGE));
    }
    for block in blocks {
        // SAFETY: alive, and used no more.
        unsafe { heap.free(block) };
    }
    heap.reset();
    assert_eq!(resident(&heap), 3 * SEGMENT);
}

#[test]
fn the_end_of_a_heap_leaves_what_it_filled() {
    let store = Arc::new(Cached::new(MmapAnon));
    for _ in 0..2 {
        let heap = on(&store, SEGMENT).build().unwrap();
        assert_eq!(fill_two_thirds(&heap), 3 * SEGMENT);
        let filled = heap.peak() + MIB / 8;
        drop(heap);
        let kept = store.cached_bytes();
        assert!(
            (filled - MIB / 4..=filled).contains(&kept),
            "{kept}, {filled}"
        );
    }
    // Nothing that it told is left: what is granted now counts.
    let grant = store.allocate(4 * SEGMENT, SEGMENT).unwrap();
    // SAFETY: just granted.
    unsafe { store.free(grant.start, 4 * SEGMENT, SEGMENT) };
    assert_eq!(store.cached_bytes(), 4 * SEGMENT);
}

/// Frees most of a segment, and has a huge block grow twice beside it.
fn grow(heap: &Heap) {
    let rest = heap.allocate(PAGE * 16);
    let huge = heap.allocate(8 * MIB);
    let large = heap.allocate(3 * MIB / 2);
    // SAFETY: alive, and used no more.
    unsafe { heap.free(large) };
    let huge = [9, 10].into_iter().fold(huge, |huge, size| {
        // SAFETY: as above.
        unsafe { heap.resize(huge, size * MIB) }
    });
    // SAFETY: as above.
    unsafe {
        heap.free(huge);
        heap.free(rest);
    }
}

#[test]
fn a_block_that_grows_is_asked_for_by_what_is_added() {
    let store = Arc::new(Cached::new(Counting::new(MmapAnon)));
    let discarded = || store.inner().counts().discarded;
    let build = || over(&store);
    // More than it will hold was granted at once lately, but not twice the block.
    let grant = store.allocate(16 * MIB, SEGMENT).unwrap();
    // SAFETY: just granted.
    unsafe { store.free(grant.start, 16 * MIB, SEGMENT) };
    grow(&build());
    assert_eq!(discarded(), 0);
}

#[test]
fn as_many_empty_segments_go_as_would_make_the_heap_hold_more_than_it_needed() {
    let probe = probe(MmapAnon);
    // Near the soft limit grants have nothing to spare.
    let soft_limit = Limit::Bytes(9 * SEGMENT);
    let builder = on(&probe, SEGMENT).soft_limit(soft_limit);
    let mut heap = builder.build().unwrap();
    for _ in 0..8 {
        heap.allocate(SEGMENT * 3 / 4);
    }
    heap.reset();
    let figures = heap.figures();
    assert_eq!((figures.segments, figures.real_usage), (8, 8 * SEGMENT));
    let Explained::Huge { header, .. } = explain(4 * SEGMENT, SEGMENT) else {
        panic!("a block of four segments is huge");
    };
    for (size, left) in [(4 * SEGMENT - header, 4), (2 * SEGMENT - header + 1, 1)] {
        heap.allocate(size);
        let figures = heap.figures();
        assert_eq!(figures.segments, left, "{size}");
        assert!(figures.real_usage <= 8 * SEGMENT && figures.real_peak <= 8 * SEGMENT);
    }
    heap.check().unwrap();
}
