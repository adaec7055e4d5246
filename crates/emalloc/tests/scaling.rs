//! What a request costs does not grow with the heap. Nothing of the blocks is touched, so that large heaps cost
//! address space and no memory. Times on a busy machine jump, so a bound must be broken several times in a row.
//! The check scripts leave out what is called `cost_of_...` where programs are emulated or instrumented.
#![cfg(all(unix, target_pointer_width = "64"))]

use std::ptr::NonNull;
use std::time::{Duration, Instant};

use emalloc::heap::Heap;
use emalloc::layout::PAGE;
use emalloc::storage::MmapAnon;

const SMALL: usize = 64 << 20;
const LARGE: usize = 512 << 20;

fn heap(segment_size: usize) -> Heap {
    Heap::builder()
        .storage(MmapAnon)
        .segment_size(segment_size)
        .reserve(0)
        .build()
        .unwrap()
}

/// A heap of about `bytes`, full but for runs of `free` pages, each between single pages in use.
fn fragmented(segment_size: usize, bytes: usize, free: usize) -> Heap {
    let heap = heap(segment_size);
    let mut gaps = Vec::new();
    while heap.real_usage() < bytes {
        let gap = heap.allocate(free * PAGE);
        gaps.push(gap);
        let behind = gap.addr().get() + free * PAGE;
        // Its neighbour; before that go what pages are left over elsewhere.
        while !behind.is_multiple_of(segment_size) && heap.allocate(PAGE).addr().get() != behind {}
    }
    while heap.figures().free_pages > 0 {
        heap.allocate(PAGE);
    }
    for gap in gaps {
        // SAFETY: allocated above, freed once.
        unsafe { heap.free(gap) };
    }
    heap
}

/// The shortest of several times that `work` takes.
fn time(mut work: impl FnMut()) -> Duration {
    let once = |_| {
        let start = Instant::now();
        work();
        start.elapsed()
    };
    (0..7).map(once).min().unwrap()
}

/// The work costs at most `most` times as much in the large heap as in the small one, at one try at least.
#[track_caller]
fn assert_flat<H>(most: f64, small: &H, large: &H, work: impl Fn(&H)) {
    let mut worst = Vec::new();
    for _ in 0..5 {
        let (short, long) = (time(|| work(small)), time(|| work(large)));
        let ratio = long.as_secs_f64() / short.as_secs_f64();
        if ratio <= most {
            return;
        }
        worst.push((ratio, short, long));
    }
    panic!("the large heap costs more: {worst:?}");
}

fn pairs(heap: &Heap, pages: usize, count: usize) {
    for _ in 0..count {
        let block = heap.allocate(pages * PAGE);
        // SAFETY: just allocated.
        unsafe { heap.free(block) };
    }
}

#[test]
fn cost_of_a_pair_where_free_runs_are_too_short() {
    let of = |bytes| fragmented(2 << 20, bytes, 63);
    assert_flat(2.0, &of(SMALL), &of(LARGE), |heap| pairs(heap, 64, 1000));
}

#[test]
fn cost_of_a_pair_where_free_runs_are_long_enough() {
    let of = |bytes| fragmented(2 << 20, bytes, 65);
    assert_flat(2.0, &of(SMALL), &of(LARGE), |heap| pairs(heap, 64, 1000));
}

#[test]
fn cost_of_a_pair_where_free_runs_share_a_list_but_are_too_short() {
    let of = |bytes| fragmented(1 << 20, bytes, 65);
    assert_flat(2.0, &of(SMALL), &of(LARGE), |heap| pairs(heap, 79, 1000));
}

#[test]
fn cost_of_a_new_segment_where_free_runs_share_a_list_but_are_too_short() {
    // Each block needs a segment of its own.
    let of = |bytes| fragmented(512 << 10, bytes, 65);
    assert_flat(2.0, &of(SMALL / 2), &of(4 * LARGE), |heap| {
        let blocks: Vec<_> = (0..20).map(|_| heap.allocate(79 * PAGE)).collect();
        for block in blocks {
            // SAFETY: allocated above, freed once.
            unsafe { heap.free(block) };
        }
    });
}

#[test]
fn cost_of_small_blocks_and_huge_ones_beside_thousands_of_segments() {
    let of = |segments| {
        let heap = heap(64 << 10);
        while heap.figures().segments < segments {
            heap.allocate(14 * PAGE);
        }
        heap
    };
    let (few, many) = (of(60), of(6000));
    assert_flat(2.0, &few, &many, |heap| pairs(heap, 100, 50));
    assert_flat(2.0, &few, &many, |heap| {
        let blocks: Vec<_> = (0..2000)
            .map(|number| heap.allocate(number % 500))
            .collect();
        for block in blocks {
            // SAFETY: allocated above, freed once.
            unsafe { heap.free(block) };
        }
    });
}

#[test]
fn cost_of_huge_blocks_at_regular_distances() {
    // 51 segments apart: a stride that once made the index a list.
    let of = |count: usize| {
        let heap = heap(256 << 10);
        let block = || heap.allocate((51 << 18) - 2 * PAGE);
        let blocks: Vec<_> = (0..count).map(|_| block()).collect();
        (heap, blocks)
    };
    // A tree of 2000 is twice as high as one of 40.
    let (few, many) = (of(40), of(2000));
    let look_up = |(heap, blocks): &(Heap, Vec<NonNull<u8>>)| {
        for number in 0..2000 {
            let block = blocks[number * 7 % blocks.len()];
            assert!(heap.owns(block.as_ptr()));
        }
    };
    assert_flat(5.0, &few, &many, look_up);
}

#[test]
fn cost_of_huge_blocks_in_a_heap_of_nothing_else() {
    // With no reserve in it, the first segment is empty all the time.
    let of = |count: usize| {
        let heap = Heap::builder()
            .segment_size(64 << 10)
            .reserve(0)
            .build()
            .unwrap();
        for _ in 0..count {
            heap.allocate(64 << 10);
        }
        heap
    };
    let (few, many) = (of(40), of(4000));
    assert_flat(2.0, &few, &many, |heap| {
        for _ in 0..200 {
            let block = heap.allocate(64 << 10);
            // SAFETY: just allocated.
            unsafe { heap.free(block) };
        }
    });
}
