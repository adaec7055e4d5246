//! snmalloc. It does not tell its version.
#![allow(non_upper_case_globals)]

use bench_peer::{LAYOUT, Plain, Table};
use snmalloc_sys::{sn_free, sn_malloc, sn_realloc};

/// What the bench looks for.
// SAFETY: nothing else in the plug-in has this name.
#[unsafe(no_mangle)]
pub static emalloc_bench_peer: Table = Table {
    layout: LAYOUT,
    version,
    plain: Plain {
        malloc: sn_malloc,
        free: sn_free,
        realloc: sn_realloc,
    },
    heaps: None,
};

extern "C" fn version() -> u32 {
    0
}
