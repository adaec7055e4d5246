//! The storage `win32`: segments from a private Windows heap, the default on Windows.
//! Alignment is made by larger blocks (see `sys`), so each costs up to its alignment more.

use super::{Capabilities, Grant, Storage, StorageError};
use crate::layout::PAGE;
use crate::sys;
use core::ptr::NonNull;

/// Segments from a private heap of the system (the original's `win32`).
///
/// Made by [`new`](Self::new); dropping it destroys the heap **with everything still granted**.
/// Growing in place may fail at any time, and does under Wine.
///
/// ```
/// use emalloc::storage::{Storage, Win32};
/// let storage = Win32::new()?;
/// assert_eq!(storage.name(), "win32");
/// # Ok::<(), emalloc::storage::StorageError>(())
/// ```
#[derive(Debug)]
pub struct Win32 {
    heap: sys::HeapHandle,
}

// SAFETY: the heap is made with its own locking on, so any thread may use the handle.
unsafe impl Send for Win32 {}
// SAFETY: as above, and several threads at once.
unsafe impl Sync for Win32 {}

impl Win32 {
    /// Creates the private heap (`HeapCreate`).
    ///
    /// # Errors
    /// [`StorageError::System`] with the number why there is none.
    pub fn new() -> Result<Self, StorageError> {
        match sys::heap_create() {
            Ok(heap) => Ok(Self { heap }),
            Err(code) => Err(StorageError::System(code)),
        }
    }
}

impl Drop for Win32 {
    fn drop(&mut self) {
        // SAFETY: created by `new`; the type says that grants end here.
        unsafe { sys::heap_destroy(self.heap) }
    }
}

// SAFETY: blocks of the private heap are writable, aligned by `heap_alloc`, overlap nothing alive and
// stay where they are when the handle moves. In-place-only resizing that fails leaves the block alone.
unsafe impl Storage for Win32 {
    fn name(&self) -> &str {
        "win32"
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities {
            grow_in_place: true,
            shrink_in_place: true,
            ..Capabilities::basic(PAGE)
        }
    }

    fn allocate(&self, size: usize, align: usize) -> Result<Grant, StorageError> {
        let refused = StorageError::Exhausted { requested: size };
        if isize::try_from(size).is_err() {
            return Err(refused);
        }
        // SAFETY: the heap lives until the drop.
        let start = unsafe { sys::heap_alloc(self.heap, size, align) };
        Ok(Grant {
            start: NonNull::new(start).ok_or(refused)?,
            zeroed: false,
        })
    }

    unsafe fn free(&self, start: NonNull<u8>, _size: usize, _align: usize) {
        // SAFETY: from `allocate` of this heap, as the caller vouches.
        unsafe { sys::heap_free(self.heap, start.as_ptr()) }
    }

    unsafe fn resize(
        &self,
        start: NonNull<u8>,
        _old: usize,
        new: usize,
        _align: usize,
    ) -> Result<(), StorageError> {
        // SAFETY: from `allocate` of this heap, as the caller vouches.
        let done = isize::try_from(new).is_ok()
            && unsafe { sys::heap_resize_in_place(self.heap, start.as_ptr(), new) };
        if done {
            Ok(())
        } else {
            Err(StorageError::Unsupported)
        }
    }

    fn trim(&self) -> usize {
        // SAFETY: the heap lives until the drop.
        unsafe { sys::heap_compact(self.heap) };
        0
    }
}
