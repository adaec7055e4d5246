//! Storages by name: which are here, in which order, which is the default; a program's own join
//! at run time. Owns the error texts for wrong names, which are the original's.

pub use super::builtin::{BuiltIn, DefaultStorage};
pub use super::opened::Opened;

use super::builtin::{self, BUILT_IN};
use super::{Storage, StorageError, forward_storage};
use core::fmt;
use core::ptr;
use core::sync::atomic::{AtomicPtr, Ordering};

/// How many of its own storages a program can [`register`].
pub const OWN_STORAGES: usize = 16;

/// A storage that can be had by its name.
#[derive(Clone, Copy)]
pub struct Entry {
    /// The name: exactly this, upper and lower case matter.
    pub name: &'static str,
    /// What it is, in a few words.
    pub about: &'static str,
    /// Sets one up (the original's `init`).
    pub open: &'static (dyn Fn() -> Result<AnyStorage, StorageError> + Sync),
}

impl fmt::Debug for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Entry")
            .field("name", &self.name)
            .field("about", &self.about)
            .finish_non_exhaustive()
    }
}

/// A storage out of the registry. Dropping it is the original's `dtor`.
#[derive(Debug)]
#[non_exhaustive]
pub enum AnyStorage {
    /// One that comes with the library.
    BuiltIn(BuiltIn),
    /// A program's own, see [`register`].
    Own(&'static (dyn Storage + Sync)),
    /// A program's own that was set up for this one user and ends with it.
    Opened(Opened),
}

impl fmt::Debug for dyn Storage + Sync {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Storage").field(&self.name()).finish()
    }
}

impl AnyStorage {
    fn target(&self) -> &dyn Storage {
        match self {
            Self::BuiltIn(storage) => storage.target(),
            Self::Own(storage) => *storage,
            Self::Opened(storage) => storage.target(),
        }
    }
}

// SAFETY: the target keeps the contract's promises. Those that come with the library hold no granted
// memory in the value itself, so it may move; a program's own does not move with the reference.
unsafe impl Storage for AnyStorage {
    forward_storage!(|self| self.target());
}

/// No storage has this name.
///
/// Its text is the original's, without the last line break; it lists the right names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnknownStorage<'a> {
    /// The name that was asked for.
    pub name: &'a str,
}

impl fmt::Display for UnknownStorage<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = self.name;
        write!(
            f,
            "Wrong or unsupported zend_mm storage type '{name}'\n  supported types:"
        )?;
        entries().try_for_each(|entry| write!(f, "\n    '{}'", entry.name))
    }
}

impl core::error::Error for UnknownStorage<'_> {}

/// Why there is no storage of a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum OpenError<'a> {
    /// No storage has this name.
    Unknown(UnknownStorage<'a>),
    /// It could not be set up.
    Failed {
        /// Its name.
        name: &'static str,
        /// Why.
        error: StorageError,
    },
}

impl fmt::Display for OpenError<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown(unknown) => unknown.fmt(f),
            Self::Failed { name, .. } => write!(f, "Cannot initialize zend_mm storage [{name}]"),
        }
    }
}

impl core::error::Error for OpenError<'_> {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        match self {
            Self::Unknown(_) => None,
            Self::Failed { error, .. } => Some(error),
        }
    }
}

/// Why an [`Entry`] was not registered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RegisterError {
    /// The name is empty.
    NoName,
    /// There is a storage of that name already.
    NameTaken,
    /// There are [`OWN_STORAGES`] already.
    Full,
}

impl fmt::Display for RegisterError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoName => f.write_str("a storage needs a name"),
            Self::NameTaken => f.write_str("there is a storage of that name already"),
            Self::Full => write!(
                f,
                "there are {OWN_STORAGES} storages of the program's own already"
            ),
        }
    }
}

impl core::error::Error for RegisterError {}

/// A program's own entries. Slots are filled from the front and never emptied.
static OWN: [AtomicPtr<Entry>; OWN_STORAGES] =
    [const { AtomicPtr::new(ptr::null_mut()) }; OWN_STORAGES];

