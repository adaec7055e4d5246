//! The hard limit: exact to the byte, felt only after collecting, told of with its figures, and changed
//! while a heap is in use.

mod common;

use std::alloc::Layout;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicBool, Ordering};

use common::probe::{assert_all_returned, on, probe};
use emalloc::heap::{AllocError, Heap, HeapError, Limit};
use emalloc::layout::PAGE;
use emalloc::storage::{Capabilities, Fixed, Grant, Malloc, Storage, StorageError};

const SEGMENT: usize = 64 << 10;

type Answer = Result<NonNull<u8>, AllocError>;

/// What is asked of a heap that has no free page: bytes, alignment, and how.
#[derive(Clone, Copy, Debug)]
struct Request {
    size: usize,
    align: usize,
    how: How,
}

#[derive(Clone, Copy, Debug)]
enum How {
    Plain,
    Zeroed,
    /// From a block of so many bytes.
    Resized(usize),
}

impl Request {
    /// A heap without a free page, in which the block to be resized lies. Its soft limit was passed long ago, so
    /// nothing has room to spare.
    fn heap(self) -> (Heap, NonNull<u8>) {
        let heap = Heap::builder()
            .storage(Malloc)
            .segment_size(SEGMENT)
            .soft_limit(Limit::Bytes(1))
            .build()
            .unwrap();
        let block = self.first_block(&heap);
        fill(&heap);
        (heap, block)
    }

    fn first_block(self, heap: &Heap) -> NonNull<u8> {
        match self.how {
            How::Resized(from) => heap.allocate_layout(self.layout(from)),
            _ => NonNull::dangling(),
        }
    }

    fn layout(self, size: usize) -> Layout {
        Layout::from_size_align(size, self.align).unwrap()
    }

    fn ask(self, heap: &Heap, block: NonNull<u8>) -> Answer {
        match self.how {
            How::Plain => heap.try_allocate_layout(self.layout(self.size)),
            How::Zeroed => heap.try_allocate_zeroed(self.layout(self.size)),
            // SAFETY: the block is alive.
            How::Resized(_) => unsafe { heap.try_resize_aligned(block, self.size, self.align) },
        }
    }
}

/// Takes every free page.
fn fill(heap: &Heap) {
    while heap.figures().free_pages > 0 {
        heap.allocate(PAGE);
    }
}

fn requests() -> impl Iterator<Item = Request> {
    let sizes = [0, 100, 3072, 5001, 100_001];
    let aligns = [1, 64, 4096, 16_384, 65_536, 1 << 20];
    let hows = [
        How::Plain,
        How::Zeroed,
        How::Resized(50),
        How::Resized(8000),
        How::Resized(90_000),
    ];
    let all = sizes
        .into_iter()
        .flat_map(move |size| aligns.map(|align| (size, align)));
    all.flat_map(move |(size, align)| hows.map(|how| Request { size, align, how }))
}

#[test]
fn is_exact_to_the_byte() {
    let mut exact = 0;
    for request in requests() {
        // What the request needs, found out without a limit.
        let (heap, block) = request.heap();
        let base = heap.real_usage();
        request.ask(&heap, block).unwrap();
        let needed = heap.real_peak();
        if needed == base {
            continue;
        }
        let (heap, block) = request.heap();
        // The limit alone must see to that from here on.
        heap.set_soft_limit(Limit::Unlimited);
        heap.set_limit(Limit::Bytes(needed)).unwrap();
        assert!(
            request.ask(&heap, block).is_ok(),
            "{request:?} at its limit"
        );
        assert_eq!(heap.real_peak(), needed);

        let (heap, block) = request.heap();
        heap.set_soft_limit(Limit::Unlimited);
        let limit = needed - 1;
        heap.set_limit(Limit::Bytes(limit)).unwrap();
        let usage = heap.usage();
        let expected = AllocError::Limit {
            limit,
            held: base,
            requested: request.size,
        };
        let answer = request.ask(&heap, block);
        assert_eq!((heap.usage(), heap.real_usage()), (usage, base));
        if matches!(request.how, How::Resized(from) if from > request.size) && answer == Ok(block) {
            // Without room for a smaller copy a huge block stays what it is.
            continue;
        }
        assert_eq!(answer, Err(expected), "{request:?}, one byte less");
        exact += 1;
        heap.check().unwrap();
        heap.set_limit(Limit::Bytes(needed)).unwrap();
        assert!(request.ask(&heap, block).is_ok());
    }
    assert!(exact > 100, "{exact} requests needed memory");
}

#[test]
fn the_text_is_the_originals() {
    let (heap, _) = requests().next().unwrap().heap();
    heap.set_limit(Limit::Bytes(SEGMENT)).unwrap();
    assert_eq!(
        heap.try_allocate(5000).unwrap_err().to_string(),
        "Allowed memory size of 65536 bytes exhausted (tried to allocate 5000 bytes)"
    );
}

