//! A large block that has its segment to itself and grows beyond it: the segment is that of a huge block then, nothing is copied,
//! and if it cannot be the heap is as it was.
#![cfg(feature = "std")]

#[path = "common/coarse.rs"]
mod coarse;
mod common;

use std::alloc::Layout;
use std::ptr::NonNull;

use coarse::Coarse;
use common::model::Model;
use common::probe::{Probe, assert_all_returned, on, probe};
use emalloc::heap::{Figures, Handler, Heap, Limit, Sampling, SoftLimitEvent};
use emalloc::layout::PAGE;
use emalloc::storage::{Fixed, Malloc, Storage};

const SEGMENT: usize = 256 << 10;

fn buffer() -> Fixed {
    Fixed::with_capacity(32 * SEGMENT).unwrap()
}

/// A heap on `storage` of which a block of 200 KiB lies alone in the second segment. It is the second block.
fn alone<S: Storage + Sync + 'static>(storage: S) -> (Probe<S>, Model) {
    let probe = probe(storage);
    let mut model = Model::new(on(&probe, SEGMENT).build().unwrap());
    for _ in 0..2 {
        allocate(&mut model, 200 << 10);
    }
    let figures = model.heap.figures();
    assert_eq!((figures.segments, figures.huge_blocks), (2, 0));
    (probe, model)
}

fn allocate(model: &mut Model, size: usize) -> usize {
    let layout = Layout::from_size_align(size, 8).unwrap();
    model.allocate(layout, false).unwrap()
}

/// Segments, huge blocks, bytes held.
fn held(figures: Figures) -> (usize, usize, usize) {
    (figures.segments, figures.huge_blocks, figures.real_usage)
}

#[test]
fn it_stays_where_it_is_and_its_segment_grows() {
    let (probe, mut model) = alone(buffer());
    let before = (probe.counts(), model.blocks[1].start);
    // From the length of which it is huge on, by little and by much.
    for size in [SEGMENT - PAGE, SEGMENT, 5 * SEGMENT, 6 * SEGMENT] {
        model.resize(1, size).unwrap();
        model.verify();
        assert_eq!(model.blocks[1].start, before.1, "{size}");
    }
    let (figures, counts) = (model.heap.figures(), probe.counts());
    assert_eq!((figures.segments, figures.huge_blocks), (1, 1));
    assert_eq!(counts.allocated, before.0.allocated);
    assert!(figures.real_usage - SEGMENT < 6 * SEGMENT / 8 * 9 + 3 * PAGE);
    assert_eq!(figures.peak, figures.usage);
    // It is one like any other.
    model.resize(1, 2 * SEGMENT).unwrap();
    model.verify();
    model.resize(1, PAGE).unwrap();
    model.verify();
    assert_eq!(model.heap.figures().huge_blocks, 0);
    drop(model);
    assert_all_returned(&probe);
}

#[test]
fn a_storage_that_moves_moves_its_segment() {
    // Of so many lengths, at one the block ends where a grant of this storage might.
    const STEPS: usize = coarse::GRANULARITY / PAGE;
    let mut moved = 0;
    for step in 0..STEPS {
        let (probe, mut model) = alone(Coarse(Malloc));
        model.resize(1, (200 << 10) + step * PAGE).unwrap();
        let before = probe.counts();
        model.resize(1, 300 << 10).unwrap();
        model.verify();
        let after = probe.counts();
        assert_eq!(
            (after.allocated - before.allocated) + (after.moved - before.moved),
            1
        );
        moved += after.moved - before.moved;
        drop(model);
        assert_all_returned(&probe);
    }
    assert_eq!(moved, 1);
}

#[test]
fn with_something_beside_it_it_is_copied() {
    for (small, size) in [(PAGE, SEGMENT), (100, SEGMENT), (40 << 10, 2 * SEGMENT)] {
        let (_, mut model) = alone(buffer());
        while model.heap.figures().segments == 2 {
            // The first ones find room in the first segment.
            let last = allocate(&mut model, small);
            let first = model.blocks[1].start.addr().get() / SEGMENT;
            if model.blocks[last].start.addr().get() / SEGMENT == first {
                break;
            }
        }
        let start = model.blocks[1].start;
        model.resize(1, size).unwrap();
        model.verify();
        assert_ne!(model.blocks[1].start, start, "beside {small} bytes");
    }
}

#[test]
fn what_is_free_before_it_would_be_lost() {
    // An eighth of it, in whole pages, may be.
    for (before, stays) in [(5 * PAGE, true), (6 * PAGE, false)] {
        let probe = probe(buffer());
        let mut model = Model::new(on(&probe, SEGMENT).build().unwrap());
        while model.heap.figures().free_pages > 0 {
            allocate(&mut model, PAGE);
        }
        // In the second segment, behind another one.
        let index = allocate(&mut model, before);
        allocate(&mut model, 180 << 10);
        assert_eq!(model.heap.figures().segments, 2);
        model.free(index, false);
        let start = model.blocks[index].start;
        assert_eq!(model.blocks[index].layout.size(), 180 << 10);
        model.resize(index, SEGMENT).unwrap();
        model.verify();
        assert_eq!(model.blocks[index].start == start, stays, "{before}");
    }
}

