//! Owns the original's ten functions, on the thread's current heap. Each knows
//! the file and line that called it. With `USE_ZEND_ALLOC=0` they are the
//! system's malloc and friends, as in the original.

use core::alloc::Layout;
use core::ffi::{CStr, c_char};
use core::ptr::{self, NonNull};

use super::current::current;
use super::sum::sum;
use crate::heap::{AllocError, Heap, Site, fatal};
use crate::layout::PAGE;
use crate::sys;

/// Reports an overflow to the current heap's handler, which by default ends the process; without a heap, just ends it.
#[cold]
#[track_caller]
fn overflow(error: &AllocError) -> ! {
    match heap() {
        Some(heap) => heap.report_refusal(error),
        None => fatal(error, Site::here()),
    }
}

/// The current heap, for one operation.
#[inline(always)]
fn heap<'a>() -> Option<&'a Heap> {
    // SAFETY: each function below uses the heap for one operation on the thread for which it is current.
    unsafe { current() }
}

/// Allocates `size` bytes. (`emalloc`)
///
/// Never null with a heap; a refusal goes to the heap's [`Handler`](crate::heap::Handler). Size 0 is a block too.
///
/// ```
/// use emalloc::{efree, emalloc};
/// let block = emalloc(10);
/// // SAFETY: the block is alive and used no more after this.
/// unsafe { efree(block) };
/// ```
#[inline]
#[track_caller]
pub fn emalloc(size: usize) -> *mut u8 {
    match heap() {
        Some(heap) => heap.allocate(size).as_ptr(),
        None => sys::malloc(size),
    }
}

/// Allocates `count * size + offset` bytes; an overflow of that goes to the handler with the
/// original's text. (`safe_emalloc`)
///
/// ```
/// use emalloc::{mem_block_size, safe_emalloc};
/// let block = safe_emalloc(10, 24, 16);
/// // SAFETY: the block is alive.
/// assert_eq!(unsafe { mem_block_size(block) }, 256);
/// ```
#[inline]
#[track_caller]
pub fn safe_emalloc(count: usize, size: usize, offset: usize) -> *mut u8 {
    match sum(count, size, offset) {
        Ok(bytes) => emalloc(bytes),
        Err(error) => overflow(&error),
    }
}

/// Allocates `count * size` bytes, all zero. (`ecalloc`)
///
/// ```
/// use emalloc::ecalloc;
/// let block = ecalloc(4, 8);
/// // SAFETY: the block is alive and 32 bytes long.
/// assert_eq!(unsafe { block.cast::<[u64; 4]>().read() }, [0; 4]);
/// ```
#[inline]
#[track_caller]
pub fn ecalloc(count: usize, size: usize) -> *mut u8 {
    let bytes = match sum(count, size, 0) {
        Ok(bytes) => bytes,
        Err(error) => overflow(&error),
    };
    match (heap(), Layout::from_size_align(bytes, 1)) {
        (Some(heap), Ok(layout)) => heap.allocate_zeroed(layout).as_ptr(),
        (Some(heap), Err(_)) => heap.report_refusal(&AllocError::TooLarge {
            size: bytes,
            more: PAGE,
        }),
        (None, _) => sys::calloc(count, size),
    }
}

/// Frees a block; null is nothing. (`efree`)
///
/// # Safety
/// The block came from the heap that is current now, and is used no more. See [`Heap::free`].
#[inline]
#[track_caller]
pub unsafe fn efree(block: *mut u8) {
    let Some(block) = NonNull::new(block) else {
        return;
    };
    match heap() {
        // SAFETY: the caller's promise.
        Some(heap) => unsafe { heap.free(block) },
        // SAFETY: without a heap, blocks come from the system's malloc.
        None => unsafe { sys::free(block.as_ptr()) },
    }
}

/// The system's realloc. Size 0, which frees the block on some systems and answers null then, keeps one here as
/// with a heap: a null must mean that the old block is still there.
///
/// # Safety
/// `block` is null or came from the system's malloc; it is used no more unless null is answered.
unsafe fn system_realloc(block: *mut u8, size: usize) -> *mut u8 {
    // SAFETY: the same promise.
    unsafe { sys::realloc(block, size.max(1)) }
}

