//! The walk: what it visits, and that the heap is at rest meanwhile.

#[path = "common/handlers.rs"]
mod handlers;

use std::alloc::Layout;
use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::ptr::NonNull;
use std::sync::Arc;

use emalloc::heap::{AllocError, Collected, FaultKind, Heap, Item, Limit, PageUse};
use emalloc::layout::PAGE;
use emalloc::storage::{Counting, Malloc};
use handlers::{Telling, What, told};

const SEGMENT: usize = 64 << 10;

fn heap(checked: bool) -> Heap {
    Heap::builder()
        .storage(Malloc)
        .segment_size(SEGMENT)
        .handler(Telling)
        .checked(checked)
        .build()
        .unwrap()
}

fn items(heap: &Heap) -> Vec<Item> {
    let mut items = Vec::new();
    heap.walk(&mut |item| items.push(item));
    items
}

fn refusal<R>(body: impl FnOnce() -> R) -> AllocError {
    match told(body).what {
        What::Refused(error) => error,
        What::Fault(fault) => panic!("{fault}"),
    }
}

fn address(block: NonNull<u8>) -> usize {
    block.addr().get()
}

#[test]
fn visits_everything_in_order() {
    for checked in [false, true] {
        let heap = heap(checked);
        let small: Vec<_> = (0..5).map(|_| address(heap.allocate(1000))).collect();
        let large = heap.allocate(3 * PAGE - 7);
        let gap = heap.allocate(PAGE);
        let other = heap.allocate(2 * PAGE);
        let huge = heap.allocate(100_000);
        // SAFETY: allocated above; the second block of its run and a page.
        unsafe {
            heap.free(NonNull::new(std::ptr::with_exposed_provenance_mut(small[1])).unwrap());
            heap.free(gap);
        }
        let items = items(&heap);
        // Segments newest first: the huge one leads.
        let run = |address, pages, holds| Item::Run {
            address,
            size: pages * PAGE,
            holds,
            block_size: 0,
            blocks: 0,
        };
        let block = |address, size| Item::Block { address, size };
        let first = address(large) & !(SEGMENT - 1);
        let Item::Segment {
            address: grant,
            size,
            huge: true,
        } = items[0]
        else {
            panic!("{:?}", items[0])
        };
        let usable = grant + size - address(huge);
        assert!(grant < address(huge) && usable >= 100_000);
        assert_eq!(
            items[1],
            Item::Run {
                address: address(huge),
                size: usable,
                holds: PageUse::Huge,
                block_size: 0,
                blocks: 0
            }
        );
        assert_eq!(items[2], block(address(huge), usable));
        assert_eq!(
            items[3],
            Item::Segment {
                address: first,
                size: SEGMENT,
                huge: false
            }
        );
        // Header and reserve, then what was allocated, to the segment's end.
        let Item::Run {
            address: at,
            size: header,
            holds: PageUse::Header,
            ..
        } = items[4]
        else {
            panic!("{:?}", items[4])
        };
        assert_eq!(at, first);
        let mut expected = vec![
            run(first + header, 2, PageUse::Reserve),
            Item::Run {
                address: small[0],
                size: PAGE,
                holds: PageUse::Small,
                block_size: 1024,
                blocks: 4,
            },
            block(small[0], 1024),
            block(small[2], 1024),
            block(small[3], 1024),
            Item::Run {
                address: small[4],
                size: PAGE,
                holds: PageUse::Small,
                block_size: 1024,
                blocks: 4,
            },
            block(small[4], 1024),
            run(address(large), 3, PageUse::Large),
            block(address(large), 3 * PAGE),
            run(address(gap), 1, PageUse::Free),
            run(address(other), 2, PageUse::Large),
            block(address(other), 2 * PAGE),
        ];
        let end = address(other) + 2 * PAGE;
        expected.push(run(end, (first + SEGMENT - end) / PAGE, PageUse::Free));
        assert_eq!(items[5..], expected);
    }
}

