//! The wrapper `regions`: takes few large regions of the storage inside and cuts grants out of them, so that a
//! storage that can do nothing but hand out memory can grow, cut, divide and discard. Owns the table of regions; what
//! is free in them is in `shared_runs.rs`.

use super::free_runs::{FreeRuns, GRAIN};
use super::shared_runs::SharedRuns;
use super::try_cell::{FEW, MANY, TryCell};
use super::{Capabilities, Grant, Storage, StorageError};
use crate::layout::{PAGE, round_up};
use core::ptr::{self, NonNull};

/// Bytes of a region, unless a request needs more: addresses, mostly. Memory is what is touched.
const REGION: usize = if usize::BITS == 64 { 64 << 20 } else { 4 << 20 };

/// The most regions.
const MOST: usize = 256;

/// So many regions later, a region is twice as large.
const STEP: usize = 32;

/// Keeps regions of the storage inside, and grants parts of them.
///
/// First fit from the low end; a free merges with its neighbours. What is free is discarded where the storage inside can do
/// that: it costs addresses then, and no memory. A region goes back as soon as nothing of it is granted, except for
/// the last one, which [`trim`](Storage::trim) gives back.
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
    free: SharedRuns,
    table: TryCell<Table>,
}

#[derive(Debug)]
struct Table {
    regions: [Region; MOST],
    count: usize,
}

/// A grant of the storage inside.
#[derive(Clone, Copy, Debug)]
struct Region {
    start: *mut u8,
    size: usize,
    align: usize,
}

impl Region {
    /// Bytes that are handed out. The rest keeps regions that lie side by side apart.
    const fn usable(self) -> usize {
        self.size - GRAIN
    }
}

// SAFETY: the regions are the table's, and go where it goes.
unsafe impl Send for Table {}

impl<S: Storage> Regions<S> {
    /// No region yet.
    pub const fn new(inner: S) -> Self {
        const NONE: Region = Region {
            start: ptr::null_mut(),
            size: 0,
            align: 0,
        };
        Self {
            inner,
            free: SharedRuns::new(FreeRuns::new()),
            table: TryCell::new(Table {
                regions: [NONE; MOST],
                count: 0,
            }),
        }
    }

    /// The storage inside.
    pub const fn inner(&self) -> &S {
        &self.inner
    }

    /// Takes a region that has room for `size` bytes at a multiple of `align`.
    fn add_region(&self, size: usize, align: usize) -> Result<(), StorageError> {
        let refused = StorageError::Exhausted { requested: size };
        let count = self.table.try_enter(MANY).map(|table| table.count);
        let count = count.filter(|&count| count < MOST).ok_or(refused)?;
        let unit = self.inner.capabilities().granularity.max(PAGE);
        let exact = size
            .checked_add(GRAIN)
            .and_then(|sum| round_up(sum, unit))
            .ok_or(refused)?;
        // Room to grow, if that is to be had; the more regions there are, the more, so that the table
        // holds all there can be.
        let ample = exact.saturating_add(exact / 2).max(REGION) & !(unit - 1);
        let more = ample.max((REGION << (count / STEP)) & !(unit - 1));
        let mut answer = self.inner.allocate(more, align);
        let mut taken = more;
        for less in [ample, exact] {
            if answer.is_err() && less < taken {
                taken = less;
                answer = self.inner.allocate(less, align);
            }
        }
        let start = answer?.start;
        let _ = start.as_ptr().expose_provenance();
        let region = Region {
            start: start.as_ptr(),
            size: taken,
            align,
        };
        // Nobody is kept out for as long as the storage inside takes.
        if !self.enter_region(region) {
            // SAFETY: granted just now, and in no list.
            unsafe { self.inner.free(start, taken, align) };
            return Err(refused);
        }
        // SAFETY: the region is ours alone, and a multiple of the grain from its end.
        unsafe { self.free.put_back(start.as_ptr(), region.usable()) };
        Ok(())
    }

    /// Writes a region into the table. Says whether that could be.
    fn enter_region(&self, region: Region) -> bool {
        let Some(mut table) = self.table.try_enter(MANY) else {
            return false;
        };
        let count = table.count;
        let Some(place) = table.regions.get_mut(count) else {
            return false;
        };
        *place = region;
        table.count += 1;
        true
    }

    /// Takes a region out of the table of which nothing is granted, if there are more than `keep` regions.
    fn take_empty(&self, keep: usize) -> Option<Region> {
        // Somebody else inside will look, or the next one.
        let mut table = self.table.try_enter(FEW)?;
        if table.count <= keep {
            return None;
        }
        let regions = table.regions.get(..table.count)?;
        let place = regions
            .iter()
            .position(|region| self.free.take_at(region.start, region.usable()))?;
        table.count -= 1;
        let last = table.regions[table.count];
        Some(core::mem::replace(&mut table.regions[place], last))
    }

    /// Gives regions back of which nothing is granted, as long as there are more than `keep`. Answers the bytes.
    fn release(&self, keep: usize) -> usize {
        let mut bytes = 0;
        while let Some(region) = self.take_empty(keep) {
            bytes += region.size;
            if let Some(start) = NonNull::new(region.start) {
                // SAFETY: a whole grant of the storage inside; its memory is in no list any more.
                unsafe { self.inner.free(start, region.size, region.align) };
            }
        }
        bytes
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
        unsafe { self.free.put_back(start, size) };
        self.release(usize::from(self.inner.capabilities().discard));
    }
}

impl<S: Storage> Drop for Regions<S> {
    fn drop(&mut self) {
        self.release(0);
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
        let mut start = self.free.take(size, align);
        if start.is_null() {
            self.add_region(size, align)?;
            start = self.free.take(size, align);
        }
        // Others may have been faster, twice; they got what they wanted then.
        let start = NonNull::new(start).ok_or(StorageError::Exhausted { requested: size })?;
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
        if new == old || self.free.take_at(end, new - old) {
            Ok(())
        } else {
            Err(StorageError::Unsupported)
        }
    }

    unsafe fn discard(&self, start: NonNull<u8>, size: usize) -> bool {
        // SAFETY: a part of one of our grants, as the caller vouches.
        unsafe { self.inner.discard(start, size) }
    }

    fn request_ended(&self) {
        self.inner.request_ended();
    }

    fn trim(&self) -> usize {
        self.release(0) + self.inner.trim()
    }
}
