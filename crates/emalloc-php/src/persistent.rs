//! Owns the persistent family: the system's memory, which outlives requests and counts in no figure. Where there is none
//! left the process ends as the original does, with `Out of memory` and status 1.

use core::ffi::{c_char, c_void};

use emalloc::sys;

use crate::refusal::{address, length_and_one, say};
use crate::safe::fill;

/// Ends the process: the system has no memory left.
#[cold]
pub fn out_of_memory() -> ! {
    say(&"Out of memory");
    // What is registered to run at the end runs, as in the original.
    sys::exit(1)
}

/// `malloc` that never answers null, but for size 0.
#[cfg_attr(feature = "exports", unsafe(no_mangle))]
pub extern "C" fn __zend_malloc(size: usize) -> *mut c_void {
    // SAFETY: any size may be asked for.
    let block = unsafe { libc::malloc(size) };
    if block.is_null() && size != 0 {
        out_of_memory();
    }
    block
}

/// `calloc`, likewise; an overflow is a fatal error.
#[cfg_attr(feature = "exports", unsafe(no_mangle))]
pub extern "C" fn __zend_calloc(count: usize, size: usize) -> *mut c_void {
    let Some(bytes) = address(count, size, 0) else {
        return core::ptr::null_mut();
    };
    // SAFETY: any size may be asked for.
    let block = unsafe { libc::calloc(1, bytes) };
    if block.is_null() && bytes != 0 {
        out_of_memory();
    }
    block
}

/// `realloc`, likewise.
///
/// # Safety
/// As `realloc`'s.
#[cfg_attr(feature = "exports", unsafe(no_mangle))]
pub unsafe extern "C" fn __zend_realloc(block: *mut c_void, size: usize) -> *mut c_void {
    // SAFETY: the caller's promise.
    let block = unsafe { libc::realloc(block, size) };
    if block.is_null() && size != 0 {
        out_of_memory();
    }
    block
}

/// `strdup`, likewise.
///
/// # Safety
/// `text` ends with a NUL.
#[cfg_attr(feature = "exports", unsafe(no_mangle))]
pub unsafe extern "C" fn __zend_strdup(text: *const c_char) -> *mut c_char {
    // SAFETY: the caller's promise.
    let copy = unsafe { libc::strdup(text) };
    if copy.is_null() {
        out_of_memory();
    }
    copy
}

/// A copy of `length` bytes with a NUL behind. (`pestrndup`)
///
/// # Safety
/// There are that many bytes at `text`.
#[cfg_attr(feature = "exports", unsafe(no_mangle))]
pub unsafe extern "C" fn zend_strndup(text: *const c_char, length: usize) -> *mut c_char {
    let Some(bytes) = length_and_one(length) else {
        return core::ptr::null_mut();
    };
    let copy = __zend_malloc(bytes).cast::<c_char>();
    // SAFETY: a new block of one byte more than the text; the rest is the caller's promise.
    unsafe { fill(copy, text, length) }
}

/// `count * size + offset` bytes. (`safe_pemalloc`)
#[cfg_attr(feature = "exports", unsafe(no_mangle))]
pub extern "C" fn _safe_malloc(count: usize, size: usize, offset: usize) -> *mut c_void {
    match address(count, size, offset) {
        Some(bytes) => __zend_malloc(bytes),
        None => core::ptr::null_mut(),
    }
}

/// Makes a block hold `count * size + offset` bytes. (`safe_perealloc`)
///
/// # Safety
/// As `realloc`'s.
#[cfg_attr(feature = "exports", unsafe(no_mangle))]
pub unsafe extern "C" fn _safe_realloc(
    block: *mut c_void,
    count: usize,
    size: usize,
    offset: usize,
) -> *mut c_void {
    match address(count, size, offset) {
        // SAFETY: the caller's promise.
        Some(bytes) => unsafe { __zend_realloc(block, bytes) },
        None => core::ptr::null_mut(),
    }
}