/// All storages that are here, the default first, then in the original's order, then a program's own.
pub fn entries() -> impl Iterator<Item = &'static Entry> {
    let own = OWN.iter().map_while(|slot| {
        // SAFETY: a slot is null or holds the `&'static Entry` of a `register`.
        unsafe { slot.load(Ordering::Acquire).as_ref() }
    });
    BUILT_IN.iter().chain(own)
}

/// The storage that is used when nobody names one: `malloc`, on Windows `win32`.
pub fn default_entry() -> &'static Entry {
    const { &BUILT_IN[0] }
}

/// Sets up the storage for a heap that names none. On Unix all of these are one: `malloc`, with what one heap gave up kept
/// warm for the next as [`Cached`](super::Cached) does it; its [`trim`](Storage::trim) gives that back.
///
/// ```
/// use emalloc::storage::{Storage, registry};
/// let storage = registry::default_storage()?;
/// assert_eq!(storage.name(), registry::default_entry().name);
/// # Ok::<(), emalloc::storage::StorageError>(())
/// ```
///
/// # Errors
/// It could not be set up.
pub fn default_storage() -> Result<DefaultStorage, StorageError> {
    builtin::default_storage()
}

/// As [`default_storage`], as a storage out of the registry.
///
/// # Errors
/// It could not be set up.
pub fn open_default() -> Result<AnyStorage, StorageError> {
    builtin::default_built_in().map(AnyStorage::BuiltIn)
}

/// Whether all heaps that have [`default_storage`] share one. Trimming it takes from all of them.
pub const DEFAULT_IS_SHARED: bool = builtin::DEFAULT_IS_SHARED;

/// The storage of a name.
///
/// # Errors
/// [`UnknownStorage`], also for the empty name.
pub fn find(name: &str) -> Result<&'static Entry, UnknownStorage<'_>> {
    entries()
        .find(|entry| entry.name == name)
        .ok_or(UnknownStorage { name })
}

/// Sets up the storage of a name.
///
/// ```
/// use emalloc::storage::{Storage, registry};
/// assert_eq!(registry::open("malloc")?.name(), "malloc");
/// let error = registry::open("Malloc").unwrap_err();
/// assert!(error.to_string().starts_with("Wrong or unsupported zend_mm storage type 'Malloc'"));
/// # Ok::<(), registry::OpenError<'static>>(())
/// ```
///
/// # Errors
/// No storage has the name, or it could not be set up.
pub fn open(name: &str) -> Result<AnyStorage, OpenError<'_>> {
    let entry = find(name).map_err(OpenError::Unknown)?;
    (entry.open)().map_err(|error| OpenError::Failed {
        name: entry.name,
        error,
    })
}

/// Adds a program's own storage to the registry, for good.
///
/// ```
/// use emalloc::storage::{Counting, MMAP_ANON, MmapAnon, Storage, registry};
/// # #[cfg(unix)] {
/// static COUNTED: Counting<MmapAnon> = Counting::new(MMAP_ANON);
/// registry::register(&registry::Entry {
///     name: "counted",
///     about: "anonymous mappings, counted",
///     open: &|| Ok(registry::AnyStorage::Own(&COUNTED)),
/// })?;
/// assert_eq!(registry::open("counted").unwrap().name(), "counting");
/// # }
/// # Ok::<(), registry::RegisterError>(())
/// ```
///
/// # Errors
/// [`RegisterError`]; nothing has changed then.
pub fn register(entry: &'static Entry) -> Result<(), RegisterError> {
    if entry.name.is_empty() {
        return Err(RegisterError::NoName);
    }
    if BUILT_IN.iter().any(|known| known.name == entry.name) {
        return Err(RegisterError::NameTaken);
    }
    // Whoever comes second to a slot sees who came first, so no name gets in twice.
    for slot in &OWN {
        let taken = slot.compare_exchange(
            ptr::null_mut(),
            ptr::from_ref(entry).cast_mut(),
            Ordering::AcqRel,
            Ordering::Acquire,
        );
        match taken {
            Ok(_) => return Ok(()),
            // SAFETY: a slot that is not null holds the `&'static Entry` of a `register`.
            Err(first) if unsafe { &*first }.name == entry.name => {
                return Err(RegisterError::NameTaken);
            }
            Err(_) => {}
        }
    }
    Err(RegisterError::Full)
}
