//! `collect` finds every small run without a block in use, wherever it lies.

use emalloc::heap::{Figures, Heap};
use emalloc::layout::PAGE;

#[test]
fn a_run_behind_a_free_page_behind_a_run_is_found() {
    let heap = Heap::new().unwrap();
    let run = heap.allocate(1024);
    let page = heap.allocate(PAGE);
    let other_run = heap.allocate(2048);
    let last = heap.allocate(PAGE);
    for (at, block) in [run, page, other_run, last].into_iter().enumerate() {
        let expected = run.addr().get() + at * PAGE;
        assert_eq!(block.addr().get() / PAGE, expected / PAGE);
    }
    for block in [page, run, other_run] {
        // SAFETY: alive, of this heap, used no more.
        unsafe { heap.free(block) };
    }
    assert_eq!(heap.collect().pages, 2 * PAGE);
    heap.check().unwrap();
    // SAFETY: as above.
    unsafe { heap.free(last) };
}

#[test]
fn a_heap_that_is_mostly_scattered_collects_before_it_grows() {
    let heap = Heap::new().unwrap();
    let size = 64;
    let blocks: Vec<_> = (0..(3 << 20) / size).map(|_| heap.allocate(size)).collect();
    // Nearly all of it is free, but in the lists of one class.
    for &block in &blocks[100..] {
        // SAFETY: alive, of this heap, used no more.
        unsafe { heap.free(block) };
    }
    let held = heap.real_usage();
    for _ in 0..(2 << 20) / PAGE {
        heap.allocate(PAGE);
    }
    heap.check().unwrap();
    assert!(heap.real_usage() <= held + heap.segment_size());
}

/// A large heap in which blocks of `size` bytes were freed that fill about `free` bytes of runs.
fn scattered(size: usize, free: usize) -> Heap {
    let heap = Heap::new().unwrap();
    // So much is used that the heap is too large to be collected.
    for _ in 0..(9 << 20) / PAGE {
        heap.allocate(PAGE);
    }
    let blocks: Vec<_> = (0..free / size).map(|_| heap.allocate(size)).collect();
    for (at, &block) in blocks.iter().enumerate() {
        // One that stays here and there.
        if at % 100 != 50 {
            // SAFETY: alive, of this heap, used no more.
            unsafe { heap.free(block) };
        }
    }
    heap
}

#[test]
fn a_large_heap_finds_what_is_free_before_it_grows() {
    for size in [128, 384, 640, 1024, 3072] {
        let heap = scattered(size, 2 << 20);
        let held = heap.real_usage();
        let before = heap.figures();
        for _ in 0..(1 << 20) / PAGE {
            heap.allocate(PAGE);
        }
        heap.check().unwrap();
        let (after, most) = (heap.figures(), held + heap.segment_size());
        assert!(heap.real_usage() <= most, "{size}");
        let live = |figures: &Figures| figures.classes.map(|class| class.live);
        assert_eq!(live(&before), live(&after));
        // What stayed on the list is handed out, each block once.
        let class = after.classes.iter().find(|class| class.block_size == size);
        let class = class.unwrap();
        let rest = class.blocks - class.live;
        let mut blocks: Vec<_> = (0..rest).map(|_| heap.allocate(size)).collect();
        blocks.sort();
        blocks.dedup();
        assert_eq!(blocks.len(), rest);
        heap.check().unwrap();
    }
}
