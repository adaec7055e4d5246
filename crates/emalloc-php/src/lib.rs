//! PHP 8.2's allocator as a library: it exports what PHP's `Zend/zend_alloc.c` defines, so that it can stand in its
//! place, linked into PHP or loaded before `libphp8.2.so`. `docs/php.md` shows how.
//!
//! Meant for PHP that is not thread-safe (NTS) and not a debug build, as Debian's packages are: the current heap is a plain
//! global, and functions take no file and line.
//!
//! How a fatal error becomes one of PHP's is PHP's side: `php/hook.c`, compiled against PHP's headers, registers a
//! [hook](refusal::emalloc_php_set_hook). The hook may jump out of the allocation, as PHP's errors do: the heap is whole
//! before it is called, and no frame in between has anything to drop. Without a hook the original's text goes to standard
//! error and the process ends.
//!
//! - [`allocate`], [`sized`], [`safe`], [`persistent`], [`fallible`]: the functions PHP allocates with.
//! - [`manager`]: the process's heap: start, end, limit, figures.
//! - [`heaps`]: heaps as objects, with custom storage and custom handlers.
//! - [`refusal`]: what happens when a request cannot be served.
//! - [`takeover`]: what it needs to stand in the place of PHP's functions while PHP runs.
//!
//! `exports.txt` lists what is exported; a test compares it with the library and with PHP's header.
//!
//! With the exports and where panics abort, as in the libraries that scripts build, it does without std, whose texts and traces
//! of panics would be half of what is linked into PHP; `alone` does std's part then. So such a build is for this package only.
#![no_std]

extern crate alloc;
#[cfg(not(all(panic = "abort", feature = "exports")))]
extern crate std;

pub mod allocate;
#[cfg(all(panic = "abort", feature = "exports"))]
mod alone;
mod current;
pub mod fallible;
mod faults;
mod handlers;
pub mod heaps;
mod large_pages;
pub mod manager;
pub mod persistent;
mod record;
pub mod refusal;
pub mod safe;
pub mod sized;
mod storage;
pub mod takeover;
mod tracked;

pub use handlers::{Free, Handlers, Malloc, Realloc};
pub use record::Record;
pub use storage::{StorageHandlers, StorageRecord};
