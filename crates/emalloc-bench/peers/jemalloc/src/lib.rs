//! jemalloc.
#![allow(non_upper_case_globals)]

use std::ffi::{CStr, c_char};
use std::mem::MaybeUninit;
use std::ptr;

use bench_peer::{LAYOUT, Plain, Table};
use tikv_jemalloc_sys::{free, mallctl, malloc, realloc};

/// What the bench looks for.
// SAFETY: nothing else in the plug-in has this name.
#[unsafe(no_mangle)]
pub static emalloc_bench_peer: Table = Table {
    layout: LAYOUT,
    version,
    plain: Plain {
        malloc,
        free,
        realloc,
    },
    heaps: None,
};

extern "C" fn version() -> u32 {
    let mut text = MaybeUninit::<*const c_char>::uninit();
    let mut size = size_of::<*const c_char>();
    // SAFETY: the name ends with zero, and the place for the answer is as large as said.
    let failed = unsafe {
        mallctl(
            c"version".as_ptr(),
            text.as_mut_ptr().cast(),
            &mut size,
            ptr::null_mut(),
            0,
        )
    };
    if failed != 0 {
        return 0;
    }
    // SAFETY: it was written, and points to a constant string.
    let text = unsafe { CStr::from_ptr(text.assume_init()) }.to_string_lossy();
    // As in 5.3.1-0-g81034ce.
    text.split(['.', '-'])
        .take(3)
        .filter_map(|part| part.parse::<u32>().ok())
        .fold(0, |sum, part| sum * 100 + part)
}
