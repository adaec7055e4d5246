//! `collect` finds every small run without a block in use, wherever it lies.

use emalloc::heap::Heap;
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
