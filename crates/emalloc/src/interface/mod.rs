//! Layer 3: the ways to reach a heap. The original's functions on the thread's
//! current heap, Rust's own forms on a heap at hand, the `Allocator` trait, and
//! the settings from the environment. Depends on everything below; nothing
//! below knows of it.

#[cfg(any(
    feature = "allocator-api2-02",
    feature = "allocator-api2-03",
    feature = "allocator-api2-04"
))]
mod allocator;
#[cfg(feature = "std")]
mod current;
#[cfg(feature = "alloc")]
mod debug_settings;
#[cfg(feature = "std")]
mod functions;
#[cfg(feature = "alloc")]
mod settings;
mod sited;
mod size;
mod sum;
mod value;

#[cfg(feature = "std")]
pub use current::{reset_thread_heap, scope, with_current};
#[cfg(feature = "std")]
pub use functions::{
    ecalloc, efree, emalloc, erealloc, erealloc_recoverable, estrdup, estrndup, mem_block_size,
    safe_emalloc, safe_erealloc,
};
#[cfg(feature = "alloc")]
pub use settings::{Settings, SettingsError};
pub use sited::Sited;
pub use size::{ParseSizeError, parse_size};
pub use sum::sum;
pub use value::HeapBox;
