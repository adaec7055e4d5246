//! Owns the functions on heaps as objects: making and ending them, allocating from one that need not be the current one,
//! and custom handlers.

use alloc::boxed::Box;
use core::ffi::c_void;
use core::ptr;

use emalloc::heap::Retain;
use emalloc::{Heap, HeapError};

use crate::current;
use crate::faults::Faults;
use crate::handlers::{Free, Handlers, Malloc, Realloc};
use crate::manager;
use crate::record::Record;
use crate::refusal::say;
use crate::storage::{Custom, StorageHandlers, StorageRecord};
use crate::takeover::known;

/// The original's chunk, and our segment, in bytes.
pub(crate) const SEGMENT: usize = 2 << 20;

/// The same as a setting.
pub(crate) const SEGMENT_TEXT: &str = "2M";

/// A heap as a pointer, or what the original says and null.
fn started(heap: Result<Heap, HeapError>, storage: *mut StorageRecord) -> *mut Record {
    match heap {
        Ok(heap) => Box::into_raw(Box::new(Record::of_heap(heap, storage))),
        Err(_) => {
            say(&"Can't initialize heap");
            ptr::null_mut()
        }
    }
}

/// A heap of its own, on the storage that all of PHP's heaps share. Null if there is no memory.
#[cfg_attr(feature = "exports", unsafe(no_mangle))]
pub extern "C" fn zend_mm_startup() -> *mut Record {
    started(manager::settings().start(), ptr::null_mut())
}

/// A heap on a custom storage, which gets a copy of `size` bytes at `data`. Null if there is no memory.
///
/// # Safety
/// The functions keep the contract of [`StorageHandlers`]; there are that many bytes, or `data` is null.
#[cfg_attr(feature = "exports", unsafe(no_mangle))]
pub unsafe extern "C" fn zend_mm_startup_ex(
    handlers: *const StorageHandlers,
    data: *mut c_void,
    size: usize,
) -> *mut Record {
    // SAFETY: the caller's promise.
    let storage = unsafe { StorageRecord::new(*handlers, data, size) };
    let heap = Heap::builder()
        .storage(Custom(storage))
        .handler(Faults)
        .segment_size(SEGMENT)
        .reserve(0)
        .keep_buffer(true)
        .retain(Retain::Adaptive)
        .build();
    let record = started(heap, storage);
    if record.is_null() {
        // SAFETY: made above, and no heap uses it.
        unsafe { StorageRecord::destroy(storage) };
    }
    record
}

/// Ends a request (not `full`: the heap is empty then), or the heap. A heap with custom handlers is left alone, as in the
/// original; where blocks are tracked they are freed if `silent`.
///
/// # Safety
/// The heap is alive and nothing in it is used any more; if `full`, nor is the heap.
#[cfg_attr(feature = "exports", unsafe(no_mangle))]
pub unsafe extern "C" fn zend_mm_shutdown(heap: *mut Record, full: bool, silent: bool) {
    let heap = known(heap);
    // SAFETY: the caller's promise.
    let record = unsafe { &*heap };
    if let Some(tracked) = record.tracked() {
        // SAFETY: the caller's promise.
        unsafe { tracked.clear(silent) };
    }
    let replaced = record.heap().is_some() && record.handlers().is_some();
    if replaced {
        return;
    }
    if !full {
        // SAFETY: the caller's promise.
        return unsafe { record.reset() };
    }
    let storage = record.storage();
    if ptr::eq(current::record(), heap) {
        current::set(ptr::null_mut());
    }
    // SAFETY: made by one of the functions above, or by `start_memory_manager`, in this way.
    drop(unsafe { Box::from_raw(heap) });
    // SAFETY: the heap is gone, so nobody uses it.
    unsafe { StorageRecord::destroy(storage) };
}

/// As [`_emalloc`](crate::allocate::_emalloc), from `heap` itself, whatever its handlers are.
///
/// # Safety
/// The heap is alive.
#[cfg_attr(feature = "exports", unsafe(no_mangle))]
pub unsafe extern "C" fn _zend_mm_alloc(heap: *mut Record, size: usize) -> *mut c_void {
    // SAFETY: the caller's promise.
    unsafe { &*known(heap) }.allocate_own(size)
}

/// As [`_efree`](crate::allocate::_efree), likewise.
///
/// # Safety
/// The heap is alive; the block is one of it, or null.
#[cfg_attr(feature = "exports", unsafe(no_mangle))]
pub unsafe extern "C" fn _zend_mm_free(heap: *mut Record, block: *mut c_void) {
    // SAFETY: the caller's promise.
    unsafe { (*known(heap)).release_own(block) }
}

/// As [`_erealloc`](crate::allocate::_erealloc), likewise.
///
/// # Safety
/// As [`_zend_mm_free`]; the old pointer is used no more.
#[cfg_attr(feature = "exports", unsafe(no_mangle))]
pub unsafe extern "C" fn _zend_mm_realloc(
    heap: *mut Record,
    block: *mut c_void,
    size: usize,
) -> *mut c_void {
    // SAFETY: the caller's promise.
    unsafe { (*known(heap)).resize_own(block, size) }
}

