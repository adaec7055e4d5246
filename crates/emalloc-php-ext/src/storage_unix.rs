//! Owns the storages there are to choose from, on Unix.

use emalloc::heap::{Builder, Heap, HeapError, PlatformStorage, Retain};
use emalloc::storage::{Cached, MMAP_ANON, MmapAnon};

use crate::own::Report;

/// Kept warm from one request to the next, no more than was needed at once.
static SEGMENTS: Cached<MmapAnon> = Cached::new(MMAP_ANON);

/// The storage that is used unless told.
pub const DEFAULT: &str = "cached";

/// A heap on [`DEFAULT`].
pub fn build_default(builder: Builder<PlatformStorage, Report>) -> Result<Heap, HeapError> {
    // What a reset frees goes to the store.
    let builder = builder.retain(Retain::Bytes(0));
    builder.storage(&SEGMENTS).build()
}
