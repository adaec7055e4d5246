//! A thread's end, the store of warm segments, and the system's aligned memory where nothing better is known.

use core::cell::Cell;
use core::ffi::c_void;
use core::ptr;

use emalloc::layout::MIN_ALIGN;
use emalloc::storage::StorageError;
use emalloc::storage::registry::{self, AnyStorage};
use emalloc::sys;

use crate::current::thread_ended;

struct AtEnd(Cell<*mut c_void>);

impl Drop for AtEnd {
    fn drop(&mut self) {
        thread_ended(self.0.get());
    }
}

/// Sees to it that [`thread_ended`] is called with the heap when this thread ends; null: not any more.
pub fn at_thread_end(heap: *mut c_void) {
    thread_local! {
        static AT_END: AtEnd = const { AtEnd(Cell::new(ptr::null_mut())) };
    }
    // While the thread ends, the heap stays until the process does.
    let _ = AT_END.try_with(|at_end| at_end.0.set(heap));
}

/// The storage of heaps that are to be kept warm.
pub fn warm_storage() -> Result<AnyStorage, StorageError> {
    registry::open_default()
}

/// Memory of the system at a multiple of `align`, a power of two, that `free` takes back; null where that cannot be.
pub fn aligned_malloc(size: usize, align: usize) -> *mut u8 {
    if align > MIN_ALIGN {
        return ptr::null_mut();
    }
    sys::malloc(size)
}
