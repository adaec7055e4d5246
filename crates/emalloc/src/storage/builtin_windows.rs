//! The storages that come with the library on Windows, in the original's order. Used by the registry.

use super::registry::{AnyStorage, Entry};
use super::{MALLOC, Malloc, Storage, StorageError, Win32};

/// A storage that comes with the library.
#[derive(Debug)]
#[non_exhaustive]
pub enum BuiltIn {
    /// `win32`
    Win32(Win32),
    /// `malloc`
    Malloc(Malloc),
}

impl BuiltIn {
    pub(super) fn target(&self) -> &dyn Storage {
        match self {
            Self::Win32(storage) => storage,
            Self::Malloc(storage) => storage,
        }
    }
}

/// What heaps have that name no storage: a private heap for each.
pub type DefaultStorage = Win32;

/// Whether all heaps with the default storage share one.
pub(super) const DEFAULT_IS_SHARED: bool = false;

pub(super) fn default_built_in() -> Result<BuiltIn, StorageError> {
    Ok(BuiltIn::Win32(Win32::new()?))
}

pub(super) fn default_storage() -> Result<DefaultStorage, StorageError> {
    Win32::new()
}

pub(super) static BUILT_IN: [Entry; 2] = [
    Entry {
        name: "win32",
        about: "a private heap of the system",
        open: &|| Ok(AnyStorage::BuiltIn(BuiltIn::Win32(Win32::new()?))),
    },
    Entry {
        name: "malloc",
        about: "the process's heap",
        open: &|| Ok(AnyStorage::BuiltIn(BuiltIn::Malloc(MALLOC))),
    },
];
