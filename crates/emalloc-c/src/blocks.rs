//! Owns the functions on blocks of the thread's current heap. (`emalloc` and its relatives)

use core::ffi::{c_char, c_uint, c_void};

use emalloc::heap::{Relayed, Site};

use crate::current::on_current;
use crate::derived;
use crate::site::sited;
use crate::target::Target;

sited! {
    /// `emalloc`
    fn emalloc_alloc_at, emalloc_alloc_rel(size: usize) -> *mut c_void =
        |at| on_current!(|target| target.alloc(size, at)).cast();

    /// `safe_emalloc`
    fn emalloc_safe_alloc_at, emalloc_safe_alloc_rel(count: usize, size: usize, offset: usize) -> *mut c_void =
        |at| on_current!(|target| derived::safe_alloc(target, (count, size, offset), at)).cast();

    /// `ecalloc`
    fn emalloc_calloc_at, emalloc_calloc_rel(count: usize, size: usize) -> *mut c_void =
        |at| on_current!(|target| derived::calloc(target, count, size, at)).cast();

    /// As `emalloc`, but null for a refusal.
    fn emalloc_alloc_recoverable_at, emalloc_alloc_recoverable_rel(size: usize) -> *mut c_void =
        |at| on_current!(|target| target.try_alloc(size, at)).cast();

    /// A block at a multiple of `alignment`.
    fn emalloc_alloc_aligned_at, emalloc_alloc_aligned_rel(alignment: usize, size: usize) -> *mut c_void =
        |at| on_current!(|target| derived::alloc_aligned(target, alignment, size, at)).cast();

    /// `erealloc`
    fn emalloc_realloc_at, emalloc_realloc_rel(block: *mut c_void, size: usize) -> *mut c_void =
        // SAFETY: the caller's promise.
        |at| on_current!(|target| unsafe { target.realloc(block.cast(), size, at) }).cast();

    /// `safe_erealloc`
    fn emalloc_safe_realloc_at, emalloc_safe_realloc_rel(
        block: *mut c_void, count: usize, size: usize, offset: usize
    ) -> *mut c_void =
        // SAFETY: the caller's promise.
        |at| on_current!(|target| unsafe {
            derived::safe_realloc(target, block.cast(), (count, size, offset), at)
        }).cast();

    /// `erealloc_recoverable`
    fn emalloc_realloc_recoverable_at, emalloc_realloc_recoverable_rel(
        block: *mut c_void, size: usize
    ) -> *mut c_void =
        // SAFETY: the caller's promise.
        |at| on_current!(|target| unsafe { target.try_realloc(block.cast(), size, at) }).cast();

    /// `erealloc2`: what is beyond `_copy_size` need not be kept, but is.
    fn emalloc_realloc2_at, emalloc_realloc2_rel(block: *mut c_void, size: usize, _copy_size: usize) -> *mut c_void =
        // SAFETY: the caller's promise.
        |at| on_current!(|target| unsafe { target.realloc(block.cast(), size, at) }).cast();

    /// `erealloc2_recoverable`
    fn emalloc_realloc2_recoverable_at, emalloc_realloc2_recoverable_rel(
        block: *mut c_void, size: usize, _copy_size: usize
    ) -> *mut c_void =
        // SAFETY: the caller's promise.
        |at| on_current!(|target| unsafe { target.try_realloc(block.cast(), size, at) }).cast();

    /// `efree`
    fn emalloc_free_at, emalloc_free_rel(block: *mut c_void) =
        // SAFETY: the caller's promise.
        |at| on_current!(|target| unsafe { target.free(block.cast(), at) });

    /// `efree_size`
    fn emalloc_free_size_at, emalloc_free_size_rel(block: *mut c_void, size: usize) =
        // SAFETY: the caller's promise.
        |at| on_current!(|target| unsafe { target.free_size(block.cast(), size, at) });

    /// `estrdup`
    fn emalloc_strdup_at, emalloc_strdup_rel(text: *const c_char) -> *mut c_char =
        // SAFETY: the caller's promise.
        |at| on_current!(|target| unsafe { derived::strdup(target, text, at) });

    /// `estrndup`
    fn emalloc_strndup_at, emalloc_strndup_rel(text: *const c_char, length: usize) -> *mut c_char =
        // SAFETY: the caller's promise.
        |at| on_current!(|target| unsafe { derived::strndup(target, text, length, at) });

    /// `zend_mem_block_size`
    fn emalloc_block_size_at, emalloc_block_size_rel(block: *mut c_void) -> usize =
        // SAFETY: the caller's promise.
        |at| on_current!(|target| unsafe { target.block_size(block.cast(), at) });
}
