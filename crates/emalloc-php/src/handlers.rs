//! Owns [`Handlers`]: the functions that stand in the place of a heap's own, and the system's as such.

use core::ffi::c_void;

use crate::persistent::{__zend_malloc, __zend_realloc};

/// `malloc`'s form.
pub type Malloc = unsafe extern "C" fn(usize) -> *mut c_void;

/// `free`'s form.
pub type Free = unsafe extern "C" fn(*mut c_void);

/// `realloc`'s form.
pub type Realloc = unsafe extern "C" fn(*mut c_void, usize) -> *mut c_void;

/// What is called instead of the heap. PHP gives all three.
#[derive(Clone, Copy, Debug)]
pub struct Handlers {
    /// Allocates.
    pub malloc: Option<Malloc>,
    /// Frees.
    pub free: Option<Free>,
    /// Resizes.
    pub realloc: Option<Realloc>,
}

impl Handlers {
    /// The system's, which end the process when memory runs out. (`USE_ZEND_ALLOC=0`)
    pub const SYSTEM: Self = Self {
        malloc: Some(__zend_malloc),
        free: Some(libc::free),
        realloc: Some(__zend_realloc),
    };

    /// Allocates through them. A handler that is missing is the system's.
    pub fn allocate(&self, size: usize) -> *mut c_void {
        // SAFETY: whoever set the handlers vouches for them; any size may be asked for.
        unsafe { self.malloc.unwrap_or(__zend_malloc)(size) }
    }

    /// # Safety
    /// The block came from these handlers and is used no more, or is null.
    pub unsafe fn release(&self, block: *mut c_void) {
        // SAFETY: the caller's promise.
        unsafe { self.free.unwrap_or(libc::free)(block) }
    }

    /// # Safety
    /// The block came from these handlers, or is null; the old pointer is used no more.
    pub unsafe fn resize(&self, block: *mut c_void, size: usize) -> *mut c_void {
        // SAFETY: the caller's promise.
        unsafe { self.realloc.unwrap_or(__zend_realloc)(block, size) }
    }
}
