//! What a heap's handler can do about a refusal: free, raise the limit, unwind, or use the reserve.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::ptr::NonNull;
use std::sync::{Arc, Mutex};

use emalloc::heap::{AllocError, Handler, Heap, HeapError, Item, Limit, PageUse, Recovery, Site};
use emalloc::layout::PAGE;
use emalloc::storage::Malloc;

const SEGMENT: usize = 64 << 10;

type Act = Box<dyn FnMut(&Heap, &AllocError) -> Recovery + Send>;

/// Does as the test says, and keeps what it was told.
struct Recovering {
    told: Arc<Mutex<Vec<(AllocError, u32)>>>,
    act: Mutex<Act>,
}

impl Handler for Recovering {
    fn out_of_memory(&self, heap: &Heap, error: &AllocError, at: Site<'_>) -> Recovery {
        assert_eq!(at.file(), file!());
        self.told.lock().unwrap().push((*error, at.line()));
        // Not held while it unwinds.
        let mut act = std::mem::replace(
            &mut *self.act.lock().unwrap(),
            Box::new(|_, _| Recovery::GiveUp),
        );
        let recovery = catch_unwind(AssertUnwindSafe(|| act(heap, error)));
        *self.act.lock().unwrap() = act;
        recovery.unwrap_or_else(|payload| resume_unwind(payload))
    }
}

type Told = Arc<Mutex<Vec<(AllocError, u32)>>>;

/// A heap of two full segments at its limit, with a `reserve` of so many bytes.
fn exhausted(
    reserve: usize,
    act: impl FnMut(&Heap, &AllocError) -> Recovery + Send + 'static,
) -> (Heap, Told) {
    let told = Told::default();
    let heap = Heap::builder()
        .storage(Malloc)
        .segment_size(SEGMENT)
        .limit(Limit::Bytes(2 * SEGMENT))
        .reserve(reserve)
        .handler(Recovering {
            told: Arc::clone(&told),
            act: Mutex::new(Box::new(act)),
        })
        .build()
        .unwrap();
    while heap.try_allocate(PAGE).is_ok() {}
    assert_eq!(heap.real_usage(), 2 * SEGMENT);
    (heap, told)
}

fn free_some_page(heap: &Heap) {
    let mut found = None;
    heap.walk(&mut |item| {
        if let Item::Block {
            address,
            size: PAGE,
        } = item
        {
            found = NonNull::new(std::ptr::with_exposed_provenance_mut(address));
        }
    });
    // SAFETY: a live block that no test here looks at.
    unsafe { heap.free(found.unwrap()) };
}

#[test]
fn the_handler_frees_and_the_request_is_served() {
    let (heap, told) = exhausted(8192, |heap, _| {
        free_some_page(heap);
        Recovery::Retry
    });
    let line = line!() + 1;
    heap.allocate(PAGE);
    let error = AllocError::Limit {
        limit: 2 * SEGMENT,
        held: 2 * SEGMENT,
        requested: PAGE,
    };
    assert_eq!(*told.lock().unwrap(), [(error, line)]);
    heap.check().unwrap();
}

#[test]
fn the_handler_raises_the_limit() {
    let (heap, told) = exhausted(8192, |heap, error| {
        let AllocError::Limit { limit, .. } = *error else {
            panic!("{error}")
        };
        heap.set_limit(Limit::Bytes(limit + SEGMENT)).unwrap();
        Recovery::Retry
    });
    // Three segments at a time, so that it is asked more than once.
    heap.allocate_layout(std::alloc::Layout::from_size_align(2 * SEGMENT, 64).unwrap());
    assert_eq!(told.lock().unwrap().len(), 3);
    let block = heap.allocate_zeroed(std::alloc::Layout::from_size_align(2 * SEGMENT, 64).unwrap());
    // SAFETY: the block is alive.
    unsafe { heap.resize(block, 9 * SEGMENT) };
    heap.check().unwrap();
}

#[test]
fn the_reserve_is_there_for_the_handler_only() {
    for pages in [0, 1, 2, 9] {
        let served = Arc::new(Mutex::new(Vec::new()));
        let (heap, told) = exhausted(pages * PAGE, {
            let served = Arc::clone(&served);
            move |heap, _| {
                let mut blocks = Vec::new();
                while let Ok(block) = heap.try_allocate(PAGE) {
                    blocks.push(block);
                }
                served.lock().unwrap().push(blocks.len());
                for block in blocks {
                    // SAFETY: just allocated.
                    unsafe { heap.free(block) };
                }
                heap.check().unwrap();
                if served.lock().unwrap().len() < 4 {
                    // Nothing is gained by that: a retry must not eat the reserve.
                    return Recovery::Retry;
                }
                resume_unwind(Box::new("enough"))
            }
        });
        for _ in 0..2 {
            served.lock().unwrap().clear();
            let usage = heap.usage();
            assert!(catch_unwind(AssertUnwindSafe(|| heap.allocate(PAGE))).is_err());
            assert_eq!(*served.lock().unwrap(), [pages; 4]);
            assert_eq!((heap.usage(), heap.real_usage()), (usage, 2 * SEGMENT));
            heap.check().unwrap();
            // It was open when the handler unwound.
            assert!(heap.close_reserve());
        }
        assert_eq!(told.lock().unwrap().len(), 8);
    }
}

