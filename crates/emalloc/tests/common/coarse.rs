//! A storage that can do everything optional on any system, in units larger than a page, and spoils what it takes.
#![allow(dead_code, reason = "each test file uses a part of it")]

use std::ptr::NonNull;

use emalloc::storage::{Capabilities, Grant, Malloc, Storage, StorageError};

/// The unit of this storage, in bytes.
pub const GRANULARITY: usize = 16 << 10;

/// What memory holds that was cut off or given back.
const SPOILED: u8 = 0xDD;

/// Cuts in place, moves instead of growing, gives back parts; all of it with memory of the storage inside.
#[derive(Debug, Default)]
pub struct Coarse<S = Malloc>(pub S);

impl<S> Coarse<S> {
    fn check(size: usize, start: NonNull<u8>) {
        assert!(size > 0 && size.is_multiple_of(GRANULARITY), "{size}");
        assert!(start.addr().get().is_multiple_of(GRANULARITY));
    }
}

// SAFETY: all memory is the inner storage's. What `malloc` cannot cut stays whole: it does not need to be told how
// large it was when it is freed.
unsafe impl<S: Storage> Storage for Coarse<S> {
    fn name(&self) -> &str {
        "coarse"
    }

    fn capabilities(&self) -> Capabilities {
        let mut all = Capabilities::basic(GRANULARITY);
        all.grow_in_place = true;
        all.shrink_in_place = true;
        all.discard = true;
        all.move_without_copy = true;
        all
    }

    fn allocate(&self, size: usize, align: usize) -> Result<Grant, StorageError> {
        let grant = self.0.allocate(size, align)?;
        Self::check(size, grant.start);
        // SAFETY: just granted.
        unsafe { grant.start.write_bytes(SPOILED, size) };
        Ok(grant)
    }

    unsafe fn free(&self, start: NonNull<u8>, size: usize, align: usize) {
        Self::check(size, start);
        // SAFETY: the caller's grant, used no more.
        unsafe { start.write_bytes(SPOILED, size) };
        // SAFETY: as above.
        unsafe { self.0.free(start, size, align) };
    }

    unsafe fn resize(
        &self,
        start: NonNull<u8>,
        old: usize,
        new: usize,
        align: usize,
    ) -> Result<(), StorageError> {
        Self::check(old, start);
        Self::check(new, start);
        if new > old {
            return Err(StorageError::Unsupported);
        }
        // SAFETY: inside the caller's grant, cut off.
        unsafe { start.add(new).write_bytes(SPOILED, old - new) };
        if self.0.capabilities().shrink_in_place {
            // SAFETY: the caller's grant.
            return unsafe { self.0.resize(start, old, new, align) };
        }
        Ok(())
    }

    unsafe fn move_resize(
        &self,
        start: NonNull<u8>,
        old: usize,
        new: usize,
        align: usize,
    ) -> Result<Grant, StorageError> {
        let grant = self.allocate(new, align)?;
        // SAFETY: both grants hold that many bytes and do not overlap.
        unsafe { start.copy_to_nonoverlapping(grant.start, old.min(new)) };
        // SAFETY: the caller's grant, used no more.
        unsafe { self.free(start, old, align) };
        Ok(grant)
    }

    unsafe fn discard(&self, start: NonNull<u8>, size: usize) -> bool {
        Self::check(size, start);
        // SAFETY: inside one of the caller's grants; the content may be lost.
        unsafe { start.write_bytes(SPOILED, size) };
        true
    }
}
