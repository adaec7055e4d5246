//! The large block of few pages that was freed last: the next one of its length gets its pages, and everybody else finds them
//! free.

use std::ptr::NonNull;

use emalloc::heap::{Debug, FaultKind, Heap, Item, LeakFormat, PageUse};

const PAGE: usize = 4096;

fn free(heap: &Heap, block: NonNull<u8>) {
    // SAFETY: tests give blocks that are alive and used no more, or such that nothing is done with.
    unsafe { heap.free(block) }
}

fn heap() -> Heap {
    Heap::builder()
        .segment_size(256 << 10)
        .keep_buffer(true)
        .build()
        .unwrap()
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
    let heap = heap();
    let [first, second, _third] = [(); 3].map(|()| heap.allocate(4 * PAGE));
    free(&heap, second);
    // SAFETY: it is alive, and the old pointer is used no more.
    assert_eq!(unsafe { heap.resize(first, 8 * PAGE) }, first);
    assert_eq!(heap.check(), Ok(()));
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
