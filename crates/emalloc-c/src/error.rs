//! Owns errors as C sees them: a kind, the numbers, and the text as the original writes it.

use core::ffi::{c_char, c_int, c_void};
use core::fmt::{self, Write};
use core::ptr;

use emalloc::heap::{AllocError, Corruption, Fault, HeapError, Site};
use emalloc::interface::SettingsError;
use emalloc::storage::registry::OpenError;

use crate::site::EmallocSite;

/// `emalloc_error_kind`
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i32)]
pub enum Kind {
    /// `EMALLOC_ERROR_LIMIT`
    Limit = 1,
    /// `EMALLOC_ERROR_MEMORY`
    Memory = 2,
    /// `EMALLOC_ERROR_OVERFLOW`
    Overflow = 3,
    /// `EMALLOC_ERROR_WALKING`
    Walking = 4,
    /// `EMALLOC_ERROR_POINTER`
    Pointer = 5,
    /// `EMALLOC_ERROR_CORRUPT`
    Corrupt = 6,
    /// `EMALLOC_ERROR_SETTING`
    Setting = 7,
    /// `EMALLOC_ERROR_STORAGE`
    Storage = 8,
}

/// Bytes that a text can have, with its NUL.
const TEXT: usize = 512;

/// `emalloc_error`
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct EmallocError {
    /// Of this struct.
    pub size: usize,
    /// A [`Kind`].
    pub kind: c_int,
    /// 0.
    pub reserved: c_int,
    /// Where the call stands.
    pub site: EmallocSite,
    /// Bytes asked for.
    pub requested: usize,
    /// The limit in the way.
    pub limit: usize,
    /// Bytes the heap holds.
    pub held: usize,
    /// The pointer in question.
    pub address: *mut c_void,
    /// The text, ended by a NUL.
    pub text: [c_char; TEXT],
}

impl EmallocError {
    /// An error with its text, and no numbers yet.
    pub fn new(kind: Kind, text: &dyn fmt::Display, site: EmallocSite) -> Self {
        let mut error = Self {
            size: size_of::<Self>(),
            kind: kind as c_int,
            reserved: 0,
            site,
            requested: 0,
            limit: 0,
            held: 0,
            address: ptr::null_mut(),
            text: [0; TEXT],
        };
        write_text(&mut error.text, text);
        error
    }

    /// Why a request was refused.
    pub fn of_request(error: &AllocError, at: Site<'_>) -> Self {
        let made = |kind| Self::new(kind, error, at.into());
        match *error {
            AllocError::Limit {
                limit,
                held,
                requested,
            } => Self {
                limit,
                held,
                requested,
                ..made(Kind::Limit)
            },
            AllocError::Storage {
                held, requested, ..
            } => Self {
                held,
                requested,
                ..made(Kind::Memory)
            },
            AllocError::Walking => made(Kind::Walking),
            AllocError::BadPointer(fault) => Self::of_fault(&fault, at),
            AllocError::TooLarge { size, .. } => Self {
                requested: size,
                ..made(Kind::Overflow)
            },
            // What is yet to come is named by its text.
            _ => made(Kind::Overflow),
        }
    }

    /// What was wrong with a pointer.
    pub fn of_fault(fault: &Fault, at: Site<'_>) -> Self {
        Self {
            address: ptr::without_provenance_mut(fault.address),
            ..Self::new(Kind::Pointer, fault, at.into())
        }
    }

    /// A heap was used after its end.
    pub fn of_ended(ended: &Ended) -> Self {
        Self {
            address: ended.0,
            ..Self::new(Kind::Pointer, ended, EmallocSite::NONE)
        }
    }

    /// What a check found.
    pub fn of_check(corruption: &Corruption) -> Self {
        Self {
            address: ptr::without_provenance_mut(corruption.address),
            ..Self::new(Kind::Corrupt, corruption, EmallocSite::NONE)
        }
    }
}

/// The heap that was at this address has ended already.
#[derive(Clone, Copy, Debug)]
pub struct Ended(pub *mut c_void);

impl fmt::Display for Ended {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let address = self.0;
        write!(
            f,
            "zend_mm_heap corrupted: heap {address:p} has ended already"
        )
    }
}

/// Why a heap could not be started.
#[derive(Debug)]
pub enum StartError<'a> {
    /// Its storage.
    Open(OpenError<'a>),
    /// An option.
    Heap(HeapError),
    /// A variable of the environment.
    Settings(SettingsError),
    /// A number among the options.
    Option(BadOption),
    /// The options name a storage in two ways.
    TwoStorages,
    /// The field `size` of a struct of this name is not set.
    NoSize(&'static str),
}

/// An option of `emalloc_debug` with a number that means nothing.
#[derive(Clone, Copy, Debug)]
pub struct BadOption {
    /// The field.
    pub option: &'static str,
    /// What it was set to.
    pub value: c_int,
    /// What it may be.
    pub wanted: &'static str,
}

impl fmt::Display for BadOption {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            option,
            value,
            wanted,
        } = self;
        write!(f, "debug option {option}: {value} is not {wanted}")
    }
}

impl fmt::Display for StartError<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Open(error) => error.fmt(f),
            Self::Heap(error) => error.fmt(f),
            Self::Settings(error) => error.fmt(f),
            Self::Option(error) => error.fmt(f),
            Self::TwoStorages => f.write_str("the options name more than one storage"),
            Self::NoSize(name) => write!(f, "{name}.size is not set, expected sizeof({name})"),
        }
    }
}

impl StartError<'_> {
    fn kind(&self) -> Kind {
        match self {
            Self::Open(_)
            | Self::Heap(HeapError::Storage(_))
            | Self::Settings(
                SettingsError::UnknownStorage(_)
                | SettingsError::Storage { .. }
                | SettingsError::Heap(HeapError::Storage(_)),
            ) => Kind::Storage,
            _ => Kind::Setting,
        }
    }
}

impl From<&StartError<'_>> for EmallocError {
    fn from(error: &StartError<'_>) -> Self {
        Self::new(error.kind(), error, EmallocSite::NONE)
    }
}

/// The system had no `requested` bytes for a persistent block. Displays as the original's "Out of memory".
#[derive(Clone, Copy, Debug)]
pub struct OutOfMemory {
    /// Bytes asked for.
    pub requested: usize,
}

impl fmt::Display for OutOfMemory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Out of memory")
    }
}

impl From<&OutOfMemory> for EmallocError {
    fn from(error: &OutOfMemory) -> Self {
        Self {
            requested: error.requested,
            ..Self::new(Kind::Memory, error, EmallocSite::NONE)
        }
    }
}

/// An alignment that is no power of two.
#[derive(Clone, Copy, Debug)]
pub struct NoAlignment(pub usize);

impl fmt::Display for NoAlignment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the alignment {} is no power of two", self.0)
    }
}

/// Writes a text with its NUL, cut to what fits.
pub fn write_text(to: &mut [c_char], text: &dyn fmt::Display) {
    struct Text<'a>(core::slice::IterMut<'a, c_char>);
    impl Write for Text<'_> {
        fn write_str(&mut self, more: &str) -> fmt::Result {
            for &byte in more.as_bytes() {
                *self.0.next().ok_or(fmt::Error)? = byte as c_char;
            }
            Ok(())
        }
    }
    let Some((last, room)) = to.split_last_mut() else {
        return;
    };
    *last = 0;
    let mut writer = Text(room.iter_mut());
    // What does not fit is left out.
    let _ = write!(writer, "{text}");
    if let Some(end) = writer.0.next() {
        *end = 0;
    }
}
