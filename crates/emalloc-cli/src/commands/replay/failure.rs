//! Everything that can end the replay of a trace, with the place, in words and as JSON.

use std::error::Error;
use std::fmt;
use std::io;

use emalloc::heap::{Corruption, Fault};
use emalloc::storage::StorageError;
use emalloc::{AllocError, HeapError};
use emalloc_trace::TraceError;
use serde::Serialize;

use super::batch::{Op, OpKind};
use crate::exit::Exit;
use crate::output::size;

/// What `--check` found.
#[derive(Debug, thiserror::Error)]
pub enum Damage {
    /// A byte of a block has changed.
    #[error("the block in slot {slot} ({size} bytes at {address:#x}) was changed at byte {at}")]
    Content {
        slot: u32,
        size: usize,
        address: usize,
        at: usize,
    },
    /// A block is not aligned as promised.
    #[error(
        "the block in slot {slot} ({size} bytes) lies at {address:#x}, expected a multiple of {align}"
    )]
    Misaligned {
        slot: u32,
        size: usize,
        address: usize,
        align: usize,
    },
    /// A block holds less than was asked for.
    #[error("the block in slot {slot} was to hold {size} bytes and holds {usable}")]
    TooSmall {
        slot: u32,
        size: usize,
        usable: usize,
    },
    /// The heap's structure is broken.
    #[error("the heap is broken: {0}")]
    Invariant(Corruption),
    /// The heap has another number of blocks than the trace.
    #[error("the heap holds {found} blocks, expected {expected}")]
    LiveBlocks { expected: usize, found: usize },
    /// A reset left something.
    #[error("{0} bytes are still in use after the reset")]
    Left(usize),
    /// Memory was not given back when the heap was dropped.
    #[error("{grants} grants of the storage, {bytes} bytes, were not given back with the heap")]
    Lost { grants: usize, bytes: usize },
}

/// When something happened.
#[derive(Debug)]
pub enum Place {
    /// In an operation: its number, counted from 1, and where it starts in the trace.
    Op { number: u64, offset: u64, op: Op },
    /// Between two operations: how many were done.
    After(u64),
    /// At the end of a request.
    RequestEnd(u32),
    /// When all was done.
    End,
}

/// Why a replay did not reach its end.
#[derive(Debug)]
pub enum Failure {
    /// The file cannot be opened.
    Open(io::Error),
    /// The trace cannot be read, or makes no sense.
    Trace(TraceError),
    /// The storage cannot be set up.
    Storage(StorageError),
    /// The heap cannot be made.
    Heap(HeapError),
    /// The heap refused.
    Refused(Place, AllocError),
    /// The heap found a pointer wrong.
    Fault(Place, Fault),
    /// A check failed.
    Damage(Place, Damage),
}

impl Failure {
    /// The exit code it calls for.
    pub fn exit(&self) -> Exit {
        match self {
            Self::Open(_) | Self::Trace(_) => Exit::Unreadable,
            // A storage that is too small for a segment is one that refuses.
            Self::Heap(HeapError::Storage(_)) => Exit::Found,
            Self::Heap(_) => Exit::Usage,
            Self::Storage(_) | Self::Refused(..) | Self::Fault(..) | Self::Damage(..) => {
                Exit::Found
            }
        }
    }

    /// The same for JSON.
    pub fn report(&self) -> Report {
        let kind = match self {
            Self::Open(_) | Self::Trace(_) => "unreadable",
            Self::Storage(_) | Self::Heap(_) => "setup",
            Self::Refused(..) => "refused",
            Self::Fault(..) | Self::Damage(..) => "check",
        };
        let mut report = Report {
            kind,
            message: self.to_string(),
            offset: None,
            operation: None,
            limit: None,
            held: None,
            requested: None,
        };
        match self {
            Self::Trace(error) => report.offset = Some(error.offset()),
            Self::Refused(place, error) => {
                report.place(place);
                (report.limit, report.held, report.requested) = numbers(error);
            }
            Self::Fault(place, _) | Self::Damage(place, _) => report.place(place),
            Self::Open(_) | Self::Storage(_) | Self::Heap(_) => {}
        }
        report
    }
}

/// Limit, held, requested, as far as a refusal has them. The limit may be a budget's.
fn numbers(error: &AllocError) -> (Option<usize>, Option<usize>, Option<usize>) {
    match *error {
        AllocError::Limit {
            limit,
            held,
            requested,
        } => (Some(limit), Some(held), Some(requested)),
        AllocError::Storage {
            cause,
            held,
            requested,
        } => {
            let limit = match cause {
                StorageError::Limit { limit, .. } => Some(limit),
                _ => None,
            };
            (limit, Some(held), Some(requested))
        }
        _ => (None, None, None),
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Open(error) => write!(f, "cannot be opened: {error}"),
            Self::Trace(error) => {
                error.fmt(f)?;
                // What the system or the decompressor said.
                error
                    .source()
                    .map_or(Ok(()), |cause| write!(f, ": {cause}"))
            }
            Self::Storage(error) => write!(f, "the storage cannot be set up: {error}"),
            Self::Heap(error) => error.fmt(f),
            Self::Refused(place, error) => {
                write!(f, "{place} was refused: ")?;
                match error {
                    AllocError::Limit {
                        limit,
                        held,
                        requested,
                    } => write!(
                        f,
                        "the limit is {}, the heap holds {}, {} were asked for",
                        exact(*limit),
                        exact(*held),
                        exact(*requested)
                    ),
                    AllocError::Storage {
                        cause,
                        held,
                        requested,
                    } => write!(
                        f,
                        "{cause}; the heap holds {}, {} were asked for",
                        exact(*held),
                        exact(*requested)
                    ),
                    other => other.fmt(f),
                }
            }
            Self::Fault(place, fault) => write!(f, "{place}: {fault}"),
            Self::Damage(place, damage) => write!(f, "{place}: {damage}"),
        }
    }
}

/// Bytes to the last one, and what they are about, where that is shorter.
fn exact(bytes: usize) -> String {
    if bytes < 1024 {
        format!("{bytes} bytes")
    } else {
        format!("{bytes} bytes ({})", size::display(bytes))
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Op { number, offset, op } => {
                write!(f, "operation {number} at byte {offset} (")?;
                let Op { size, slot, kind } = op;
                match kind {
                    OpKind::Alloc => write!(f, "ALLOC of {size} bytes into slot {slot})"),
                    OpKind::Free => write!(f, "FREE of slot {slot})"),
                    OpKind::Realloc => write!(f, "REALLOC of slot {slot} to {size} bytes)"),
                }
            }
            Self::After(number) => write!(f, "after operation {number}"),
            Self::RequestEnd(number) => write!(f, "at the end of request {number}"),
            Self::End => f.write_str("at the end"),
        }
    }
}

/// A failure as JSON.
#[derive(Debug, Serialize)]
pub struct Report {
    kind: &'static str,
    message: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    offset: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    operation: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    limit: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    held: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    requested: Option<usize>,
}

impl Report {
    fn place(&mut self, place: &Place) {
        match place {
            Place::Op { number, offset, .. } => {
                self.operation = Some(*number);
                self.offset = Some(*offset);
            }
            Place::After(number) => self.operation = Some(*number),
            Place::RequestEnd(_) | Place::End => {}
        }
    }
}