/// As [`_erealloc2`](crate::allocate::_erealloc2), likewise.
///
/// # Safety
/// As [`_zend_mm_realloc`].
#[cfg_attr(feature = "exports", unsafe(no_mangle))]
pub unsafe extern "C" fn _zend_mm_realloc2(
    heap: *mut Record,
    block: *mut c_void,
    size: usize,
    _copy_size: usize,
) -> *mut c_void {
    // SAFETY: the caller's promise.
    unsafe { (*known(heap)).resize_own(block, size) }
}

/// Bytes that a block of `heap` can hold; where there is no heap, what was asked for if it is tracked, or 0.
///
/// # Safety
/// As [`_zend_mm_free`].
#[cfg_attr(feature = "exports", unsafe(no_mangle))]
pub unsafe extern "C" fn _zend_mm_block_size(heap: *mut Record, block: *mut c_void) -> usize {
    // SAFETY: the caller's promise.
    match unsafe { &*known(heap) }.heap() {
        // SAFETY: the caller's promise.
        Some(heap) => unsafe { Record::size_in(heap, block) },
        None => 0,
    }
}

/// Finds pages that hold only free small blocks, and gives back what is empty. Answers the bytes of those pages.
///
/// # Safety
/// The heap is alive.
#[cfg_attr(feature = "exports", unsafe(no_mangle))]
pub unsafe extern "C" fn zend_mm_gc(heap: *mut Record) -> usize {
    // SAFETY: the caller's promise.
    let record = unsafe { &*known(heap) };
    match (record.heap(), record.handlers()) {
        (Some(heap), None) => heap.collect().pages,
        _ => 0,
    }
}

/// Makes `heap` the current one. Answers the one before.
///
/// # Safety
/// It is alive as long as it is the current one.
#[cfg_attr(feature = "exports", unsafe(no_mangle))]
pub unsafe extern "C" fn zend_mm_set_heap(heap: *mut Record) -> *mut Record {
    current::set(known(heap))
}

/// The current heap.
#[cfg_attr(feature = "exports", unsafe(no_mangle))]
pub extern "C" fn zend_mm_get_heap() -> *mut Record {
    current::record()
}

/// Whether `heap` has handlers of somebody else's. (The original asks the current one instead.)
///
/// # Safety
/// The heap is alive, or null for the current one.
#[cfg_attr(feature = "exports", unsafe(no_mangle))]
pub unsafe extern "C" fn zend_mm_is_custom_heap(heap: *mut Record) -> bool {
    // SAFETY: the caller's promise.
    let record = unsafe { known(heap).as_ref() }.unwrap_or_else(|| current::started());
    record.handlers().is_some()
}

/// Puts handlers in the heap's place; three nulls take them out.
///
/// # Safety
/// The heap is alive; the handlers keep the contract of the system's `malloc`, `free` and `realloc`, for blocks, too, that
/// were allocated before.
#[cfg_attr(feature = "exports", unsafe(no_mangle))]
pub unsafe extern "C" fn zend_mm_set_custom_handlers(
    heap: *mut Record,
    malloc: Option<Malloc>,
    free: Option<Free>,
    realloc: Option<Realloc>,
) {
    let handlers = Handlers {
        malloc,
        free,
        realloc,
    };
    let none = malloc.is_none() && free.is_none() && realloc.is_none();
    // SAFETY: the caller's promise.
    unsafe { &*known(heap) }.set_handlers((!none).then_some(handlers));
    current::refresh();
}

/// Tells the handlers in the heap's place; three nulls if there are none.
///
/// # Safety
/// The heap is alive; the three places can be written.
#[cfg_attr(feature = "exports", unsafe(no_mangle))]
pub unsafe extern "C" fn zend_mm_get_custom_handlers(
    heap: *mut Record,
    malloc: *mut Option<Malloc>,
    free: *mut Option<Free>,
    realloc: *mut Option<Realloc>,
) {
    // SAFETY: the caller's promise.
    let handlers = unsafe { &*known(heap) }.handlers();
    // SAFETY: the caller's promise.
    unsafe { malloc.write(handlers.and_then(|handlers| handlers.malloc)) };
    // SAFETY: as above.
    unsafe { free.write(handlers.and_then(|handlers| handlers.free)) };
    // SAFETY: as above.
    unsafe { realloc.write(handlers.and_then(|handlers| handlers.realloc)) };
}

/// The custom storage under a heap; null if it has none.
///
/// # Safety
/// The heap is alive.
#[cfg_attr(feature = "exports", unsafe(no_mangle))]
pub unsafe extern "C" fn zend_mm_get_storage(heap: *mut Record) -> *mut StorageRecord {
    // SAFETY: the caller's promise.
    unsafe { &*known(heap) }.storage()
}
