//! The storage `fixed`: segments inside one buffer that the caller gives. Works without `std`
//! and without a system. First fit from the low end; a free merges with its neighbours.

use super::free_runs::{FreeRuns, GRAIN};
use super::shared_runs::SharedRuns;
use super::try_cell::MANY;
use super::{Capabilities, Grant, Storage, StorageError};
use crate::sys;
use core::mem::MaybeUninit;
use core::ptr::{self, NonNull};

/// The alignment that [`Fixed::with_capacity`] gives its buffer at most, in bytes.
const OWN_ALIGN: usize = 2 << 20;

/// Segments inside one buffer.
///
/// Segments are aligned to their size, so a buffer that is not aligned as they are loses its
/// beginning and its end to them (huge blocks may still use those).
///
/// It may be shared between heaps and threads, and never waits: a free that finds another thread
/// inside is handed to that thread or the next, an allocation tries for a while and then answers
/// [`StorageError::Exhausted`].
///
/// ```
/// use core::mem::MaybeUninit;
/// use emalloc::storage::{Fixed, Storage, StorageError};
/// #[repr(align(4096))]
/// struct Buffer([MaybeUninit<u8>; 64 << 10]);
/// static mut BUFFER: Buffer = Buffer([MaybeUninit::uninit(); 64 << 10]);
///
/// // SAFETY: the only reference to it, ever.
/// let storage = Fixed::new(unsafe { &mut *(&raw mut BUFFER.0) });
/// assert_eq!(storage.capacity(), 64 << 10);
/// let grant = storage.allocate(48 << 10, 4096)?;
/// assert_eq!(
///     storage.allocate(32 << 10, 4096).unwrap_err(),
///     StorageError::Exhausted { requested: 32 << 10 },
/// );
/// // SAFETY: granted above with this size and alignment, used no more.
/// unsafe { storage.free(grant.start, 48 << 10, 4096) };
/// # Ok::<(), StorageError>(())
/// ```
#[derive(Debug)]
pub struct Fixed {
    /// The first usable byte, with the right to reach the whole buffer.
    base: NonNull<u8>,
    len: usize,
    runs: SharedRuns,
    /// What `with_capacity` has to give back; null for a buffer of the caller's.
    own: *mut u8,
}

// SAFETY: the buffer is this value's alone, and only whoever is in the cell touches the free part of it.
unsafe impl Send for Fixed {}
// SAFETY: as above; the pointers beside the cell never change, `waiting` is atomic.
unsafe impl Sync for Fixed {}

impl Fixed {
    /// Takes a buffer for ever.
    pub fn new(buffer: &'static mut [MaybeUninit<u8>]) -> Self {
        let len = buffer.len();
        // SAFETY: the borrow is exclusive and never ends, and a reference's memory is not null.
        unsafe { Self::from_raw(NonNull::from(buffer).cast(), len) }
    }

    /// Takes the `len` bytes at `start`.
    ///
    /// # Safety
    /// They are readable, writable and nobody else's as long as this value, or anything it has
    /// granted, is used.
    pub unsafe fn from_raw(start: NonNull<u8>, len: usize) -> Self {
        let skipped = start.as_ptr().addr().wrapping_neg() & (GRAIN - 1);
        let len = len.saturating_sub(skipped) & !(GRAIN - 1);
        let base = start.as_ptr().wrapping_add(skipped);
        let mut runs = FreeRuns::new();
        if len != 0 {
            // SAFETY: the aligned middle of the caller's bytes, which are ours now.
            unsafe { runs.insert(base, len) };
        }
        Self {
            base: NonNull::new(base).unwrap_or(start),
            len,
            runs: SharedRuns::new(runs),
            own: ptr::null_mut(),
        }
    }

