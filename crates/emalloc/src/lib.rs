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
//!
//! # Where to find what
//!
//! | wanted | here |
//! |---|---|
//! | a server: a heap per request on each thread | below; `examples/request_server.rs` |
//! | a limit that is an error one can catch | [`Builder::limit`](heap::Builder::limit), the `try_` forms, [`AllocError`]; for many heaps together [`Budget`](storage::Budget) |
//! | to be asked before a request fails: free something, raise the limit, unwind | [`Handler::out_of_memory`](heap::Handler::out_of_memory) |
//! | which line forgot what | [`Builder::debug`](heap::Builder::debug), [`Heap::leaks`], [`Handler::leaks`](heap::Handler::leaks); `EMALLOC_DEBUG=1` for heaps that [`Settings`](interface::Settings) make |
//! | who allocates, in production | [`Heap::start_sampling`], [`Heap::profile`]; for flame graphs [`Heap::write_collapsed`] |
//! | containers of other crates | the features below and [`Heap::here`] |
//! | memory from elsewhere | the trait [`Storage`](storage::Storage), and [`conformance`](storage::conformance) to test it |
//! | what the environment can set | [`Settings`](interface::Settings) |
//!
//! # A server
//!
//! Each thread has a heap and resets it after each request; all heaps take segments from one store, which keeps the memory warm.
//!
//! ```
//! use emalloc::heap::{AllocError, Heap, HeapError, Limit, Retain};
//! use emalloc::storage::{Cached, MALLOC, Malloc};
//!
//! static SEGMENTS: Cached<Malloc> = Cached::new(MALLOC); // on Unix better of MMAP_ANON
//!
//! fn answer(heap: &Heap, request: usize) -> Result<usize, AllocError> {
//!     Ok(heap.try_alloc_str("parts of the page")?.len() + request)
//! }
//!
//! fn work() -> Result<(), HeapError> {
//!     let mut heap = Heap::builder()
//!         .storage(&SEGMENTS)
//!         .segment_size(2 << 20)
//!         .limit(Limit::Bytes(64 << 20))
//!         .retain(Retain::Bytes(0)) // what a reset frees goes to the store
//!         .build()?;
//!     for request in 0..100 {
//!         if let Err(error) = answer(&heap, request) {
//!             eprintln!("request {request}: {error}"); // and the next one finds the heap whole
//!         }
//!         heap.reset();
//!     }
//!     Ok(())
//! }
//!
//! let threads = [(); 2].map(|()| std::thread::spawn(work));
//! for thread in threads {
//!     thread.join().unwrap()?;
//! }
//! # Ok::<(), emalloc::heap::HeapError>(())
//! ```
//!
//! # Features
//!
//! - `std`, on unless told: the thread's current heap with the original's functions, settings from the environment.
//! - `alloc`, which `std` includes: settings from texts, storages behind `Arc` and `Box`. Without either the library needs an
//!   operating system's memory or a buffer, and nothing else.
//! - `allocator-api2-02`, `-03`, `-04`: `Allocator` of that version of allocator-api2 on `&Heap` and
//!   [`Sited`](interface::Sited). It must be the version that the container's crate uses: 0.2 for hashbrown.
//! - `valgrind`, `asan`: debug mode tells these tools which memory is the program's (Linux on x86-64; elsewhere nothing).
#![no_std]
#![deny(missing_debug_implementations)]
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
#[doc = include_str!("../README.md")]
struct Readme;