#[test]
fn scattered_free_blocks_are_collected_before_a_refusal() {
    let (size, segments) = (64, 4);
    let limit = Limit::Bytes(segments * SEGMENT);
    let heap = Heap::builder()
        .storage(Malloc)
        .segment_size(SEGMENT)
        .limit(limit)
        .build()
        .unwrap();
    let mut blocks = Vec::new();
    while let Ok(block) = heap.try_allocate(size) {
        blocks.push(block);
    }
    assert!(blocks.len() * size > (segments - 1) * SEGMENT);
    // One block of each page stays for now, so nothing can be collected.
    let per_page = PAGE / size;
    for (number, block) in blocks.iter().enumerate() {
        if number % per_page != 7 {
            // SAFETY: allocated above, freed once.
            unsafe { heap.free(*block) };
        }
    }
    let refused = heap.try_allocate(10 * PAGE);
    assert!(matches!(refused, Err(AllocError::Limit { .. })));
    let pages: Vec<_> = blocks.iter().skip(7).step_by(per_page).collect();
    for block in &pages {
        // SAFETY: allocated above, freed once.
        unsafe { heap.free(**block) };
    }
    assert_eq!(
        heap.figures().free_pages,
        0,
        "no free of a small block gives pages back"
    );
    // Large, then huge: the pages are found, and the empty segments are given back for the huge block.
    let large = heap.try_allocate(10 * PAGE).unwrap();
    heap.try_allocate(2 * SEGMENT).unwrap();
    assert!(heap.real_usage() <= segments * SEGMENT);
    // SAFETY: allocated above.
    unsafe { heap.free(large) };
    heap.check().unwrap();
}

#[test]
fn empty_segments_make_way_for_a_huge_block() {
    let heap = Heap::builder()
        .storage(Malloc)
        .segment_size(SEGMENT)
        .build()
        .unwrap();
    fill(&heap);
    let block = heap.allocate(PAGE);
    // SAFETY: just allocated.
    unsafe { heap.free(block) };
    assert_eq!(heap.figures().cached, SEGMENT);
    heap.set_limit(Limit::Bytes(4 * SEGMENT)).unwrap();
    heap.try_allocate(2 * SEGMENT + 1).unwrap();
    assert_eq!((heap.figures().cached, heap.figures().segments), (0, 1));
}

#[test]
fn empty_segments_make_way_for_a_huge_block_that_grows() {
    let storage = Fixed::with_capacity(32 * SEGMENT).unwrap();
    let heap = Heap::builder()
        .storage(storage)
        .segment_size(SEGMENT)
        .build()
        .unwrap();
    fill(&heap);
    let page = heap.allocate(PAGE);
    let huge = heap.allocate(2 * SEGMENT - PAGE);
    // SAFETY: allocated above.
    unsafe { heap.free(page) };
    assert_eq!(heap.real_usage(), 4 * SEGMENT);
    // Enough for the grown block beside the first segment, but neither for the empty one nor for a copy.
    heap.set_limit(Limit::Bytes(5 * SEGMENT)).unwrap();
    // SAFETY: the block is alive.
    let grown = unsafe { heap.try_resize(huge, 4 * SEGMENT - PAGE) };
    assert_eq!(grown, Ok(huge));
    assert_eq!((heap.real_usage(), heap.figures().cached), (5 * SEGMENT, 0));
    heap.check().unwrap();
}

#[test]
fn a_huge_block_grows_no_further_than_the_limit() {
    let storage = Fixed::with_capacity(32 * SEGMENT).unwrap();
    let heap = Heap::builder()
        .storage(storage)
        .segment_size(SEGMENT)
        .limit(Limit::Bytes(5 * SEGMENT))
        .build()
        .unwrap();
    let huge = heap.allocate(4 * SEGMENT - PAGE);
    assert_eq!(heap.real_usage(), 5 * SEGMENT);
    for size in [4 * SEGMENT, 8 * SEGMENT] {
        // SAFETY: the block is alive.
        let answer = unsafe { heap.try_resize(huge, size) };
        let held = 5 * SEGMENT;
        assert!(
            matches!(answer, Err(AllocError::Limit { held: h, .. }) if h == held),
            "{answer:?}"
        );
        assert_eq!(heap.real_usage(), held);
    }
    // SAFETY: the block is alive, and as it was.
    assert_eq!(unsafe { heap.usable_size(huge) }, Ok(4 * SEGMENT - PAGE));
    heap.check().unwrap();
}

#[test]
fn the_storage_is_trimmed_before_a_refusal() {
    let probe = probe(Malloc);
    let heap = on(&probe, SEGMENT)
        .limit(Limit::Bytes(SEGMENT))
        .build()
        .unwrap();
    assert!(heap.try_allocate(2 * SEGMENT).is_err());
    assert_eq!(probe.counts().trimmed, 1);
    drop(heap);
    assert_all_returned(&probe);
}

/// Refuses everything until it is trimmed, and then again.
struct Hoarding(AtomicBool);

