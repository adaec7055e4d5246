//! A whole trace in memory, in records of 16 bytes: for benchmarks, where neither
//! decoding nor reading may be part of what is measured.

use std::fs::File;
use std::io::Read;
use std::ops::Range;
use std::path::Path;

use crate::check::{Checker, Summary};
use crate::error::TraceError;
use crate::header::Header;
use crate::reader::Reader;
use crate::record::{Hints, Record};

/// Records taken from the reader at a time.
const BATCH: usize = 4096;

/// What an [`Op`] does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum OpKind {
    /// [`Record::Alloc`].
    Alloc,
    /// [`Record::Free`].
    Free,
    /// [`Record::Realloc`].
    Realloc,
}

/// One operation on a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Op {
    /// Bytes requested; 0 for [`OpKind::Free`].
    pub size: u64,
    /// The block's slot.
    pub slot: u32,
    /// What happens to it.
    pub kind: OpKind,
    /// How it was called.
    pub hints: Hints,
}

const _: () = assert!(size_of::<Op>() == 16);

/// A request of a [`Recording`].
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Request {
    /// Its number; 0 is the start of PHP's modules.
    pub number: u32,
    /// Where its operations are in [`Recording::ops`].
    pub ops: Range<usize>,
    /// Blocks alive at its end.
    pub live_blocks: u32,
    /// Their requested sizes added up, in bytes.
    pub live_bytes: u64,
    /// Whether it ended in the trace. Only the last request of a truncated trace
    /// may not have.
    pub ended: bool,
}

/// A trace in memory. It has passed the [`Checker`], so a replay can rely on every
/// slot being below `header.slots`, empty before an allocation, and full before
/// anything else.
///
/// ```no_run
/// use emalloc_trace::Recording;
///
/// let recording = Recording::open("trace.emtr.zst")?;
/// for request in &recording.requests {
///     let ops = &recording.ops[request.ops.clone()];
///     println!("request {}: {} operations", request.number, ops.len());
/// }
/// # Ok::<(), emalloc_trace::TraceError>(())
/// ```
#[derive(Clone, Debug)]
pub struct Recording {
    /// What the trace says about itself.
    pub header: Header,
    /// What it holds, counted.
    pub summary: Summary,
    /// The operations of all requests.
    pub ops: Vec<Op>,
    /// The requests, in order; every operation belongs to one.
    pub requests: Vec<Request>,
}

impl Recording {
    /// Reads the trace in the file at `path`.
    ///
    /// # Errors
    /// As [`Reader::open`] and [`Recording::read`].
    pub fn open(path: impl AsRef<Path>) -> Result<Self, TraceError> {
        Self::read(Reader::<File>::open(path)?)
    }

    /// Reads what `reader`, which has not been read from yet, has to give.
    ///
    /// # Errors
    /// Whatever the reader or the [`Checker`] finds wrong.
    pub fn read<R: Read>(mut reader: Reader<R>) -> Result<Self, TraceError> {
        let header = *reader.header();
        let mut checker = Checker::new(&header);
        // Nothing is reserved by the header's word: it is not known to be true yet.
        let mut ops = Vec::new();
        let mut requests: Vec<Request> = Vec::new();
        let mut batch = Vec::with_capacity(BATCH);
        while reader.read_batch(&mut batch, BATCH)? > 0 {
            for record in batch.drain(..) {
                checker.record(&record)?;
                match (record, requests.last_mut()) {
                    (Record::RequestBegin { number }, _) => requests.push(Request {
                        number,
                        ops: ops.len()..ops.len(),
                        live_blocks: 0,
                        live_bytes: 0,
                        ended: false,
                    }),
                    (
                        Record::RequestEnd {
                            live_blocks,
                            live_bytes,
                            ..
                        },
                        Some(request),
                    ) => {
                        request.live_blocks = live_blocks;
                        request.live_bytes = live_bytes;
                        request.ops.end = ops.len();
                        request.ended = true;
                    }
                    (record, _) => ops.extend(op(&record)),
                }
            }
        }
        if let Some(request) = requests.last_mut()
            && !request.ended
        {
            request.live_blocks = checker.live_blocks();
            request.live_bytes = checker.live_bytes();
            request.ops.end = ops.len();
        }
        let summary = checker.finish()?;
        Ok(Self {
            header,
            summary,
            ops,
            requests,
        })
    }
}

fn op(record: &Record) -> Option<Op> {
    let (kind, slot, size, hints) = match *record {
        Record::Alloc { slot, size, hints } => (OpKind::Alloc, slot, size, hints),
        Record::Free { slot, hints } => (OpKind::Free, slot, 0, hints),
        Record::Realloc { slot, size, hints } => (OpKind::Realloc, slot, size, hints),
        Record::RequestBegin { .. } | Record::RequestEnd { .. } => return None,
    };
    Some(Op {
        size,
        slot,
        kind,
        hints,
    })
}
