//! Owns `USE_ZEND_ALLOC_HUGE_PAGES=1`: all memory in large pages, from the first segment on, as in the original. (Without it
//! the store has large pages where they add nothing to the peak.)

use core::ptr::NonNull;
use core::sync::atomic::{AtomicBool, Ordering};

use emalloc::storage::{Grant, Storage, StorageError};

/// `S`, with large pages asked for each grant if somebody wants that.
#[derive(Debug)]
pub struct LargePages<S>(pub S);

static WANTED: AtomicBool = AtomicBool::new(false);

/// From now on somebody wants that.
pub fn want() {
    WANTED.store(true, Ordering::Relaxed);
}

impl<S: Storage> LargePages<S> {
    /// # Safety
    /// The grant is one of the storage inside.
    unsafe fn ask(&self, start: NonNull<u8>, size: usize) {
        if WANTED.load(Ordering::Relaxed) {
            // SAFETY: the caller's promise.
            unsafe { self.0.will_fill(start, size, 0) }
        }
    }
}

// SAFETY: all memory is the inner storage's.
unsafe impl<S: Storage> Storage for LargePages<S> {
    emalloc::storage::forward_storage!(|self| self.0; name, capabilities, free, discard, is_usual, keep_less, note_unfilled, will_fill, will_refill, request_ended, trim);

    fn allocate(&self, size: usize, align: usize) -> Result<Grant, StorageError> {
        let grant = self.0.allocate(size, align)?;
        // SAFETY: just granted.
        unsafe { self.ask(grant.start, size) };
        Ok(grant)
    }

    unsafe fn resize(
        &self,
        start: NonNull<u8>,
        old: usize,
        new: usize,
        align: usize,
    ) -> Result<(), StorageError> {
        // SAFETY: the caller's promise.
        unsafe { self.0.resize(start, old, new, align)? };
        // SAFETY: it is as large now.
        unsafe { self.ask(start, new) };
        Ok(())
    }

    unsafe fn move_resize(
        &self,
        start: NonNull<u8>,
        old: usize,
        new: usize,
        align: usize,
    ) -> Result<Grant, StorageError> {
        // SAFETY: the caller's promise.
        let grant = unsafe { self.0.move_resize(start, old, new, align)? };
        // SAFETY: just granted.
        unsafe { self.ask(grant.start, new) };
        Ok(grant)
    }
}
