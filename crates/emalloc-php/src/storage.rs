//! Owns custom storage: PHP's four functions over chunks (`zend_mm_startup_ex`) as a storage of the library's.

use alloc::boxed::Box;
use core::ffi::c_void;
use core::ptr::{self, NonNull};

use emalloc::storage::{Capabilities, Grant, Storage, StorageError};

/// The four functions. The last two may be null: always no. (`zend_mm_handlers`)
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct StorageHandlers {
    /// Memory of so many bytes at a multiple of the alignment, or null.
    pub chunk_alloc: Option<unsafe extern "C" fn(*mut StorageRecord, usize, usize) -> *mut c_void>,
    /// Gives it back.
    pub chunk_free: Option<unsafe extern "C" fn(*mut StorageRecord, *mut c_void, usize)>,
    /// Makes it smaller where it is.
    pub chunk_truncate:
        Option<unsafe extern "C" fn(*mut StorageRecord, *mut c_void, usize, usize) -> bool>,
    /// Makes it larger where it is.
    pub chunk_extend:
        Option<unsafe extern "C" fn(*mut StorageRecord, *mut c_void, usize, usize) -> bool>,
}

/// A storage as its own functions see it. (`zend_mm_storage`)
#[repr(C)]
#[derive(Debug)]
pub struct StorageRecord {
    /// The four functions.
    pub handlers: StorageHandlers,
    /// What they work with: a copy of what the maker of the heap gave.
    pub data: *mut c_void,
}

impl StorageRecord {
    /// A storage with a copy of `size` bytes at `data`, which may be null.
    ///
    /// # Safety
    /// There are that many bytes.
    pub unsafe fn new(handlers: StorageHandlers, data: *const c_void, size: usize) -> *mut Self {
        let copy = if data.is_null() {
            ptr::null_mut()
        } else {
            let copy = crate::persistent::__zend_malloc(size.max(1));
            // SAFETY: the caller's promise; the copy is as long and overlaps nothing.
            unsafe { copy.copy_from_nonoverlapping(data, size) };
            copy
        };
        Box::into_raw(Box::new(Self {
            handlers,
            data: copy,
        }))
    }

    /// # Safety
    /// It came from [`new`](Self::new) and is used no more, or is null.
    pub unsafe fn destroy(record: *mut Self) {
        if record.is_null() {
            return;
        }
        // SAFETY: the caller's promise.
        let record = unsafe { Box::from_raw(record) };
        // SAFETY: it is null or the copy made there.
        unsafe { libc::free(record.data) };
    }
}

/// The library's view of it.
pub struct Custom(pub *mut StorageRecord);

// SAFETY: it goes with the heap, of which PHP says which thread may use it.
unsafe impl Send for Custom {}

impl Custom {
    fn handlers(&self) -> StorageHandlers {
        // SAFETY: the record outlives the heap, and with it this.
        unsafe { (*self.0).handlers }
    }
}

/// What sizes are multiples of: the unit of the original's huge blocks.
const PAGE: usize = 4096;

// SAFETY: the maker of the heap vouches for the functions; a chunk that is not aligned is given back.
unsafe impl Storage for Custom {
    fn name(&self) -> &str {
        "custom"
    }

    fn capabilities(&self) -> Capabilities {
        let handlers = self.handlers();
        let mut capabilities = Capabilities::basic(PAGE);
        capabilities.grow_in_place = handlers.chunk_extend.is_some();
        capabilities.shrink_in_place = handlers.chunk_truncate.is_some();
        capabilities
    }

    fn allocate(&self, size: usize, align: usize) -> Result<Grant, StorageError> {
        let exhausted = StorageError::Exhausted { requested: size };
        let allocate = self.handlers().chunk_alloc.ok_or(exhausted)?;
        // SAFETY: that is the contract of these functions.
        let chunk = unsafe { allocate(self.0, size, align) };
        let start = NonNull::new(chunk.cast::<u8>()).ok_or(exhausted)?;
        if !start.addr().get().is_multiple_of(align) {
            // SAFETY: just granted.
            unsafe { self.free(start, size, align) };
            return Err(exhausted);
        }
        Ok(Grant {
            start,
            zeroed: false,
        })
    }

    unsafe fn free(&self, start: NonNull<u8>, size: usize, _align: usize) {
        if let Some(free) = self.handlers().chunk_free {
            // SAFETY: the caller's promise.
            unsafe { free(self.0, start.as_ptr().cast(), size) }
        }
    }

    unsafe fn resize(
        &self,
        start: NonNull<u8>,
        old: usize,
        new: usize,
        _align: usize,
    ) -> Result<(), StorageError> {
        let handlers = self.handlers();
        let resize = if new > old {
            handlers.chunk_extend
        } else {
            handlers.chunk_truncate
        };
        let resize = resize.ok_or(StorageError::Unsupported)?;
        // SAFETY: the caller's promise.
        match unsafe { resize(self.0, start.as_ptr().cast(), old, new) } {
            true => Ok(()),
            false => Err(StorageError::Unsupported),
        }
    }
}
