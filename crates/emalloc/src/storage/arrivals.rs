//! A stack that threads push on without ever waiting, and that is only ever taken as a whole. For what somebody
//! leaves at a busy cell for the next one inside: see `shared_runs` and `regions`.

use core::ptr;
use core::sync::atomic::{AtomicPtr, Ordering};

/// The stack. Each `T` says itself which one follows.
#[derive(Debug)]
pub(super) struct Arrivals<T> {
    last: AtomicPtr<T>,
}

impl<T> Arrivals<T> {
    pub(super) const fn new() -> Self {
        Self {
            last: AtomicPtr::new(ptr::null_mut()),
        }
    }

    /// Leaves `it` here. `follow` has it say that the given one follows, and may be called more than once.
    pub(super) fn push(&self, it: *mut T, follow: impl Fn(*mut T)) {
        let mut next = self.last.load(Ordering::Relaxed);
        loop {
            follow(next);
            match self
                .last
                .compare_exchange_weak(next, it, Ordering::Release, Ordering::Relaxed)
            {
                Ok(_) => return,
                Err(now) => next = now,
            }
        }
    }

    /// Takes all that was left here, the last one first; null if there is none.
    pub(super) fn take_all(&self) -> *mut T {
        self.last.swap(ptr::null_mut(), Ordering::Acquire)
    }
}