impl Hoarding {
    fn refuse(&self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

// SAFETY: all memory is malloc's, handed through.
unsafe impl Storage for Hoarding {
    fn name(&self) -> &str {
        "hoarding"
    }

    fn capabilities(&self) -> Capabilities {
        Malloc.capabilities()
    }

    fn allocate(&self, size: usize, align: usize) -> Result<Grant, StorageError> {
        if self.0.load(Ordering::Relaxed) {
            return Err(StorageError::Exhausted { requested: size });
        }
        Malloc.allocate(size, align)
    }

    unsafe fn free(&self, start: NonNull<u8>, size: usize, align: usize) {
        // SAFETY: granted by malloc above.
        unsafe { Malloc.free(start, size, align) };
    }

    fn trim(&self) -> usize {
        self.0.store(false, Ordering::Relaxed);
        0
    }
}

#[test]
fn what_the_storage_keeps_in_store_serves_any_request() {
    static STORAGE: Hoarding = Hoarding(AtomicBool::new(false));
    for request in requests() {
        let heap = Heap::builder()
            .storage(&STORAGE)
            .segment_size(SEGMENT)
            .build()
            .unwrap();
        let block = request.first_block(&heap);
        fill(&heap);
        STORAGE.refuse();
        assert!(request.ask(&heap, block).is_ok(), "{request:?}");
        heap.check().unwrap();
        STORAGE.trim();
    }
}

#[test]
fn below_what_is_held_it_stays_as_it_was() {
    let heap = Heap::builder()
        .storage(Malloc)
        .segment_size(SEGMENT)
        .build()
        .unwrap();
    heap.allocate(3 * SEGMENT);
    let held = heap.real_usage();
    for before in [Limit::Unlimited, Limit::Bytes(10 * SEGMENT)] {
        heap.set_limit(before).unwrap();
        for limit in [held - 1, SEGMENT, 1, 0] {
            let answer = heap.set_limit(Limit::Bytes(limit)).unwrap_err();
            assert_eq!(answer, HeapError::LimitBelowHeld { limit, held });
            assert_eq!(
                answer.to_string(),
                format!(
                    "Failed to set memory limit to {limit} bytes (Current memory usage is {held} bytes)"
                )
            );
            assert_eq!((heap.limit(), heap.real_usage()), (before, held));
        }
    }
    heap.set_limit(Limit::Bytes(held)).unwrap();
    assert_eq!(heap.limit(), Limit::Bytes(held));
}

#[test]
fn lowering_gives_empty_segments_back_and_is_stored() {
    let heap = Heap::builder()
        .storage(Malloc)
        .segment_size(SEGMENT)
        .build()
        .unwrap();
    fill(&heap);
    let large = heap.allocate(PAGE);
    let small = heap.allocate(100);
    assert_eq!(heap.real_usage(), 2 * SEGMENT);
    // SAFETY: just allocated.
    unsafe { heap.free(large) };
    let below = heap.set_limit(Limit::Bytes(2 * SEGMENT - 1));
    assert!(matches!(below, Err(HeapError::LimitBelowHeld { .. })));
    // Now nothing but a free block stands in the way.
    // SAFETY: allocated above.
    unsafe { heap.free(small) };
    heap.set_limit(Limit::Bytes(2 * SEGMENT - 1)).unwrap();
    assert_eq!(heap.limit(), Limit::Bytes(2 * SEGMENT - 1));
    assert_eq!(heap.real_usage(), SEGMENT);
    assert!(heap.try_allocate(PAGE).is_err(), "the new limit holds");
}

#[test]
fn too_low_for_a_heap_to_exist() {
    for limit in [0, 1, SEGMENT - 1] {
        let probe = probe(Malloc);
        let answer = on(&probe, SEGMENT).limit(Limit::Bytes(limit)).build();
        let expected = HeapError::LimitTooLow {
            limit,
            needed: SEGMENT,
        };
        assert_eq!(answer.err(), Some(expected));
        assert_eq!(probe.inner().calls(), 0);
    }
    let least = Limit::Bytes(SEGMENT);
    assert!(
        Heap::builder()
            .segment_size(SEGMENT)
            .limit(least)
            .build()
            .is_ok()
    );
}

#[test]
fn room_is_told_before_asking() {
    let heap = Heap::builder()
        .storage(Malloc)
        .segment_size(SEGMENT)
        .limit(Limit::Bytes(2 * SEGMENT))
        .build()
        .unwrap();
    assert!(heap.has_room_for(0) && heap.has_room_for(10 * PAGE));
    assert!(!heap.has_room_for(2 * SEGMENT) && !heap.has_room_for(usize::MAX));
    fill(&heap);
    assert!(heap.has_room_for(8) && heap.has_room_for(10 * PAGE));
    heap.allocate(PAGE);
    fill(&heap);
    assert!(!heap.has_room_for(5000) && !heap.has_room_for(PAGE));
    heap.set_limit(Limit::Unlimited).unwrap();
    assert!(heap.has_room_for(10 * SEGMENT));
}