/// Makes a block hold `size` bytes; null allocates one, and size 0 keeps one. (`erealloc`)
///
/// A refusal goes to the heap's handler.
///
/// # Safety
/// As [`efree`]; the old pointer is used no more.
#[inline]
#[track_caller]
pub unsafe fn erealloc(block: *mut u8, size: usize) -> *mut u8 {
    let Some(old) = NonNull::new(block) else {
        return emalloc(size);
    };
    match heap() {
        // SAFETY: the caller's promise.
        Some(heap) => unsafe { heap.resize(old, size) }.as_ptr(),
        // SAFETY: without a heap, blocks come from the system's malloc.
        None => unsafe { system_realloc(block, size) },
    }
}

/// As [`erealloc`] for `count * size + offset` bytes; an overflow of that goes to the handler with
/// the original's text. (`safe_erealloc`)
///
/// # Safety
/// As [`erealloc`].
#[inline]
#[track_caller]
pub unsafe fn safe_erealloc(block: *mut u8, count: usize, size: usize, offset: usize) -> *mut u8 {
    match sum(count, size, offset) {
        // SAFETY: the caller's promise.
        Ok(bytes) => unsafe { erealloc(block, bytes) },
        Err(error) => overflow(&error),
    }
}

/// As [`erealloc`], but a refusal is a null for the caller, and the old block is untouched and still
/// theirs. (`erealloc_recoverable`, with the promise that the original does not keep)
///
/// # Safety
/// As [`efree`]; the old pointer is used no more unless null is answered.
#[inline]
#[track_caller]
pub unsafe fn erealloc_recoverable(block: *mut u8, size: usize) -> *mut u8 {
    let at = Site::here();
    let resize = |heap: &Heap| match NonNull::new(block) {
        // SAFETY: the caller's promise.
        Some(block) => unsafe { heap.try_resize_at(block, size, 1, at) },
        None => heap.try_allocate_at(size, at),
    };
    match heap() {
        Some(heap) => resize(heap).map_or(ptr::null_mut(), NonNull::as_ptr),
        // SAFETY: without a heap, blocks come from the system's malloc; null is as good.
        None => unsafe { system_realloc(block, size) },
    }
}

/// A copy of a text, with its closing NUL. (`estrdup`)
///
/// ```
/// let copy = emalloc::estrdup(c"text");
/// // SAFETY: the block is alive and holds a text with a closing NUL.
/// assert_eq!(unsafe { std::ffi::CStr::from_ptr(copy) }, c"text");
/// ```
#[inline]
#[track_caller]
pub fn estrdup(text: &CStr) -> *mut c_char {
    estrndup(text.to_bytes())
}

/// A copy of `bytes` with a NUL behind. (`estrndup`)
///
/// ```
/// let copy = emalloc::estrndup(b"text");
/// // SAFETY: the block is alive and holds a text with a closing NUL.
/// assert_eq!(unsafe { std::ffi::CStr::from_ptr(copy) }, c"text");
/// ```
#[inline]
#[track_caller]
pub fn estrndup(bytes: &[u8]) -> *mut c_char {
    let copy = safe_emalloc(1, bytes.len(), 1);
    if copy.is_null() {
        // Only the system's malloc answers null.
        return copy.cast();
    }
    // SAFETY: the new block is one byte longer than `bytes` and overlaps nothing.
    unsafe { ptr::copy_nonoverlapping(bytes.as_ptr(), copy, bytes.len()) };
    // SAFETY: that byte.
    unsafe { copy.add(bytes.len()).write(0) };
    copy.cast()
}

/// Bytes that a block can hold, at least what was asked for; 0 for null, and without a heap.
/// (`zend_mem_block_size`)
///
/// # Safety
/// The block is null or alive, and came from the heap that is current now.
#[inline]
#[track_caller]
pub unsafe fn mem_block_size(block: *mut u8) -> usize {
    let Some(block) = NonNull::new(block) else {
        return 0;
    };
    let Some(heap) = heap() else { return 0 };
    // SAFETY: the caller's promise.
    match unsafe { heap.usable_size(block) } {
        Ok(size) => size,
        Err(fault) => {
            heap.report_fault_at(&fault, Site::here());
            0
        }
    }
}
