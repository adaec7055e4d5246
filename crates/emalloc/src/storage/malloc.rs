//! The storage `malloc`: segments from the C library's allocator (on Windows: the process's heap).
//! It can do nothing optional but discard, and is the default on Unix as in the original.

use super::{Capabilities, Grant, Storage, StorageError};
use crate::layout::PAGE;
use crate::sys;
use core::ptr::NonNull;

/// Segments from the system's general allocator (the original's `malloc`).
///
/// ```
/// use emalloc::storage::{MALLOC, Storage};
/// let grant = MALLOC.allocate(64 << 10, 64 << 10)?;
/// assert!(grant.start.addr().get().is_multiple_of(64 << 10));
/// // SAFETY: granted above with this size and alignment, used no more.
/// unsafe { MALLOC.free(grant.start, 64 << 10, 64 << 10) };
/// # Ok::<(), emalloc::storage::StorageError>(())
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct Malloc;

/// The one [`Malloc`] there is, for whoever wants a `&'static`.
pub static MALLOC: Malloc = Malloc;

// SAFETY: the system's allocator gives writable memory, aligned as asked, that overlaps nothing
// alive and does not depend on this value at all.
unsafe impl Storage for Malloc {
    fn name(&self) -> &str {
        "malloc"
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities {
            discard: sys::CAN_DISCARD_MALLOCED,
            ..Capabilities::basic(PAGE)
        }
    }

    fn allocate(&self, size: usize, align: usize) -> Result<Grant, StorageError> {
        let refused = StorageError::Exhausted { requested: size };
        // No object may be larger, and some allocators take such sizes for a program's mistake.
        if isize::try_from(size).is_err() {
            return Err(refused);
        }
        let start = NonNull::new(sys::aligned_malloc(size, align)).ok_or(refused)?;
        Ok(Grant {
            start,
            zeroed: false,
        })
    }

    unsafe fn free(&self, start: NonNull<u8>, _size: usize, _align: usize) {
        // SAFETY: `allocate` got it from aligned_malloc, as the caller vouches.
        unsafe { sys::aligned_free(start.as_ptr()) }
    }

    unsafe fn discard(&self, start: NonNull<u8>, size: usize) -> bool {
        // SAFETY: a part of a grant whose content may go, as the caller vouches.
        unsafe { sys::discard_malloced(start.as_ptr(), size) }
    }
}
