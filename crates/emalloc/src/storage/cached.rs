//! The wrapper `cached`: keeps freed segments warm for the next heap. Owns the policy (what is
//! kept, served, given back); the list itself is in `kept.rs`. Nobody ever waits for another thread here.

use super::kept::{Kept, Piece, Wanted, Ways};
use super::try_cell::{Entered, FEW, MANY, TryCell};
use super::{Capabilities, Grant, Storage, StorageError};
use crate::sys;
use core::ptr::NonNull;
use core::sync::atomic::{AtomicUsize, Ordering};
use core::time::Duration;

/// Keeps freed memory of the storage inside, and hands it out again.
///
/// Share it between heaps and threads through `Arc` (with `std`) or `&'static`: what one request's
/// heap gave up, the next one's begins with, its pages still in place. Where the storage inside allows it
/// ([`Capabilities::divisible`]), pieces are cut, joined and made larger to fit. A thread that finds another one
/// at the table goes to the storage inside instead.
///
/// What is granted and what is kept are together never more than what was granted at once at some time before:
/// keeping adds nothing to the peak. That bound falls: at each call, but at most once per interval, by half of
/// what it is above the most that was granted since (after a longer silence: half for each interval that has passed);
/// with [`per_request`](Self::per_request) also at the
/// end of each request. What is kept beyond it goes back, the coldest first.
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
    name: &'static str,
    limit: usize,
    interval: u64,
    per_request: bool,
    store: TryCell<Store>,
    /// Bytes granted and not freed.
    granted: AtomicUsize,
    /// What the table holds, for whoever asks without entering.
    bytes: AtomicUsize,
    hits: AtomicUsize,
    misses: AtomicUsize,
}

/// What is kept, and how much of it may be.
#[derive(Debug)]
struct Store {
    kept: Kept,
    /// What is granted and kept may be this much together.
    bound: usize,
    /// The most that was granted since the bound last fell.
    high: usize,
    /// When it last fell for the time that had passed.
    fell: u64,
    /// The mean of what requests needed.
    mean: usize,
}

impl Store {
    /// Takes note of how much is granted.
    fn see(&mut self, granted: usize) {
        self.high = self.high.max(granted);
        self.bound = self.bound.max(granted);
    }

    /// Lets the bound fall by half of the excess, `times` times.
    fn fall(&mut self, times: u64, granted: usize) {
        let excess = u32::try_from(times)
            .ok()
            .and_then(|times| self.bound.saturating_sub(self.high).checked_shr(times))
            .unwrap_or(0);
        self.bound = self.high + excess;
        self.high = granted;
    }

    /// A request has ended: the bound becomes the mean.
    fn end_request(&mut self, granted: usize) {
        self.mean = self.mean.midpoint(self.high);
        self.bound = self.mean.max(granted);
        self.high = granted;
    }
}

/// What is done with what is kept in one go.
enum Step {
    /// A grant of the storage inside, of at least this many bytes.
    Found(Piece),
    /// A smaller one, to be made larger.
    Smaller(Piece),
    /// Nothing.
    Nothing,
}