#[test]
fn nothing_is_handed_out_or_taken_back_meanwhile() {
    for checked in [false, true] {
        let heap = heap(checked);
        let blocks = [10, 3000, PAGE, 100_000].map(|size| (heap.allocate(size), size));
        // Free ones that could be handed out.
        for size in [10, 3000, PAGE] {
            // SAFETY: just allocated.
            unsafe { heap.free(heap.allocate(size)) };
        }
        let before = (heap.usage(), heap.real_usage(), heap.peak());
        let mut visited = 0;
        heap.walk(&mut |item| {
            visited += usize::from(matches!(item, Item::Block { .. }));
            for size in [0, 10, 3000, PAGE, 100_000] {
                let layout = Layout::from_size_align(size, 8).unwrap();
                let over = Layout::from_size_align(size, 2 * PAGE).unwrap();
                let refused = Err(AllocError::Walking);
                assert_eq!(heap.try_allocate(size), refused);
                assert_eq!(heap.try_allocate_layout(over), refused);
                assert_eq!(heap.try_allocate_zeroed(layout), refused);
                assert_eq!(refusal(|| heap.allocate(size)), AllocError::Walking);
            }
            for (block, size) in blocks {
                let layout = Layout::from_size_align(size, 8).unwrap();
                // SAFETY: the blocks are alive.
                unsafe {
                    assert_eq!(heap.try_free(block).unwrap_err().kind, FaultKind::Walking);
                    assert_eq!(
                        heap.try_free_sized(block, layout).unwrap_err().kind,
                        FaultKind::Walking
                    );
                    assert_eq!(heap.try_resize(block, size), Err(AllocError::Walking));
                    assert_eq!(heap.try_resize(block, 5000), Err(AllocError::Walking));
                    assert_eq!(heap.try_resize(block, 900_000), Err(AllocError::Walking));
                    // Looking is allowed.
                    assert!(heap.usable_size(block).unwrap() >= size);
                }
            }
            assert_eq!(
                (heap.collect(), heap.trim()),
                (Collected::default(), Collected::default())
            );
            assert!(heap.check().is_ok());
            assert_eq!(heap.figures().usage, before.0);
        });
        assert_eq!(visited, blocks.len());
        assert_eq!((heap.usage(), heap.real_usage(), heap.peak()), before);
        heap.check().unwrap();
        for (block, _) in blocks {
            // SAFETY: the blocks are alive.
            unsafe { heap.free(block) };
        }
        assert_eq!(heap.usage(), 0);
        heap.check().unwrap();
    }
}

#[test]
fn a_walk_inside_a_walk_visits_nothing() {
    let heap = heap(false);
    heap.allocate(10);
    let mut visited = 0;
    heap.walk(&mut |_| {
        visited += 1;
        heap.walk(&mut |item| panic!("{item:?}"));
        assert_eq!(heap.try_allocate(10), Err(AllocError::Walking));
    });
    assert!(visited > 2);
    assert!(heap.try_allocate(10).is_ok());
}

#[test]
fn a_visitor_that_unwinds_leaves_the_heap_sound() {
    for checked in [false, true] {
        let heap = heap(checked);
        let blocks: Vec<_> = (0..1000).map(|number| heap.allocate(number)).collect();
        for block in blocks.iter().step_by(3) {
            // SAFETY: allocated above, freed once.
            unsafe { heap.free(*block) };
        }
        let all = items(&heap);
        for stop in [0, 1, all.len() / 2, all.len() - 1] {
            let mut count = 0;
            let walk = catch_unwind(AssertUnwindSafe(|| {
                heap.walk(&mut |_| {
                    if count == stop {
                        resume_unwind(Box::new("enough"));
                    }
                    count += 1;
                });
            }));
            assert!(walk.is_err());
            heap.check().unwrap();
            assert_eq!(items(&heap), all);
        }
        let figures = heap.figures();
        let block = heap.allocate(10);
        // SAFETY: just allocated.
        unsafe { heap.free(block) };
        assert_eq!(heap.figures().free_small, figures.free_small);
        if checked {
            // SAFETY: a checked heap takes any pointer; this one is freed already.
            let again = told(|| unsafe { heap.free(block) });
            assert!(format!("{again:?}").contains("DoubleFree"));
        }
    }
}

#[test]
fn the_reserve_stays_shut_during_a_walk() {
    let counting = Arc::new(Counting::new(Malloc));
    let heap = Heap::builder()
        .storage(Arc::clone(&counting))
        .segment_size(SEGMENT)
        .handler(Telling)
        .build()
        .unwrap();
    let fill = || {
        let mut blocks = Vec::new();
        while heap.figures().free_pages > 0 {
            blocks.push(heap.allocate(PAGE));
        }
        blocks
    };
    // The reserve moves into the second segment, and is alone there beside an empty third one.
    heap.open_reserve();
    fill();
    let second = heap.allocate(PAGE);
    assert!(heap.close_reserve());
    let rest = fill();
    let third = heap.allocate(PAGE);
    for block in rest.into_iter().chain([second, third]) {
        // SAFETY: allocated above, freed once.
        unsafe { heap.free(block) };
    }
    assert_eq!(
        (heap.figures().segments, heap.figures().cached),
        (3, SEGMENT)
    );
    let before = (counting.counts(), heap.figures().free_pages);
    let addresses = RefCell::new(Vec::new());
    heap.walk(&mut |item| {
        addresses.borrow_mut().push(item);
        heap.open_reserve();
        assert_eq!(refusal(|| heap.allocate(10)), AllocError::Walking);
        assert!(!heap.close_reserve());
        assert!(
            heap.set_limit(Limit::Bytes(2 * SEGMENT)).is_err(),
            "nothing is collected"
        );
        assert_eq!((counting.counts(), heap.figures().free_pages), before);
    });
    assert_eq!(items(&heap), *addresses.borrow());
    heap.check().unwrap();
    heap.set_limit(Limit::Bytes(2 * SEGMENT)).unwrap();
}
