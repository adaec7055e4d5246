//! The soft limit: told of once each time it is passed, by a heap that is whole: the handler may use it and may unwind.

mod common;

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::ptr::{self, NonNull};
use std::sync::{Arc, Mutex, TryLockError};

use common::probe::{assert_all_returned, on, probe};
use emalloc::heap::{Event, Handler, Heap, Limit, ObserverNode, SoftLimitEvent};
use emalloc::layout::PAGE;
use emalloc::storage::{Malloc, Storage};

const SEGMENT: usize = 64 << 10;

type Act = Box<dyn FnMut(&Heap, &SoftLimitEvent) + Send>;

/// Keeps what it is told, and then does as the test says.
#[derive(Clone)]
struct Soft {
    events: Arc<Mutex<Vec<SoftLimitEvent>>>,
    act: Arc<Mutex<Act>>,
}

impl Soft {
    fn new(act: impl FnMut(&Heap, &SoftLimitEvent) + Send + 'static) -> Self {
        let events = Arc::default();
        let act: Act = Box::new(act);
        let act = Arc::new(Mutex::new(act));
        Self { events, act }
    }

    /// What was told since the last look.
    fn events(&self) -> Vec<SoftLimitEvent> {
        std::mem::take(&mut self.events.lock().unwrap())
    }
}

impl Handler for Soft {
    fn soft_limit(&self, heap: &Heap, event: &SoftLimitEvent) {
        self.events.lock().unwrap().push(*event);
        // Told again while it acts, it is only counted.
        match self.act.try_lock() {
            Ok(mut act) => act(heap, event),
            Err(TryLockError::Poisoned(unwound)) => unwound.into_inner()(heap, event),
            Err(TryLockError::WouldBlock) => {}
        }
    }
}

fn heap(soft: &Soft, limit: usize) -> Heap {
    heap_on(Malloc, soft, limit)
}

fn heap_on<S: Storage + 'static>(storage: S, soft: &Soft, limit: usize) -> Heap {
    Heap::builder()
        .storage(storage)
        .segment_size(SEGMENT)
        .handler(soft.clone())
        .soft_limit(Limit::Bytes(limit))
        .build()
        .unwrap()
}

/// Takes every free page.
fn fill(heap: &Heap) {
    while heap.figures().free_pages > 0 {
        heap.allocate(PAGE);
    }
}

#[test]
fn is_told_once_and_again_after_falling_below() {
    let soft = Soft::new(|heap, _| heap.check().unwrap());
    let heap = heap(&soft, 2 * SEGMENT);
    fill(&heap);
    heap.allocate(PAGE);
    assert_eq!(soft.events(), [], "at the limit is not beyond it");
    fill(&heap);
    let first = heap.allocate(PAGE);
    let events = soft.events();
    let numbers = |event: &SoftLimitEvent| (event.limit, event.held, event.requested);
    let expected = [(2 * SEGMENT, 2 * SEGMENT, SEGMENT)];
    assert_eq!(events.iter().map(numbers).collect::<Vec<_>>(), expected);
    let huge = heap.allocate(3 * SEGMENT);
    assert_eq!(soft.events(), [], "told already");
    // SAFETY: allocated above, each freed once.
    unsafe {
        heap.free(huge);
        heap.free(first);
    }
    heap.collect();
    assert_eq!(heap.real_usage(), 2 * SEGMENT);
    heap.allocate(PAGE);
    assert_eq!(soft.events(), events);
    // Setting one begins anew.
    heap.set_soft_limit(Limit::Bytes(10));
    fill(&heap);
    heap.allocate(PAGE);
    assert_eq!(soft.events().len(), 1);
    heap.set_soft_limit(Limit::Unlimited);
    fill(&heap);
    heap.allocate(10 * SEGMENT);
    assert_eq!(soft.events(), []);
}

