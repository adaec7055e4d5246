//! The wrapper `cached`: keeps freed segments warm for the next heap. Owns the public item and what its users may ask;
//! how much is kept is in `bound.rs`, the table in `kept.rs`, the place in front of it in `slot.rs`, the end of a request in `requests.rs`,
//! large pages in `large.rs`, grants that grow in `growth.rs`, how all are used in `serve.rs`. Nobody ever waits for another thread here.

mod bound;
mod growth;
mod kept;
mod large;
mod requests;
mod serve;
mod slot;

use super::try_cell::{FEW, TryCell};
use super::{Capabilities, Grant, Storage, StorageError};
use crate::layout::LARGE_PAGE;
use bound::Bound;
use core::ptr::NonNull;
use core::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use core::time::Duration;
use kept::{Kept, Piece, Wanted};
use slot::Slot;

/// For a grant as large as that, page faults count for more than what its heap could discard; for a smaller one the peak does.
const MUCH: usize = 2 * LARGE_PAGE;

/// Keeps freed memory of the storage inside, and hands it out again.
///
/// Share it between heaps and threads through `Arc` (with `std`) or `&'static`: what one request's
/// heap gave up, the next one's begins with, its pages still in place. Where the storage inside allows it
/// ([`Capabilities::divisible`]), pieces are cut, joined and made larger to fit. A thread that finds another one
/// at the table goes to the storage inside instead.
///
/// What is granted and what is kept are together never more than what was granted at once at some time before, less what heaps
/// have told that they did not fill of that ([`Storage::note_unfilled`]; less than an eighth counts as filled): keeping
/// adds nothing to the peak. That bound falls: at each call, but at most once per interval, by half of
/// what it is above the most that was granted since (after a longer silence: half for each interval that has passed, and
/// above what is granted now); with [`per_request`](Self::per_request) less is kept at the end of each request. What is kept beyond it goes back, the coldest first.
/// Without calls nothing happens; [`trim`](Storage::trim) gives all back at once. When the
/// storage inside refuses, all is given back and it is asked again.
///
/// ```
/// use emalloc::storage::{Cached, MALLOC, Storage};
/// let storage = Cached::new(MALLOC);
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
    /// What it answers as its [`name`](Storage::name).
    pub(super) name: &'static str,
    limit: usize,
    interval: u64,
    per_request: bool,
    pub(super) store: TryCell<Store>,
    /// A segment whose freeing is put off until somebody enters the table; it counts as granted until then.
    slot: Slot,
    /// Whether nothing was done in the table since a request ended last, and another end of one like it changes nothing.
    at_rest: AtomicBool,
    /// Bytes granted and not freed.
    granted: AtomicUsize,
    /// As many of them as heaps have told that are free.
    unfilled: AtomicUsize,
    /// The most that was granted and filled since the table was entered last.
    filled: AtomicUsize,
    /// As many of them as are in segments.
    segments: AtomicUsize,
    /// Bytes that are being asked for. They need room, but may yet be refused.
    asked: AtomicUsize,
    /// What the table holds, for whoever asks without entering.
    bytes: AtomicUsize,
    hits: AtomicUsize,
    misses: AtomicUsize,
}

/// What is kept, and how much of it may be.
#[derive(Debug)]
pub(super) struct Store {
    kept: Kept,
    bound: Bound,
}

impl<S: Storage> Cached<S> {
    /// Time between two falls of the bound, unless told otherwise.
    pub const DEFAULT_INTERVAL: Duration = Duration::from_secs(1);

    /// An empty cache over `inner`.
    pub const fn new(inner: S) -> Self {
        Self {
            inner,
            name: "cached",
            limit: usize::MAX,
            interval: Self::DEFAULT_INTERVAL.as_millis() as u64,
            per_request: false,
            store: TryCell::new(Store {
                kept: Kept::new(),
                bound: Bound::new(),
            }),
            slot: Slot::new(),
            at_rest: AtomicBool::new(false),
            granted: AtomicUsize::new(0),
            unfilled: AtomicUsize::new(0),
            filled: AtomicUsize::new(0),
            segments: AtomicUsize::new(0),
            asked: AtomicUsize::new(0),
            bytes: AtomicUsize::new(0),
            hits: AtomicUsize::new(0),
            misses: AtomicUsize::new(0),
        }
    }

    /// Keeps at most this many bytes, whatever was granted before.
    #[must_use]
    pub const fn with_limit(mut self, bytes: usize) -> Self {
        self.limit = bytes;
        self
    }

    /// Lets the bound fall at most once in this time (whole milliseconds, at least one).
    #[must_use]
    pub const fn with_interval(mut self, interval: Duration) -> Self {
        let millis = interval.as_millis();
        self.interval = if millis > u64::MAX as u128 {
            u64::MAX
        } else {
            millis as u64
        };
        self
    }

