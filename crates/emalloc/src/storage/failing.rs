//! The wrapper `failing`: refuses the n-th call, or every one from the n-th on.
//! For tests of what happens when memory runs out at the worst moment.

use super::{Grant, Storage, StorageError, forward_storage};
use core::ptr::NonNull;
use core::sync::atomic::{AtomicUsize, Ordering};

/// Refuses when told to. What can be refused, and is counted, are `allocate`, `resize` and
/// `move_resize`; a refusal is [`StorageError::Exhausted`] and never reaches the storage inside.
///
/// ```
/// use emalloc::storage::{Failing, MALLOC, Storage};
/// let storage = Failing::new(MALLOC);
/// storage.fail_at(2);
/// let first = storage.allocate(4096, 4096)?;
/// assert!(storage.allocate(4096, 4096).is_err());
/// let third = storage.allocate(4096, 4096)?;
/// assert_eq!((storage.calls(), storage.refused()), (3, 1));
/// for grant in [first, third] {
///     // SAFETY: granted above with this size and alignment, used no more.
///     unsafe { storage.free(grant.start, 4096, 4096) };
/// }
/// # Ok::<(), emalloc::storage::StorageError>(())
/// ```
#[derive(Debug, Default)]
pub struct Failing<S> {
    inner: S,
    /// 0: no plan. Else twice the number of calls until the refusal, plus 1 if it is for good.
    plan: AtomicUsize,
    calls: AtomicUsize,
    refused: AtomicUsize,
}

impl<S> Failing<S> {
    /// Hands everything through to `inner` until told otherwise.
    pub const fn new(inner: S) -> Self {
        Self {
            inner,
            plan: AtomicUsize::new(0),
            calls: AtomicUsize::new(0),
            refused: AtomicUsize::new(0),
        }
    }

    /// The storage inside.
    pub const fn inner(&self) -> &S {
        &self.inner
    }

    /// Refuses the `n`-th call from now, once; 1 is the next one, 0 is none.
    pub fn fail_at(&self, n: usize) {
        self.plan.store(n.saturating_mul(2) & !1, Ordering::Relaxed);
    }

    /// Refuses the `n`-th call from now and all that follow; 1 is the next one, 0 is none.
    pub fn fail_from(&self, n: usize) {
        let plan = match n {
            0 => 0,
            n => n.saturating_mul(2) | 1,
        };
        self.plan.store(plan, Ordering::Relaxed);
    }

    /// Refuses nothing any more.
    pub fn never_fail(&self) {
        self.plan.store(0, Ordering::Relaxed);
    }

    /// Calls so far that could have been refused.
    pub fn calls(&self) -> usize {
        self.calls.load(Ordering::Relaxed)
    }

    /// Calls so far that were refused here.
    pub fn refused(&self) -> usize {
        self.refused.load(Ordering::Relaxed)
    }

    fn pass(&self, requested: usize) -> Result<(), StorageError> {
        self.calls.fetch_add(1, Ordering::Relaxed);
        let before =
            self.plan
                .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |plan| match plan {
                    0 | 3 => None,
                    plan => Some(plan - 2),
                });
        if matches!(before, Ok(2) | Err(3)) {
            self.refused.fetch_add(1, Ordering::Relaxed);
            return Err(StorageError::Exhausted { requested });
        }
        Ok(())
    }
}

// SAFETY: all memory is the inner storage's, handed through unchanged; a refusal comes
// before the inner storage is asked.
unsafe impl<S: Storage> Storage for Failing<S> {
    forward_storage!(|self| self.inner; capabilities, free, discard, is_usual, keep_less, note_unfilled, will_fill, will_refill, request_ended, trim);

    fn name(&self) -> &str {
        "failing"
    }

    fn allocate(&self, size: usize, align: usize) -> Result<Grant, StorageError> {
        self.pass(size)?;
        self.inner.allocate(size, align)
    }

    unsafe fn resize(
        &self,
        start: NonNull<u8>,
        old: usize,
        new: usize,
        align: usize,
    ) -> Result<(), StorageError> {
        self.pass(new)?;
        // SAFETY: the grant is the inner storage's, and the caller vouches for the rest.
        unsafe { self.inner.resize(start, old, new, align) }
    }

    unsafe fn grow(
        &self,
        start: NonNull<u8>,
        old: usize,
        new: usize,
        align: usize,
    ) -> Result<NonNull<u8>, StorageError> {
        self.pass(new)?;
        // SAFETY: as for `free`.
        unsafe { self.inner.grow(start, old, new, align) }
    }

    unsafe fn move_resize(
        &self,
        start: NonNull<u8>,
        old: usize,
        new: usize,
        align: usize,
    ) -> Result<Grant, StorageError> {
        self.pass(new)?;
        // SAFETY: as for `free`.
        unsafe { self.inner.move_resize(start, old, new, align) }
    }
}
