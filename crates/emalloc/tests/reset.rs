//! The end of a request: which segments stay, what is given back, what it costs, and where the figures begin anew.

mod common;

use std::sync::Arc;

use common::probe::{Probe, assert_all_returned, on, probe};
use emalloc::heap::{Handler, Heap, Limit, Retain};
use emalloc::layout::PAGE;
use emalloc::storage::{Counts, Malloc};

const SEGMENT: usize = 64 << 10;

fn heap(probe: &Probe<Malloc>, retain: Retain) -> Heap {
    on(probe, SEGMENT).retain(retain).build().unwrap()
}

/// A request that needs so many segments.
fn use_segments(heap: &Heap, segments: usize) {
    while heap.figures().free_pages > 0 || heap.figures().segments < segments {
        heap.allocate(PAGE);
    }
}

/// A request that needs so many segments, and its end. Answers how many stay.
fn request(heap: &mut Heap, segments: usize) -> usize {
    use_segments(heap, segments);
    heap.reset();
    heap.check().unwrap();
    let figures = heap.figures();
    assert_eq!(heap.real_usage(), figures.segments * SEGMENT);
    // The reserve lies in the first one.
    assert_eq!(figures.cached, (figures.segments - 1) * SEGMENT);
    figures.segments
}

#[test]
fn adaptive_follows_what_requests_need() {
    let probe = probe(Malloc);
    let mut heap = heap(&probe, Retain::Adaptive);
    assert_eq!(request(&mut heap, 1), 1);
    // All the way up at once.
    assert_eq!(
        [9, 9, 9, 9].map(|need| request(&mut heap, need)),
        [9, 9, 9, 9]
    );
    // Requests that need no more than what is kept take nothing from the storage.
    let before = probe.counts();
    assert_eq!([9, 9, 9].map(|need| request(&mut heap, need)), [9, 9, 9]);
    assert_eq!(probe.counts(), before);
    // And a quarter of the way down: what was kept but not used is no need.
    let down = [(); 8].map(|()| {
        heap.allocate(10);
        heap.reset();
        heap.figures().segments
    });
    // (In bytes; what is left of a segment is none.)
    assert_eq!(down, [7, 5, 4, 3, 2, 2, 2, 1]);
    drop(heap);
    assert_all_returned(&probe);
}

#[test]
fn a_request_without_a_block_needs_nothing() {
    for reserve in [0, 8192] {
        let mut heap = Heap::builder()
            .segment_size(SEGMENT)
            .storage(Malloc)
            .reserve(reserve)
            .build()
            .unwrap();
        use_segments(&heap, 5);
        heap.reset();
        assert_eq!(heap.figures().segments, 5);
        for _ in 0..5 {
            heap.reset();
            heap.check().unwrap();
        }
        assert_eq!(heap.figures().segments, 1);
    }
}

#[test]
fn what_is_kept_serves_the_middle_of_a_request_too() {
    let probe = probe(Malloc);
    let mut heap = heap(&probe, Retain::Adaptive);
    for _ in 0..5 {
        request(&mut heap, 6);
    }
    let before = probe.counts();
    let mut blocks = Vec::new();
    for _ in 0..3 {
        while heap.figures().free_pages > 0 {
            blocks.push(heap.allocate(PAGE));
        }
        for block in blocks.drain(..) {
            // SAFETY: allocated above, freed once.
            unsafe { heap.free(block) };
        }
    }
    assert_eq!(probe.counts(), before, "segments came and went");
}

#[test]
fn bytes_say_how_many() {
    let cases = [
        (0, 1),
        (1, 1),
        (SEGMENT, 1),
        (2 * SEGMENT - 1, 1),
        (2 * SEGMENT, 2),
        (5 * SEGMENT + 1, 5),
        (100 * SEGMENT, 8),
        (usize::MAX, 8),
    ];
    for (bytes, kept) in cases {
        let probe = probe(Malloc);
        let mut heap = heap(&probe, Retain::Bytes(bytes));
        for _ in 0..3 {
            assert_eq!(request(&mut heap, 8), kept, "of {bytes} bytes");
        }
        drop(heap);
        assert_all_returned(&probe);
    }
}

#[test]
fn huge_blocks_go_back() {
    let probe = probe(Malloc);
    let mut heap = heap(&probe, Retain::Bytes(usize::MAX));
    for size in [2 * SEGMENT, 5 * SEGMENT, 100_000] {
        heap.allocate(size);
    }
    assert_eq!(heap.figures().huge_blocks, 3);
    heap.reset();
    assert_eq!(
        (heap.figures().huge_blocks, heap.real_usage()),
        (0, SEGMENT)
    );
    assert_eq!(probe.counts().live_grants, 1);
}

