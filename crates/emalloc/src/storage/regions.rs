//! The wrapper `regions`: takes few large regions of the storage inside and cuts grants out of them, so that a
//! storage that can do nothing but hand out memory can grow, cut, divide and discard. Owns the list of regions; what
//! is free in them is in `shared_runs.rs`.

use super::arrivals::Arrivals;
use super::free_runs::{FreeRuns, GRAIN};
use super::shared_runs::SharedRuns;
use super::try_cell::{Entered, FEW, MANY, TryCell};
use super::{Capabilities, Grant, Storage, StorageError};
use crate::layout::{LARGE_PAGE, PAGE, round_up};
use crate::sys;
use core::ptr::{self, NonNull};
use core::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

/// Bytes of a region, unless a request needs more: addresses, mostly. Memory is what is touched.
const REGION: usize = if usize::BITS == 64 { 64 << 20 } else { 4 << 20 };

/// So many regions later, a region is twice as large: there are never many of them.
const STEP: usize = 32;

/// And so many times at most.
const MOST_DOUBLINGS: usize = 7;

/// No grant is larger.
const MOST: usize = isize::MAX as usize;

/// Keeps regions of the storage inside, and grants parts of them.
///
/// First fit from the low end; a free merges with its neighbours. What is free is discarded where the storage inside can do
/// that: it costs addresses then, and no memory. A region goes back as soon as nothing of it is granted, except for
/// the last one, which [`trim`](Storage::trim) gives back; it answers 0 for that, for the memory is gone already.
///
/// ```
/// use emalloc::storage::{MALLOC, Regions, Storage};
/// let storage = Regions::new(MALLOC);
/// let grant = storage.allocate(256 << 10, 256 << 10)?;
/// // SAFETY: granted above with this size and alignment.
/// unsafe { storage.resize(grant.start, 256 << 10, 1 << 20, 256 << 10) }?;
/// // SAFETY: as above, with the new size; used no more.
/// unsafe { storage.free(grant.start, 1 << 20, 256 << 10) };
/// # Ok::<(), emalloc::storage::StorageError>(())
/// ```
#[derive(Debug)]
pub struct Regions<S: Storage> {
    inner: S,
    pub(super) free: SharedRuns,
    pub(super) list: TryCell<List>,
    /// Regions that nobody has entered into the list yet.
    new: Arrivals<Region>,
    /// Bytes that the smallest region there was hands out.
    least: AtomicUsize,
    /// Whether the system brought none in when it was asked to.
    no_large_pages: AtomicBool,
}

#[derive(Debug)]
pub(super) struct List {
    first: *mut Region,
    count: usize,
}

/// A grant of the storage inside, described in its own last bytes.
#[derive(Clone, Copy, Debug)]
struct Region {
    start: *mut u8,
    size: usize,
    align: usize,
    next: *mut Region,
}

const _: () = assert!(size_of::<Region>() <= GRAIN && align_of::<Region>() <= GRAIN);

impl Region {
    /// Bytes that are handed out. The rest describes it, and keeps regions that lie side by side apart.
    const fn usable(self) -> usize {
        self.size - GRAIN
    }
}

// SAFETY: the regions are the list's, and go where it goes.
unsafe impl Send for List {}

impl<S: Storage> Regions<S> {
    /// No region yet.
    pub const fn new(inner: S) -> Self {
        Self {
            inner,
            free: SharedRuns::new(FreeRuns::new()),
            list: TryCell::new(List {
                first: ptr::null_mut(),
                count: 0,
            }),
            new: Arrivals::new(),
            least: AtomicUsize::new(usize::MAX),
            no_large_pages: AtomicBool::new(false),
        }
    }

    /// The storage inside.
    pub const fn inner(&self) -> &S {
        &self.inner
    }

