//! EMTR allocation traces: what a PHP program asked of its memory manager,
//! operation by operation, request by request.
//!
//! - [`Reader`] decodes a trace as a stream, compressed with zstd or not, in
//!   constant memory; [`Record`] is one step of it, [`Header`] what it says
//!   about itself.
//! - [`Checker`] looks at the meaning: no block allocated twice, no freed block
//!   freed again, and the figures of the header and of each request are right.
//! - [`Recording`] holds a checked trace in memory, for benchmarks.
//! - [`trace_files`] finds the traces in a folder.
//! - [`Writer`] makes a trace; what it writes passes the [`Checker`].
//!
//! Input is not trusted: whatever the bytes, the answer is a [`TraceError`] with
//! the offset in the decompressed trace, within the memory that the bounds
//! [`MAX_SLOTS`] and [`MAX_SIZE`] allow.
//!
//! ```
//! use emalloc_trace::{Compression, Flags, Hints, Reader, Record, Writer};
//! use std::io::Cursor;
//!
//! let mut writer = Writer::new(Cursor::new(Vec::new()), Flags::EMPTY, Compression::Zstd(3))?;
//! writer.write(&Record::RequestBegin { number: 1 })?;
//! writer.write(&Record::Alloc { slot: 0, size: 56, hints: Hints::EMPTY })?;
//! writer.write(&Record::RequestEnd { number: 1, live_blocks: 1, live_bytes: 56 })?;
//! let (file, header) = writer.finish()?;
//! assert_eq!(header.peak_live, 56);
//!
//! let reader = Reader::new(file.get_ref().as_slice())?;
//! assert_eq!(reader.header(), &header);
//! let records = reader.collect::<Result<Vec<_>, _>>()?;
//! assert_eq!(records.len(), 3);
//! # Ok::<(), emalloc_trace::TraceError>(())
//! ```
#![forbid(unsafe_code)]
#![deny(missing_debug_implementations)]

mod check;
mod error;
mod folder;
mod header;
mod ledger;
mod reader;
mod record;
mod recording;
mod writer;

pub use check::{Checker, Summary};
pub use error::{Count, Fault, TraceError};
pub use folder::trace_files;
pub use header::{Flags, HEADER_LEN, Header, MAGIC, MAX_SLOTS, VERSION};
pub use reader::Reader;
pub use record::{Hints, Kind, MAX_RECORD_LEN, MAX_SIZE, Record};
pub use recording::{Op, OpKind, Recording, Request};
pub use writer::{Compression, Writer};
