//! Large blocks of few pages that were freed last: the next ones of their lengths get their pages, and everybody else finds them
//! free.

use std::ptr::NonNull;

use emalloc::heap::{Debug, FaultKind, Heap, Item, LeakFormat, Limit, PageUse};
use emalloc::storage::Fixed;

const PAGE: usize = 4096;
const SEGMENT: usize = 256 << 10;

fn free(heap: &Heap, block: NonNull<u8>) {
    // SAFETY: tests give blocks that are alive and used no more, or such that nothing is done with.
    unsafe { heap.free(block) }
}

fn heap() -> Heap {
    Heap::builder()
        .segment_size(SEGMENT)
        .keep_buffer(true)
        .build()
        .unwrap()
}

/// A heap that is large from the beginning and has one free run, a long one. Spare runs may come to 48 pages.
fn large() -> Heap {
    large_that_keeps(false)
}

fn large_that_keeps(buffer: bool) -> Heap {
    let heap = Heap::builder()
        .segment_size(2 * SEGMENT)
        .keep_buffer(buffer)
        .large_from(0)
        .build()
        .unwrap();
    while heap.figures().segments < 3 {
        heap.allocate(heap.figures().longest_free_run);
        heap.allocate(PAGE);
    }
    let figures = heap.figures();
    assert_eq!(figures.free_pages, figures.longest_free_run);
    assert_eq!(heap.real_usage() / 8, 48 * PAGE);
    heap
}

#[test]
fn a_block_as_long_as_the_one_freed_last_is_that_one() {
    let heap = heap();
    let blocks = [heap.allocate(4 * PAGE), heap.allocate(4 * PAGE)];
    let usage = heap.usage();
    free(&heap, blocks[0]);
    assert_eq!(heap.usage(), usage - 4 * PAGE);
    // Of another length, or freed before it: not.
    assert_ne!(heap.allocate(3 * PAGE), blocks[0]);
    assert_eq!(heap.allocate(4 * PAGE - 100), blocks[0]);
    assert_eq!(heap.usage(), usage + 3 * PAGE);
    assert_eq!(heap.peak(), heap.usage());
    assert_eq!(heap.check(), Ok(()));
    free(&heap, blocks[0]);
    free(&heap, blocks[1]);
    assert_eq!(heap.allocate(4 * PAGE), blocks[1]);
    assert_eq!(heap.check(), Ok(()));
}

#[test]
fn in_a_large_heap_there_are_many_of_each_length() {
    let heap = large();
    // Side by side, so that they would join.
    let blocks = [4, 4, 1, 1, 16, 16].map(|pages| heap.allocate(pages * PAGE));
    let _other = heap.allocate(PAGE);
    for block in blocks {
        free(&heap, block);
    }
    for number in [5, 1, 3, 2, 0, 4] {
        let pages = [4, 4, 1, 1, 16, 16][number];
        assert_eq!(heap.allocate(pages * PAGE), blocks[number], "{number}");
        free(&heap, blocks[number]);
        assert_eq!(heap.allocate(pages * PAGE - 7), blocks[number], "{number}");
    }
    for block in blocks {
        free(&heap, block);
    }
    // Who looks at everything finds them sound, and joined afterwards.
    assert_eq!(heap.check(), Ok(()));
    assert_eq!(heap.allocate(42 * PAGE), blocks[0]);
}

#[test]
fn a_reserve_is_closed_out_of_what_is_spare() {
    let heap = heap();
    heap.open_reserve();
    // The reserve has two pages, and nothing else is free but a block's.
    let block = heap.allocate(2 * PAGE);
    let _rest = heap.allocate(heap.figures().longest_free_run);
    assert_eq!(heap.figures().free_pages, 0);
    free(&heap, block);
    assert!(heap.close_reserve());
    assert_eq!(heap.check(), Ok(()));
    assert_ne!(heap.allocate(2 * PAGE), block);
}

#[test]
fn in_a_large_heap_that_keeps_a_buffer_there_is_one() {
    for buffer in [false, true] {
        let heap = large_that_keeps(buffer);
        // The first two side by side.
        let blocks = [4, 4, 1, 5, 1].map(|pages| heap.allocate(pages * PAGE));
        for freed in [0, 1, 3] {
            free(&heap, blocks[freed]);
        }
        // Out of the two, which are joined; or out of the spare run freed last that is long enough.
        let expected = if buffer { blocks[0] } else { blocks[1] };
        assert_eq!(heap.allocate(2 * PAGE), expected, "{buffer}");
        assert_eq!(heap.check(), Ok(()));
    }
}

