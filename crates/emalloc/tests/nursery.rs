//! The first blocks of each small class lie side by side behind the header of the first segment, so a small heap
//! touches few pages; everything that looks at runs knows of it.

use std::collections::BTreeSet;
use std::mem::MaybeUninit;
use std::ptr::NonNull;

use emalloc::heap::{Fault, FaultKind, Heap, Item, PageUse};
use emalloc::layout::{GRAIN, PAGE};
use emalloc::storage::Fixed;

/// Where a block lies: its page.
fn page(block: NonNull<u8>) -> usize {
    block.addr().get() / PAGE
}

fn heap(segment_size: usize, checked: bool) -> Heap {
    Heap::builder()
        .segment_size(segment_size)
        .checked(checked)
        .build()
        .unwrap()
}

#[test]
fn classes_share_pages() {
    for (segment_size, checked) in [(256 << 10, false), (2 << 20, false), (2 << 20, true)] {
        let mut heap = heap(segment_size, checked);
        let free_pages = heap.figures().free_pages;
        let request = |heap: &Heap| {
            let blocks: Vec<_> = (1..=32).map(|n| heap.allocate(16 * n)).collect();
            let pages: BTreeSet<_> = blocks.iter().map(|&block| page(block)).collect();
            assert!(pages.len() <= 5, "{pages:?}");
            assert_eq!(heap.figures().free_pages, free_pages);
            heap.check().unwrap();
            blocks
        };
        let blocks = request(&heap);
        heap.reset();
        assert_eq!(request(&heap), blocks);
    }
}

/// How many pages of a heap's first segment, which was full of one byte, are touched by its making and 32 small blocks.
fn pages_touched(segment_size: usize) -> usize {
    const UNTOUCHED: u8 = 0x5A;
    let buffer =
        Box::into_raw(vec![MaybeUninit::new(UNTOUCHED); 2 * segment_size].into_boxed_slice());
    let heap = Heap::builder()
        // SAFETY: it is freed after the heap.
        .storage(Fixed::new(unsafe { &mut *buffer }))
        .segment_size(segment_size)
        .build()
        .unwrap();
    let blocks: Vec<_> = (1..=32).map(|n| (heap.allocate(16 * n), 16 * n)).collect();
    for (block, size) in &blocks {
        // SAFETY: alive and as long as that.
        unsafe { block.write_bytes(0, *size) };
    }
    let start = (blocks[0].0.addr().get() & !(segment_size - 1)) as *const u8;
    let touched = (0..segment_size / PAGE)
        .filter(|page| {
            (page * PAGE..(page + 1) * PAGE)
                // SAFETY: inside the segment, all of whose bytes were written.
                .any(|offset| unsafe { start.add(offset).read() } != UNTOUCHED)
        })
        .count();
    drop(heap);
    // SAFETY: it was a box, and nobody uses it any more.
    drop(unsafe { Box::from_raw(buffer) });
    touched
}

#[test]
fn a_heap_of_32_small_blocks_touches_few_pages() {
    assert!(pages_touched(256 << 10) <= 5);
    assert!(pages_touched(2 << 20) <= 7);
}

#[test]
fn a_class_has_one_short_run_and_then_runs_of_pages() {
    let heap = heap(256 << 10, false);
    let class = |heap: &Heap| {
        let figures = heap.figures();
        *figures.classes.iter().find(|c| c.block_size == 64).unwrap()
    };
    let mut blocks = vec![heap.allocate(64)];
    let short = class(&heap);
    assert_eq!((short.runs, short.live), (1, 1));
    assert_eq!(short.blocks, GRAIN / 64);
    while class(&heap).runs == 1 {
        blocks.push(heap.allocate(64));
    }
    assert_eq!(blocks.len(), short.blocks + 1);
    assert_eq!(class(&heap).blocks, short.blocks + PAGE / 64);
    heap.check().unwrap();
    // Collecting finds the run of pages, not the short one.
    for block in blocks {
        // SAFETY: alive, of this heap, used no more.
        unsafe { heap.free(block) };
    }
    assert_eq!(heap.collect().pages, PAGE);
    assert_eq!((class(&heap).runs, class(&heap).live), (1, 0));
    heap.check().unwrap();
    // Its blocks are handed out again.
    let again: BTreeSet<_> = (0..short.blocks).map(|_| heap.allocate(64)).collect();
    assert_eq!(again.len(), short.blocks);
    assert_eq!(class(&heap).runs, 1);
    heap.check().unwrap();
}

#[test]
fn a_walk_tells_of_short_runs() {
    for checked in [false, true] {
        let heap = heap(256 << 10, checked);
        let kept = [heap.allocate(24), heap.allocate(500), heap.allocate(24)];
        let freed = heap.allocate(24);
        // SAFETY: alive, of this heap, used no more.
        unsafe { heap.free(freed) };
        let (mut end, mut runs, mut blocks) = (None, Vec::new(), BTreeSet::new());
        heap.walk(&mut |item| match item {
            Item::Segment { address, .. } => end = Some(address),
            Item::Run {
                address,
                size,
                holds,
                block_size,
                blocks,
            } => {
                // Runs tile the segment.
                assert_eq!(end, Some(address));
                end = Some(address + size);
                if holds == PageUse::Small {
                    runs.push((size, block_size, blocks));
                }
            }
            Item::Block { address, .. } => assert!(blocks.insert(address)),
            _ => {}
        });
        assert_eq!(runs, [(GRAIN, 24, GRAIN / 24), (4 * GRAIN, 512, 4)]);
        let kept: BTreeSet<_> = kept.iter().map(|block| block.addr().get()).collect();
        assert_eq!(blocks, kept);
        heap.check().unwrap();
    }
}

#[test]
fn wrong_pointers_into_the_nursery() {
    for checked in [false, true] {
        let heap = heap(256 << 10, checked);
        let block = heap.allocate(24);
        let last = heap.allocate(500);
        let free = |address: usize| {
            let pointer = std::ptr::with_exposed_provenance_mut(address);
            // SAFETY: checked mode may be given any pointer; otherwise none of these is a block of a class.
            unsafe { heap.try_free(NonNull::new(pointer).unwrap()) }
        };
        let base = last.as_ptr().expose_provenance();
        // Behind the last short run nothing is handed out yet.
        let address = base + 4 * GRAIN;
        let Err(Fault {
            kind: FaultKind::NotABlock { holds, .. },
            ..
        }) = free(address)
        else {
            panic!("{address:#x} was freed")
        };
        assert_eq!(holds, PageUse::Header);
        if checked {
            let inside = block.as_ptr().expose_provenance() + 8;
            let misaligned = FaultKind::Misaligned {
                block_size: 24,
                offset: 8,
            };
            assert_eq!(free(inside).unwrap_err().kind, misaligned);
            // The rest of the first run makes no block.
            let kind = free(inside - 8 + GRAIN / 24 * 24).unwrap_err().kind;
            assert!(matches!(kind, FaultKind::NotABlock { .. }), "{kind:?}");
            // A neighbour that is not handed out.
            let kind = free(inside + 16).unwrap_err().kind;
            assert_eq!(kind, FaultKind::DoubleFree { block_size: 24 });
        }
        heap.check().unwrap();
    }
}

#[test]
fn a_small_segment_has_no_nursery() {
    let heap = heap(64 << 10, false);
    let blocks = [heap.allocate(24), heap.allocate(40)];
    assert_ne!(page(blocks[0]), page(blocks[1]));
    heap.check().unwrap();
}
