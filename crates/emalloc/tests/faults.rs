//! Wrong pointers in checked mode: every one is found and named rightly, and changes nothing. (Outside it:
//! `faults_unchecked.rs`.)

#[path = "common/pointers.rs"]
mod pointers;

use std::alloc::Layout;
use std::ptr::{self, NonNull};

use emalloc::heap::{Fault, FaultKind, Handler, Heap, Item, PageUse, Site};
use emalloc::layout::PAGE;
use emalloc::storage::Malloc;
use pointers::{
    HUGE, SEGMENT, assert_found, at, heap, not_a_block, page_of, plus, run_of, segment_of,
};

static STATIC: u64 = 0;

#[test]
fn pointers_from_elsewhere() {
    let heap = heap(true);
    for other in [pointers::heap(true), pointers::heap(false)] {
        for size in [0, 40, 3000, PAGE, 5 * PAGE, HUGE] {
            assert_found(&heap, other.allocate(size), FaultKind::Foreign);
        }
    }
    let local = 0u64;
    let boxed = Box::new(0u64);
    let addresses = [
        ptr::from_ref(&local).addr(),
        ptr::from_ref(&STATIC).addr(),
        ptr::from_ref(&*boxed).addr(),
    ];
    for address in addresses {
        assert_found(&heap, at(address), FaultKind::Foreign);
    }
    // Not mapped, most of them.
    for address in [
        1,
        8,
        PAGE,
        SEGMENT,
        SEGMENT + 8,
        usize::MAX / 2,
        usize::MAX - SEGMENT,
        usize::MAX,
    ] {
        assert_found(&heap, at(address), FaultKind::Foreign);
    }
}

#[test]
fn inside_of_blocks() {
    let heap = heap(true);
    for (size, block_size) in [(8, 8), (40, 40), (1000, 1024), (2560, 2560)] {
        let first = heap.allocate(size);
        let block = heap.allocate(size);
        for offset in [1, 4, 7, block_size / 2, block_size - 1] {
            let misaligned = FaultKind::Misaligned { block_size, offset };
            assert_found(&heap, plus(first, offset), misaligned);
            assert_found(&heap, plus(block, offset), misaligned);
        }
    }
    let large = heap.allocate(3 * PAGE);
    for offset in [1, 8, PAGE - 1, PAGE, PAGE + 8, 3 * PAGE - 1] {
        let pointer = plus(large, offset);
        assert_found(
            &heap,
            pointer,
            not_a_block(page_of(pointer), PageUse::Large),
        );
    }
    let huge = heap.allocate(HUGE);
    for offset in [1, 8, PAGE, 5 * PAGE + 1] {
        let pointer = plus(huge, offset);
        assert_found(&heap, pointer, not_a_block(page_of(pointer), PageUse::Huge));
    }
    // Further in than a segment is long.
    let offset = HUGE - PAGE;
    let page = page_of(huge) + offset / PAGE;
    assert_found(&heap, plus(huge, offset), not_a_block(page, PageUse::Huge));
}

#[test]
fn the_tail_of_a_run_holds_no_block() {
    let heap = heap(true);
    // A page holds 170 blocks of 24 bytes, and 16 bytes are left over.
    let block = heap.allocate(24);
    let run = at(block.addr().get() & !(PAGE - 1));
    for offset in [170 * 24, 170 * 24 + 8, PAGE - 1] {
        assert_found(
            &heap,
            plus(run, offset),
            not_a_block(page_of(run), PageUse::Small),
        );
    }
}

#[test]
fn what_is_no_block_at_all() {
    let heap = heap(true);
    let block = heap.allocate(PAGE);
    let header = segment_of(block);
    for offset in [0, 1, 8, 64, 100, 200, PAGE - 1] {
        assert_found(&heap, at(header + offset), not_a_block(0, PageUse::Header));
    }
    let free = run_of(&heap, PageUse::Free);
    for pointer in [free, plus(free, 8), plus(free, PAGE)] {
        assert_found(&heap, pointer, not_a_block(page_of(pointer), PageUse::Free));
    }
    let reserve = run_of(&heap, PageUse::Reserve);
    for pointer in [reserve, plus(reserve, 16), plus(reserve, PAGE)] {
        assert_found(
            &heap,
            pointer,
            not_a_block(page_of(pointer), PageUse::Reserve),
        );
    }
    // The end belongs to the page map as if it were a page: no block begins there.
    let end = at(header + SEGMENT);
    assert_found(&heap, end, not_a_block(SEGMENT / PAGE, PageUse::Header));
    let huge = heap.allocate_layout(Layout::from_size_align(10, 4 * SEGMENT).unwrap());
    for offset in [PAGE, SEGMENT / 2, SEGMENT - 1] {
        let pointer = at(huge.addr().get() - offset);
        assert_found(
            &heap,
            pointer,
            not_a_block((SEGMENT - offset) / PAGE, PageUse::Header),
        );
    }
}