impl<S: Storage> Cached<S> {
    /// Time between two falls of the bound, unless told otherwise.
    pub const DEFAULT_INTERVAL: Duration = Duration::from_millis(250);

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
                bound: 0,
                high: 0,
                fell: 0,
                mean: 0,
            }),
            granted: AtomicUsize::new(0),
            bytes: AtomicUsize::new(0),
            hits: AtomicUsize::new(0),
            misses: AtomicUsize::new(0),
        }
    }

    /// Keeps at most this many bytes, whatever was granted before.
    pub const fn with_limit(mut self, bytes: usize) -> Self {
        self.limit = bytes;
        self
    }

    /// Lets the bound fall at most once in this time (whole milliseconds, at least one).
    pub const fn with_interval(mut self, interval: Duration) -> Self {
        let millis = interval.as_millis();
        self.interval = if millis > u64::MAX as u128 {
            u64::MAX
        } else {
            millis as u64
        };
        self
    }

    /// Makes the bound, at the end of each request, the mean of what requests needed, in which each one counts half as
    /// much as the next. The first request finds a mean of nothing.
    pub const fn per_request(mut self) -> Self {
        self.per_request = true;
        self
    }

    /// Answers this as its [`name`](Storage::name) instead of `cached`.
    pub(super) const fn named(mut self, name: &'static str) -> Self {
        self.name = name;
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

    fn ways(&self) -> Ways {
        let can = self.inner.capabilities();
        Ways {
            divisible: can.divisible,
            cut: can.shrink_in_place,
        }
    }

    /// Has `act` done with what is kept, and gives back outside the cell what is beyond the bound then.
    /// `None` if others were inside at each of `looks` looks.
    fn with_store<T>(&self, looks: u32, act: impl FnOnce(&mut Store, Ways) -> T) -> Option<T> {
        let (now, ways) = (sys::millis(), self.ways());
        let mut store = self.store.try_enter(looks)?;
        let times = now.saturating_sub(store.fell) / self.interval.max(1);
        if times > 0 {
            store.see(self.granted.load(Ordering::Relaxed));
            store.fall(times, self.granted.load(Ordering::Relaxed));
            store.fell = now;
        }
        let answer = act(&mut store, ways);
        self.settle(store, ways);
        Some(answer)
    }

    /// Leaves the cell, with what is beyond the bound.
    fn settle<'a>(&'a self, mut store: Entered<'a, Store>, ways: Ways) {
        /// Pieces that go back at a time.
        const GOING: usize = 16;
        loop {
            let granted = self.granted.load(Ordering::Relaxed);
            store.see(granted);
            let room = store.bound.saturating_sub(granted).min(self.limit);
            let mut out = [None; GOING];
            for place in &mut out {
                let beyond = store.kept.bytes().saturating_sub(room);
                *place = store.kept.take_cold(beyond, ways);
            }
            self.bytes.store(store.kept.bytes(), Ordering::Relaxed);
            drop(store);
            for piece in out.into_iter().flatten() {
                self.give_back(piece);
            }
            if out[GOING - 1].is_none() {
                return;
            }
            // More may be waiting; if somebody else is inside now, it is theirs to do.
            let Some(again) = self.store.try_enter(1) else {
                return;
            };
            store = again;
        }
    }

    /// Gives a piece that is out of the table to the storage inside.
    fn give_back(&self, piece: Piece) {
        if let Some(start) = piece.start() {
            // SAFETY: a grant of the storage inside, or as good as one where grants are divisible; ours alone.
            unsafe { self.inner.free(start, piece.size, piece.align) };
        }
    }

    /// Gives everything kept to the storage inside. Answers the bytes.
    fn drop_cache(&self) -> usize {
        let mut bytes = 0;
        while let Some(Some(piece)) = self.with_store(MANY, |store, ways| {
            store.bound = 0;
            store.kept.take_cold(usize::MAX, ways)
        }) {
            bytes += piece.size;
            self.give_back(piece);
        }
        bytes
    }

    /// Takes something kept for a grant of `size` bytes; what cannot be kept beside it then is gone.
    fn find(&self, size: usize, align: usize) -> Step {
        let wanted = Wanted { size, align };
        let can = self.inner.capabilities();
        let stretchable = can.move_without_copy || can.grow_in_place;
        self.with_store(FEW, |store, ways| {
            if let Some(piece) = store.kept.take(wanted, ways) {
                return Step::Found(piece);
            }
            match stretchable
                .then(|| store.kept.take_smaller(wanted))
                .flatten()
            {
                Some(piece) => Step::Smaller(piece),
                None => Step::Nothing,
            }
        })
        .unwrap_or(Step::Nothing)
    }

    /// A grant out of what is kept.
    fn serve(&self, size: usize, align: usize) -> Option<NonNull<u8>> {
        let piece = match self.find(size, align) {
            Step::Nothing => return None,
            Step::Found(piece) if piece.size == size => return piece.start(),
            Step::Found(piece) | Step::Smaller(piece) => piece,
        };
        let start = piece.start()?;
        // SAFETY: a grant of the storage inside with this size and alignment, used by nobody.
        if unsafe { self.inner.resize(start, piece.size, size, align) }.is_ok() {
            return Some(start);
        }
        if piece.size < size {
            // SAFETY: as above, and refused, so it is as it was.
            let moved = unsafe { self.inner.move_resize(start, piece.size, size, align) };
            if let Ok(grant) = moved {
                return Some(grant.start);
            }
        }
        self.give_back(piece);
        None
    }

    /// A new grant, of what is kept or of the storage inside. It is counted already.
    fn obtain(&self, size: usize, align: usize) -> Result<Grant, StorageError> {
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

    /// Has `act` done, which makes a grant of `old` bytes one of `new`, with the count right before and after;
    /// once more with nothing kept if memory was short.
    fn changing<T>(
        &self,
        old: usize,
        new: usize,
        act: impl Fn() -> Result<T, StorageError>,
    ) -> Result<T, StorageError> {
        self.granted
            .fetch_add(new.saturating_sub(old), Ordering::Relaxed);
        if new > old {
            // What is kept makes room before the grant grows.
            self.with_store(FEW, |_, _| ());
        }
        let answer = match act() {
            Err(error) if is_shortage(error) && self.drop_cache() != 0 => act(),
            answer => answer,
        };
        let less = if answer.is_ok() {
            old.saturating_sub(new)
        } else {
            new.saturating_sub(old)
        };
        self.granted.fetch_sub(less, Ordering::Relaxed);
        answer
    }

    /// A grant of that very size out of what is kept, where grants are divisible.
    fn take_warm(&self, size: usize, align: usize) -> Option<Grant> {
        let take = |store: &mut Store, ways: Ways| {
            if !ways.divisible {
                return None;
            }
            let piece = store.kept.take(Wanted { size, align }, ways)?;
            self.granted.fetch_add(size, Ordering::Relaxed);
            piece.start()
        };
        let start = self.with_store(FEW, take).flatten()?;
        self.hits.fetch_add(1, Ordering::Relaxed);
        Some(Grant {
            start,
            zeroed: false,
        })
    }

    /// Lengthens a grant by what is kept right behind it.
    fn absorb(&self, start: NonNull<u8>, old: usize, new: usize) -> bool {
        let end = start.addr().get() + old;
        self.with_store(FEW, |store, ways| {
            let taken = ways.divisible && store.kept.take_at(end, new - old);
            if taken {
                self.granted.fetch_add(new - old, Ordering::Relaxed);
            }
            taken
        })
        .unwrap_or(false)
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
        self.drop_cache();
    }
}