    /// Takes a region and answers its first `size` bytes, at a multiple of `align`. Waits for nobody.
    fn add_region(&self, size: usize, align: usize) -> Result<NonNull<u8>, StorageError> {
        let refused = StorageError::Exhausted { requested: size };
        let unit = self.inner.capabilities().granularity.max(PAGE);
        let exact = size
            .checked_add(GRAIN)
            .and_then(|sum| round_up(sum, unit))
            .filter(|&exact| exact <= MOST)
            .ok_or(refused)?;
        // Room to grow, if that is to be had; the more regions there are, the more.
        let doublings = self.enter().map_or(0, |list| list.count / STEP);
        let ample = (exact + exact / 2).clamp(REGION, MOST) & !(unit - 1);
        let more = ample.max((REGION << doublings.min(MOST_DOUBLINGS)) & !(unit - 1));
        let mut answer = self.inner.allocate(more, align);
        let mut taken = more;
        for less in [ample, exact] {
            if answer.is_err() && less < taken {
                taken = less;
                answer = self.inner.allocate(less, align);
            }
        }
        let first = answer?.start;
        let start = first.as_ptr();
        let _ = start.expose_provenance();
        self.least.fetch_min(taken - GRAIN, Ordering::Relaxed);
        let region = Region {
            start,
            size: taken,
            align,
            next: ptr::null_mut(),
        };
        let note: *mut Region = start.wrapping_add(region.usable()).cast();
        self.new.push(note, |next| {
            // SAFETY: the region's last bytes, ours alone until it is pushed; aligned by the grain.
            unsafe { note.write(Region { next, ..region }) };
        });
        if region.usable() > size {
            let rest = start.wrapping_add(size);
            // SAFETY: behind what the caller gets, ours alone, and a multiple of the grain long.
            unsafe { self.free.put_back(rest, region.usable() - size) };
        }
        Ok(first)
    }

    /// The list with all regions in it, unless somebody else is inside.
    fn enter(&self) -> Option<Entered<'_, List>> {
        let mut list = self.list.try_enter(FEW)?;
        let mut new = self.new.take_all();
        while !new.is_null() {
            // SAFETY: written by `add_region`, and ours alone since it was taken.
            let next = unsafe { (*new).next };
            // SAFETY: as above.
            unsafe { (*new).next = list.first };
            list.first = new;
            list.count += 1;
            new = next;
        }
        Some(list)
    }

    /// Takes regions out of the list of which nothing is granted, as long as there are more than `keep`: the one at `only`,
    /// or all. Answers the first of them, which leads to the others.
    fn take_empty(&self, keep: usize, only: Option<*mut u8>) -> *mut Region {
        let mut empty = ptr::null_mut();
        // Somebody else inside will look, or the next one.
        let Some(mut list) = self.enter() else {
            return empty;
        };
        let mut before: *mut Region = ptr::null_mut();
        let mut at = list.first;
        while !at.is_null() && list.count > keep {
            // SAFETY: a region of the list.
            let region = unsafe { at.read() };
            let wanted = only.is_none_or(|start| start == region.start);
            if !wanted || !self.free.take_at(FEW, region.start, region.usable()) {
                before = at;
                at = region.next;
                continue;
            }
            if before.is_null() {
                list.first = region.next;
            } else {
                // SAFETY: a region of the list.
                unsafe { (*before).next = region.next };
            }
            list.count -= 1;
            // SAFETY: out of the list, and nothing of it is granted or free.
            unsafe { (*at).next = empty };
            empty = at;
            at = region.next;
        }
        empty
    }

    /// Gives regions back of which nothing is granted, as long as there are more than `keep`: the one at `only`, or all.
    fn give_back(&self, keep: usize, only: Option<*mut u8>) {
        let mut at = self.take_empty(keep, only);
        while !at.is_null() {
            // SAFETY: as `take_empty` answered it, not given back yet.
            let region = unsafe { at.read() };
            if let Some(start) = NonNull::new(region.start) {
                // SAFETY: a whole grant of the storage inside, of which nothing is used any more.
                unsafe { self.inner.free(start, region.size, region.align) };
            }
            at = region.next;
        }
    }

    /// Takes a part of a region back.
    ///
    /// # Safety
    /// It was granted and is used no more.
    unsafe fn take_back(&self, start: NonNull<u8>, size: usize) {
        if self.inner.capabilities().discard {
            // SAFETY: whole pages of one of our grants, as the caller says.
            unsafe { self.inner.discard(start, size) };
        }
        // Runs reach over the whole region, the caller's pointer perhaps not.
        let start = ptr::with_exposed_provenance_mut(start.addr().get());
        // SAFETY: as the caller says.
        let run = unsafe { self.free.put_back(start, size) };
        // Looking through the regions is for runs that may be one.
        if let Some((start, size)) = run
            && size >= self.least.load(Ordering::Relaxed)
        {
            let keep = usize::from(self.inner.capabilities().discard);
            self.give_back(keep, Some(start));
        }
    }

    /// Gives whole large pages back and brings them in again as such, at once: they stay marked for no longer than that, for
    /// whoever is granted a part of them later may need no more than that part.
    ///
    /// # Safety
    /// As for [`Storage::will_refill`].
    unsafe fn refill(&self, start: NonNull<u8>, size: usize) {
        let can = sys::CAN_PREFER_LARGE_PAGES && self.inner.capabilities().discard;
        let whole = (start.addr().get() | size).is_multiple_of(LARGE_PAGE);
        if !can || !whole || self.no_large_pages.load(Ordering::Relaxed) {
            return;
        }
        // SAFETY: a part of a region.
        unsafe { sys::prefer_large_pages(start.as_ptr(), size) };
        // SAFETY: as above, and nobody needs what lies there.
        if unsafe { self.inner.discard(start, size) } {
            for offset in (0..size).step_by(LARGE_PAGE) {
                let first = start.as_ptr().wrapping_add(offset);
                // SAFETY: inside that part, which holds nothing any more.
                unsafe { first.write_volatile(0) };
                if !sys::is_resident(first.wrapping_add(LARGE_PAGE / 2)) {
                    self.no_large_pages.store(true, Ordering::Relaxed);
                    break;
                }
            }
        }
        // SAFETY: a part of a region still.
        unsafe { sys::prefer_usual_pages(start.as_ptr(), size) };
    }
}