#[test]
fn blocks_never_handed_out() {
    let heap = heap(true);
    for block_size in [8, 104, 1024, 2560] {
        let block = heap.allocate(block_size);
        let next = plus(block, block_size);
        let far = at(run_end(&heap, block) - block_size);
        for pointer in [next, far] {
            assert_found(&heap, pointer, FaultKind::DoubleFree { block_size });
        }
    }
}

/// Where the blocks of a small block's run end.
fn run_end(heap: &Heap, block: NonNull<u8>) -> usize {
    let mut end = 0;
    heap.walk(&mut |item| match item {
        Item::Run {
            address,
            size,
            block_size,
            blocks,
            ..
        } if (address..address + size).contains(&block.addr().get()) => {
            end = address + block_size * blocks;
        }
        _ => {}
    });
    end
}

#[test]
fn freed_twice() {
    let heap = heap(true);
    let blocks: Vec<_> = (0..10).map(|_| heap.allocate(40)).collect();
    for block in &blocks {
        // SAFETY: allocated above, freed once.
        unsafe { heap.free(*block) };
    }
    // The head of its list, and others.
    for block in blocks.iter().rev() {
        assert_found(&heap, *block, FaultKind::DoubleFree { block_size: 40 });
    }
    let large = heap.allocate(2 * PAGE);
    let page = page_of(large);
    // SAFETY: just allocated.
    unsafe { heap.free(large) };
    assert_found(&heap, large, not_a_block(page, PageUse::Free));
    // Its page has become something else.
    let small = heap.allocate(8);
    assert_eq!(small.addr(), large.addr());
    heap.allocate(8);
    // SAFETY: just allocated.
    unsafe { heap.free(small) };
    assert_found(&heap, large, FaultKind::DoubleFree { block_size: 8 });

    let huge = heap.allocate(HUGE);
    // SAFETY: just allocated.
    unsafe { heap.free(huge) };
    assert_found(&heap, huge, FaultKind::Foreign);
}

#[test]
fn freed_with_its_segment() {
    let mut heap = heap(true);
    let mut blocks = Vec::new();
    while heap.figures().segments < 3 {
        blocks.push(heap.allocate(1000));
    }
    let last = *blocks.last().unwrap();
    for block in blocks {
        // SAFETY: allocated above, freed once.
        unsafe { heap.free(block) };
    }
    assert_found(&heap, last, FaultKind::DoubleFree { block_size: 1024 });
    heap.collect();
    assert_found(&heap, last, FaultKind::Foreign);

    let block = heap.allocate(1000);
    heap.reset();
    assert_found(&heap, block, not_a_block(page_of(block), PageUse::Free));
}

#[test]
fn a_size_it_does_not_have() {
    let heap = heap(true);
    for (size, usable, fitting, wrong) in [
        (
            40,
            40,
            vec![33, 40],
            vec![0, 8, 32, 41, 5000, HUGE, usize::MAX / 4],
        ),
        (1000, 1024, vec![897, 1000, 1024], vec![896, 1025, 5000]),
        (5000, 8192, vec![5000, 8192], vec![8, 3072, 8193, HUGE]),
    ] {
        for named in wrong {
            let block = heap.allocate(size);
            let fault = Fault {
                address: block.addr().get(),
                kind: FaultKind::WrongSize {
                    named,
                    block_size: usable,
                },
            };
            let layout = Layout::from_size_align(named, 8).unwrap();
            let before = heap.usage();
            // SAFETY: a checked heap takes any size.
            unsafe {
                assert_eq!(heap.try_free_sized(block, layout), Err(fault));
                assert_eq!(heap.usable_size(block), Ok(usable));
            }
            assert_eq!(heap.usage(), before);
        }
        for named in fitting {
            let layout = Layout::from_size_align(named, 8).unwrap();
            // SAFETY: just allocated, with that size or one of the same block.
            unsafe { assert_eq!(heap.try_free_sized(heap.allocate(size), layout), Ok(())) };
        }
        heap.check().unwrap();
    }
    let huge = heap.allocate(HUGE);
    let named = HUGE + SEGMENT;
    let layout = Layout::from_size_align(named, 8).unwrap();
    // SAFETY: a checked heap takes any size.
    let fault = unsafe { heap.try_free_sized(huge, layout) }.unwrap_err();
    assert!(matches!(fault.kind, FaultKind::WrongSize { named: said, .. } if said == named));
    heap.check().unwrap();
}

/// Looks away.
struct Quiet;

impl Handler for Quiet {
    fn fault(&self, _heap: &Heap, _fault: &Fault, _at: Site<'_>) {}
}

#[test]
fn a_handler_may_let_it_pass() {
    let heap = Heap::builder()
        .storage(Malloc)
        .checked(true)
        .handler(Quiet)
        .build()
        .unwrap();
    let block = heap.allocate(40);
    let inside = plus(block, 8);
    // SAFETY: a checked heap takes any pointer.
    unsafe {
        heap.free(inside);
        heap.free_sized(inside, Layout::new::<u64>());
        assert_eq!(heap.resize(inside, 100), inside, "answered as it was");
        assert_eq!(heap.usable_size(block), Ok(40));
        heap.free(block);
        heap.free(block);
    }
    assert_eq!(heap.usage(), 0);
    heap.check().unwrap();
}
