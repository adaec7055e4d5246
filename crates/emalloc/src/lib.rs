//! **emalloc** is a memory manager in three layers, for programs that work in requests, scripts, queries or jobs:
//! a heap per request, with free and resize of single blocks, a hard limit you can catch, thrown away at once at the
//! end, on any memory source.
//!
//! - [`storage`] is where segments come from: `malloc`, `mmap_anon`, `mmap_zero`, `win32`, a fixed buffer, wrappers
//!   that cache or bound, or your own.
//! - [`heap`] cuts segments into blocks, takes them back, keeps the limit and the counts, and drops everything at once.
//! - [`interface`] is how programs reach a heap: the original's functions ([`emalloc()`], [`efree`], ...) on the
//!   thread's current heap, Rust values, the `Allocator` trait, settings from the environment.
//!
//! ```
//! use emalloc::heap::{Heap, Limit};
//!
//! let mut heap = Heap::builder().limit(Limit::Bytes(8 << 20)).build()?;
//! for request in ["first", "second"] {
//!     let text = heap.alloc_str(request);   // lives until the reset
//!     let sums = heap.alloc([0u64; 32]);
//!     sums[0] = text.len() as u64;
//!     heap.reset();                         // everything is gone at once
//! }
//! # Ok::<(), emalloc::heap::HeapError>(())
//! ```
#![no_std]
#[cfg(feature = "alloc")]
extern crate alloc;
#[cfg(feature = "std")]
extern crate std;

pub mod heap;
pub mod interface;
pub mod layout;
pub mod size_class;
pub mod storage;
#[doc(hidden)]
pub mod sys;

pub use heap::{AllocError, Heap, HeapError, Limit};
#[cfg(feature = "std")]
pub use interface::{
    ecalloc, efree, emalloc, erealloc, erealloc_recoverable, estrdup, estrndup, mem_block_size,
    reset_thread_heap, safe_emalloc, safe_erealloc, scope, with_current,
};

/// The README's examples are tested with the documentation's.
#[cfg(doctest)]
#[doc = include_str!("../../../README.md")]
struct Readme;