    /// At the end of each request, and until something is granted again, bounds what is kept and granted by the mean of
    /// what requests needed in segments, in which each one counts half as much as the next; what they needed besides,
    /// for blocks larger than a segment, does not count. The first request finds a mean of nothing; where the mean comes near to what
    /// a request needed it is that. Of what is kept then, the last 256 KiB are discarded where the storage inside can.
    #[must_use]
    pub const fn per_request(mut self) -> Self {
        self.per_request = true;
        self
    }

    /// The storage inside.
    pub const fn inner(&self) -> &S {
        &self.inner
    }

    /// Bytes kept at most, set by [`with_limit`](Self::with_limit).
    pub const fn limit(&self) -> usize {
        self.limit
    }

    /// Bytes kept now. To the storage inside they are still granted.
    pub fn cached_bytes(&self) -> usize {
        self.bytes.load(Ordering::Relaxed) + self.slot.bytes()
    }

    /// Allocations that were served from what was kept.
    pub fn hits(&self) -> usize {
        self.hits.load(Ordering::Relaxed)
    }

    /// Allocations that went to the storage inside.
    pub fn misses(&self) -> usize {
        self.misses.load(Ordering::Relaxed)
    }
}

impl<S: Storage> Drop for Cached<S> {
    fn drop(&mut self) {
        self.drop_kept();
    }
}

// SAFETY: all memory is the inner storage's. What is kept was freed by its user and is in the slot or the table
// once; it leaves them before it is handed out or freed: with its own size and alignment, or, where
// grants are divisible, in parts that make up the whole.
unsafe impl<S: Storage> Storage for Cached<S> {
    fn name(&self) -> &str {
        self.name
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities {
            zeroed: false,
            ..self.inner.capabilities()
        }
    }

    fn allocate(&self, size: usize, align: usize) -> Result<Grant, StorageError> {
        if let Some(start) = self.slot.take(size, align, false) {
            self.hits.fetch_add(1, Ordering::Relaxed);
            return Ok(Grant {
                start,
                zeroed: false,
            });
        }
        if !self.is_whole(size) || !align.is_power_of_two() {
            return Err(StorageError::Unsupported);
        }
        let grant = self.obtain(size, self.aligned(align))?;
        self.count_resized(0, size, align);
        Ok(grant)
    }

    unsafe fn free(&self, start: NonNull<u8>, size: usize, align: usize) {
        if self.put_off(start, size, align, false) {
            return;
        }
        let piece = Piece {
            start: start.as_ptr(),
            size,
            align,
            warm_end: false,
        };
        self.put(piece, size);
        self.count_resized(size, 0, align);
    }

    unsafe fn leave(&self, start: NonNull<u8>, size: usize, align: usize) {
        if !self.put_off(start, size, align, true) {
            // SAFETY: the same promise.
            unsafe { self.free(start, size, align) };
        }
    }

    fn take_back(&self, size: usize, align: usize) -> Option<NonNull<u8>> {
        let start = self.slot.take(size, align, true)?;
        self.hits.fetch_add(1, Ordering::Relaxed);
        Some(start)
    }

    unsafe fn resize(
        &self,
        start: NonNull<u8>,
        old: usize,
        new: usize,
        align: usize,
    ) -> Result<(), StorageError> {
        if !self.is_whole(new) {
            return Err(StorageError::Unsupported);
        }
        if new > old && self.absorb(start, old, new) {
            self.count_resized(old, new, align);
            return Ok(());
        }
        if self.had_better_move(old, new, align) {
            return Err(StorageError::Unsupported);
        }
        if new < old && self.ways().divisible {
            let part = Piece {
                // SAFETY: inside the caller's grant, which uses this part no more; and parts may be freed.
                start: unsafe { start.add(new) }.as_ptr(),
                size: old - new,
                align: self.inner.capabilities().granularity,
                warm_end: false,
            };
            self.put(part, old - new);
            self.count_resized(old, new, align);
            return Ok(());
        }
        // SAFETY: as for `free`; a refusal leaves the grant as it was, so it can be tried again.
        self.changing(old, new, || unsafe {
            self.inner.resize(start, old, new, align)
        })?;
        self.count_resized(old, new, align);
        Ok(())
    }

    unsafe fn grow(
        &self,
        start: NonNull<u8>,
        old: usize,
        new: usize,
        align: usize,
    ) -> Result<NonNull<u8>, StorageError> {
        let strict = self.aligned(align);
        if self.is_whole(new)
            && let Some(warm) = self.take_roomy(start, old, new, strict)
        {
            // SAFETY: the caller's grant, and as much of what was kept at least, ours alone.
            unsafe { self.move_to_kept(start, old, warm, strict) };
            self.count_resized(old, new, align);
            return Ok(warm);
        }
        // SAFETY: the same promise.
        unsafe { self.resize(start, old, new, align) }.map(|()| start)
    }