#[test]
fn a_refused_request_does_not_use_the_telling_up() {
    let soft = Soft::new(|_, _| ());
    let probe = probe(Malloc);
    let heap = heap_on(Arc::clone(&probe), &soft, 2 * SEGMENT);
    heap.set_limit(Limit::Bytes(6 * SEGMENT)).unwrap();
    heap.try_allocate(100 * SEGMENT).unwrap_err();
    soft.events();
    heap.allocate(3 * SEGMENT);
    assert_eq!(soft.events().len(), 1, "after a refusal by the limit");
    drop(heap);

    let heap = heap_on(Arc::clone(&probe), &soft, 2 * SEGMENT);
    probe.inner().fail_from(1);
    heap.try_allocate(3 * SEGMENT).unwrap_err();
    assert_eq!(soft.events().len(), 1, "one request tells once");
    probe.inner().never_fail();
    heap.allocate(3 * SEGMENT);
    assert_eq!(soft.events().len(), 1, "after a refusal by the storage");
    drop(heap);
    assert_all_returned(&probe);
}

#[test]
fn one_resize_tells_once() {
    let soft = Soft::new(|heap, _| heap.check().unwrap());
    let heap = heap(&soft, 4 * SEGMENT);
    let block = heap.allocate(2 * SEGMENT);
    // SAFETY: allocated above.
    let block = unsafe { heap.try_resize(block, 20 * SEGMENT) }.unwrap();
    assert_eq!(soft.events().len(), 1);
    // SAFETY: resized above.
    unsafe { heap.free(block) };
    heap.allocate(10 * SEGMENT);
    assert_eq!(soft.events().len(), 1);
}

#[test]
fn the_handler_may_use_the_heap() {
    // What it allocates needs segments, too, of classes that are in the middle of being served.
    let soft = Soft::new(|heap, event| {
        heap.check().unwrap();
        assert_eq!(heap.real_usage(), event.held);
        for size in [0, 24, 24, 2560, PAGE, 10 * PAGE, 5 * SEGMENT] {
            let kept = heap.allocate(size);
            let freed = heap.allocate(size);
            // SAFETY: both just allocated.
            unsafe {
                kept.write_bytes(9, size);
                heap.free(freed);
            }
        }
        heap.collect();
        heap.check().unwrap();
    });
    for size in [24, 2560, PAGE, 10 * PAGE, 2 * SEGMENT] {
        for checked in [false, true] {
            let heap = Heap::builder()
                .storage(Malloc)
                .segment_size(SEGMENT)
                .handler(soft.clone())
                .soft_limit(Limit::Bytes(SEGMENT))
                .checked(checked)
                .build()
                .unwrap();
            fill(&heap);
            let block = heap.allocate(size);
            // SAFETY: just allocated.
            unsafe { block.write_bytes(1, size) };
            heap.check().unwrap();
            assert_eq!(soft.events().len(), 1);
            let mut blocks = 0;
            heap.walk(&mut |item| {
                blocks += usize::from(matches!(item, emalloc::heap::Item::Block { .. }))
            });
            let pages = heap.figures().segment_size / PAGE;
            assert!(blocks >= 8 && blocks < 8 + pages, "{blocks}");
        }
    }
}

#[test]
fn the_handler_may_make_room() {
    let hoard = Arc::new(Mutex::new(None));
    let soft = Soft::new({
        let hoard = Arc::clone(&hoard);
        move |heap, _| {
            if let Some(block) = hoard.lock().unwrap().take() {
                let block = NonNull::new(block as *mut u8).unwrap();
                // SAFETY: allocated from this heap, freed once.
                unsafe { heap.free(block) };
            }
        }
    });
    let heap = heap(&soft, 4 * SEGMENT);
    heap.set_limit(Limit::Bytes(5 * SEGMENT)).unwrap();
    *hoard.lock().unwrap() = Some(heap.allocate(2 * SEGMENT).as_ptr().expose_provenance());
    heap.try_allocate(3 * SEGMENT).unwrap();
    assert_eq!(soft.events().len(), 1);
}