#[test]
fn what_the_handler_kept_stays_until_there_is_room_again() {
    let (heap, _) = exhausted(8192, |heap, _| {
        heap.try_allocate(PAGE).unwrap();
        resume_unwind(Box::new("kept a block"))
    });
    assert!(catch_unwind(AssertUnwindSafe(|| heap.allocate(5000))).is_err());
    assert!(!heap.close_reserve(), "half of it is in use");
    heap.check().unwrap();
    free_some_page(&heap);
    // Two pages, if they are side by side; with a segment's worth of them they are.
    for _ in 0..20 {
        free_some_page(&heap);
    }
    assert!(heap.close_reserve());
    assert!(heap.close_reserve(), "it is closed already");
    heap.check().unwrap();
}

#[test]
fn it_is_set_aside_again_when_the_request_brought_room() {
    let (heap, told) = exhausted(8192, |heap, _| {
        heap.try_allocate(2 * PAGE).unwrap();
        heap.set_limit(Limit::Bytes(3 * SEGMENT)).unwrap();
        Recovery::Retry
    });
    heap.allocate(PAGE);
    assert_eq!(told.lock().unwrap().len(), 1);
    let mut reserve = 0;
    heap.walk(&mut |item| {
        if let Item::Run {
            size,
            holds: PageUse::Reserve,
            ..
        } = item
        {
            reserve += size;
        }
    });
    assert_eq!(reserve, 2 * PAGE);
    heap.check().unwrap();
}

#[test]
fn a_program_that_handles_errors_itself_opens_it() {
    let (mut heap, told) = exhausted(8192, |_, _| Recovery::GiveUp);
    assert!(heap.try_allocate(2 * PAGE).is_err());
    heap.open_reserve();
    heap.open_reserve();
    let block = heap.try_allocate(2 * PAGE).unwrap();
    assert!(heap.try_allocate(PAGE).is_err());
    assert!(!heap.close_reserve());
    // SAFETY: allocated above.
    unsafe { heap.free(block) };
    assert!(heap.close_reserve());
    assert!(heap.try_allocate(PAGE).is_err());
    heap.open_reserve();
    heap.reset();
    heap.check().unwrap();
    // The reset has set it aside again: what is free is a segment without it.
    while heap.try_allocate(PAGE).is_ok() {}
    heap.open_reserve();
    assert!(heap.try_allocate(2 * PAGE).is_ok());
    assert!(told.lock().unwrap().is_empty(), "try_ forms tell nobody");
}

#[test]
fn held_but_in_no_usage() {
    let with = |reserve| {
        Heap::builder()
            .storage(Malloc)
            .segment_size(SEGMENT)
            .reserve(reserve)
            .build()
            .unwrap()
    };
    let pages = |heap: &Heap| heap.figures().free_pages / PAGE;
    assert_eq!(pages(&with(0)) - pages(&with(1)), 1);
    assert_eq!(pages(&with(0)) - pages(&with(4 * PAGE)), 4);
    assert_eq!(with(4 * PAGE).usage(), 0);
}

#[test]
fn too_large_for_a_segment() {
    let most = {
        let heap = Heap::builder()
            .storage(Malloc)
            .segment_size(SEGMENT)
            .reserve(0)
            .build()
            .unwrap();
        heap.figures().free_pages - PAGE
    };
    let build = |reserve| {
        Heap::builder()
            .storage(Malloc)
            .segment_size(SEGMENT)
            .reserve(reserve)
            .build()
    };
    let heap = build(most).unwrap();
    assert_eq!(heap.figures().free_pages, PAGE);
    heap.check().unwrap();
    for reserve in [most + 1, SEGMENT, usize::MAX / 2, usize::MAX] {
        let answer = build(reserve);
        assert!(
            matches!(answer, Err(HeapError::SegmentSizeTooSmall { segment: SEGMENT, needed }) if needed > SEGMENT),
            "{reserve}: {answer:?}"
        );
    }
}
