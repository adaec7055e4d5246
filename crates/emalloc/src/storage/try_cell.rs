//! A cell that one thread at a time looks into, and nobody ever waits for:
//! whoever finds it busy after a few tries does without. For `cached` and `fixed`.

use core::cell::UnsafeCell;
use core::ops::{Deref, DerefMut};
use core::sync::atomic::{AtomicBool, Ordering};

/// Looks that a caller with an easy way around takes before it gives up.
pub(super) const FEW: u32 = 16;

/// Looks that a caller takes whose only other way is to refuse.
pub(super) const MANY: u32 = 1 << 16;

#[derive(Debug)]
pub(super) struct TryCell<T> {
    busy: AtomicBool,
    value: UnsafeCell<T>,
}

// SAFETY: `busy` lets one thread at a time at the value, so sharing the cell only sends the value round.
unsafe impl<T: Send> Sync for TryCell<T> {}

impl<T> TryCell<T> {
    pub(super) const fn new(value: T) -> Self {
        Self {
            busy: AtomicBool::new(false),
            value: UnsafeCell::new(value),
        }
    }

    /// The value, unless somebody else has it at each of `looks` looks.
    pub(super) fn try_enter(&self, looks: u32) -> Option<Entered<'_, T>> {
        for _ in 0..looks {
            // Looking before grabbing leaves the line where it is while somebody is inside.
            if !self.busy.load(Ordering::Relaxed) && !self.busy.swap(true, Ordering::Acquire) {
                return Some(Entered { cell: self });
            }
            core::hint::spin_loop();
        }
        None
    }

    /// Lets others in.
    ///
    /// # Safety
    /// The caller has entered, and does not look at the value any more.
    pub(super) unsafe fn leave(&self) {
        self.busy.store(false, Ordering::Release);
    }
}

/// The right to the value until it is dropped.
pub(super) struct Entered<'a, T> {
    cell: &'a TryCell<T>,
}

impl<T> Deref for Entered<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        // SAFETY: `busy` is ours, nobody else looks at the value.
        unsafe { &*self.cell.value.get() }
    }
}

impl<T> DerefMut for Entered<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: `busy` is ours, nobody else looks at the value.
        unsafe { &mut *self.cell.value.get() }
    }
}

impl<T> Drop for Entered<'_, T> {
    fn drop(&mut self) {
        // SAFETY: whoever has this has entered, and drops it.
        unsafe { self.cell.leave() };
    }
}
