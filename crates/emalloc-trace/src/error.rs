//! What can be wrong with a trace, and where. Offsets count bytes of the
//! decompressed trace from 0, its header included.

use core::fmt;
use std::io;

use crate::header::{HEADER_LEN, MAGIC, VERSION};
use crate::record::{Kind, MAX_SIZE};

/// Why a trace cannot be read, believed or written.
///
/// What the system or the decompressor said is the [source](std::error::Error::source), and not in the text.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TraceError {
    /// The file, or whatever else the bytes come from or go to, failed.
    #[error("byte {offset}: reading or writing failed")]
    Io {
        /// Bytes of the trace that were read or written before.
        offset: u64,
        /// What the system said.
        source: io::Error,
    },
    /// The compressed stream is damaged or cut off.
    #[error("byte {offset}: the zstd stream ends or breaks here")]
    Zstd {
        /// Bytes of the trace that were decompressed before.
        offset: u64,
        /// What the decompressor said.
        source: io::Error,
    },
    /// Not a trace.
    #[error(
        "byte 0: not an EMTR trace: expected \"{}\", found \"{}\"",
        MAGIC.escape_ascii(), found[..*len].escape_ascii()
    )]
    Magic {
        /// The first bytes.
        found: [u8; 4],
        /// How many of them there are.
        len: usize,
    },
    /// The trace ends within its header.
    #[error("byte {found}: the trace ends within its header of {HEADER_LEN} bytes")]
    ShortHeader {
        /// Bytes that are there.
        found: usize,
    },
    /// A version of the format that is not known here.
    #[error("byte 4: expected version {VERSION} of the EMTR format, found {found}")]
    Version {
        /// The header's version.
        found: u16,
    },
    /// A field of the header is out of bounds.
    #[error("byte {offset}: \"{field}\" of the header may be at most {max}, found {found}")]
    Field {
        /// Where the field is.
        offset: u64,
        /// Its name.
        field: &'static str,
        /// The largest value it may have.
        max: u64,
        /// The value it has.
        found: u64,
    },
    /// A record begins with a byte that no kind of record begins with.
    #[error("byte {offset}: expected a record (kinds 1 to 5), found byte {found:#04x}")]
    UnknownKind {
        /// Where the record starts.
        offset: u64,
        /// Its first byte.
        found: u8,
    },
    /// The trace ends within a record.
    #[error(
        "byte {offset}: the trace ends within a record: {kind} has {} bytes, found {found}",
        kind.encoded_len()
    )]
    TruncatedRecord {
        /// Where the record starts.
        offset: u64,
        /// What it would have been.
        kind: Kind,
        /// Bytes of it that are there.
        found: usize,
    },
    /// A record names a slot that the header rules out.
    #[error("byte {offset}: {kind} of slot {slot}, but the slots are numbered below {slots}")]
    Slot {
        /// Where the record starts.
        offset: u64,
        /// What it is.
        kind: Kind,
        /// The slot it names.
        slot: u32,
        /// The number of slots.
        slots: u64,
    },
    /// A record names a size above [`MAX_SIZE`].
    #[error("byte {offset}: {kind} of {size} bytes, but {MAX_SIZE} is the most a trace may have")]
    Size {
        /// Where the record starts.
        offset: u64,
        /// What it is.
        kind: Kind,
        /// The size it names, in bytes.
        size: u64,
    },
    /// There is more to the trace than the header says.
    #[error("byte {offset}: {kind}, but the trace already has the {header} {count} of its header")]
    Excess {
        /// Where the record starts that is one too many.
        offset: u64,
        /// What it is.
        kind: Kind,
        /// What there are too many of.
        count: Count,
        /// The header's number.
        header: u64,
    },
    /// Something follows the last record.
    #[error("byte {offset}: expected the end of the trace, found byte {found:#04x}")]
    Trailing {
        /// Where the trace should have ended.
        offset: u64,
        /// The byte there.
        found: u8,
    },
    /// The trace ends, and the header's figure turns out to be wrong.
    #[error("byte {offset}: the header says {header} {count}, the trace has {found}")]
    Mismatch {
        /// Where the trace ends.
        offset: u64,
        /// The figure.
        count: Count,
        /// The header's.
        header: u64,
        /// The trace's.
        found: u64,
    },
    /// A well-formed record that makes no sense where it stands.
    #[error("byte {offset}: {fault}")]
    Invalid {
        /// Where the record starts (or the trace ends).
        offset: u64,
        /// What is wrong with it.
        fault: Fault,
    },
}

impl TraceError {
    /// Where in the decompressed trace it was found, in bytes from the start.
    pub fn offset(&self) -> u64 {
        match *self {
            Self::Io { offset, .. }
            | Self::Zstd { offset, .. }
            | Self::Field { offset, .. }
            | Self::UnknownKind { offset, .. }
            | Self::TruncatedRecord { offset, .. }
            | Self::Slot { offset, .. }
            | Self::Size { offset, .. }
            | Self::Excess { offset, .. }
            | Self::Trailing { offset, .. }
            | Self::Mismatch { offset, .. }
            | Self::Invalid { offset, .. } => offset,
            Self::Magic { .. } => 0,
            Self::ShortHeader { found } => found as u64,
            Self::Version { .. } => 4,
        }
    }
}

/// A figure of the header that the records must bear out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Count {
    /// ALLOC, FREE and REALLOC records.
    Ops,
    /// REQ_END records.
    Requests,
    /// The highest slot plus one.
    Slots,
    /// The peak of live bytes.
    PeakLive,
}

impl fmt::Display for Count {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ops => "operations",
            Self::Requests => "requests",
            Self::Slots => "slots",
            Self::PeakLive => "bytes of peak usage",
        })
    }
}

/// What makes no sense about a well-formed record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Fault {
    /// ALLOC into a slot whose block is alive.
    #[error("ALLOC into slot {slot}, where a block of {size} bytes is alive")]
    Occupied {
        /// The slot.
        slot: u32,
        /// Size of the block that is there, in bytes.
        size: u64,
    },
    /// FREE or REALLOC of a slot without a block.
    #[error("{kind} of slot {slot}, where no block is alive")]
    Empty {
        /// The record's kind.
        kind: Kind,
        /// The slot.
        slot: u32,
    },
    /// An operation, or the end of a request, while no request runs.
    #[error("{kind} while no request runs")]
    NoRequest {
        /// The record's kind.
        kind: Kind,
    },
    /// A request starts while another runs.
    #[error("request {number} begins while request {running} runs")]
    Nested {
        /// The one that starts.
        number: u32,
        /// The one that has not ended.
        running: u32,
    },
    /// A request ends that is not the one that runs.
    #[error("request {number} ends while request {running} runs")]
    OtherRequest {
        /// The one that ends.
        number: u32,
        /// The one that began last.
        running: u32,
    },
    /// The end of a request has the wrong number of live blocks.
    #[error("the end of request {number} says {said} blocks are alive, there are {found}")]
    LiveBlocks {
        /// The request.
        number: u32,
        /// The record's figure.
        said: u32,
        /// The true one.
        found: u32,
    },
    /// The end of a request has the wrong number of live bytes.
    #[error("the end of request {number} says {said} bytes are alive, there are {found}")]
    LiveBytes {
        /// The request.
        number: u32,
        /// The record's figure.
        said: u64,
        /// The true one.
        found: u64,
    },
    /// A trace that is not marked as truncated ends within a request.
    #[error("the trace ends within request {number}, but is not marked as truncated")]
    Unfinished {
        /// The request that did not end.
        number: u32,
    },
}