    unsafe fn move_resize(
        &self,
        start: NonNull<u8>,
        old: usize,
        new: usize,
        align: usize,
    ) -> Result<Grant, StorageError> {
        if !self.is_whole(new) {
            return Err(StorageError::Unsupported);
        }
        let strict = self.aligned(align);
        if new > old
            && let Some(warm) = self.take_warm(old, new, strict)
        {
            // SAFETY: the caller's grant, and as much of what was kept at least, ours alone.
            unsafe { self.move_to_kept(start, old, warm, strict) };
            self.count_resized(old, new, align);
            return Ok(Grant {
                start: warm,
                zeroed: false,
            });
        }
        // SAFETY: as for `free`; a refusal leaves the grant as it was, so it can be tried again.
        let grant = self.changing(old, new, || unsafe {
            self.inner.move_resize(start, old, new, strict)
        })?;
        self.count_resized(old, new, align);
        Ok(grant)
    }

    unsafe fn discard(&self, start: NonNull<u8>, size: usize) -> bool {
        // SAFETY: as for `free`.
        unsafe { self.inner.discard(start, size) }
    }

    fn is_usual(&self, size: usize, align: usize) -> bool {
        let wanted = Wanted { size, align };
        let is_usual = |store: &mut Store, ways| {
            // (What is kept in pieces goes back as the grant is made: all together stays below the bound.)
            store.bound.is_usual(self.held_with(size, 0))
                || (size >= MUCH && store.kept.bytes() >= size)
                || store.kept.has(wanted, ways)
        };
        self.with_store(FEW, is_usual) == Some(true)
    }

    fn keep_less(&self, bytes: usize) {
        if self.cached_bytes() > 0 {
            self.settle_below(bytes);
        }
    }

    fn note_unfilled(&self, before: usize, now: usize) {
        // With `per_request` so little is kept that it makes no difference to the peak.
        if !self.per_request && before != now {
            self.count_unfilled(before, now);
        }
    }

    unsafe fn will_fill(&self, start: NonNull<u8>, size: usize, filled: usize) {
        // SAFETY: the same promise.
        unsafe { self.fill_with_large_pages(start, size, filled) };
    }

    unsafe fn will_refill(&self, start: NonNull<u8>, size: usize) {
        // SAFETY: the same promise.
        unsafe { self.refill_with_large_pages(start, size) };
    }

    fn request_ended(&self) {
        if self.per_request {
            self.end_request();
        }
        self.inner.request_ended();
    }

    fn trim(&self) -> usize {
        self.drop_kept() + self.inner.trim()
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
        let grants = [0; 2].map(|_| storage.allocate(SIZE, 4096).unwrap());
        // SAFETY: granted above.
        unsafe { storage.free(grants[0].start, SIZE, 4096) };
        let inside = storage.store.try_enter(1).unwrap();
        let third = storage.allocate(SIZE, 4096).unwrap();
        assert_ne!(third.start, grants[0].start);
        for start in [third.start, grants[1].start] {
            // SAFETY: granted above.
            unsafe { storage.free(start, SIZE, 4096) };
        }
        assert_eq!(storage.trim(), 0);
        drop(inside);
        assert_eq!(storage.inner().counts().freed, 2);
        assert_eq!(storage.trim(), SIZE);
        assert_eq!(storage.inner().counts().live_grants, 0);
    }

    #[test]
    fn what_lies_in_the_slot_makes_room_though_somebody_is_inside() {
        const SIZE: usize = 64 << 10;
        let storage = Cached::new(Counting::new(MALLOC));
        let grant = storage.allocate(SIZE, SIZE).unwrap();
        let inside = storage.store.try_enter(1).unwrap();
        // SAFETY: granted above.
        unsafe { storage.free(grant.start, SIZE, SIZE) };
        let same = storage.allocate(SIZE, SIZE).unwrap();
        assert_eq!((same.start, storage.hits()), (grant.start, 1));
        // SAFETY: granted above.
        unsafe { storage.free(same.start, SIZE, SIZE) };
        let other = storage.allocate(SIZE, 4096).unwrap();
        assert_eq!(storage.cached_bytes(), 0);
        assert_eq!(storage.inner().counts().live_bytes, SIZE);
        // While somebody is being granted something, nothing is put there.
        storage.asked.store(SIZE, Ordering::Relaxed);
        let third = storage.allocate(SIZE, SIZE).unwrap();
        // SAFETY: granted above.
        unsafe { storage.free(third.start, SIZE, SIZE) };
        assert_eq!(storage.cached_bytes(), 0);
        storage.asked.store(0, Ordering::Relaxed);
        let last = storage.allocate(SIZE, SIZE).unwrap();
        // SAFETY: granted above.
        unsafe { storage.free(last.start, SIZE, SIZE) };
        assert_eq!(storage.trim(), SIZE);
        drop(inside);
        // SAFETY: granted above.
        unsafe { storage.free(other.start, SIZE, 4096) };
        assert_eq!(storage.granted.load(Ordering::Relaxed), 0);
        assert_eq!(storage.trim(), SIZE);
        assert_eq!(storage.inner().counts().live_grants, 0);
    }
}
