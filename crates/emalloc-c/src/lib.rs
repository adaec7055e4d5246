//! The C library of emalloc. `include/emalloc.h` is what its users read; this crate is what stands behind it, made of
//! the library's public items. Every function there has its namesake here, every struct a `repr(C)` twin.
//!
//! | file | owns |
//! |---|---|
//! | `blocks`, `heap_blocks` | the functions on blocks: of the current heap, of a given one |
//! | `target`, `derived` | whom a call on blocks goes to; what is made of its few operations |
//! | `target_heap`, `target_custom`, `target_system` | the three of them |
//! | `current`, `fast` | which heap is current on a thread |
//! | `platform_*`, `fast_*`, `exit_*` | what differs between systems |
//! | `heap`, `options` | [`heap::EmallocHeap`]; starting and ending heaps |
//! | `figures` | limits, figures, collect, check, walk |
//! | `error`, `fatal` | errors as C sees them; who decides about them |
//! | `debug` | debug mode: its settings, reports, leaks |
//! | `profile` | sampling |
//! | `custom`, `observer` | custom handlers; observers |
//! | `storage`, `register` | storages written in C |
//! | `persistent` | blocks of the system |
//!
//! Nothing here panics. If the library did, the process would end: the functions are `extern "C"`, and no panic leaves one.
//! A fatal handler may jump out of a call with `longjmp`: no frame between it and the C caller holds anything to drop.

pub mod blocks;
mod current;
pub mod custom;
pub mod debug;
mod derived;
pub mod error;
#[cfg_attr(all(unix, not(target_vendor = "apple")), path = "exit_elf.rs")]
#[cfg_attr(not(all(unix, not(target_vendor = "apple"))), path = "exit_any.rs")]
mod exit;
#[cfg_attr(
    all(
        target_arch = "x86_64",
        target_pointer_width = "64",
        target_os = "linux"
    ),
    path = "fast_x86_64.rs"
)]
#[cfg_attr(
    not(all(
        target_arch = "x86_64",
        target_pointer_width = "64",
        target_os = "linux"
    )),
    path = "fast_any.rs"
)]
mod fast;
pub mod fatal;
pub mod figures;
pub mod heap;
pub mod heap_blocks;
pub mod observer;
pub mod options;
pub mod persistent;
#[cfg_attr(unix, path = "platform_unix.rs")]
#[cfg_attr(not(unix), path = "platform_any.rs")]
mod platform;
pub mod profile;
pub mod register;
pub mod site;
mod sized;
pub mod storage;
mod target;
mod target_custom;
mod target_heap;
mod target_system;

pub use current::{
    emalloc_heap_current, emalloc_heap_set_current, emalloc_heap_shutdown, emalloc_shutdown,
};

use core::ffi::{CStr, c_char};

/// The version of the library.
#[unsafe(no_mangle)]
pub extern "C" fn emalloc_version() -> *const c_char {
    const TEXT: &CStr =
        match CStr::from_bytes_with_nul(concat!(env!("CARGO_PKG_VERSION"), "\0").as_bytes()) {
            Ok(text) => text,
            Err(_) => panic!("a version holds no NUL"),
        };
    TEXT.as_ptr()
}
