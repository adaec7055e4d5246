//! The storages over private mappings: `mmap_anon`, and `mmap_zero` that maps `/dev/zero`.
//! They differ in how a mapping is made; growing, moving and giving back are the same.

use super::{Capabilities, Grant, Storage, StorageError};
use crate::sys;
use core::ffi::c_int;
use core::ptr::NonNull;

/// Segments from private anonymous mappings (the original's `mmap_anon`).
///
/// ```
/// use emalloc::storage::{MMAP_ANON, Storage};
/// let grant = MMAP_ANON.allocate(2 << 20, 2 << 20)?;
/// assert!(grant.zeroed);
/// // SAFETY: granted above with this size and alignment, used no more.
/// unsafe { MMAP_ANON.free(grant.start, 2 << 20, 2 << 20) };
/// # Ok::<(), emalloc::storage::StorageError>(())
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct MmapAnon;

/// The one [`MmapAnon`] there is, for whoever wants a `&'static`.
pub static MMAP_ANON: MmapAnon = MmapAnon;

/// Segments from private mappings of `/dev/zero` (the original's `mmap_zero`).
///
/// The descriptor belongs to the value: opened by [`new`](Self::new), closed when it is dropped.
/// Mappings outlive it.
///
/// ```
/// use emalloc::storage::{MmapZero, Storage};
/// let storage = MmapZero::new()?;
/// assert_eq!(storage.name(), "mmap_zero");
/// # Ok::<(), emalloc::storage::StorageError>(())
/// ```
#[derive(Debug)]
pub struct MmapZero {
    file: c_int,
}

impl MmapZero {
    /// Opens `/dev/zero`.
    ///
    /// # Errors
    /// [`StorageError::System`] with the number why it could not be opened.
    pub fn new() -> Result<Self, StorageError> {
        match sys::open_zero() {
            Ok(file) => Ok(Self { file }),
            Err(code) => Err(StorageError::System(code)),
        }
    }
}

impl Drop for MmapZero {
    fn drop(&mut self) {
        // SAFETY: opened by `new`, and nobody else knows the number.
        unsafe { sys::close(self.file) }
    }
}

/// A [`Storage`] over mappings, by its name and by how it makes one.
macro_rules! mapping_storage {
    ($type:ty, $name:literal, |$self:ident, $size:ident, $align:ident| $map:expr) => {
        // SAFETY: a private mapping is writable memory that overlaps nothing alive, aligned by
        // the function that made it, and stays until it is unmapped whatever becomes of this value.
        // A refused mremap or munmap leaves the mapping as it was.
        unsafe impl Storage for $type {
            fn name(&self) -> &str {
                $name
            }

            fn capabilities(&self) -> Capabilities {
                capabilities()
            }

            fn allocate(&$self, $size: usize, $align: usize) -> Result<Grant, StorageError> {
                granted($map, $size)
            }

            unsafe fn free(&self, start: NonNull<u8>, size: usize, _align: usize) {
                // SAFETY: mapped by `allocate` or a resize with this size, as the caller vouches.
                // Refused at the limit of mappings only; then it stays, as munmap offers no more.
                unsafe { sys::unmap(start.as_ptr(), size) };
            }

            unsafe fn resize(
                &self,
                start: NonNull<u8>,
                old: usize,
                new: usize,
                _align: usize,
            ) -> Result<(), StorageError> {
                // No object may be larger than that; a 32-bit process could get such a mapping.
                let sound = isize::try_from(new).is_ok();
                // SAFETY: the caller's whole grant is one mapping of ours.
                if sound && unsafe { sys::remap_in_place(start.as_ptr(), old, new) } {
                    return Ok(());
                }
                // Mostly: something else is mapped right behind. That says nothing about memory.
                Err(StorageError::Unsupported)
            }

            unsafe fn move_resize(
                &self,
                start: NonNull<u8>,
                old: usize,
                new: usize,
                align: usize,
            ) -> Result<Grant, StorageError> {
                // SAFETY: the caller's whole grant is one mapping of ours.
                unsafe { move_resize(start, old, new, align) }
            }

            unsafe fn will_fill(&self, start: NonNull<u8>, size: usize, _filled: usize) {
                // SAFETY: inside one of our mappings, as the caller vouches.
                unsafe { sys::prefer_large_pages(start.as_ptr(), size) };
            }

            unsafe fn will_refill(&self, start: NonNull<u8>, size: usize) {
                // SAFETY: inside one of our mappings, as the caller vouches.
                unsafe { sys::prefer_large_pages(start.as_ptr(), size) };
                // SAFETY: nobody needs what lies there, as the caller vouches. A refusal leaves pages that do as well.
                unsafe { self.discard(start, size) };
            }

            unsafe fn discard(&self, start: NonNull<u8>, size: usize) -> bool {
                // SAFETY: whole pages inside one of our mappings, as the caller vouches.
                unsafe { sys::discard(start.as_ptr(), size) }
            }
        }
    };
}

mapping_storage!(MmapAnon, "mmap_anon", |self, size, align| sys::map(
    size, align
));
mapping_storage!(MmapZero, "mmap_zero", |self, size, align| sys::map_file(
    self.file, size, align
));

fn capabilities() -> Capabilities {
    Capabilities {
        granularity: sys::page_size(),
        zeroed: true,
        grow_in_place: true,
        shrink_in_place: true,
        discard: true,
        move_without_copy: sys::CAN_MOVE,
        divisible: true,
    }
}

fn granted(start: *mut u8, size: usize) -> Result<Grant, StorageError> {
    match NonNull::new(start) {
        Some(start) => Ok(Grant {
            start,
            zeroed: true,
        }),
        None => Err(StorageError::Exhausted { requested: size }),
    }
}

/// # Safety
/// `start` is a mapping of `old` bytes; as [`Storage::move_resize`] beyond that.
unsafe fn move_resize(
    start: NonNull<u8>,
    old: usize,
    new: usize,
    align: usize,
) -> Result<Grant, StorageError> {
    if !sys::CAN_MOVE {
        return Err(StorageError::Unsupported);
    }
    if new > old {
        // SAFETY: the caller's whole mapping, to become larger.
        return granted(
            unsafe { sys::remap_move(start.as_ptr(), old, new, align) },
            new,
        );
    }
    // Becoming smaller needs no new place, and cutting changes nothing when it is refused.
    // SAFETY: the caller's whole mapping.
    let done = unsafe { sys::remap_in_place(start.as_ptr(), old, new) };
    granted(
        if done {
            start.as_ptr()
        } else {
            core::ptr::null_mut()
        },
        new,
    )
}
