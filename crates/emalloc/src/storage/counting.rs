//! The wrapper `counting`: says what was asked of a storage and what is still out. For tests and figures.

use super::{Capabilities, Grant, Storage, StorageError, forward_storage};
use core::ptr::NonNull;
use core::sync::atomic::{AtomicUsize, Ordering};

/// Counts the calls, the grants and the bytes that go through it.
///
/// ```
/// use emalloc::storage::{Counting, MALLOC, Storage};
/// let storage = Counting::new(MALLOC);
/// let grant = storage.allocate(64 << 10, 4096)?;
/// assert_eq!((storage.counts().live_grants, storage.counts().live_bytes), (1, 64 << 10));
/// // SAFETY: granted above with this size and alignment, used no more.
/// unsafe { storage.free(grant.start, 64 << 10, 4096) };
/// assert_eq!((storage.counts().allocated, storage.counts().freed), (1, 1));
/// assert_eq!((storage.counts().live_grants, storage.counts().peak_bytes), (0, 64 << 10));
/// # Ok::<(), emalloc::storage::StorageError>(())
/// ```
#[derive(Debug, Default)]
pub struct Counting<S> {
    inner: S,
    allocated: AtomicUsize,
    freed: AtomicUsize,
    resized: AtomicUsize,
    moved: AtomicUsize,
    refused: AtomicUsize,
    discarded: AtomicUsize,
    trimmed: AtomicUsize,
    live_grants: AtomicUsize,
    live_bytes: AtomicUsize,
    peak_bytes: AtomicUsize,
}

/// What a [`Counting`] has counted. Each figure is exact; while other threads are at it,
/// the figures may be of slightly different moments.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Counts {
    /// Calls of `allocate` that succeeded.
    pub allocated: usize,
    /// Calls of `free`.
    pub freed: usize,
    /// Calls of `resize` that succeeded.
    pub resized: usize,
    /// Calls of `move_resize` that succeeded.
    pub moved: usize,
    /// Calls of these that answered an error.
    pub refused: usize,
    /// Calls of `discard` that gave something back.
    pub discarded: usize,
    /// Calls of `trim`.
    pub trimmed: usize,
    /// Grants that are out.
    pub live_grants: usize,
    /// Their bytes.
    pub live_bytes: usize,
    /// The most bytes that were out at once.
    pub peak_bytes: usize,
}

impl<S> Counting<S> {
    /// Counts what goes to `inner`, from nothing.
    pub const fn new(inner: S) -> Self {
        Self {
            inner,
            allocated: AtomicUsize::new(0),
            freed: AtomicUsize::new(0),
            resized: AtomicUsize::new(0),
            moved: AtomicUsize::new(0),
            refused: AtomicUsize::new(0),
            discarded: AtomicUsize::new(0),
            trimmed: AtomicUsize::new(0),
            live_grants: AtomicUsize::new(0),
            live_bytes: AtomicUsize::new(0),
            peak_bytes: AtomicUsize::new(0),
        }
    }

    /// The storage inside.
    pub const fn inner(&self) -> &S {
        &self.inner
    }

    /// What was counted so far.
    pub fn counts(&self) -> Counts {
        let read = |counter: &AtomicUsize| counter.load(Ordering::Relaxed);
        Counts {
            allocated: read(&self.allocated),
            freed: read(&self.freed),
            resized: read(&self.resized),
            moved: read(&self.moved),
            refused: read(&self.refused),
            discarded: read(&self.discarded),
            trimmed: read(&self.trimmed),
            live_grants: read(&self.live_grants),
            live_bytes: read(&self.live_bytes),
            peak_bytes: read(&self.peak_bytes),
        }
    }

    /// Counts an answer: under `done` and with its bytes if it is one, else as a refusal.
    fn count<T>(
        &self,
        answer: Result<T, StorageError>,
        done: &AtomicUsize,
        old: usize,
        new: usize,
    ) -> Result<T, StorageError> {
        if answer.is_err() {
            one_more(&self.refused);
            return answer;
        }
        one_more(done);
        if new >= old {
            let more = new - old;
            let live = self.live_bytes.fetch_add(more, Ordering::Relaxed) + more;
            self.peak_bytes.fetch_max(live, Ordering::Relaxed);
        } else {
            self.live_bytes.fetch_sub(old - new, Ordering::Relaxed);
        }
        answer
    }
}

fn one_more(counter: &AtomicUsize) {
    counter.fetch_add(1, Ordering::Relaxed);
}

// SAFETY: every call is the inner storage's, handed through unchanged.
unsafe impl<S: Storage> Storage for Counting<S> {
    forward_storage!(|self| self.inner; is_usual, keep_less, note_unfilled, will_fill, will_refill, request_ended);

    fn name(&self) -> &str {
        "counting"
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities {
            // Grants are counted as they were made.
            divisible: false,
            ..self.inner.capabilities()
        }
    }

    fn allocate(&self, size: usize, align: usize) -> Result<Grant, StorageError> {
        let answer = self.inner.allocate(size, align);
        if answer.is_ok() {
            one_more(&self.live_grants);
        }
        self.count(answer, &self.allocated, 0, size)
    }

    unsafe fn free(&self, start: NonNull<u8>, size: usize, align: usize) {
        // SAFETY: the grant is the inner storage's, and the caller vouches for the rest.
        unsafe { self.inner.free(start, size, align) };
        one_more(&self.freed);
        self.live_grants.fetch_sub(1, Ordering::Relaxed);
        self.live_bytes.fetch_sub(size, Ordering::Relaxed);
    }

    unsafe fn resize(
        &self,
        start: NonNull<u8>,
        old: usize,
        new: usize,
        align: usize,
    ) -> Result<(), StorageError> {
        // SAFETY: as for `free`.
        let answer = unsafe { self.inner.resize(start, old, new, align) };
        self.count(answer, &self.resized, old, new)
    }

    unsafe fn grow(
        &self,
        start: NonNull<u8>,
        old: usize,
        new: usize,
        align: usize,
    ) -> Result<NonNull<u8>, StorageError> {
        // SAFETY: as for `free`.
        let answer = unsafe { self.inner.grow(start, old, new, align) };
        let has_moved = answer.is_ok_and(|now| now != start);
        let done = if has_moved {
            &self.moved
        } else {
            &self.resized
        };
        self.count(answer, done, old, new)
    }

    unsafe fn move_resize(
        &self,
        start: NonNull<u8>,
        old: usize,
        new: usize,
        align: usize,
    ) -> Result<Grant, StorageError> {
        // SAFETY: as for `free`.
        let answer = unsafe { self.inner.move_resize(start, old, new, align) };
        self.count(answer, &self.moved, old, new)
    }

    unsafe fn discard(&self, start: NonNull<u8>, size: usize) -> bool {
        // SAFETY: as for `free`.
        let given = unsafe { self.inner.discard(start, size) };
        if given {
            one_more(&self.discarded);
        }
        given
    }

    fn trim(&self) -> usize {
        one_more(&self.trimmed);
        self.inner.trim()
    }
}
