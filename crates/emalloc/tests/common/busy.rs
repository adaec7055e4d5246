//! A handler that does much with a heap in the middle of a request, and an observer that does so behind it.

use std::alloc::Layout;
use std::cell::{Cell, RefCell};
use std::ptr::NonNull;

use emalloc::heap::{Event, Handler, Heap, Observer, ObserverNode, Sampling, SoftLimitEvent};

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

/// An observer that takes a block of the size of one that was freed or moved: mostly it is at the same address.
pub struct Hoarding {
    pub idle: bool,
    pub taken: RefCell<Vec<(NonNull<u8>, Layout)>>,
}

impl Observer for Hoarding {
    fn told(&self, heap: &Heap, event: &Event<'_>) {
        let size = match *event {
            Event::Freed { usable, .. } => usable,
            Event::Resized {
                old,
                old_usable,
                block,
                ..
            } if block != old => old_usable,
            _ => return,
        };
        let layout = Layout::from_size_align(size, 8).unwrap();
        if !self.idle
            && self.taken.borrow().len() < 4
            && let Ok(block) = heap.try_allocate_layout(layout)
        {
            self.taken.borrow_mut().push((block, layout));
        }
    }
}
