//! Owns which heap PHP's functions use: a plain global, for PHP without threads.
//!
//! Two words. [`record`] is the current `zend_mm_heap`; [`plain`] is the heap in it, but only while nothing stands between
//! PHP and that heap. So the fast paths ask one question: with custom handlers, with `USE_ZEND_ALLOC=0` and before the
//! start there is no plain heap.

use core::cell::Cell;
use core::ffi::c_void;
use core::mem::ManuallyDrop;
use core::ptr::{self, NonNull};

use emalloc::Heap;

use crate::record::Record;

struct Current {
    /// The record's heap.
    plain: Cell<Option<NonNull<c_void>>>,
    record: Cell<*mut Record>,
}

// SAFETY: PHP without threads uses its allocator on one thread only, as it does the original.
unsafe impl Sync for Current {}

static CURRENT: Current = Current {
    plain: Cell::new(None),
    record: Cell::new(ptr::null_mut()),
};

/// The current heap, if PHP is to use it directly. For one operation.
#[inline(always)]
pub fn plain() -> Option<ManuallyDrop<Heap>> {
    // SAFETY: the record owns the heap, and `refresh` is called before that ends.
    CURRENT.plain.get().map(|raw| unsafe { Heap::view(raw) })
}

/// The current record; null before the start and after the end.
pub fn record() -> *mut Record {
    CURRENT.record.get()
}

/// The current record, for one operation. Starts the memory manager if nobody did yet.
#[cold]
pub fn started<'a>() -> &'a Record {
    if CURRENT.record.get().is_null() {
        crate::manager::start_memory_manager();
    }
    // SAFETY: `start_memory_manager` sets it or ends the process; it lives until it is shut down, which is not now.
    unsafe { &*CURRENT.record.get() }
}

/// Makes `record`, which may be null, the current one. Answers the one before.
pub fn set(record: *mut Record) -> *mut Record {
    let before = CURRENT.record.replace(record);
    refresh();
    before
}

/// Finds out again whether there is a plain heap: after a change of the record, or in it.
pub fn refresh() {
    // SAFETY: the record is null or alive.
    let heap = unsafe { CURRENT.record.get().as_ref() }
        .filter(|record| record.handlers().is_none())
        .and_then(Record::heap);
    CURRENT.plain.set(heap.map(Heap::as_raw));
}
