//! The storages that come with the library where there is no system: `malloc`, which has
//! nothing to give there, so that the registry has a default to name. Used by the registry.

use super::registry::{AnyStorage, Entry};
use super::{MALLOC, Malloc, Storage, StorageError};

/// A storage that comes with the library.
#[derive(Debug)]
#[non_exhaustive]
pub enum BuiltIn {
    /// `malloc`
    Malloc(Malloc),
}

impl BuiltIn {
    pub(super) fn target(&self) -> &dyn Storage {
        let Self::Malloc(storage) = self;
        storage
    }
}

/// What heaps have that name no storage.
pub type DefaultStorage = Malloc;

/// Whether all heaps with the default storage share one.
pub(super) const DEFAULT_IS_SHARED: bool = false;

pub(super) fn default_built_in() -> Result<BuiltIn, StorageError> {
    Ok(BuiltIn::Malloc(MALLOC))
}

pub(super) fn default_storage() -> Result<DefaultStorage, StorageError> {
    Ok(MALLOC)
}

pub(super) static BUILT_IN: [Entry; 1] = [Entry {
    name: "malloc",
    about: "the system's allocator (none here)",
    open: &|| Ok(AnyStorage::BuiltIn(BuiltIn::Malloc(MALLOC))),
}];
