//! Owns the storages there are to choose from, where there is no `mmap`.

use emalloc::heap::{Builder, Heap, HeapError, PlatformStorage};

use crate::own::Report;

/// The storage that is used unless told.
pub const DEFAULT: &str = "default";

/// A heap on [`DEFAULT`].
pub fn build_default(builder: Builder<PlatformStorage, Report>) -> Result<Heap, HeapError> {
    builder.build()
}
