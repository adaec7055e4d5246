//! The wrapper `cached`: keeps freed segments warm for the next heap. Owns the policy (what is
//! kept, served, given back); the list itself is in `kept.rs`. Nobody ever waits for another thread here.

use super::kept::{Kept, Node, Wanted};
use super::try_cell::{FEW, MANY, TryCell};
use super::{Capabilities, Grant, Storage, StorageError};
use crate::sys;
use core::ptr::NonNull;
use core::sync::atomic::{AtomicUsize, Ordering};
use core::time::Duration;

/// Keeps freed memory of the storage inside, up to a limit, and hands it out again.
///
/// Share it between heaps and threads through `Arc` (with `std`) or `&'static`: what one request's
/// heap gave up, the next one's begins with, its pages still in place. The last freed goes out first.
/// A thread that finds another one at the list goes to the storage inside instead.
///
/// What is kept shrinks by itself: at each call, but at most once per interval, half of what
/// nobody needed since the last time goes back (after a longer silence: half for each
/// interval that has passed). Without calls nothing happens; [`trim`](Storage::trim) gives all back at once. When the
/// storage inside refuses, the cache is given back and it is asked again.
///
/// ```
/// use emalloc::storage::{Cached, MALLOC, Storage};
/// let storage = Cached::new(MALLOC).with_limit(8 << 20);
/// let first = storage.allocate(256 << 10, 256 << 10)?;
/// // SAFETY: granted above with this size and alignment, used no more.
/// unsafe { storage.free(first.start, 256 << 10, 256 << 10) };
/// assert_eq!(storage.cached_bytes(), 256 << 10);
/// let second = storage.allocate(256 << 10, 256 << 10)?;
/// assert_eq!((second.start, storage.hits()), (first.start, 1));
/// // SAFETY: as above.
/// unsafe { storage.free(second.start, 256 << 10, 256 << 10) };
/// assert_eq!(storage.trim(), 256 << 10);
/// # Ok::<(), emalloc::storage::StorageError>(())
/// ```
#[derive(Debug)]
pub struct Cached<S: Storage> {
    inner: S,
    limit: usize,
    interval: u64,
    kept: TryCell<Kept>,
    /// What the list holds, for whoever asks without entering.
    bytes: AtomicUsize,
    hits: AtomicUsize,
    misses: AtomicUsize,
}

impl<S: Storage> Cached<S> {
    /// Bytes kept at most, unless told otherwise.
    pub const DEFAULT_LIMIT: usize = 32 << 20;

    /// Time between two decays, unless told otherwise.
    pub const DEFAULT_INTERVAL: Duration = Duration::from_millis(250);

    /// An empty cache over `inner`.
    pub const fn new(inner: S) -> Self {
        Self {
            inner,
            limit: Self::DEFAULT_LIMIT,
            interval: Self::DEFAULT_INTERVAL.as_millis() as u64,
            kept: TryCell::new(Kept::new()),
            bytes: AtomicUsize::new(0),
            hits: AtomicUsize::new(0),
            misses: AtomicUsize::new(0),
        }
    }

    /// Keeps at most this many bytes.
    pub const fn with_limit(mut self, bytes: usize) -> Self {
        self.limit = bytes;
        self
    }

    /// Decays at most once in this time (whole milliseconds, at least one).
    pub const fn with_interval(mut self, interval: Duration) -> Self {
        let millis = interval.as_millis();
        self.interval = if millis > u64::MAX as u128 {
            u64::MAX
        } else {
            millis as u64
        };
        self
    }

    /// The storage inside.
    pub const fn inner(&self) -> &S {
        &self.inner
    }

    /// Bytes kept at most.
    pub const fn limit(&self) -> usize {
        self.limit
    }

    /// Bytes kept now. To the storage inside they are still granted.
    pub fn cached_bytes(&self) -> usize {
        self.bytes.load(Ordering::Relaxed)
    }

    /// Allocations that were served from what was kept.
    pub fn hits(&self) -> usize {
        self.hits.load(Ordering::Relaxed)
    }

    /// Allocations that went to the storage inside.
    pub fn misses(&self) -> usize {
        self.misses.load(Ordering::Relaxed)
    }

    /// Has `act` done with what is kept, decays on the way, and gives back outside the
    /// cell what fell out. `None` if others were inside at each of `looks` looks.
    fn with_kept<T>(&self, looks: u32, act: impl FnOnce(&mut Kept) -> T) -> Option<T> {
        let now = sys::millis();
        let mut kept = self.kept.try_enter(looks)?;
        let answer = act(&mut kept);
        let out = kept.decay(now, self.interval);
        self.bytes.store(kept.bytes(), Ordering::Relaxed);
        drop(kept);
        self.give_back(out);
        Some(answer)
    }

    /// Gives a chain of detached nodes to the storage inside. Answers their bytes.
    fn give_back(&self, mut chain: *mut Node) -> usize {
        let mut bytes = 0;
        while let Some(start) = NonNull::new(chain) {
            // SAFETY: detached from the list, so ours alone.
            let node = unsafe { start.read() };
            chain = node.next;
            bytes += node.size;
            // SAFETY: a grant of the storage inside, with the size and alignment it was freed with.
            unsafe { self.inner.free(start.cast(), node.size, node.align) };
        }
        bytes
    }

