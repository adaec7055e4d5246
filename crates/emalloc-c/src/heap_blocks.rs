//! Owns the functions on blocks of a given heap. (`zend_mm_alloc` and its relatives)

use core::ffi::{c_char, c_uint, c_void};

use emalloc::heap::{Relayed, Site};

use crate::current::apart;
use crate::derived;
use crate::heap::EmallocHeap;
use crate::site::sited;
use crate::target::Target;
use crate::target_heap::OfHeap;
use crate::target_system::OfSystem;

/// Runs `$call` on the heap that C gave; on the system where there is none, as on the current one.
macro_rules! on_heap {
    ($heap:ident, |$target:ident| $call:expr) => {
        // SAFETY: the caller's promise.
        match unsafe { EmallocHeap::given($heap) } {
            Some(heap) => {
                // SAFETY: the caller says that it is alive and this thread's.
                let $target = unsafe { OfHeap::new(heap.raw()) };
                $call
            }
            None => apart(move || {
                let $target = OfSystem;
                $call
            }),
        }
    };
}

sited! {
    /// `emalloc`
    fn emalloc_heap_alloc_at, emalloc_heap_alloc_rel(heap: *mut EmallocHeap, size: usize) -> *mut c_void =
        |at| on_heap!(heap, |target| target.alloc(size, at)).cast();

    /// `safe_emalloc`
    fn emalloc_heap_safe_alloc_at, emalloc_heap_safe_alloc_rel(
        heap: *mut EmallocHeap, count: usize, size: usize, offset: usize
    ) -> *mut c_void =
        |at| on_heap!(heap, |target| derived::safe_alloc(target, (count, size, offset), at)).cast();

    /// `ecalloc`
    fn emalloc_heap_calloc_at, emalloc_heap_calloc_rel(
        heap: *mut EmallocHeap, count: usize, size: usize
    ) -> *mut c_void =
        |at| on_heap!(heap, |target| derived::calloc(target, count, size, at)).cast();

    /// As `emalloc`, but null for a refusal.
    fn emalloc_heap_alloc_recoverable_at, emalloc_heap_alloc_recoverable_rel(
        heap: *mut EmallocHeap, size: usize
    ) -> *mut c_void =
        |at| on_heap!(heap, |target| target.try_alloc(size, at)).cast();

    /// A block at a multiple of `alignment`.
    fn emalloc_heap_alloc_aligned_at, emalloc_heap_alloc_aligned_rel(
        heap: *mut EmallocHeap, alignment: usize, size: usize
    ) -> *mut c_void =
        |at| on_heap!(heap, |target| derived::alloc_aligned(target, alignment, size, at)).cast();

    /// `erealloc`
    fn emalloc_heap_realloc_at, emalloc_heap_realloc_rel(
        heap: *mut EmallocHeap, block: *mut c_void, size: usize
    ) -> *mut c_void =
        // SAFETY: the caller's promise.
        |at| on_heap!(heap, |target| unsafe { target.realloc(block.cast(), size, at) }).cast();

    /// `safe_erealloc`
    fn emalloc_heap_safe_realloc_at, emalloc_heap_safe_realloc_rel(heap: *mut EmallocHeap,
        block: *mut c_void, count: usize, size: usize, offset: usize
    ) -> *mut c_void =
        // SAFETY: the caller's promise.
        |at| on_heap!(heap, |target| unsafe {
            derived::safe_realloc(target, block.cast(), (count, size, offset), at)
        }).cast();

    /// `erealloc_recoverable`
    fn emalloc_heap_realloc_recoverable_at, emalloc_heap_realloc_recoverable_rel(
        heap: *mut EmallocHeap, block: *mut c_void, size: usize
    ) -> *mut c_void =
        // SAFETY: the caller's promise.
        |at| on_heap!(heap, |target| unsafe { target.try_realloc(block.cast(), size, at) }).cast();

    /// `erealloc2`: what is beyond `_copy_size` need not be kept, but is.
    fn emalloc_heap_realloc2_at, emalloc_heap_realloc2_rel(
        heap: *mut EmallocHeap, block: *mut c_void, size: usize, _copy_size: usize
    ) -> *mut c_void =
        // SAFETY: the caller's promise.
        |at| on_heap!(heap, |target| unsafe { target.realloc(block.cast(), size, at) }).cast();

    /// `erealloc2_recoverable`
    fn emalloc_heap_realloc2_recoverable_at, emalloc_heap_realloc2_recoverable_rel(heap: *mut EmallocHeap,
        block: *mut c_void, size: usize, _copy_size: usize
    ) -> *mut c_void =
        // SAFETY: the caller's promise.
        |at| on_heap!(heap, |target| unsafe { target.try_realloc(block.cast(), size, at) }).cast();

    /// `efree`
    fn emalloc_heap_free_at, emalloc_heap_free_rel(heap: *mut EmallocHeap, block: *mut c_void) =
        // SAFETY: the caller's promise.
        |at| on_heap!(heap, |target| unsafe { target.free(block.cast(), at) });

    /// `efree_size`
    fn emalloc_heap_free_size_at, emalloc_heap_free_size_rel(
        heap: *mut EmallocHeap, block: *mut c_void, size: usize
    ) =
        // SAFETY: the caller's promise.
        |at| on_heap!(heap, |target| unsafe { target.free_size(block.cast(), size, at) });

    /// `estrdup`
    fn emalloc_heap_strdup_at, emalloc_heap_strdup_rel(heap: *mut EmallocHeap, text: *const c_char) -> *mut c_char =
        // SAFETY: the caller's promise.
        |at| on_heap!(heap, |target| unsafe { derived::strdup(target, text, at) });

    /// `estrndup`
    fn emalloc_heap_strndup_at, emalloc_heap_strndup_rel(
        heap: *mut EmallocHeap, text: *const c_char, length: usize
    ) -> *mut c_char =
        // SAFETY: the caller's promise.
        |at| on_heap!(heap, |target| unsafe { derived::strndup(target, text, length, at) });

    /// `zend_mem_block_size`
    fn emalloc_heap_block_size_at, emalloc_heap_block_size_rel(heap: *mut EmallocHeap, block: *mut c_void) -> usize =
        // SAFETY: the caller's promise.
        |at| on_heap!(heap, |target| unsafe { target.block_size(block.cast(), at) });
}