#[test]
fn in_a_large_heap_they_are_a_part_of_what_it_holds() {
    let heap = large();
    let most = heap.real_usage() / 8 / (4 * PAGE);
    // One that is beyond that is kept alone: the others have joined, and are taken from the beginning.
    for beyond in 0..2 {
        let count = most + beyond;
        let blocks: Vec<_> = (0..count).map(|_| heap.allocate(4 * PAGE)).collect();
        let other = heap.allocate(PAGE);
        for &block in &blocks {
            free(&heap, block);
        }
        assert_eq!(heap.allocate(4 * PAGE), blocks[count - 1]);
        assert_eq!(
            heap.allocate(4 * PAGE),
            blocks[if beyond == 0 { count - 2 } else { 0 }]
        );
        assert_eq!(heap.check(), Ok(()));
        free(&heap, other);
        free(&heap, blocks[count - 1]);
        free(&heap, blocks[if beyond == 0 { count - 2 } else { 0 }]);
        heap.collect();
    }
}

#[test]
fn in_a_large_heap_they_are_used_before_a_long_run_is_cut() {
    let heap = large();
    let blocks = [4, 6, 3, 3].map(|pages| heap.allocate(pages * PAGE));
    let other = heap.allocate(PAGE);
    for block in blocks {
        free(&heap, block);
    }
    // Of the shortest one that is long enough; what is left of it is free, and joins nothing yet.
    assert_eq!(heap.allocate(5 * PAGE), blocks[1]);
    assert_eq!(
        heap.allocate(PAGE),
        blocks[1].map_addr(|at| at.saturating_add(5 * PAGE))
    );
    // None is long enough; two together are.
    assert_eq!(heap.allocate(6 * PAGE), blocks[2]);
    assert_eq!(heap.check(), Ok(()));
    assert!(heap.allocate(5 * PAGE) > other);
}

#[test]
fn in_a_large_heap_a_small_run_may_be_cut_from_one() {
    let heap = large();
    let [block, _other] = [(); 2].map(|()| heap.allocate(16 * PAGE));
    free(&heap, block);
    let small = heap.allocate(3072);
    assert_eq!(small, block);
    assert_eq!(heap.check(), Ok(()));
}

#[test]
fn in_a_large_heap_nothing_is_refused_for_them() {
    let heap = Heap::builder()
        .segment_size(SEGMENT)
        .large_from(0)
        .limit(Limit::Bytes(4 * SEGMENT))
        .build()
        .unwrap();
    for pages in 1..=16 {
        let mut blocks = Vec::new();
        while let Ok(block) = heap.try_allocate(pages * PAGE) {
            blocks.push(block);
        }
        assert_eq!(heap.real_usage(), 4 * SEGMENT);
        for &block in &blocks {
            free(&heap, block);
        }
        assert_eq!((heap.usage(), heap.check()), (0, Ok(())));
        // As long as one can be, and of all lengths.
        let long = heap.try_allocate(50 * PAGE).unwrap();
        assert!(heap.has_room_for(50 * PAGE));
        free(&heap, long);
        heap.collect();
        assert_eq!(heap.figures().segments, 1);
    }
}

#[test]
fn its_pages_count_as_free_and_join_their_neighbours_when_they_are_needed() {
    let heap = heap();
    let all = heap.figures();
    let blocks = [(); 3].map(|()| heap.allocate(15 * PAGE));
    for block in blocks {
        free(&heap, block);
    }
    assert_eq!(heap.allocate(46 * PAGE), blocks[0]);
    free(&heap, blocks[0]);
    let figures = heap.figures();
    let free = |figures: &emalloc::heap::Figures| (figures.free_pages, figures.longest_free_run);
    assert_eq!(free(&figures), free(&all));
    assert!(heap.has_room_for(figures.longest_free_run));
    assert_eq!(heap.real_usage(), 256 << 10);
}

#[test]
fn one_of_another_length_takes_its_place() {
    let heap = heap();
    let longest = heap.figures().longest_free_run;
    let blocks = [3, 5, 2].map(|pages| heap.allocate(pages * PAGE));
    for block in blocks {
        free(&heap, block);
    }
    assert_eq!(heap.usage(), 0);
    // None is lost.
    assert_eq!(heap.figures().longest_free_run, longest);
    assert_eq!(heap.check(), Ok(()));
}

#[test]
fn a_block_grows_into_it() {
    for heap in [heap(), large()] {
        let [first, second, _third] = [(); 3].map(|()| heap.allocate(4 * PAGE));
        free(&heap, second);
        // SAFETY: it is alive, and the old pointer is used no more.
        assert_eq!(unsafe { heap.resize(first, 8 * PAGE) }, first);
        assert_eq!(heap.check(), Ok(()));
    }
}

#[test]
fn in_a_large_heap_a_block_grows_into_one_and_leaves_the_others() {
    // The one it grows into is the first of its list, between two, or the last.
    for grown in 0..3 {
        let heap = large();
        let pairs = [(); 3].map(|()| [(); 2].map(|()| heap.allocate(4 * PAGE)));
        let _other = heap.allocate(PAGE);
        for [_, second] in pairs {
            free(&heap, second);
        }
        let [first, second] = pairs[grown];
        // SAFETY: it is alive, and the old pointer is used no more.
        assert_eq!(unsafe { heap.resize(first, 7 * PAGE) }, first);
        let others = pairs.map(|[_, second]| second).into_iter().rev();
        for other in others.filter(|&other| other != second) {
            assert_eq!(heap.allocate(4 * PAGE), other);
        }
        assert_eq!(heap.check(), Ok(()));
    }
}