    /// Gives everything kept to the storage inside. Answers the bytes.
    fn drop_cache(&self) -> usize {
        match self.with_kept(MANY, Kept::take_all) {
            Some(chain) => self.give_back(chain),
            None => 0,
        }
    }

    /// Something kept that fits, cut to size if it has to be.
    fn serve(&self, size: usize, align: usize) -> Option<NonNull<u8>> {
        let wanted = Wanted {
            size,
            align,
            may_cut: self.inner.capabilities().shrink_in_place,
        };
        let (start, had) = self.with_kept(FEW, |kept| kept.take(wanted)).flatten()?;
        if had == size {
            return Some(start);
        }
        // SAFETY: a grant of the storage inside of `had` bytes with this alignment, used by nobody.
        let cut = unsafe { self.inner.resize(start, had, size, align) };
        if cut.is_ok() {
            return Some(start);
        }
        // SAFETY: as above, and refused, so it is as it was.
        unsafe { self.inner.free(start, had, align) };
        None
    }
}

/// Whether an error is about memory, so that giving some back may help.
const fn is_shortage(error: StorageError) -> bool {
    matches!(
        error,
        StorageError::Exhausted { .. } | StorageError::Limit { .. }
    )
}

impl<S: Storage> Drop for Cached<S> {
    fn drop(&mut self) {
        let chain = self.kept.get_mut().take_all();
        self.give_back(chain);
    }
}

// SAFETY: all memory is the inner storage's. What is kept was freed by its user and is in the list
// once; it leaves the list before it is handed out or freed, with its own size and alignment.
unsafe impl<S: Storage> Storage for Cached<S> {
    fn name(&self) -> &str {
        "cached"
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities {
            zeroed: false,
            ..self.inner.capabilities()
        }
    }

    fn allocate(&self, size: usize, align: usize) -> Result<Grant, StorageError> {
        if let Some(start) = self.serve(size, align) {
            self.hits.fetch_add(1, Ordering::Relaxed);
            return Ok(Grant {
                start,
                zeroed: false,
            });
        }
        self.misses.fetch_add(1, Ordering::Relaxed);
        match self.inner.allocate(size, align) {
            Err(error) if is_shortage(error) && self.drop_cache() != 0 => {
                self.inner.allocate(size, align)
            }
            answer => answer,
        }
    }

    unsafe fn free(&self, start: NonNull<u8>, size: usize, align: usize) {
        let keepable = size <= self.limit && Node::fits(start, size);
        let put = |kept: &mut Kept| {
            let room = self.limit - kept.bytes() >= size;
            if room {
                // SAFETY: large and aligned enough, and the caller uses it no more.
                unsafe { kept.put(start, size, align) };
            }
            room
        };
        if keepable && self.with_kept(FEW, put) == Some(true) {
            return;
        }
        // SAFETY: the grant is the inner storage's, and the caller vouches for the rest.
        unsafe { self.inner.free(start, size, align) }
    }

    unsafe fn resize(
        &self,
        start: NonNull<u8>,
        old: usize,
        new: usize,
        align: usize,
    ) -> Result<(), StorageError> {
        // SAFETY: as for `free`.
        match unsafe { self.inner.resize(start, old, new, align) } {
            Err(error) if is_shortage(error) && self.drop_cache() != 0 => {
                // SAFETY: as for `free`; the refusal has left the grant as it was.
                unsafe { self.inner.resize(start, old, new, align) }
            }
            answer => answer,
        }
    }

    unsafe fn move_resize(
        &self,
        start: NonNull<u8>,
        old: usize,
        new: usize,
        align: usize,
    ) -> Result<Grant, StorageError> {
        // SAFETY: as for `free`.
        match unsafe { self.inner.move_resize(start, old, new, align) } {
            Err(error) if is_shortage(error) && self.drop_cache() != 0 => {
                // SAFETY: as for `free`; the refusal has left the grant as it was.
                unsafe { self.inner.move_resize(start, old, new, align) }
            }
            answer => answer,
        }
    }

    unsafe fn discard(&self, start: NonNull<u8>, size: usize) -> bool {
        // SAFETY: as for `free`.
        unsafe { self.inner.discard(start, size) }
    }

    fn trim(&self) -> usize {
        let given = self.drop_cache();
        given + self.inner.trim()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::{Counting, MALLOC};

    #[test]
    fn whoever_finds_somebody_inside_goes_around() {
        const SIZE: usize = 64 << 10;
        let storage = Cached::new(Counting::new(MALLOC));
        let grants = [0; 2].map(|_| storage.allocate(SIZE, SIZE).unwrap());
        // SAFETY: granted above.
        unsafe { storage.free(grants[0].start, SIZE, SIZE) };
        let inside = storage.kept.try_enter(1).unwrap();
        let third = storage.allocate(SIZE, SIZE).unwrap();
        assert_ne!(third.start, grants[0].start);
        for start in [third.start, grants[1].start] {
            // SAFETY: granted above.
            unsafe { storage.free(start, SIZE, SIZE) };
        }
        assert_eq!(storage.trim(), 0);
        drop(inside);
        assert_eq!(storage.inner().counts().freed, 2);
        assert_eq!(storage.trim(), SIZE);
        assert_eq!(storage.inner().counts().live_grants, 0);
    }
}
