//! Owns the forms that guard the sum of a size, and the copies of texts.

use core::ffi::{c_char, c_void};
use core::ptr;

use crate::allocate::{_emalloc, _erealloc};
use crate::refusal::{address, length_and_one};

/// Allocates `count * size + offset` bytes; an overflow of that is a fatal error. (`safe_emalloc`)
#[cfg_attr(feature = "exports", unsafe(no_mangle))]
pub extern "C" fn _safe_emalloc(count: usize, size: usize, offset: usize) -> *mut c_void {
    match address(count, size, offset) {
        Some(bytes) => _emalloc(bytes),
        None => ptr::null_mut(),
    }
}

/// Makes a block hold `count * size + offset` bytes; an overflow of that is a fatal error. (`safe_erealloc`)
///
/// # Safety
/// As [`_erealloc`].
#[cfg_attr(feature = "exports", unsafe(no_mangle))]
pub unsafe extern "C" fn _safe_erealloc(
    block: *mut c_void,
    count: usize,
    size: usize,
    offset: usize,
) -> *mut c_void {
    match address(count, size, offset) {
        // SAFETY: the caller's promise.
        Some(bytes) => unsafe { _erealloc(block, bytes) },
        None => ptr::null_mut(),
    }
}

/// A copy of a text with its NUL. (`estrdup`)
///
/// # Safety
/// `text` ends with a NUL.
#[cfg_attr(feature = "exports", unsafe(no_mangle))]
pub unsafe extern "C" fn _estrdup(text: *const c_char) -> *mut c_char {
    // SAFETY: the caller's promise.
    let length = unsafe { libc::strlen(text) };
    // SAFETY: so many bytes are there.
    unsafe { _estrndup(text, length) }
}

/// A copy of `length` bytes with a NUL behind. (`estrndup`)
///
/// # Safety
/// There are that many bytes at `text`.
#[cfg_attr(feature = "exports", unsafe(no_mangle))]
pub unsafe extern "C" fn _estrndup(text: *const c_char, length: usize) -> *mut c_char {
    let Some(bytes) = length_and_one(length) else {
        return ptr::null_mut();
    };
    let copy = _emalloc(bytes).cast::<c_char>();
    // SAFETY: a new block of one byte more than the text, or null; the rest is the caller's promise.
    unsafe { fill(copy, text, length) }
}

/// The copy with the text in it and a NUL behind; null is left alone.
///
/// # Safety
/// There are `length` bytes at `text`; `copy` is null, or a block of one byte more that overlaps nothing of it.
#[inline(always)]
pub(crate) unsafe fn fill(copy: *mut c_char, text: *const c_char, length: usize) -> *mut c_char {
    if copy.is_null() {
        return copy;
    }
    // SAFETY: the caller's promise.
    unsafe { copy.copy_from_nonoverlapping(text, length) };
    // SAFETY: the byte behind.
    unsafe { copy.add(length).write(0) };
    copy
}
