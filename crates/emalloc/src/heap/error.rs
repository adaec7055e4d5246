//! Owns the two errors of a heap: [`AllocError`] (a request was refused) and
//! [`HeapError`] (a heap could not be made or changed). Their texts are the
//! original's where it has one.

use core::fmt;

use super::fault::Fault;
use crate::layout::{Bytes, PAGE};
use crate::storage::StorageError;

/// Why a request was refused. Everything is as it was before the request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum AllocError {
    /// The heap's limit stands in the way, even after collecting.
    /// Displays as the original's "Allowed memory size of … bytes exhausted".
    Limit {
        /// The limit, in bytes.
        limit: usize,
        /// Bytes the heap holds from its storage (its real usage).
        held: usize,
        /// Bytes the caller asked for.
        requested: usize,
    },
    /// The storage had no more to give, or a budget in it stood in the way, even after collecting.
    /// Displays as the original's "Out of memory".
    Storage {
        /// What the storage said.
        cause: StorageError,
        /// Bytes the heap holds from its storage (its real usage).
        held: usize,
        /// Bytes the caller asked for.
        requested: usize,
    },
    /// `count * size + offset` is more than an address can count.
    /// Displays as the original's "Possible integer overflow in memory allocation".
    Overflow {
        /// How many.
        count: usize,
        /// Of what size in bytes.
        size: usize,
        /// And how many bytes beside.
        offset: usize,
    },
    /// The size, rounded up to pages or to its alignment, is more than an address can count.
    /// Displays as the original's "Possible integer overflow in memory allocation", with two numbers.
    TooLarge {
        /// Bytes the caller asked for.
        size: usize,
        /// What rounding up may add, in bytes.
        more: usize,
    },
    /// The heap is being walked: it can hand out nothing until the walk ends.
    Walking,
    /// The pointer to be resized is no block of this heap.
    BadPointer(Fault),
}

impl AllocError {
    /// No address can count `size` bytes, rounded up to pages or to `align`.
    pub(super) fn too_large(size: usize, align: usize) -> Self {
        let more = align.max(PAGE);
        Self::TooLarge { size, more }
    }
}

impl fmt::Display for AllocError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Limit {
                limit, requested, ..
            } => {
                write!(
                    f,
                    "Allowed memory size of {limit} bytes exhausted (tried to allocate {requested} bytes)"
                )
            }
            Self::Storage {
                held, requested, ..
            } => {
                write!(
                    f,
                    "Out of memory (allocated {held} bytes) (tried to allocate {requested} bytes)"
                )
            }
            Self::Overflow {
                count,
                size,
                offset,
            } => {
                write!(
                    f,
                    "Possible integer overflow in memory allocation ({count} * {size} + {offset})"
                )
            }
            Self::TooLarge { size, more } => {
                write!(
                    f,
                    "Possible integer overflow in memory allocation ({size} + {more})"
                )
            }
            Self::Walking => {
                f.write_str("the heap is being walked and hands out nothing meanwhile")
            }
            Self::BadPointer(fault) => fault.fmt(f),
        }
    }
}

impl core::error::Error for AllocError {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        match self {
            Self::Storage { cause, .. } => Some(cause),
            _ => None,
        }
    }
}

/// Why a heap could not be made, or a setting of it not be changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum HeapError {
    /// The segment size is no power of two.
    SegmentSizeNotPowerOfTwo(usize),
    /// The segment size is not from [`MIN_SEGMENT`](crate::layout::MIN_SEGMENT) to
    /// [`MAX_SEGMENT`](crate::layout::MAX_SEGMENT).
    SegmentSizeOutOfRange(usize),
    /// The storage hands out units larger than a segment, or the heap's own data does not fit into one.
    SegmentSizeTooSmall {
        /// The segment size in bytes.
        segment: usize,
        /// What it had to be at least.
        needed: usize,
    },
    /// The limit is too low for a heap to exist.
    LimitTooLow {
        /// The limit in bytes.
        limit: usize,
        /// The least that works.
        needed: usize,
    },
    /// The limit cannot go below what is held; nothing has changed.
    LimitBelowHeld {
        /// The limit asked for, in bytes.
        limit: usize,
        /// Bytes held after collecting.
        held: usize,
    },
    /// The guards of [debug mode](crate::heap::Debug::guards) are larger than guards can be.
    GuardsTooLarge {
        /// Bytes of a guard that were wanted.
        guards: usize,
        /// The most it can have.
        max: usize,
    },
    /// The storage could not give the first segment.
    Storage(StorageError),
}

impl fmt::Display for HeapError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::SegmentSizeNotPowerOfTwo(size) => {
                write!(f, "the segment size must be a power of two, {size} is not")
            }
            Self::SegmentSizeOutOfRange(size) => write!(
                f,
                "the segment size must be from {} to {} bytes, {size} is not",
                crate::layout::MIN_SEGMENT,
                crate::layout::MAX_SEGMENT
            ),
            Self::SegmentSizeTooSmall { segment, needed } => {
                write!(
                    f,
                    "a segment of {segment} bytes is too small, {needed} are needed for the storage's unit, or for the heap's own data and its reserve"
                )
            }
            Self::LimitTooLow { limit, needed } => {
                write!(
                    f,
                    "a limit of {} is too low for a heap, it needs at least {needed}",
                    Bytes(limit)
                )
            }
            // The original's words for a memory limit below the usage.
            Self::LimitBelowHeld { limit, held } => {
                write!(
                    f,
                    "Failed to set memory limit to {limit} bytes (Current memory usage is {held} bytes)"
                )
            }
            Self::GuardsTooLarge { guards, max } => {
                write!(
                    f,
                    "guards of {guards} bytes are too large, {max} is the most"
                )
            }
            Self::Storage(error) => write!(f, "the storage gave no first segment: {error}"),
        }
    }
}

// No source: the text says what the storage said, and a chain of errors would say it twice.
impl core::error::Error for HeapError {}
