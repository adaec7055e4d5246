//! Owns `_emalloc`, `_efree`, `_erealloc` and what is close to them: the current heap's fast paths, and the way around
//! them when there are handlers.

use core::alloc::Layout;
use core::ffi::c_void;
use core::ptr::{self, NonNull};

use emalloc::heap::{AllocError, Heap, Site};

use crate::current::{plain, started};
use crate::heaps::SEGMENT;
use crate::record::Record;
use crate::refusal::{self, Request, address};

/// Allocates `size` bytes; never null unless PHP's hook decides so. (`emalloc`)
#[cfg_attr(feature = "exports", unsafe(no_mangle))]
#[inline(never)]
pub extern "C" fn _emalloc(size: usize) -> *mut c_void {
    allocate(size)
}

/// [`_emalloc`] for sizes that PHP's compiler knows to be large.
#[cfg_attr(feature = "exports", unsafe(no_mangle))]
pub extern "C" fn _emalloc_large(size: usize) -> *mut c_void {
    allocate_slowly(size)
}

/// [`_emalloc`] for sizes that PHP's compiler knows to be huge.
#[cfg_attr(feature = "exports", unsafe(no_mangle))]
pub extern "C" fn _emalloc_huge(size: usize) -> *mut c_void {
    allocate_slowly(size)
}

#[inline(always)]
pub(crate) fn allocate(size: usize) -> *mut c_void {
    let slow = || allocate_slowly(size).cast();
    let block = match plain() {
        Some(heap) => heap.allocate_or(size, Site::UNKNOWN, slow),
        None => slow(),
    };
    block.cast()
}

/// What no block was at hand for. It finds out for itself what the current heap is: so its callers are short. Buffers are
/// mostly of the length of the one freed last.
#[cold]
#[inline(never)]
fn allocate_slowly(size: usize) -> *mut c_void {
    let block = plain().map_or(ptr::null_mut(), |heap| {
        heap.allocate_spare(size, Site::UNKNOWN)
    });
    if block.is_null() {
        return allocate_elsewhere(size);
    }
    block.cast()
}

/// What takes more than a few instructions.
#[cold]
#[inline(never)]
fn allocate_elsewhere(size: usize) -> *mut c_void {
    let Some(heap) = plain() else {
        return started().allocate(size);
    };
    match heap.try_allocate_at(size, Site::UNKNOWN) {
        Ok(block) => block.as_ptr().cast(),
        Err(error) => refused(&heap, Request::Allocate(size), error),
    }
}

/// The current heap refused a request.
#[cold]
#[inline(never)]
fn refused(heap: &Heap, request: Request, error: AllocError) -> *mut c_void {
    refusal::refused(started(), heap, request, error)
}

/// Frees a block; null is nothing. (`efree`)
///
/// # Safety
/// The block came from the heap that is current now and is used no more.
#[cfg_attr(feature = "exports", unsafe(no_mangle))]
#[inline(never)]
pub unsafe extern "C" fn _efree(block: *mut c_void) {
    // SAFETY: the caller's promise.
    unsafe { free(block) }
}

/// [`_efree`] for a block of a large size.
///
/// # Safety
/// As [`_efree`].
#[cfg_attr(feature = "exports", unsafe(no_mangle))]
pub unsafe extern "C" fn _efree_large(block: *mut c_void, _size: usize) {
    // SAFETY: the caller's promise.
    unsafe { _efree(block) }
}

/// [`_efree`] for a block of a huge size.
///
/// # Safety
/// As [`_efree`].
#[cfg_attr(feature = "exports", unsafe(no_mangle))]
pub unsafe extern "C" fn _efree_huge(block: *mut c_void, _size: usize) {
    // SAFETY: the caller's promise.
    unsafe { _efree(block) }
}

/// # Safety
/// As [`_efree`].
#[inline(always)]
pub(crate) unsafe fn free(block: *mut c_void) {
    match (plain(), NonNull::new(block)) {
        // SAFETY: the caller's promise.
        (Some(heap), Some(block)) => unsafe { heap.free_at(block.cast(), Site::UNKNOWN) },
        (Some(_), None) => {}
        // SAFETY: the caller's promise.
        (None, _) => unsafe { free_elsewhere(block) },
    }
}

/// # Safety
/// As [`_efree`].
#[cold]
#[inline(never)]
unsafe fn free_elsewhere(block: *mut c_void) {
    // SAFETY: the caller's promise.
    unsafe { started().release(block) }
}

