//! mimalloc 2, plain and with heaps.
#![allow(non_upper_case_globals)]

// Linked for its functions, which the macro declares in the types of plug-ins.
use libmimalloc_sys as _;

bench_peer::mimalloc!();
