//! Owns the limits of a heap as the program sees them: setting them, and the
//! reserve. What they do when memory is taken is in `acquire`.

use core::cell::Cell;

use super::Heap;
use super::error::HeapError;
use crate::layout::Limit;

/// How many segments stay with a heap when it is [reset](Heap::reset). The first one always does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Retain {
    /// As many as recent requests have needed: what the last one used at once, and a quarter less of
    /// what is too much at each reset.
    #[default]
    Adaptive,
    /// So many bytes of segments; from the first reset on.
    Bytes(usize),
}

/// Limits.
impl Heap {
    /// Changes the limit on what the heap holds from its storage. (`zend_mm_set_memory_limit`)
    ///
    /// If more is held, the heap first collects and gives back what it merely keeps.
    ///
    /// # Errors
    /// [`HeapError::LimitBelowHeld`] if that does not suffice, with both numbers; the old limit stays.
    ///
    /// ```
    /// # use emalloc::heap::{Heap, HeapError, Limit};
    /// let heap = Heap::new()?;
    /// heap.allocate(1_000_000);
    /// let error = heap.set_limit(Limit::Bytes(500_000)).unwrap_err();
    /// assert!(matches!(error, HeapError::LimitBelowHeld { limit: 500_000, .. }));
    /// assert_eq!(heap.limit(), Limit::Unlimited);
    /// # Ok::<(), HeapError>(())
    /// ```
    pub fn set_limit(&self, limit: Limit) -> Result<(), HeapError> {
        let state = self.state();
        if let Limit::Bytes(bytes) = limit {
            if state.held.get() > bytes {
                self.collect();
            }
            let held = state.held.get();
            if held > bytes {
                return Err(HeapError::LimitBelowHeld { limit: bytes, held });
            }
        }
        state.limit.set(limit);
        Ok(())
    }

    /// Runs `body` under another limit; then the one before is in force again, also if more is held by now: whatever needs
    /// memory from the storage is refused until enough is given back.
    ///
    /// ```
    /// # use emalloc::heap::{Heap, Limit};
    /// let heap = Heap::builder().limit(Limit::Bytes(1 << 20)).build()?;
    /// assert!(heap.try_allocate(2 << 20).is_err());
    /// assert!(heap.with_limit(Limit::Unlimited, |heap| heap.try_allocate(2 << 20)).is_ok());
    /// assert!(heap.try_allocate(2 << 20).is_err());
    /// # Ok::<(), emalloc::heap::HeapError>(())
    /// ```
    pub fn with_limit<R>(&self, limit: Limit, body: impl FnOnce(&Self) -> R) -> R {
        struct Restore<'a>(&'a Cell<Limit>, Limit);
        impl Drop for Restore<'_> {
            fn drop(&mut self) {
                self.0.set(self.1);
            }
        }
        let current = &self.state().limit;
        let _restore = Restore(current, current.replace(limit));
        body(self)
    }

    /// Changes the soft limit: passing it is reported to the heap's [`Handler`](super::Handler), and refused nothing.
    pub fn set_soft_limit(&self, limit: Limit) {
        let state = self.state();
        state.soft_limit.set(limit);
        state.soft.set(super::state::SoftLimit::Armed);
    }

    /// Makes the reserve available. Plain forms do so by themselves before they call the handler; a program that
    /// handles the error of a `try_` form calls this to have memory for it.
    pub fn open_reserve(&self) {
        self.state().open_reserve();
    }

    /// Sets the reserve aside again, as a reset of the heap does too. Says whether that was possible without new memory.
    pub fn close_reserve(&self) -> bool {
        self.state().close_reserve()
    }
}