#[test]
fn costs_nothing_for_a_block() {
    let calls = |counts: Counts| {
        counts.allocated + counts.freed + counts.resized + counts.moved + counts.refused
    };
    let mut costs = Vec::new();
    for size in [8, 100, 3000, PAGE, 14 * PAGE] {
        let probe = probe(Malloc);
        let mut heap = heap(&probe, Retain::Bytes(2 * SEGMENT));
        while heap.figures().segments < 6 {
            heap.allocate(size);
        }
        heap.allocate(2 * SEGMENT);
        let before = calls(probe.counts());
        heap.reset();
        costs.push(calls(probe.counts()) - before);
    }
    // Six segments less two, and a huge block.
    assert_eq!(costs, [5; 5]);
}

#[test]
fn the_first_segment_is_used_first() {
    let probe = probe(Malloc);
    let mut heap = heap(&probe, Retain::Bytes(usize::MAX));
    let segment = |heap: &Heap| heap.allocate(10).addr().get() / SEGMENT;
    let first = segment(&heap);
    for _ in 0..3 {
        use_segments(&heap, 4);
        heap.reset();
        assert_eq!(segment(&heap), first);
    }
}

#[test]
fn figures_begin_anew() {
    for checked in [false, true] {
        let probe = probe(Malloc);
        let mut heap = on(&probe, SEGMENT)
            .checked(checked)
            .retain(Retain::Bytes(3 * SEGMENT))
            .build()
            .unwrap();
        let empty = heap.figures();
        use_segments(&heap, 5);
        heap.allocate(100);
        let huge = heap.allocate(3 * SEGMENT);
        let (usage, held) = (heap.usage(), heap.real_usage());
        // SAFETY: just allocated.
        unsafe { heap.free(huge) };
        assert_eq!((heap.peak(), heap.real_peak()), (usage, held));
        heap.reset_peaks();
        assert_eq!(
            (heap.peak(), heap.real_peak()),
            (heap.usage(), heap.real_usage())
        );
        heap.reset();
        assert_eq!((heap.usage(), heap.peak()), (0, 0));
        assert_eq!(
            (heap.real_usage(), heap.real_peak()),
            (3 * SEGMENT, 3 * SEGMENT)
        );
        let figures = heap.figures();
        assert_eq!(figures.classes, empty.classes);
        assert_eq!(
            (figures.free_small, figures.huge_blocks, figures.segments),
            (0, 0, 3)
        );
        assert_eq!(figures.fragmentation, 1.0);
        heap.allocate(5000);
        assert_eq!(heap.peak(), 8192);
        // What is behind the limit stays behind it.
        heap.set_limit(Limit::Bytes(3 * SEGMENT)).unwrap();
        heap.reset();
        assert_eq!(heap.limit(), Limit::Bytes(3 * SEGMENT));
    }
}

#[test]
fn compact_trims_beyond_its_threshold() {
    let threshold = 4 * SEGMENT;
    for (compact, held, trims) in [
        (0, 10, 0),
        (threshold, 4, 0),
        (threshold + 1, 4, 0),
        (threshold - 1, 4, 1),
        (threshold, 5, 1),
        (1, 1, 1),
    ] {
        let probe = probe(Malloc);
        let mut heap = on(&probe, SEGMENT)
            .compact(compact)
            .retain(Retain::Bytes(0))
            .build()
            .unwrap();
        use_segments(&heap, held);
        assert_eq!(probe.counts().trimmed, 0);
        heap.reset();
        assert_eq!(
            probe.counts().trimmed,
            trims,
            "{held} segments held, compact {compact}"
        );
        // What was held before the last reset counts no more.
        heap.reset();
        let again = usize::from(compact > 0 && SEGMENT > compact);
        assert_eq!(probe.counts().trimmed, trims + again);
    }
}

/// A handler that is known to be dropped.
struct Owning(#[allow(dead_code, reason = "only its end matters")] Arc<()>);

impl Handler for Owning {}

#[test]
fn dropping_returns_all() {
    for checked in [false, true] {
        let (probe, handled) = (probe(Malloc), Arc::new(()));
        let mut heap = on(&probe, SEGMENT)
            .checked(checked)
            .handler(Owning(Arc::clone(&handled)))
            .build()
            .unwrap();
        use_segments(&heap, 7);
        heap.reset();
        use_segments(&heap, 3);
        for size in [10, 5000, 2 * SEGMENT] {
            heap.allocate(size);
            heap.allocate_layout(std::alloc::Layout::from_size_align(size, 4 * SEGMENT).unwrap());
        }
        drop(heap);
        assert_all_returned(&probe);
        let left = (Arc::strong_count(&probe), Arc::strong_count(&handled));
        assert_eq!(left, (1, 1), "storage and handler are dropped");
    }
}
