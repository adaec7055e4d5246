//! A handler that does much with a heap in the middle of a request.

use std::cell::Cell;

use emalloc::heap::{Handler, Heap, ObserverNode, Sampling, SoftLimitEvent};

/// Adds an observer to a heap, or takes it out.
pub fn toggle(heap: &Heap, node: *const ObserverNode) {
    if !heap.remove_observer(node) {
        // SAFETY: on no list; whoever made it keeps it until the heap is gone.
        unsafe { heap.add_observer(node) };
    }
}

/// Bytes of the table of samples.
pub const TABLE: usize = 64 << 10;

/// Begins or ends to take samples.
pub fn sample(heap: &Heap, on: bool) {
    if on {
        // Where there is no room for the table, none are taken.
        let _ = heap.start_sampling(Sampling::every(1000).memory(TABLE));
    } else {
        heap.stop_sampling();
    }
}

/// Told of the soft limit it uses the heap in the middle of the request, and leaves no block. If it is not `idle`, that is.
pub struct Busy {
    pub idle: bool,
    /// Whether it may begin and end to take samples.
    pub sampled: bool,
    /// Of an observer, as a number, which can be sent.
    pub node: usize,
    /// How often it was told.
    pub told: Cell<usize>,
}

impl Handler for Busy {
    fn soft_limit(&self, heap: &Heap, event: &SoftLimitEvent) {
        assert!(event.held + event.requested > event.limit);
        if self.idle {
            return;
        }
        let blocks =
            [5, 64, 2000, 5000, 70_000].map(|size| heap.try_allocate(size + event.held % 50).ok());
        heap.check().unwrap();
        for block in blocks.into_iter().flatten() {
            // SAFETY: just allocated.
            unsafe { heap.free(block) };
        }
        heap.collect();
        match self.told.replace(self.told.get() + 1) % 3 {
            0 => toggle(heap, std::ptr::with_exposed_provenance(self.node)),
            1 if self.sampled => sample(heap, heap.sampling().is_none()),
            _ => {}
        }
    }
}
