//! The wrapper `budget`: a byte limit that many heaps share. Owns the arithmetic of
//! what is held; exact between threads, without a lock, and nested by composition.

use super::{Grant, Storage, StorageError, forward_storage};
use crate::layout::{Bytes, Limit};
use core::fmt;
use core::mem;
use core::ptr::NonNull;
use core::sync::atomic::{AtomicUsize, Ordering};

/// "No limit" as a number: no storage has more.
const UNLIMITED: usize = usize::MAX;

/// A limit on what is held from the storage inside, shared by all who hold it.
///
/// Share it through `Arc` (with `std`) or `&'static`. A budget over a shared budget is a nested
/// one: a request's bytes count for the request and for its tenant, and either may refuse.
/// A refusal is [`StorageError::Limit`] with the figures of the budget that refused.
///
/// ```
/// use emalloc::storage::{Budget, Limit, MALLOC, Storage, StorageError};
/// use std::sync::Arc;
/// let tenant = Arc::new(Budget::new(MALLOC, Limit::Bytes(1 << 20)));
/// let request = Budget::new(Arc::clone(&tenant), Limit::Bytes(256 << 10));
/// let grant = request.allocate(128 << 10, 4096)?;
/// assert_eq!((request.held(), tenant.held()), (128 << 10, 128 << 10));
/// assert_eq!(
///     request.allocate(192 << 10, 4096).unwrap_err(),
///     StorageError::Limit { limit: 256 << 10, held: 128 << 10, requested: 192 << 10 },
/// );
/// // SAFETY: granted above with this size and alignment, used no more.
/// unsafe { request.free(grant.start, 128 << 10, 4096) };
/// assert_eq!((request.peak(), tenant.held()), (128 << 10, 0));
/// # Ok::<(), StorageError>(())
/// ```
#[derive(Debug)]
pub struct Budget<S> {
    inner: S,
    limit: AtomicUsize,
    /// The limit less what is held and less what is just being taken: the one number that decides.
    left: AtomicUsize,
    held: AtomicUsize,
    peak: AtomicUsize,
}

const fn number(limit: Limit) -> usize {
    match limit {
        Limit::Unlimited => UNLIMITED,
        Limit::Bytes(bytes) => bytes,
    }
}

/// Bytes that are just being taken. Dropped, they are given back: the storage inside has answered an error, or unwinds.
struct Taken<'a>(&'a AtomicUsize, usize);

impl Drop for Taken<'_> {
    fn drop(&mut self) {
        self.0.fetch_add(self.1, Ordering::AcqRel);
    }
}

/// A limit was to be set below what is held; nothing has changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BelowHeld {
    /// The limit that was wanted, in bytes.
    pub limit: usize,
    /// What was held then, in bytes.
    pub held: usize,
}

impl fmt::Display for BelowHeld {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "a limit of {} is below the {} held",
            Bytes(self.limit),
            Bytes(self.held)
        )
    }
}

impl core::error::Error for BelowHeld {}

impl<S> Budget<S> {
    /// A budget over `inner`.
    pub const fn new(inner: S, limit: Limit) -> Self {
        let limit = number(limit);
        Self {
            inner,
            limit: AtomicUsize::new(limit),
            left: AtomicUsize::new(limit),
            held: AtomicUsize::new(0),
            peak: AtomicUsize::new(0),
        }
    }

    /// The storage inside.
    pub const fn inner(&self) -> &S {
        &self.inner
    }

    /// Bytes held now.
    pub fn held(&self) -> usize {
        self.held.load(Ordering::Relaxed)
    }

    /// The most bytes that were held since the beginning or the last [`reset_peak`](Self::reset_peak).
    pub fn peak(&self) -> usize {
        self.peak.load(Ordering::Relaxed)
    }

    /// Lets the peak begin again at what is held now.
    pub fn reset_peak(&self) {
        self.peak.store(self.held(), Ordering::Relaxed);
    }

    /// The limit.
    pub fn limit(&self) -> Limit {
        match self.limit.load(Ordering::Relaxed) {
            UNLIMITED => Limit::Unlimited,
            bytes => Limit::Bytes(bytes),
        }
    }

