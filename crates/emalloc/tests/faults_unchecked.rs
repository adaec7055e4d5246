//! Wrong pointers outside checked mode: those are found that cost nothing to find. And which addresses are a heap's.
//! (In checked mode: `faults.rs`.)

#[path = "common/pointers.rs"]
mod pointers;

use std::alloc::Layout;
use std::ptr;

use emalloc::heap::{FaultKind, Heap, PageUse};
use emalloc::layout::PAGE;
use emalloc::storage::{Cached, MALLOC, Malloc};
use pointers::{
    HUGE, SEGMENT, assert_found, at, heap, not_a_block, page_of, plus, run_of, segment_of,
};

#[test]
fn without_checked_mode() {
    let heap = heap(false);
    // Another heap's, by the owner in the segment.
    let other = pointers::heap(false);
    for size in [0, 40, 3000, PAGE, 5 * PAGE, HUGE] {
        assert_found(&heap, other.allocate(size), FaultKind::Foreign);
    }
    let pinned = other.allocate_layout(Layout::from_size_align(40, 2 * SEGMENT).unwrap());
    assert_found(&heap, pinned, FaultKind::Foreign);
    // Pages that hold no block, by the page map.
    let large = heap.allocate(3 * PAGE);
    let header = segment_of(large);
    assert_found(&heap, at(header + 64), not_a_block(0, PageUse::Header));
    assert_found(
        &heap,
        plus(large, PAGE),
        not_a_block(page_of(large) + 1, PageUse::Large),
    );
    assert_found(
        &heap,
        plus(large, 8),
        not_a_block(page_of(large), PageUse::Large),
    );
    let reserve = run_of(&heap, PageUse::Reserve);
    assert_found(
        &heap,
        reserve,
        not_a_block(page_of(reserve), PageUse::Reserve),
    );
    let free = run_of(&heap, PageUse::Free);
    assert_found(&heap, free, not_a_block(page_of(free), PageUse::Free));
    assert_found(
        &heap,
        at(header + SEGMENT),
        not_a_block(SEGMENT / PAGE, PageUse::Header),
    );
    // SAFETY: just allocated.
    unsafe { heap.free(large) };
    assert_found(&heap, large, not_a_block(page_of(large), PageUse::Free));
    let huge = heap.allocate(HUGE);
    assert_found(
        &heap,
        plus(huge, PAGE),
        not_a_block(page_of(huge) + 1, PageUse::Huge),
    );
    // Small ones freed twice in a row, by the head of the list.
    for size in [8, 40, 3000] {
        let layout = Layout::from_size_align(size, 8).unwrap();
        let block = heap.allocate(size);
        // SAFETY: freed once, then found at the head of its list.
        unsafe {
            heap.free(block);
            let fault = heap.try_free(block).unwrap_err();
            assert!(matches!(fault.kind, FaultKind::DoubleFree { .. }));
            assert_eq!(heap.try_free_sized(block, layout), Err(fault));
        }
        heap.check().unwrap();
    }
    // Where it does not cost the fast path anything: when a pointer is looked at.
    let block = heap.allocate(40);
    let misaligned = FaultKind::Misaligned {
        block_size: 40,
        offset: 16,
    };
    // SAFETY: the segment is one of the heap's.
    unsafe {
        assert_eq!(
            heap.usable_size(plus(block, 16)).unwrap_err().kind,
            misaligned
        );
    }
    heap.check().unwrap();
}

/// What a heap gives back to its storage stays where it is, for the next one.
fn heap_over(kept: &'static Cached<Malloc>) -> Heap {
    Heap::builder()
        .storage(kept)
        .segment_size(SEGMENT)
        .build()
        .unwrap()
}

#[test]
fn a_huge_block_freed_twice_is_found_where_its_memory_is_kept() {
    static KEPT: Cached<Malloc> = Cached::new(MALLOC);
    let heap = heap_over(&KEPT);
    let block = heap.allocate(HUGE);
    // SAFETY: freed once; then its memory is kept, so that there is something to look at.
    unsafe {
        heap.free(block);
        for _ in 0..2 {
            let fault = heap.try_free(block).unwrap_err();
            assert_eq!(fault.kind, FaultKind::Foreign);
            assert!(heap.try_resize(block, 2 * HUGE).is_err());
            assert!(heap.usable_size(block).is_err());
        }
    }
    assert_eq!(heap.usage(), 0);
    heap.check().unwrap();
}

#[test]
fn a_block_of_a_heap_that_is_gone_is_none_of_one_in_its_place() {
    static KEPT: Cached<Malloc> = Cached::new(MALLOC);
    let heap = heap_over(&KEPT);
    let first = heap.allocate(40);
    // In a segment after the first, which the next heap does not take back.
    let stale = (0..SEGMENT / PAGE)
        .map(|_| heap.allocate(PAGE))
        .find(|&block| segment_of(block) != segment_of(first))
        .unwrap();
    drop(heap);
    let heap = heap_over(&KEPT);
    let same_place = segment_of(heap.allocate(40)) == segment_of(first);
    // SAFETY: its memory is kept, so that there is something to look at.
    let freed = unsafe { heap.try_free(stale) };
    assert!(same_place);
    assert_eq!(freed.unwrap_err().kind, FaultKind::Foreign);
    heap.check().unwrap();
}

#[test]
fn any_address_may_be_asked_about() {
    let heap = heap(false);
    let small = heap.allocate(40);
    let huge = heap.allocate(HUGE);
    let pinned = heap.allocate_layout(Layout::from_size_align(40, 2 * SEGMENT).unwrap());
    let segment = segment_of(small);
    for address in [
        segment,
        segment + 1,
        small.addr().get(),
        segment + SEGMENT - 1,
        huge.addr().get(),
        huge.addr().get() + HUGE - 1,
        pinned.addr().get(),
    ] {
        assert!(
            heap.owns(ptr::without_provenance(address)),
            "{address:#x} in {segment:#x}"
        );
    }
    let local = 0u8;
    for address in [0, 1, SEGMENT, usize::MAX, ptr::from_ref(&local).addr()] {
        assert!(!heap.owns(ptr::without_provenance(address)), "{address:#x}");
    }
}

#[test]
fn a_segment_ends_where_it_ends() {
    // Side by side in one buffer, so that nothing of the heap lies behind its last segment.
    let fixed = emalloc::storage::Fixed::with_capacity(8 * SEGMENT).unwrap();
    let heap = Heap::builder()
        .storage(fixed)
        .segment_size(SEGMENT)
        .build()
        .unwrap();
    let segment = segment_of(heap.allocate(40));
    assert!(heap.owns(ptr::without_provenance(segment + SEGMENT - 1)));
    assert!(!heap.owns(ptr::without_provenance(segment + SEGMENT)));
    assert!(!heap.owns(ptr::without_provenance(segment - 1)));
}
