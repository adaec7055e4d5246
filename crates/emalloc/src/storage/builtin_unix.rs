//! The storages that come with the library on Unix, in the original's order. Used by the registry.

use super::fork;
use super::registry::{AnyStorage, Entry};
use super::{
    Cached, MALLOC, MMAP_ANON, Malloc, MmapAnon, MmapZero, Regions, Storage, StorageError,
};

/// A storage that comes with the library.
#[derive(Debug)]
#[non_exhaustive]
pub enum BuiltIn {
    /// `malloc`
    Malloc(Malloc),
    /// `mmap_anon`
    MmapAnon(MmapAnon),
    /// `mmap_zero`
    MmapZero(MmapZero),
    /// `malloc`, with the process's store of warm segments in front
    Default(DefaultStorage),
}

impl BuiltIn {
    pub(super) fn target(&self) -> &dyn Storage {
        match self {
            Self::Malloc(storage) => storage,
            Self::MmapAnon(storage) => storage,
            Self::MmapZero(storage) => storage,
            Self::Default(storage) => *storage,
        }
    }
}

/// What heaps have that name no storage: `malloc`, with one store of warm segments for the whole process.
pub type DefaultStorage = &'static Cached<Regions<Malloc>>;

pub(super) static DEFAULT: Cached<Regions<Malloc>> = {
    let mut storage = Cached::new(Regions::new(MALLOC));
    storage.name = "malloc";
    storage
};

/// Whether all heaps with the default storage share one.
pub(super) const DEFAULT_IS_SHARED: bool = true;

pub(super) fn default_built_in() -> Result<BuiltIn, StorageError> {
    default_storage().map(BuiltIn::Default)
}

pub(super) fn default_storage() -> Result<DefaultStorage, StorageError> {
    fork::arm();
    Ok(&DEFAULT)
}

pub(super) static BUILT_IN: [Entry; 3] = [
    Entry {
        name: "malloc",
        about: "the C library's allocator",
        open: &|| Ok(AnyStorage::BuiltIn(BuiltIn::Malloc(MALLOC))),
    },
    Entry {
        name: "mmap_anon",
        about: "private anonymous mappings",
        open: &|| Ok(AnyStorage::BuiltIn(BuiltIn::MmapAnon(MMAP_ANON))),
    },
    Entry {
        name: "mmap_zero",
        about: "private mappings of /dev/zero",
        open: &|| Ok(AnyStorage::BuiltIn(BuiltIn::MmapZero(MmapZero::new()?))),
    },
];
