//! Owns persistent blocks: the system's memory, which no limit counts and no request ends. (`pemalloc` with 1)

use core::ffi::{CStr, c_char, c_void};
use core::ptr;

use emalloc::heap::Site;
use emalloc::interface::sum;
use emalloc::sys;

use crate::derived::fill;
use crate::error::{EmallocError, OutOfMemory};
use crate::fatal::{Action, decide, end, refuse};

/// Asks the program when the system has nothing left, until `request` is served or that is of no use.
fn or_decide(requested: usize, request: impl Fn() -> *mut u8) -> *mut c_void {
    loop {
        let block = request();
        // A null for nothing is no refusal.
        if !block.is_null() || requested == 0 {
            return block.cast();
        }
        let error = OutOfMemory { requested };
        match decide(None, &EmallocError::from(&error)) {
            Action::Retry => {}
            Action::Continue => return ptr::null_mut(),
            Action::End => end(&error, 1),
        }
    }
}

/// Runs `call` with the sum, or asks the program about its overflow.
fn with_sum(
    (count, size, offset): (usize, usize, usize),
    call: impl FnOnce(usize) -> *mut c_void,
) -> *mut c_void {
    match sum(count, size, offset) {
        Ok(bytes) => call(bytes),
        Err(error) => refuse(
            None,
            &EmallocError::of_request(&error, Site::UNKNOWN),
            &error,
        )
        .cast(),
    }
}

/// `pemalloc`
#[unsafe(no_mangle)]
pub extern "C" fn emalloc_persistent_alloc(size: usize) -> *mut c_void {
    or_decide(size, || sys::malloc(size))
}

/// `safe_pemalloc`
#[unsafe(no_mangle)]
pub extern "C" fn emalloc_persistent_safe_alloc(
    count: usize,
    size: usize,
    offset: usize,
) -> *mut c_void {
    with_sum((count, size, offset), |bytes| {
        emalloc_persistent_alloc(bytes)
    })
}

/// `pecalloc`
#[unsafe(no_mangle)]
pub extern "C" fn emalloc_persistent_calloc(count: usize, size: usize) -> *mut c_void {
    with_sum((count, size, 0), |bytes| {
        or_decide(bytes, || sys::calloc(count, size))
    })
}

/// `perealloc`
///
/// # Safety
/// `block` is null or a persistent block, used no more unless null is answered.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn emalloc_persistent_realloc(
    block: *mut c_void,
    size: usize,
) -> *mut c_void {
    // SAFETY: the caller's promise; after a null the block is as it was. Size 0 keeps a block, as everywhere here.
    or_decide(size, || unsafe { sys::realloc(block.cast(), size.max(1)) })
}

/// `safe_perealloc`
///
/// # Safety
/// As [`emalloc_persistent_realloc`].
#[unsafe(no_mangle)]
pub unsafe extern "C" fn emalloc_persistent_safe_realloc(
    block: *mut c_void,
    count: usize,
    size: usize,
    offset: usize,
) -> *mut c_void {
    // SAFETY: the caller's promise.
    with_sum((count, size, offset), |bytes| unsafe {
        emalloc_persistent_realloc(block, bytes)
    })
}

/// `perealloc_recoverable`
///
/// # Safety
/// As [`emalloc_persistent_realloc`].
#[unsafe(no_mangle)]
pub unsafe extern "C" fn emalloc_persistent_realloc_recoverable(
    block: *mut c_void,
    size: usize,
) -> *mut c_void {
    // SAFETY: the caller's promise.
    unsafe { sys::realloc(block.cast(), size.max(1)) }.cast()
}

/// `pestrdup`
///
/// # Safety
/// `text` ends with a NUL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn emalloc_persistent_strdup(text: *const c_char) -> *mut c_char {
    // SAFETY: the caller's promise.
    let length = unsafe { CStr::from_ptr(text) }.count_bytes();
    // SAFETY: so much is there.
    unsafe { emalloc_persistent_strndup(text, length) }
}

/// `pestrndup`, `zend_strndup`
///
/// # Safety
/// `text` is `length` bytes long.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn emalloc_persistent_strndup(
    text: *const c_char,
    length: usize,
) -> *mut c_char {
    let copy = emalloc_persistent_safe_alloc(1, length, 1).cast::<c_char>();
    // SAFETY: a new block of one byte more than the text, or null; the rest is the caller's promise.
    unsafe { fill(copy, text, length) }
}

/// `pefree`
///
/// # Safety
/// `block` is null or a persistent block, and used no more.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn emalloc_persistent_free(block: *mut c_void) {
    // SAFETY: the caller's promise.
    unsafe { sys::free(block.cast()) };
}
