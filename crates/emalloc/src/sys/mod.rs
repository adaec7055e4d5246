//! Layer 0: the operating system, and the only place that calls it. Thin free
//! functions without policy; everything above asks these and nothing else.
//!
//! The contract, stated once for every platform's file:
//! * a function that hands out memory answers null when it cannot, and changes nothing then;
//! * sizes and addresses of mappings are multiples of [`page_size`], alignments are powers of two,
//!   sizes are not zero;
//! * whoever passes a pointer in (each such function is `unsafe`) got it from the function's
//!   counterpart in the same file with the same size, and uses what is given back no more;
//! * nothing panics, nothing locks of its own, nothing allocates beyond what it hands out.
//!
//! To port: write a file with the names of `none.rs`. Mappings exist in `unix.rs` only and
//! private heaps in `windows.rs` only; the storages over them exist where they do.

#[cfg_attr(unix, path = "unix.rs")]
#[cfg_attr(windows, path = "windows.rs")]
#[cfg_attr(not(any(unix, windows)), path = "none.rs")]
mod os;

#[cfg_attr(
    all(
        any(target_arch = "x86", target_arch = "x86_64"),
        target_feature = "sse"
    ),
    path = "prefetch_x86.rs"
)]
#[cfg_attr(target_arch = "aarch64", path = "prefetch_arm64.rs")]
#[cfg_attr(
    not(any(
        all(
            any(target_arch = "x86", target_arch = "x86_64"),
            target_feature = "sse"
        ),
        target_arch = "aarch64"
    )),
    path = "prefetch_none.rs"
)]
mod processor;

// Telling the tools that watch the program's memory, where we know how.
#[cfg_attr(
    all(target_arch = "x86_64", target_os = "linux"),
    path = "watch_tools.rs"
)]
#[cfg_attr(
    not(all(target_arch = "x86_64", target_os = "linux")),
    path = "watch_none.rs"
)]
mod watch;

/// A moment as clocks on walls show it. Months and weekdays count from 0, for January and Sunday.
#[derive(Clone, Copy, Debug)]
pub struct LocalTime {
    /// Such as 2026.
    pub year: i32,
    /// From 0.
    pub month: usize,
    /// Of the month, from 1.
    pub day: u32,
    /// From 0.
    pub weekday: usize,
    /// From 0.
    pub hour: u32,
    /// From 0.
    pub minute: u32,
    /// From 0.
    pub second: u32,
}

pub use os::*;
pub use processor::prefetch;
pub use watch::*;