    /// Sets the limit.
    ///
    /// # Errors
    /// [`BelowHeld`] when more is held, or is being taken by another thread at this moment.
    pub fn set_limit(&self, limit: Limit) -> Result<(), BelowHeld> {
        let new = number(limit);
        loop {
            let old = self.limit.load(Ordering::Acquire);
            // What the new limit lacks is taken like memory, so nobody can slip in between.
            let lacking = old.saturating_sub(new);
            if !self.take(lacking) {
                return Err(BelowHeld {
                    limit: new,
                    held: self.held(),
                });
            }
            let ours = self
                .limit
                .compare_exchange(old, new, Ordering::AcqRel, Ordering::Relaxed);
            if ours.is_ok() {
                self.left
                    .fetch_add(new.saturating_sub(old), Ordering::AcqRel);
                return Ok(());
            }
            self.left.fetch_add(lacking, Ordering::AcqRel);
        }
    }

    fn take(&self, bytes: usize) -> bool {
        self.left
            .fetch_update(Ordering::AcqRel, Ordering::Relaxed, |left| {
                left.checked_sub(bytes)
            })
            .is_ok()
    }

    fn took(&self, bytes: usize) {
        let held = self.held.fetch_add(bytes, Ordering::Relaxed) + bytes;
        self.peak.fetch_max(held, Ordering::Relaxed);
    }

    fn gave_back(&self, bytes: usize) {
        self.held.fetch_sub(bytes, Ordering::Relaxed);
        self.left.fetch_add(bytes, Ordering::AcqRel);
    }

    /// Has `act` done if `more` bytes fit, and counts them if it could be done.
    fn within<T>(
        &self,
        more: usize,
        act: impl FnOnce() -> Result<T, StorageError>,
    ) -> Result<T, StorageError> {
        if !self.take(more) {
            return Err(StorageError::Limit {
                limit: self.limit.load(Ordering::Relaxed),
                held: self.held(),
                requested: more,
            });
        }
        let taken = Taken(&self.left, more);
        let answer = act()?;
        mem::forget(taken);
        self.took(more);
        Ok(answer)
    }

    /// [`within`](Self::within) for a change from `old` to `new` bytes.
    fn changing<T>(
        &self,
        old: usize,
        new: usize,
        act: impl FnOnce() -> Result<T, StorageError>,
    ) -> Result<T, StorageError> {
        let answer = self.within(new.saturating_sub(old), act)?;
        self.gave_back(old.saturating_sub(new));
        Ok(answer)
    }
}

// SAFETY: all memory is the inner storage's, handed through unchanged; a refusal here comes
// before the inner storage is asked, and one there is undone here.
unsafe impl<S: Storage> Storage for Budget<S> {
    forward_storage!(|self| self.inner; capabilities, discard, is_usual, keep_less, note_unfilled, will_fill, will_refill, request_ended, trim);

    fn name(&self) -> &str {
        "budget"
    }

    fn allocate(&self, size: usize, align: usize) -> Result<Grant, StorageError> {
        self.within(size, || self.inner.allocate(size, align))
    }

    unsafe fn free(&self, start: NonNull<u8>, size: usize, align: usize) {
        // SAFETY: the grant is the inner storage's, and the caller vouches for the rest.
        unsafe { self.inner.free(start, size, align) };
        self.gave_back(size);
    }

    unsafe fn resize(
        &self,
        start: NonNull<u8>,
        old: usize,
        new: usize,
        align: usize,
    ) -> Result<(), StorageError> {
        self.changing(old, new, || {
            // SAFETY: as for `free`.
            unsafe { self.inner.resize(start, old, new, align) }
        })
    }

    unsafe fn grow(
        &self,
        start: NonNull<u8>,
        old: usize,
        new: usize,
        align: usize,
    ) -> Result<NonNull<u8>, StorageError> {
        self.changing(old, new, || {
            // SAFETY: as for `free`.
            unsafe { self.inner.grow(start, old, new, align) }
        })
    }

    unsafe fn move_resize(
        &self,
        start: NonNull<u8>,
        old: usize,
        new: usize,
        align: usize,
    ) -> Result<Grant, StorageError> {
        self.changing(old, new, || {
            // SAFETY: as for `free`.
            unsafe { self.inner.move_resize(start, old, new, align) }
        })
    }
}
