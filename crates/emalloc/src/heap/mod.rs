//! Layer 2: the heap. It cuts segments into blocks and takes them back, keeps
//! the limit and the counts, and drops everything at once. This file owns
//! [`Heap`]; each sibling owns one part of it (`docs/architecture.md` draws them).
//! Depends on `storage` and `sys`; knows nothing of the interface.

mod acquire;
mod allocate;
mod at;
mod builder;
mod chance;
mod check;
mod check_cold;
mod check_segments;
mod cold;
mod collect;
mod debug;
mod error;
mod explain;
mod fault;
mod field;
mod figures;
mod free;
mod gate;
mod geometry;
mod handler;
mod huge;
mod index;
mod large;
mod limit;
mod link;
mod list;
mod modes;
mod nursery;
mod observers;
mod open;
mod outgrown;
mod pages;
mod parked;
mod place;
mod raw;
mod reset;
mod resize;
mod runs;
mod sample;
mod samples;
mod segment;
mod site;
mod slots;
mod small;
mod spare;
mod state;
mod sweep;
mod unfilled;
mod usage;
mod walk;

use core::fmt;
use core::ptr::NonNull;

pub use crate::layout::Limit;
pub use builder::{Builder, PlatformStorage};
pub use check::{Corruption, Invariant};
pub use collect::Collected;
pub use debug::{
    BlockInfo, Change, Debug, DebugFigures, Finding, Leak, LeakFormat, LeakTotal, Leaks, OnError,
    Report,
};
pub use error::{AllocError, HeapError};
pub use explain::{Explained, explain};
pub use fault::{Fault, FaultKind, PageUse};
pub use figures::{ClassFigures, Figures};
pub use handler::{DefaultHandler, Handler, Recovery, SoftLimitEvent};
#[cfg(feature = "std")]
pub(crate) use handler::{fatal, say};
pub use limit::Retain;
pub use observers::{Event, Observer, ObserverNode};
pub use sample::{Estimate, Measure, Sampling, SiteProfile};
pub use site::{Relayed, Site};
pub use walk::Item;

use state::State;

/// A heap: blocks of any size, freed and resized one by one or thrown away all at once. (`zend_mm_heap`)
///
/// It belongs to one thread at a time: it can be sent, but not shared. Any number of heaps live side
/// by side. Dropping it gives everything back to its storage; destructors of what lies in it do not run.
///
/// ```
/// use emalloc::heap::{Heap, Limit};
///
/// let mut heap = Heap::builder().limit(Limit::Bytes(8 << 20)).build()?;
/// for request in 0..10 {
///     let block = heap.allocate(100 + request);
///     // SAFETY: the block is alive and at least 100 bytes long.
///     unsafe { block.as_ptr().write_bytes(0, 100) };
///     heap.reset();
/// }
/// # Ok::<(), emalloc::heap::HeapError>(())
/// ```
///
/// Sent to another thread, yes:
///
/// ```
/// # use emalloc::heap::Heap;
/// let heap = Heap::new()?;
/// std::thread::spawn(move || heap.allocate(100).addr()).join().unwrap();
/// # Ok::<(), emalloc::heap::HeapError>(())
/// ```
///
/// Shared with one, no:
///
/// ```compile_fail,E0277
/// # use emalloc::heap::Heap;
/// let heap = Heap::new().unwrap();
/// std::thread::scope(|threads| {
///     threads.spawn(|| heap.allocate(100).addr()); // `Heap` is not `Sync`: does not compile
/// });
/// ```
pub struct Heap {
    state: NonNull<State>,
}

// SAFETY: a heap owns all its memory, its storage and its handler are `Send`, and nothing of it belongs to a thread.
// References into it borrow it, so they hold it back from being sent.
unsafe impl Send for Heap {}

impl Heap {
    /// A heap with default settings: the platform's default storage, segments of 256K, no limit.
    ///
    /// # Errors
    /// The storage gave no first segment.
    pub fn new() -> Result<Self, HeapError> {
        Self::builder().build()
    }

    fn from_state(state: NonNull<State>) -> Self {
        Self { state }
    }

    #[inline(always)]
    fn state(&self) -> &State {
        // SAFETY: the state lies in the heap's first segment, which lives as long as the heap.
        unsafe { self.state.as_ref() }
    }
}

impl Drop for Heap {
    fn drop(&mut self) {
        /// Destroys the heap, also if a handler that is told of leaks unwinds.
        struct End(NonNull<State>);
        impl Drop for End {
            fn drop(&mut self) {
                // SAFETY: the state is alive until it is destroyed.
                let state = unsafe { self.0.as_ref() };
                state.give_up_blocks();
                state.tell_filled();
                // SAFETY: it is the one `destroy` was made for, and this is the end of it.
                unsafe { (state.destroy)(self.0) };
            }
        }
        let end = End(self.state);
        // SAFETY: as above.
        unsafe { end.0.as_ref() }.end_blocks(false);
    }
}

impl fmt::Debug for Heap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Heap")
            .field("storage", &self.storage_name())
            .field("segment_size", &self.segment_size())
            .field("limit", &self.limit())
            .field("usage", &self.usage())
            .field("real_usage", &self.real_usage())
            .finish_non_exhaustive()
    }
}
