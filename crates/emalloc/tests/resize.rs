//! Which blocks stay where they are when they are resized, what that asks of the storage, and what it gives back.

#[path = "common/coarse.rs"]
mod coarse;
mod common;

use std::alloc::Layout;

use coarse::{Coarse, GRANULARITY};
use common::model::Model;
use common::probe::{Probe, assert_all_returned, on, probe};
use emalloc::heap::Limit;
use emalloc::layout::PAGE;
use emalloc::storage::{Fixed, Malloc, Storage};

const SEGMENT: usize = 64 << 10;

/// A model of a heap with one block.
fn with_block<S: Storage + Sync + 'static>(
    storage: S,
    size: usize,
    align: usize,
) -> (Probe<S>, Model) {
    let probe = probe(storage);
    let mut model = Model::new(on(&probe, SEGMENT).build().unwrap());
    let layout = Layout::from_size_align(size, align).unwrap();
    model.allocate(layout, false).unwrap();
    (probe, model)
}

/// Resizes the block, and says whether it stayed.
fn stays(model: &mut Model, size: usize) -> bool {
    let before = model.blocks[0].start;
    model.resize(0, size).unwrap();
    model.verify();
    model.blocks[0].start == before
}

#[test]
fn a_small_block_stays_in_its_class() {
    let (probe, mut model) = with_block(Malloc, 1000, 8);
    for (size, stay) in [
        (897, true),
        (1024, true),
        (1025, false),
        (1280, true),
        (1279, true),
        (896, false),
        (0, false),
        (8, true),
    ] {
        assert_eq!(stays(&mut model, size), stay, "{size}");
    }
    drop(model);
    assert_all_returned(&probe);
}

#[test]
fn a_storage_that_cannot_cut_keeps_what_is_not_mostly_empty() {
    let (probe, mut model) = with_block(Malloc, 16 * SEGMENT, 8);
    let held = model.heap.real_usage();
    let before = probe.counts();
    // The heap's first segment is none of it; one page lies in front of the block.
    let half = (held - SEGMENT) / 2 - PAGE;
    for size in [16 * SEGMENT - PAGE, 10 * SEGMENT, half + 1, 16 * SEGMENT] {
        assert!(stays(&mut model, size), "{size}");
    }
    assert_eq!((probe.counts(), model.heap.real_usage()), (before, held));
    assert!(!stays(&mut model, half));
    assert!(model.heap.real_usage() < held - 7 * SEGMENT);
    drop(model);
    assert_all_returned(&probe);
}

/// Huge blocks on a storage that can grow and cut in place, with nothing behind the block.
fn in_place<S: Storage + Sync + 'static>(make: impl Fn() -> S) {
    for near_a_limit in [false, true] {
        in_place_or_moved(make(), near_a_limit);
    }
}

fn in_place_or_moved<S: Storage + Sync + 'static>(storage: S, near_a_limit: bool) {
    let (probe, mut model) = with_block(storage, 4 * SEGMENT, 8);
    if near_a_limit {
        model.heap.set_limit(Limit::Bytes(34 * SEGMENT)).unwrap();
        model.heap.set_soft_limit(Limit::Bytes(1));
    }
    let allocated = probe.counts().allocated;
    for segments in [20, 7, 8, 2, 30, 3] {
        let copied = probe.counts().allocated - allocated;
        assert_eq!(copied, 0);
        stays(&mut model, segments * SEGMENT);
        let needed = PAGE + segments * SEGMENT;
        let spare = model.heap.real_usage() - SEGMENT - needed;
        let most = if near_a_limit { 0 } else { needed / 7 };
        assert!(
            spare < most + PAGE,
            "{spare} bytes more than {needed} are held"
        );
        assert!(model.blocks[0].usable - segments * SEGMENT < PAGE);
    }
    drop(model);
    assert_all_returned(&probe);
}

#[test]
fn a_buffer_grows_and_cuts_in_place() {
    in_place(|| Fixed::with_capacity(64 * SEGMENT).unwrap());
}

#[test]
#[cfg(target_os = "linux")]
fn mappings_grow_cut_and_move_without_a_copy() {
    in_place(|| emalloc::storage::MmapAnon);
    in_place(|| emalloc::storage::MmapZero::new().unwrap());
}

