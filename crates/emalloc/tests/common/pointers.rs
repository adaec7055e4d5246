//! Pointers into a heap and beside it, and that a wrong one is found whatever it is handed in to.
#![allow(dead_code, reason = "each test file uses a part of it")]

#[path = "handlers.rs"]
mod handlers;

use std::alloc::Layout;
use std::ptr::{self, NonNull};

use emalloc::heap::{AllocError, Fault, FaultKind, Heap, Item, PageUse};
use emalloc::layout::PAGE;
use emalloc::storage::Malloc;
use handlers::{Telling, What, told};

pub const SEGMENT: usize = 64 << 10;
pub const HUGE: usize = 3 * SEGMENT;

pub fn heap(checked: bool) -> Heap {
    Heap::builder()
        .storage(Malloc)
        .segment_size(SEGMENT)
        .checked(checked)
        .handler(Telling)
        .build()
        .unwrap()
}

pub fn at(address: usize) -> NonNull<u8> {
    NonNull::new(ptr::with_exposed_provenance_mut(address)).unwrap()
}

pub fn plus(block: NonNull<u8>, bytes: usize) -> NonNull<u8> {
    at(block.addr().get() + bytes)
}

/// The segment that a block smaller than it lies in.
pub fn segment_of(block: NonNull<u8>) -> usize {
    block.addr().get() & !(SEGMENT - 1)
}

pub fn page_of(block: NonNull<u8>) -> usize {
    block.addr().get() % SEGMENT / PAGE
}

pub fn items(heap: &Heap) -> Vec<Item> {
    let mut items = Vec::new();
    heap.walk(&mut |item| items.push(item));
    items
}

pub fn run_of(heap: &Heap, wanted: PageUse) -> NonNull<u8> {
    let mut found = None;
    heap.walk(&mut |item| match item {
        Item::Run { address, holds, .. } if holds == wanted => found = found.or(Some(at(address))),
        _ => {}
    });
    found.unwrap()
}

pub fn not_a_block(page: usize, holds: PageUse) -> FaultKind {
    FaultKind::NotABlock { page, holds }
}

/// Every way to hand the pointer in answers with that kind of fault, and nothing changes.
#[track_caller]
pub fn assert_found(heap: &Heap, pointer: NonNull<u8>, kind: FaultKind) {
    let before = (items(heap), heap.usage(), heap.real_usage(), heap.peak());
    let fault = Fault {
        address: pointer.addr().get(),
        kind,
    };
    // SAFETY: the heap is in checked mode, or the caller knows that this fault is found without it.
    unsafe {
        assert_eq!(heap.try_free(pointer), Err(fault));
        for (size, align) in [
            (0, 1),
            (40, 8),
            (3000, 8),
            (5000, 8),
            (HUGE, 8),
            (10, 2 * PAGE),
        ] {
            if heap.is_checked() || size > PAGE {
                let layout = Layout::from_size_align(size, align).unwrap();
                assert_eq!(heap.try_free_sized(pointer, layout), Err(fault));
            }
        }
        assert_eq!(heap.usable_size(pointer), Err(fault));
        for size in [0, 10, 40, 5000, HUGE, usize::MAX] {
            assert_eq!(
                heap.try_resize(pointer, size),
                Err(AllocError::BadPointer(fault))
            );
        }
        assert_eq!(told(|| heap.free(pointer)).what, What::Fault(fault));
        assert_eq!(told(|| heap.resize(pointer, 10)).what, What::Fault(fault));
    }
    heap.check().unwrap();
    assert_eq!(
        (items(heap), heap.usage(), heap.real_usage(), heap.peak()),
        before
    );
}