    /// Gets a buffer of `bytes` from the system, aligned as large segments need it,
    /// and gives it back when dropped, **with everything still granted**.
    ///
    /// # Errors
    /// [`StorageError::Exhausted`] when the system has none.
    pub fn with_capacity(bytes: usize) -> Result<Self, StorageError> {
        let refused = StorageError::Exhausted { requested: bytes };
        let size = bytes.checked_next_multiple_of(GRAIN).ok_or(refused)?;
        if size == 0 || isize::try_from(size).is_err() {
            return Err(refused);
        }
        let align = (1 << size.ilog2()).clamp(GRAIN, OWN_ALIGN);
        let start = NonNull::new(sys::aligned_malloc(size, align)).ok_or(refused)?;
        // SAFETY: fresh memory that nobody else knows, given back in the drop.
        let mut fixed = unsafe { Self::from_raw(start, size) };
        fixed.own = start.as_ptr();
        Ok(fixed)
    }

    /// The same place by a pointer that may reach the whole buffer.
    fn reaching(&self, start: NonNull<u8>) -> *mut u8 {
        self.base.as_ptr().with_addr(start.as_ptr().addr())
    }

    /// The usable bytes of the buffer, granted and free together.
    pub const fn capacity(&self) -> usize {
        self.len
    }
}

impl Drop for Fixed {
    fn drop(&mut self) {
        if !self.own.is_null() {
            // SAFETY: `with_capacity` got it from there, and says that grants end here.
            unsafe { sys::aligned_free(self.own) }
        }
    }
}

// SAFETY: the buffer is writable and this value's alone; the list of free runs gives each byte to
// one taker at a time; the buffer does not move with the value. A refusal changes nothing.
unsafe impl Storage for Fixed {
    fn name(&self) -> &str {
        "fixed"
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities {
            grow_in_place: true,
            shrink_in_place: true,
            divisible: true,
            ..Capabilities::basic(GRAIN)
        }
    }

    fn allocate(&self, size: usize, align: usize) -> Result<Grant, StorageError> {
        if size == 0 || !size.is_multiple_of(GRAIN) || !align.is_power_of_two() {
            return Err(StorageError::Unsupported);
        }
        match NonNull::new(self.runs.take(size, align)) {
            Some(start) => Ok(Grant {
                start,
                zeroed: false,
            }),
            None => Err(StorageError::Exhausted { requested: size }),
        }
    }

    unsafe fn free(&self, start: NonNull<u8>, size: usize, _align: usize) {
        // SAFETY: a whole grant, as the caller vouches.
        unsafe { self.runs.put_back(self.reaching(start), size) };
    }

    unsafe fn resize(
        &self,
        start: NonNull<u8>,
        old: usize,
        new: usize,
        _align: usize,
    ) -> Result<(), StorageError> {
        if new == 0 || !new.is_multiple_of(GRAIN) {
            return Err(StorageError::Unsupported);
        }
        if new < old {
            // SAFETY: the new end lies inside the grant.
            let tail = unsafe { start.add(new) };
            // SAFETY: what is cut off the caller uses no more.
            unsafe { self.runs.put_back(self.reaching(tail), old - new) };
            return Ok(());
        }
        let end = start.as_ptr().wrapping_add(old);
        if new == old || self.runs.take_at(MANY, end, new - old) {
            Ok(())
        } else {
            Err(StorageError::Unsupported)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_free_that_finds_somebody_inside_is_taken_in_by_the_next() {
        let storage = Fixed::with_capacity(4 * GRAIN).unwrap();
        let first = storage.allocate(GRAIN, GRAIN).unwrap();
        let second = storage.allocate(3 * GRAIN, GRAIN).unwrap();
        {
            let _inside = storage.runs.enter_for_test().unwrap();
            // SAFETY: granted above.
            unsafe { storage.free(first.start, GRAIN, GRAIN) };
            // SAFETY: granted above; what is cut off is used no more.
            unsafe { storage.resize(second.start, 3 * GRAIN, GRAIN, GRAIN) }.unwrap();
            // What cannot wait is refused, and changes nothing.
            // SAFETY: the grant with its new size.
            let grown = unsafe { storage.resize(second.start, GRAIN, 2 * GRAIN, GRAIN) };
            assert_eq!(grown, Err(StorageError::Unsupported));
            assert!(storage.allocate(GRAIN, GRAIN).is_err());
        }
        // SAFETY: the grant with its new size.
        unsafe { storage.free(second.start, GRAIN, GRAIN) };
        assert!(storage.allocate(4 * GRAIN, GRAIN).is_ok());
    }
}
