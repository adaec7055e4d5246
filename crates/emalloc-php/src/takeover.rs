//! Owns what is needed where these functions take the place of the original's while PHP runs, as the extension lets them:
//! the list of them, and the original's heap, whose blocks and whose address still come to them.
//!
//! All blocks from before lie in the original's first chunk: that is a condition of beginning. They stay where they are;
//! freeing one is nothing, and one that is to be resized is copied. Nobody takes that memory again.

use alloc::boxed::Box;
use core::cell::Cell;
use core::ffi::c_void;
use core::ptr::{self, NonNull};

use emalloc::Heap;

use crate::allocate::allocate;
use crate::current;
use crate::heaps::SEGMENT;
use crate::record::Record;
use crate::{allocate as plain, fallible, heaps, manager, refusal, safe, sized};

/// A function of the original's, and what takes its place.
#[derive(Clone, Copy, Debug)]
pub struct Entry {
    /// Its name.
    pub name: &'static str,
    /// The function here.
    pub function: *const (),
    /// The function that is to stand there while blocks of the original's may still be freed: one that asks the address.
    pub early: *const (),
    /// PHP up to 8.2.34 does not have it.
    pub optional: bool,
}

macro_rules! entries {
    ($($module:ident $optional:literal: $($name:ident)*;)*) => {
        [$($(Entry {
            name: stringify!($name),
            function: $module::$name as *const (),
            early: early(stringify!($name), $module::$name as *const ()),
            optional: $optional,
        },)*)*]
    };
}

/// By its size alone only a block of ours can be freed.
fn early(name: &str, function: *const ()) -> *const () {
    let digits = name.strip_prefix("_efree_");
    match digits.is_some_and(|digits| digits.parse::<usize>().is_ok()) {
        true => plain::_efree as *const (),
        false => function,
    }
}

/// All that work on a heap. (The persistent family is the system's `malloc` here and there.)
pub fn entries() -> impl IntoIterator<Item = Entry> {
    entries! {
        plain false: _emalloc _emalloc_large _emalloc_huge _efree _efree_large _efree_huge _erealloc _erealloc2 _ecalloc
            _zend_mem_block_size;
        sized false: _emalloc_8 _emalloc_16 _emalloc_24 _emalloc_32 _emalloc_40 _emalloc_48 _emalloc_56 _emalloc_64
            _emalloc_80 _emalloc_96 _emalloc_112 _emalloc_128 _emalloc_160 _emalloc_192 _emalloc_224 _emalloc_256
            _emalloc_320 _emalloc_384 _emalloc_448 _emalloc_512 _emalloc_640 _emalloc_768 _emalloc_896 _emalloc_1024
            _emalloc_1280 _emalloc_1536 _emalloc_1792 _emalloc_2048 _emalloc_2560 _emalloc_3072
            _efree_8 _efree_16 _efree_24 _efree_32 _efree_40 _efree_48 _efree_56 _efree_64
            _efree_80 _efree_96 _efree_112 _efree_128 _efree_160 _efree_192 _efree_224 _efree_256
            _efree_320 _efree_384 _efree_448 _efree_512 _efree_640 _efree_768 _efree_896 _efree_1024
            _efree_1280 _efree_1536 _efree_1792 _efree_2048 _efree_2560 _efree_3072;
        safe false: _safe_emalloc _safe_erealloc _estrdup _estrndup;
        fallible true: _femalloc _fecalloc _ferealloc _ferealloc2 _safe_femalloc _safe_ferealloc zend_mm_is_fallible
            zend_mm_set_fallible zend_set_memory_hard_limit_percent zend_mm_set_max_allocs zend_mm_max_allocs_hit;
        heaps false: zend_mm_startup zend_mm_startup_ex zend_mm_shutdown _zend_mm_alloc _zend_mm_free _zend_mm_realloc
            _zend_mm_realloc2 _zend_mm_block_size zend_mm_gc zend_mm_set_heap zend_mm_get_heap zend_mm_is_custom_heap
            zend_mm_set_custom_handlers zend_mm_get_custom_handlers zend_mm_get_storage;
        manager false: start_memory_manager shutdown_memory_manager is_zend_mm is_zend_ptr zend_set_memory_limit
            zend_memory_usage zend_memory_peak_usage zend_memory_reset_peak_usage;
    }
}

/// The one more that PHP up to 8.2.34 has: it leaves to its allocator to say whether the limit is being reported.
pub fn reporting() -> Entry {
    let function = refusal::zend_alloc_in_memory_limit_error_reporting as *const ();
    Entry {
        name: "zend_alloc_in_memory_limit_error_reporting",
        function,
        early: function,
        optional: false,
    }
}

struct Other(Cell<*mut c_void>);

// SAFETY: PHP without threads uses its allocator on one thread only, as it does the original.
unsafe impl Sync for Other {}

/// The original's heap; null where these functions were there from the start.
static OTHER: Other = Other(Cell::new(ptr::null_mut()));

/// Makes `heap` the current one, in the place of the original's at `other`.
///
/// # Safety
/// The heap lives until [`end`]; all blocks of the other one, and its own structure, lie in one chunk of 2 MiB, which
/// stays mapped.
pub unsafe fn begin(heap: &Heap, other: NonNull<c_void>) {
    OTHER.0.set(other.as_ptr());
    // SAFETY: the caller's promise; `end` lets go of it.
    let heap = unsafe { Heap::view(heap.as_raw()) };
    let record = Record::of_heap(core::mem::ManuallyDrop::into_inner(heap), ptr::null_mut());
    current::set(Box::into_raw(Box::new(record)));
}

/// Ends that. The heap is untouched.
///
/// # Safety
/// [`begin`] was called, and the current record is still that one.
pub unsafe fn end() {
    OTHER.0.set(ptr::null_mut());
    let record = current::set(ptr::null_mut());
    // SAFETY: `begin` made it in this way.
    unsafe { Box::from_raw(record) }.release_heap();
}

/// The record that `heap` means: of those who know the original's by its address, the current one.
pub(crate) fn known(heap: *mut Record) -> *mut Record {
    let other = OTHER.0.get();
    if !other.is_null() && ptr::eq(heap.cast(), other) {
        return current::record();
    }
    heap
}

/// Whether a block is one of the original's.
pub fn is_others(block: NonNull<u8>) -> bool {
    let (other, block) = (OTHER.0.get().addr(), block.addr().get());
    other != 0 && (other ^ block) < SEGMENT
}

/// A block of ours with what is in a block of the original's, as much as there is room for. How long that is nobody
/// knows here: up to the end of its chunk all can be read.
pub(crate) fn copy_others(block: NonNull<u8>, size: usize) -> *mut c_void {
    let new = allocate(size);
    if !new.is_null() {
        let rest = SEGMENT - block.addr().get() % SEGMENT;
        // SAFETY: so much of the chunk is behind the block, and the new one is as large and lies elsewhere.
        unsafe {
            new.cast::<u8>()
                .copy_from_nonoverlapping(block.as_ptr(), size.min(rest))
        };
    }
    new
}
