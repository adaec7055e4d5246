//! Giving memory back: what is free goes back to the system in the storage's units, and nothing else.

#[path = "common/coarse.rs"]
mod coarse;
mod common;

use std::alloc::Layout;
use std::sync::Arc;

use coarse::{Coarse, GRANULARITY};
use common::model::Model;
use common::probe::{assert_all_returned, on, probe};
use emalloc::heap::{Collected, Heap, Retain};
use emalloc::layout::PAGE;
use emalloc::storage::{Cached, Counting, Fixed, Malloc, Storage};

const SEGMENT: usize = 256 << 10;

fn pages(count: usize) -> Layout {
    Layout::from_size_align(count * PAGE, 8).unwrap()
}

/// What a trim answers that finds nothing but `discarded` bytes.
fn discarded(discarded: usize) -> Collected {
    let mut collected = Collected::default();
    collected.discarded = discarded;
    collected
}

#[test]
fn free_pages_are_discarded_in_the_storages_units() {
    let probe = probe(Coarse(Malloc));
    let mut model = Model::new(on(&probe, SEGMENT).reserve(0).build().unwrap());
    let unit = GRANULARITY / PAGE;
    // Every second one of these goes: runs that begin and end anywhere between the units.
    for count in [1, 7, 2, 6, 3, 5, 4, 9] {
        model.allocate(pages(count), false).unwrap();
    }
    let rest = model.heap.figures().free_pages / PAGE;
    model.allocate(pages(rest), false).unwrap();
    let starts: Vec<_> = model.blocks.iter().map(|block| block.start).collect();
    let mut expected = 0;
    for start in starts.iter().skip(1).step_by(2) {
        let index = model.index_of(*start);
        let first = start.addr().get() % SEGMENT / PAGE;
        let end = first + model.blocks[index].usable / PAGE;
        expected += (end / unit).saturating_sub(first.div_ceil(unit)) * GRANULARITY;
        model.free(index, false);
    }
    assert!(expected > 0);
    assert_eq!(model.heap.trim(), discarded(expected));
    // The contents of the others are as they were.
    model.verify();
    drop(model);
    assert_all_returned(&probe);
}

#[test]
fn what_only_free_blocks_hold_goes_too() {
    let probe = probe(Coarse(Malloc));
    let heap = on(&probe, SEGMENT).reserve(0).build().unwrap();
    let free = heap.figures().free_pages;
    let blocks: Vec<_> = (0..2000).map(|_| heap.allocate(1000)).collect();
    let held = heap.real_usage();
    for block in blocks {
        // SAFETY: allocated above, freed once.
        unsafe { heap.free(block) };
    }
    let trimmed = heap.trim();
    assert_eq!(trimmed.pages, 500 * PAGE);
    assert_eq!(
        (trimmed.returned, heap.real_usage()),
        (held - SEGMENT, SEGMENT)
    );
    assert_eq!(trimmed.discarded, free / GRANULARITY * GRANULARITY);
    heap.check().unwrap();
}

#[test]
fn a_storage_that_cannot_discard_is_not_asked() {
    let probe = probe(Fixed::with_capacity(4 * SEGMENT).unwrap());
    let heap = on(&probe, SEGMENT).build().unwrap();
    assert_eq!(heap.trim(), Collected::default());
    assert_eq!((probe.counts().discarded, probe.counts().trimmed), (0, 1));
}

#[test]
fn what_the_storage_keeps_in_store_is_counted() {
    let buffer = Fixed::with_capacity(8 * SEGMENT).unwrap();
    let storage = Arc::new(Cached::new(Counting::new(buffer)));
    let mut heap = Heap::builder()
        .storage(Arc::clone(&storage))
        .segment_size(SEGMENT)
        .retain(Retain::Bytes(0))
        .build()
        .unwrap();
    while heap.figures().segments < 5 {
        heap.allocate(10 * PAGE);
    }
    heap.reset();
    assert_eq!(storage.cached_bytes(), 4 * SEGMENT);
    assert_eq!(
        heap.collect(),
        Collected::default(),
        "that is the heap's own"
    );
    assert_eq!(heap.trim(), discarded(4 * SEGMENT));
    assert_eq!(storage.inner().counts().live_bytes, SEGMENT);
    assert_eq!(storage.trim(), 0);
}

#[test]
#[cfg(unix)]
fn mappings_are_zero_where_they_were_discarded() {
    use emalloc::storage::MmapAnon;

    let heap = Heap::builder()
        .storage(MmapAnon)
        .segment_size(SEGMENT)
        .build()
        .unwrap();
    let block = heap.allocate(20 * PAGE);
    // SAFETY: alive.
    unsafe { block.write_bytes(7, 20 * PAGE) };
    // SAFETY: alive, used no more.
    unsafe { heap.free(block) };
    let free = heap.figures().free_pages;
    let unit = MmapAnon.capabilities().granularity;
    let trimmed = heap.trim().discarded;
    assert!(trimmed <= free && trimmed + 2 * unit > free);
    let again = heap.allocate(20 * PAGE);
    assert_eq!(again, block);
    // In the middle, away from edges that a larger unit leaves alone.
    // SAFETY: alive.
    assert!(unit > 8 * PAGE || unsafe { again.add(10 * PAGE).read() } == 0);
}