impl<S: Storage> Drop for Regions<S> {
    fn drop(&mut self) {
        self.give_back(0, None);
    }
}

// SAFETY: regions are the inner storage's memory, writable and this value's alone; the list of free runs gives each byte
// to one taker at a time. A refusal changes nothing.
unsafe impl<S: Storage> Storage for Regions<S> {
    fn name(&self) -> &str {
        "regions"
    }

    fn capabilities(&self) -> Capabilities {
        let inner = self.inner.capabilities();
        Capabilities {
            grow_in_place: true,
            shrink_in_place: true,
            discard: inner.discard,
            divisible: true,
            ..Capabilities::basic(inner.granularity.max(PAGE))
        }
    }

    fn allocate(&self, size: usize, align: usize) -> Result<Grant, StorageError> {
        let unit = self.capabilities().granularity;
        if size == 0 || !size.is_multiple_of(unit) || !align.is_power_of_two() {
            return Err(StorageError::Unsupported);
        }
        let align = align.max(unit);
        // Nothing is refused because others are inside.
        let start = match NonNull::new(self.free.take(size, align)) {
            Some(start) => start,
            None => self.add_region(size, align)?,
        };
        Ok(Grant {
            start,
            zeroed: false,
        })
    }

    unsafe fn free(&self, start: NonNull<u8>, size: usize, _align: usize) {
        // SAFETY: a grant or a part of one, as the caller vouches.
        unsafe { self.take_back(start, size) }
    }

    unsafe fn resize(
        &self,
        start: NonNull<u8>,
        old: usize,
        new: usize,
        _align: usize,
    ) -> Result<(), StorageError> {
        if new == 0 || !new.is_multiple_of(self.capabilities().granularity) {
            return Err(StorageError::Unsupported);
        }
        if new < old {
            // SAFETY: the new end lies inside the grant.
            let tail = unsafe { start.add(new) };
            // SAFETY: what is cut off the caller uses no more.
            unsafe { self.take_back(tail, old - new) };
            return Ok(());
        }
        let end = ptr::with_exposed_provenance_mut(start.addr().get() + old);
        if new == old || self.free.take_at(MANY, end, new - old) {
            Ok(())
        } else {
            Err(StorageError::Unsupported)
        }
    }

    unsafe fn discard(&self, start: NonNull<u8>, size: usize) -> bool {
        // SAFETY: a part of one of our grants, as the caller vouches.
        unsafe { self.inner.discard(start, size) }
    }

    unsafe fn will_refill(&self, start: NonNull<u8>, size: usize) {
        // SAFETY: the same promise.
        unsafe { self.refill(start, size) };
    }

    fn request_ended(&self) {
        self.inner.request_ended();
    }

    fn trim(&self) -> usize {
        self.no_large_pages.store(false, Ordering::Relaxed);
        // What is free was discarded, or gone with its region: only addresses are left to give.
        self.give_back(0, None);
        self.inner.trim()
    }
}