// SAFETY: all memory is the inner storage's. What is kept was freed by its user and is in the table
// once; it leaves the table before it is handed out or freed: with its own size and alignment, or, where
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
        self.granted.fetch_add(size, Ordering::Relaxed);
        let answer = self.obtain(size, align);
        if answer.is_err() {
            self.granted.fetch_sub(size, Ordering::Relaxed);
        }
        answer
    }

    unsafe fn free(&self, start: NonNull<u8>, size: usize, align: usize) {
        let piece = Piece {
            start: start.as_ptr(),
            size,
            align,
            warm_end: false,
        };
        let keep = |store: &mut Store, ways| {
            // Both counts change at once, so that their sum stays below the bound.
            store.see(self.granted.fetch_sub(size, Ordering::Relaxed));
            store.kept.put(piece, ways)
        };
        match self.with_store(FEW, keep) {
            Some(true) => return,
            Some(false) => {}
            None => {
                self.granted.fetch_sub(size, Ordering::Relaxed);
            }
        }
        self.give_back(piece);
    }

    unsafe fn resize(
        &self,
        start: NonNull<u8>,
        old: usize,
        new: usize,
        align: usize,
    ) -> Result<(), StorageError> {
        if new > old && self.absorb(start, old, new) {
            return Ok(());
        }
        if new < old && self.ways().divisible {
            // SAFETY: the caller uses this part no more, and parts may be freed.
            unsafe {
                self.free(
                    start.add(new),
                    old - new,
                    self.inner.capabilities().granularity,
                )
            };
            return Ok(());
        }
        // SAFETY: as for `free`; a refusal leaves the grant as it was, so it can be tried again.
        self.changing(old, new, || unsafe {
            self.inner.resize(start, old, new, align)
        })
    }

    unsafe fn move_resize(
        &self,
        start: NonNull<u8>,
        old: usize,
        new: usize,
        align: usize,
    ) -> Result<Grant, StorageError> {
        if new > old
            && let Some(warm) = self.take_warm(new, align)
        {
            // Copying takes less time than bringing in as many pages as are new.
            // SAFETY: both are at least `old` bytes long, and nobody else's.
            unsafe { warm.start.copy_from_nonoverlapping(start, old) };
            // SAFETY: as the caller vouches.
            unsafe { self.free(start, old, align) };
            return Ok(warm);
        }
        // SAFETY: as for `free`; a refusal leaves the grant as it was, so it can be tried again.
        self.changing(old, new, || unsafe {
            self.inner.move_resize(start, old, new, align)
        })
    }

    unsafe fn discard(&self, start: NonNull<u8>, size: usize) -> bool {
        // SAFETY: as for `free`.
        unsafe { self.inner.discard(start, size) }
    }

    fn request_ended(&self) {
        if self.per_request {
            self.with_store(FEW, |store, _| {
                let granted = self.granted.load(Ordering::Relaxed);
                store.see(granted);
                store.end_request(granted);
            });
        }
        self.inner.request_ended();
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
        let inside = storage.store.try_enter(1).unwrap();
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