#[test]
fn it_holds_no_segment() {
    let heap = heap();
    let long = [(); 2].map(|()| heap.allocate(50 * PAGE));
    let short = [(); 2].map(|()| heap.allocate(4 * PAGE));
    assert_eq!(heap.figures().segments, 2);
    for block in [short[0], short[1], long[0], long[1]] {
        free(&heap, block);
    }
    heap.collect();
    assert_eq!((heap.figures().segments, heap.check()), (1, Ok(())));
    // Last in the segment when it is freed, or another block after it.
    for last in 0..2 {
        let long = [(); 2].map(|()| heap.allocate(50 * PAGE));
        free(&heap, long[0]);
        let short = heap.allocate(4 * PAGE);
        let pair = [short, long[1]];
        free(&heap, pair[last]);
        free(&heap, pair[1 - last]);
        assert_eq!((heap.usage(), heap.check()), (0, Ok(())));
        heap.collect();
        assert_eq!(heap.figures().segments, 1);
    }
}

#[test]
fn freed_twice_it_is_a_fault() {
    let heap = heap();
    let [block, _other] = [(); 2].map(|()| heap.allocate(4 * PAGE));
    free(&heap, block);
    // SAFETY: nothing is done with it.
    let fault = unsafe { heap.try_free(block) }.unwrap_err();
    let holds = PageUse::Free;
    assert!(matches!(fault.kind, FaultKind::NotABlock { holds: found, .. } if found == holds));
    assert_eq!(heap.allocate(4 * PAGE), block);
    assert_eq!(heap.check(), Ok(()));
}

#[test]
fn a_walk_and_a_reset_find_none() {
    let mut heap = heap();
    let [block, _other] = [(); 2].map(|()| heap.allocate(4 * PAGE));
    free(&heap, block);
    let mut blocks = 0;
    heap.walk(&mut |item| blocks += usize::from(matches!(item, Item::Block { .. })));
    assert_eq!(blocks, 1);
    let block = heap.allocate(4 * PAGE);
    free(&heap, block);
    heap.reset();
    assert_eq!(heap.usage(), 0);
    assert_eq!(heap.check(), Ok(()));
}

#[test]
fn in_debug_mode_its_other_pages_are_no_block_either() {
    let debug = Debug::new().quarantine(0).leaks(LeakFormat::Silent);
    let heap = Heap::builder().keep_buffer(true).debug(debug).build();
    let heap = heap.unwrap();
    let blocks = [heap.allocate(5 * PAGE), heap.allocate(5 * PAGE)];
    free(&heap, blocks[0]);
    let inside = blocks[0].map_addr(|address| address.saturating_add(2 * PAGE));
    // SAFETY: in debug mode any pointer may be given.
    let fault = unsafe { heap.try_free(inside) }.unwrap_err();
    assert!(matches!(fault.kind, FaultKind::NotABlock { .. }), "{fault}");
    assert_eq!(heap.check_blocks(), 0);
}

/// Of two blocks in the second segment the one of `pages` pages is a spare run; and the other one.
fn beside(pages: usize) -> (Heap, NonNull<u8>) {
    let heap = Heap::builder()
        .storage(Fixed::with_capacity(8 * SEGMENT).unwrap())
        .segment_size(SEGMENT)
        .keep_buffer(true)
        .build()
        .unwrap();
    heap.allocate(heap.figures().longest_free_run);
    let [spare, other] = [pages, 40].map(|pages| heap.allocate(pages * PAGE));
    assert_eq!(heap.figures().segments, 2);
    // What joins the free run at the end is none.
    let last = heap.allocate(PAGE);
    free(&heap, spare);
    free(&heap, last);
    (heap, other)
}

#[test]
fn the_segment_is_empty_when_the_last_block_beside_it_goes() {
    for pages in [4, 12] {
        let (heap, other) = beside(pages);
        free(&heap, other);
        assert_eq!(heap.check(), Ok(()));
        heap.collect();
        assert_eq!(heap.figures().segments, 1);
    }
}

#[test]
fn a_block_beside_it_outgrows_the_segment_nevertheless() {
    let (heap, other) = beside(4);
    // SAFETY: it is alive, and the old pointer is used no more.
    assert_eq!(unsafe { heap.resize(other, 2 * SEGMENT) }, other);
    assert_eq!(heap.check(), Ok(()));
    assert_eq!(
        (heap.figures().segments, heap.figures().huge_blocks),
        (1, 1)
    );
}