#[test]
fn one_that_ends_before_half_of_its_segment_is_copied() {
    // Behind a page of header.
    for (pages, stays) in [(31, true), (30, false)] {
        let (_, mut model) = alone(buffer());
        model.resize(1, pages * PAGE).unwrap();
        let start = model.blocks[1].start;
        model.resize(1, SEGMENT).unwrap();
        model.verify();
        assert_eq!(model.blocks[1].start == start, stays, "{pages}");
    }
}

#[test]
fn refused_it_is_large_as_it_was() {
    for by_storage in [false, true] {
        let (probe, mut model) = alone(buffer());
        let heap = &model.heap;
        if by_storage {
            probe.inner().fail_from(1);
        } else {
            heap.set_limit(Limit::Bytes(heap.real_usage())).unwrap();
        }
        let before = heap.figures();
        assert!(model.resize(1, SEGMENT).is_err());
        model.verify();
        model.verify_walk();
        let after = model.heap.figures();
        assert_eq!(held(after), held(before));
        assert_eq!(
            (after.free_pages, after.longest_free_run, after.peak),
            (before.free_pages, before.longest_free_run, before.peak)
        );
        // What is free behind it is there still.
        model.resize(1, 240 << 10).unwrap();
        model.resize(1, 200 << 10).unwrap();
        allocate(&mut model, 40 << 10);
        model.verify();
        assert_eq!(held(model.heap.figures()), held(before));
    }
}

/// Looks at the heap when it is told of the soft limit, and takes what is free in it.
struct Looks;

impl Handler for Looks {
    fn soft_limit(&self, heap: &Heap, _: &SoftLimitEvent) {
        heap.check().unwrap();
        while heap.figures().free_pages > 0 {
            heap.allocate(PAGE);
        }
    }
}

#[test]
fn whoever_is_told_of_the_soft_limit_meets_a_heap_that_is_whole() {
    let probe = probe(buffer());
    let heap = on(&probe, SEGMENT).handler(Looks).build().unwrap();
    heap.allocate(200 << 10);
    let block = heap.allocate(200 << 10);
    heap.set_soft_limit(Limit::Bytes(2 * SEGMENT));
    // SAFETY: alive, of that length.
    unsafe { block.write_bytes(7, 200 << 10) };
    // SAFETY: alive, and used no more where it was.
    let block = unsafe { heap.resize(block, SEGMENT) };
    heap.check().unwrap();
    assert_eq!(heap.figures().huge_blocks, 1);
    // SAFETY: alive, with so many bytes, of which these were written.
    let bytes = unsafe { NonNull::slice_from_raw_parts(block, 200 << 10).as_ref() };
    assert!(bytes.iter().all(|&byte| byte == 7));
}

/// The samples that are alive, and their bytes.
fn sampled(heap: &Heap) -> (u64, usize) {
    let mut alive = (0, 0);
    heap.profile(&mut |profile| {
        alive.0 += profile.live.samples;
        alive.1 += profile.live.bytes.round() as usize;
    });
    alive
}

#[test]
fn one_that_is_sampled_stays_so() {
    for refused in [false, true] {
        let probe = probe(Coarse(Malloc));
        let heap = on(&probe, SEGMENT).build().unwrap();
        heap.allocate(200 << 10);
        heap.start_sampling(Sampling::every(1).memory(1 << 20))
            .unwrap();
        // Behind the header, to where a grant may end.
        let size = 13 * coarse::GRANULARITY - PAGE;
        let block = heap.allocate(size);
        assert_eq!(sampled(&heap), (1, size));
        if refused {
            probe.inner().fail_from(1);
        }
        // SAFETY: alive, and used no more where it was.
        let block = unsafe { heap.try_resize(block, 300 << 10) }.unwrap_or(block);
        heap.check().unwrap();
        assert_eq!(heap.figures().huge_blocks, usize::from(!refused));
        assert_eq!(probe.counts().moved, usize::from(!refused));
        // SAFETY: alive.
        let usable = unsafe { heap.usable_size(block) }.unwrap();
        assert_eq!(sampled(&heap), (1, usable));
        // SAFETY: alive, and used no more.
        unsafe { heap.free(block) };
        heap.check().unwrap();
        assert_eq!(sampled(&heap), (0, 0));
    }
}

/// Stops the sampling when it is told of the soft limit.
struct Stops;

impl Handler for Stops {
    fn soft_limit(&self, heap: &Heap, _: &SoftLimitEvent) {
        heap.stop_sampling();
    }
}

#[test]
fn one_that_is_sampled_no_more_when_it_is_refused_bears_no_mark() {
    let probe = probe(Coarse(Malloc));
    let heap = on(&probe, SEGMENT).handler(Stops).build().unwrap();
    heap.allocate(200 << 10);
    heap.start_sampling(Sampling::every(1)).unwrap();
    let block = heap.allocate(13 * coarse::GRANULARITY - PAGE);
    heap.set_soft_limit(Limit::Bytes(heap.real_usage()));
    probe.inner().fail_from(1);
    // SAFETY: alive, and used no more where it was.
    assert!(unsafe { heap.try_resize(block, 300 << 10) }.is_err());
    assert_eq!((heap.sampling(), heap.figures().huge_blocks), (None, 0));
    heap.check().unwrap();
}