#[test]
fn a_storage_that_moves_keeps_the_alignment() {
    // As it was granted, a block moves without a copy of the heap's.
    let (probe, mut model) = with_block(Coarse(Malloc), 3 * SEGMENT, 4 * SEGMENT);
    assert!(!stays(&mut model, 9 * SEGMENT));
    assert_eq!(probe.counts().moved, 1);
    assert!(stays(&mut model, 4 * SEGMENT) && stays(&mut model, 4 * SEGMENT - GRANULARITY / 2));
    drop(model);
    assert_all_returned(&probe);

    // In a buffer it is known where things lie: the heap's first segment, then the block behind its header.
    let buffer = Fixed::with_capacity(64 * SEGMENT).unwrap();
    let (probe, mut model) = with_block(Coarse(buffer), 3 * SEGMENT, SEGMENT);
    let start = model.blocks[0].start.addr().get();
    assert!(
        start.is_multiple_of(2 * SEGMENT),
        "more strictly than it was granted"
    );
    // An odd number of segments follows, so that a move would end that.
    let page = Layout::from_size_align(PAGE, 8).unwrap();
    while model.heap.figures().segments < 2 {
        model.allocate(page, false).unwrap();
    }
    model.blocks[0].layout = Layout::from_size_align(3 * SEGMENT, 2 * SEGMENT).unwrap();
    model.resize(0, 9 * SEGMENT).unwrap();
    model.verify();
    assert_eq!(probe.counts().moved, 0);
    drop(model);
    assert_all_returned(&probe);
}

#[test]
fn nothing_is_asked_for_the_size_it_has() {
    let probe = probe(Fixed::with_capacity(64 * SEGMENT).unwrap());
    let mut model = Model::new(on(&probe, SEGMENT).checked(true).build().unwrap());
    let layout = Layout::from_size_align(3 * SEGMENT, 8).unwrap();
    model.allocate(layout, false).unwrap();
    let before = probe.counts();
    assert!(stays(&mut model, 3 * SEGMENT) && stays(&mut model, 3 * SEGMENT - 1));
    assert_eq!(probe.counts(), before);
}

#[test]
fn what_is_aligned_beyond_its_segment_stays() {
    for align in [SEGMENT, 4 * SEGMENT] {
        let (probe, mut model) =
            with_block(Fixed::with_capacity(64 * SEGMENT).unwrap(), 100, align);
        let allocated = probe.counts().allocated;
        for size in [200, 0, 5000, 100, 3 * SEGMENT, 10] {
            assert!(stays(&mut model, size), "{size} at {align}");
        }
        assert_eq!(probe.counts().allocated, allocated);
        drop(model);
        assert_all_returned(&probe);
    }
}

#[test]
fn a_block_that_only_happens_to_be_aligned_keeps_what_is_asked() {
    // Resized at a stricter alignment than it was allocated with.
    for size in [100, 5000, 3 * SEGMENT] {
        for align in [64, PAGE, 4 * PAGE, SEGMENT, 8 * SEGMENT] {
            for new in [90, 6000, 4 * SEGMENT] {
                let (probe, mut model) = with_block(Malloc, size, 8);
                model.blocks[0].layout = Layout::from_size_align(size, align).unwrap();
                // The model checks the alignment.
                model.resize(0, new).unwrap();
                model.verify();
                model.free(0, true);
                drop(model);
                assert_all_returned(&probe);
            }
        }
    }
}

#[test]
fn a_copy_does_not_count_as_two_blocks() {
    let probe = probe(Malloc);
    let heap = on(&probe, SEGMENT).build().unwrap();
    let sizes = [24, 40, 3000, 5000, 2 * SEGMENT, 3 * SEGMENT, 9000, 100];
    for (from, to) in sizes
        .into_iter()
        .flat_map(|from| sizes.map(|to| (from, to)))
    {
        heap.reset_peaks();
        let block = heap.allocate(from);
        let before = heap.usage();
        // SAFETY: alive, and used no more where it was.
        let block = unsafe { heap.resize(block, to) };
        assert_eq!(heap.peak(), before.max(heap.usage()), "{from} to {to}");
        // SAFETY: alive, and used no more.
        unsafe { heap.free(block) };
    }
}