#[test]
fn the_handler_may_unwind() {
    let soft = Soft::new(|_, _| resume_unwind(Box::new("soft")));
    // With a block of a page and a huge one.
    type Request = fn(&Heap, NonNull<u8>, NonNull<u8>) -> bool;
    let requests: [Request; 5] = [
        |heap, _, _| heap.try_allocate(24).is_ok(),
        |heap, _, _| heap.try_allocate(5000).is_ok(),
        |heap, _, _| heap.try_allocate(2 * SEGMENT).is_ok(),
        // SAFETY: the block is alive.
        |heap, page, _| unsafe { heap.try_resize(page, 2 * SEGMENT) }.is_ok(),
        // SAFETY: the block is alive.
        |heap, _, huge| unsafe { heap.try_resize(huge, 9 * SEGMENT) }.is_ok(),
    ];
    for request in requests {
        let probe = probe(Malloc);
        let heap = on(&probe, SEGMENT).handler(soft.clone()).build().unwrap();
        let (page, huge) = (heap.allocate(PAGE), heap.allocate(2 * SEGMENT));
        fill(&heap);
        let usage = heap.usage();
        heap.set_soft_limit(Limit::Bytes(heap.real_usage()));
        // Each time anew: the heap is still below.
        for _ in 0..2 {
            let unwound = catch_unwind(AssertUnwindSafe(|| request(&heap, page, huge)));
            assert!(unwound.is_err());
            assert_eq!((soft.events().len(), heap.usage()), (1, usage));
            heap.check().unwrap();
        }
        heap.set_soft_limit(Limit::Unlimited);
        assert!(request(&heap, page, huge));
        heap.check().unwrap();
        drop(heap);
        assert_all_returned(&probe);
    }
}

#[test]
fn the_handler_may_raise_it() {
    let soft = Soft::new(|heap, event| heap.set_soft_limit(Limit::Bytes(event.limit * 2)));
    let heap = heap(&soft, 2 * SEGMENT);
    for _ in 0..100 {
        heap.allocate(10 * PAGE);
    }
    let limits: Vec<_> = soft
        .events()
        .iter()
        .map(|event| event.limit / SEGMENT)
        .collect();
    assert_eq!(limits, [2, 4, 8, 16, 32, 64]);
}

#[test]
fn what_the_handler_does_is_not_told_to_it() {
    let soft = Soft::new(|heap, _| {
        for _ in 0..3 {
            // Refused, and then given back: both leave the heap below its soft limit.
            heap.try_allocate(100 * SEGMENT).unwrap_err();
            let block = heap.allocate(3 * SEGMENT);
            // SAFETY: just allocated.
            unsafe { heap.free(block) };
        }
    });
    let heap = heap(&soft, 2 * SEGMENT);
    heap.set_limit(Limit::Bytes(10 * SEGMENT)).unwrap();
    heap.allocate(3 * SEGMENT);
    assert_eq!(soft.events().len(), 1);
}

#[test]
fn observing_may_begin_and_end_while_it_is_told() {
    let told = Cell::new(0);
    let observer = |_: &Heap, event: &Event<'_>| {
        told.set(told.get() + usize::from(matches!(event, Event::Allocated { .. })));
    };
    let node = ObserverNode::new(&observer);
    // As a number, for a handler has to be one that can be sent.
    let address = ptr::from_ref(&node).expose_provenance();
    let soft = Soft::new(move |heap, _| {
        let node = ptr::with_exposed_provenance(address);
        if !heap.remove_observer(node) {
            // SAFETY: on no list; it outlives the heaps, which stay on this thread.
            unsafe { heap.add_observer(node) };
        }
    });
    // Both by a request for a block and by one that moves, in a heap that becomes large or does not.
    for (large_from, moves) in [
        (0, false),
        (0, true),
        (usize::MAX, false),
        (usize::MAX, true),
    ] {
        let heap = Heap::builder()
            .storage(Malloc)
            .segment_size(SEGMENT)
            .large_from(large_from)
            .handler(soft.clone())
            .build()
            .unwrap();
        for (begins, from, to) in [(true, 1536, 640), (false, 1792, 768)] {
            let block = heap.allocate(from);
            fill(&heap);
            heap.set_soft_limit(Limit::Bytes(heap.real_usage()));
            if moves {
                // SAFETY: alive, and used no more by this pointer.
                unsafe { heap.resize(block, to) };
            } else {
                heap.allocate(to);
            }
            assert_eq!(soft.events().len(), 1);
            heap.set_soft_limit(Limit::Unlimited);
            told.set(0);
            // Of the same run, and of that which the block left.
            for _ in 0..4 {
                heap.allocate(to);
                heap.allocate(from);
            }
            assert_eq!(told.get(), if begins { 8 } else { 0 });
            heap.check().unwrap();
        }
        heap.check().unwrap();
    }
}