/// Frees a block of the class for `size` bytes. (`efree_size`)
///
/// # Safety
/// As [`_efree`], and the block was last asked for with a size of the same class.
#[inline(always)]
pub(crate) unsafe fn free_sized(block: *mut c_void, size: usize) {
    // SAFETY: the caller's promise.
    let slow = || unsafe { free_sized_slowly(block, size) };
    match (plain(), NonNull::new(block)) {
        // SAFETY: the caller's promise.
        (Some(heap), Some(block)) => unsafe {
            heap.free_sized_or(block.cast(), layout(size), slow)
        },
        _ => slow(),
    }
}

/// As [`free_sized`], for what takes more than a few instructions. It looks at everything once more: so its callers are
/// short.
///
/// # Safety
/// As there.
#[cold]
#[inline(never)]
unsafe fn free_sized_slowly(block: *mut c_void, size: usize) {
    match (plain(), NonNull::new(block)) {
        // SAFETY: the caller's promise.
        (Some(heap), Some(block)) => unsafe {
            heap.free_sized_at(block.cast(), layout(size), Site::UNKNOWN);
        },
        // SAFETY: the caller's promise.
        _ => unsafe { _efree(block) },
    }
}

/// A layout of `size` bytes, which are those of a class.
#[inline(always)]
fn layout(size: usize) -> Layout {
    // SAFETY: such a size and an alignment of 1 are a layout.
    unsafe { Layout::from_size_align_unchecked(size, 1) }
}

/// Makes a block hold `size` bytes; null allocates one, and size 0 keeps one. (`erealloc`)
///
/// # Safety
/// As [`_efree`]; the old pointer is used no more unless null is answered.
#[cfg_attr(feature = "exports", unsafe(no_mangle))]
#[inline(never)]
pub unsafe extern "C" fn _erealloc(block: *mut c_void, size: usize) -> *mut c_void {
    // SAFETY: the caller's promise.
    unsafe { resize(block, size) }
}

/// As [`_erealloc`]; only the first `_copy_size` bytes matter to the caller. (`erealloc2`)
///
/// # Safety
/// As [`_erealloc`].
#[cfg_attr(feature = "exports", unsafe(no_mangle))]
pub unsafe extern "C" fn _erealloc2(
    block: *mut c_void,
    size: usize,
    _copy_size: usize,
) -> *mut c_void {
    // SAFETY: the caller's promise.
    unsafe { _erealloc(block, size) }
}

/// # Safety
/// As [`_erealloc`].
#[inline(always)]
pub(crate) unsafe fn resize(block: *mut c_void, size: usize) -> *mut c_void {
    match (plain(), NonNull::new(block)) {
        // SAFETY: the caller's promise.
        (Some(heap), Some(block)) => match unsafe { heap.try_resize(block.cast(), size) } {
            Ok(block) => block.as_ptr().cast(),
            Err(error) => refused(&heap, Request::Resize(block.cast(), size), error),
        },
        (Some(_), None) => allocate(size),
        // SAFETY: the caller's promise.
        (None, _) => unsafe { resize_elsewhere(block, size) },
    }
}

/// # Safety
/// As [`_erealloc`].
#[cold]
#[inline(never)]
unsafe fn resize_elsewhere(block: *mut c_void, size: usize) -> *mut c_void {
    // SAFETY: the caller's promise.
    unsafe { started().resize(block, size) }
}

/// Allocates `count * size` bytes, all zero. (`ecalloc`)
#[cfg_attr(feature = "exports", unsafe(no_mangle))]
pub extern "C" fn _ecalloc(count: usize, size: usize) -> *mut c_void {
    let Some(bytes) = address(count, size, 0) else {
        return core::ptr::null_mut();
    };
    if bytes >= SEGMENT
        && let (Some(heap), Ok(layout)) = (plain(), Layout::from_size_align(bytes, 1))
        && let Ok(block) = heap.try_allocate_zeroed(layout)
    {
        // Memory fresh from the system is zero already.
        return block.as_ptr().cast();
    }
    let block = _emalloc(bytes);
    if !block.is_null() {
        // SAFETY: the block has that many bytes.
        unsafe { block.write_bytes(0, bytes) };
    }
    block
}

/// Bytes that a block can hold; 0 with handlers. (`zend_mem_block_size`)
///
/// # Safety
/// The block is null or alive, and came from the heap that is current now.
#[cfg_attr(feature = "exports", unsafe(no_mangle))]
pub unsafe extern "C" fn _zend_mem_block_size(block: *mut c_void) -> usize {
    match plain() {
        // SAFETY: the caller's promise.
        Some(heap) => unsafe { Record::size_in(&heap, block) },
        None => 0,
    }
}
