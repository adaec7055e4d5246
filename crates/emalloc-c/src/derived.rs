//! Owns what is made of a target's few operations: blocks for sums of sizes, aligned ones, and copies of texts.

use core::ffi::{CStr, c_char};
use core::ptr;

use emalloc::heap::Site;
use emalloc::interface::sum;

use crate::error::{EmallocError, Kind, NoAlignment};
use crate::fatal::refuse;
use crate::target::Target;

pub fn safe_alloc<T: Target>(
    target: T,
    (count, size, offset): (usize, usize, usize),
    at: Site<'_>,
) -> *mut u8 {
    match sum(count, size, offset) {
        Ok(bytes) => target.alloc(bytes, at),
        Err(error) => target.refuse(error, at),
    }
}

pub fn calloc<T: Target>(target: T, count: usize, size: usize, at: Site<'_>) -> *mut u8 {
    match sum(count, size, 0) {
        Ok(bytes) => target.alloc_zeroed(bytes, at),
        Err(error) => target.refuse(error, at),
    }
}

/// What is no power of two is refused here, for all targets alike.
pub fn alloc_aligned<T: Target>(target: T, align: usize, size: usize, at: Site<'_>) -> *mut u8 {
    if align.is_power_of_two() {
        return target.alloc_aligned(size, align, at);
    }
    let error = NoAlignment(align);
    let told = EmallocError::new(Kind::Setting, &error, at.into());
    refuse(target.asked(), &told, &format_args!("{error} at {at}"))
}

/// # Safety
/// As [`Target::realloc`].
pub unsafe fn safe_realloc<T: Target>(
    target: T,
    block: *mut u8,
    (count, size, offset): (usize, usize, usize),
    at: Site<'_>,
) -> *mut u8 {
    match sum(count, size, offset) {
        // SAFETY: the caller's promise.
        Ok(bytes) => unsafe { target.realloc(block, bytes, at) },
        Err(error) => target.refuse(error, at),
    }
}

/// # Safety
/// `text` ends with a NUL.
pub unsafe fn strdup<T: Target>(target: T, text: *const c_char, at: Site<'_>) -> *mut c_char {
    // SAFETY: the caller's promise.
    let length = unsafe { CStr::from_ptr(text) }.count_bytes();
    // SAFETY: so much is there.
    unsafe { strndup(target, text, length, at) }
}

/// # Safety
/// `text` is `length` bytes long.
pub unsafe fn strndup<T: Target>(
    target: T,
    text: *const c_char,
    length: usize,
    at: Site<'_>,
) -> *mut c_char {
    let copy = safe_alloc(target, (1, length, 1), at).cast::<c_char>();
    // SAFETY: a new block of one byte more than the text, or null; the rest is the caller's promise.
    unsafe { fill(copy, text, length) }
}

/// The copy with the text in it and a NUL behind; null is left alone.
///
/// # Safety
/// `text` is `length` bytes long; `copy` is null, or a block of one byte more that overlaps nothing of it.
pub unsafe fn fill(copy: *mut c_char, text: *const c_char, length: usize) -> *mut c_char {
    if copy.is_null() {
        return copy;
    }
    // SAFETY: the caller's promise.
    unsafe { ptr::copy_nonoverlapping(text, copy, length) };
    // SAFETY: the byte behind.
    unsafe { copy.add(length).write(0) };
    copy
}
