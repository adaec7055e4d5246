//! Owns what heaps call: an observer and a handler that use the heap themselves, and unwind now and then.

use emalloc::Heap;
use emalloc::heap::{
    AllocError, Event, Fault, FaultKind, Handler, Leaks, Observer, Recovery, Report, Site,
    SoftLimitEvent,
};

use crate::acts::act;
use crate::blocks::free;
use crate::world::{AtRest, below, guarded, is_at_rest, kind, one_in, unwind, world};

/// Sees what heaps do.
pub struct Watcher;

impl Observer for Watcher {
    fn told(&self, heap: &Heap, event: &Event<'_>) {
        match event {
            // Here nobody may unwind.
            Event::Freed { .. } | Event::Resized { .. } => {
                if one_in(3) {
                    guarded(|| act(heap));
                }
            }
            _ => {
                if one_in(3) {
                    act(heap);
                }
                let outer = world(|world| world.depth.get()) < 2;
                let may = matches!(event, Event::Allocated { .. } | Event::Collected(_));
                if may && kind().unwinds && one_in(200) && outer {
                    unwind();
                }
            }
        }
    }
}

/// Hears of limits, faults and leaks.
pub struct Busy;

impl Handler for Busy {
    fn soft_limit(&self, heap: &Heap, _: &SoftLimitEvent) {
        for _ in 0..below(4) {
            act(heap);
        }
        if kind().unwinds && one_in(10) {
            unwind();
        }
    }

    fn out_of_memory(&self, heap: &Heap, _: &AllocError, _: Site<'_>) -> Recovery {
        for _ in 0..below(3) {
            act(heap);
        }
        if is_at_rest() || one_in(2) {
            unwind();
        }
        while world(|world| world.blocks.borrow().len()) > 4 {
            free(heap);
        }
        if one_in(2) {
            unwind();
        }
        Recovery::Retry
    }

    fn fault(&self, _: &Heap, fault: &Fault, _: Site<'_>) {
        assert_eq!(fault.kind, FaultKind::Walking, "{fault:?}");
        unwind();
    }

    fn report(&self, _: &Heap, report: &Report<'_>) {
        panic!("{report}");
    }

    fn leaks(&self, heap: &Heap, leaks: &Leaks<'_>) {
        let _at_rest = AtRest::begin();
        let before = leaks.total();
        if one_in(3) {
            act(heap);
        }
        assert_eq!(leaks.total(), before);
        if kind().unwinds && one_in(5) {
            unwind();
        }
    }
}
