//! Decodes a trace ahead of its execution, a batch at a time, and lets through only what makes sense:
//! the executors rely on it.

use std::io::Read;

use emalloc_trace::{Checker, HEADER_LEN, Kind, Reader, Record, Summary, TraceError};

/// Records in a batch. What is executed between two batches must be much, for decoding leaves the
/// processor's caches full of other things.
const BATCH: usize = 64 << 10;

/// Records taken from the reader at once.
const CHUNK: usize = 4096;

/// An operation on a block, ready to be executed.
#[derive(Clone, Copy, Debug)]
pub struct Op {
    /// Bytes; 0 for a free.
    pub size: usize,
    /// Which block.
    pub slot: u32,
    /// What to do.
    pub kind: OpKind,
}

/// What an [`Op`] does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum OpKind {
    /// Allocate.
    Alloc,
    /// Free.
    Free,
    /// Resize.
    Realloc,
}

/// A request ends behind so many operations of the batch.
#[derive(Clone, Copy, Debug)]
pub struct RequestEnd {
    /// Operations of the batch before it.
    pub at: usize,
    /// The number of the request.
    pub number: u32,
    /// Blocks alive.
    pub live_blocks: u32,
}

/// A part of a trace.
#[derive(Debug, Default)]
pub struct Batch {
    /// Its operations.
    pub ops: Vec<Op>,
    /// The ends of requests in it.
    pub ends: Vec<RequestEnd>,
    /// Beginnings of requests in it, by operations before them.
    begins: Vec<usize>,
    /// Where it starts, in bytes from the trace's beginning.
    offset: u64,
}

impl Batch {
    /// Where the operation with this index starts, in bytes from the trace's beginning.
    pub fn offset_of(&self, index: usize) -> u64 {
        let len = |kind: Kind| kind.encoded_len() as u64;
        let ops = self.ops[..index].iter().map(|op| match op.kind {
            OpKind::Alloc => len(Kind::Alloc),
            OpKind::Free => len(Kind::Free),
            OpKind::Realloc => len(Kind::Realloc),
        });
        let ends = self.ends.iter().filter(|end| end.at <= index).count() as u64;
        let begins = self.begins.iter().filter(|&&at| at <= index).count() as u64;
        self.offset
            + ops.sum::<u64>()
            + ends * len(Kind::RequestEnd)
            + begins * len(Kind::RequestBegin)
    }
}

/// A trace on its way to the executor.
pub struct Decoder<R: Read> {
    reader: Reader<R>,
    checker: Checker,
    records: Vec<Record>,
    batch: Batch,
}

impl<R: Read> Decoder<R> {
    /// Starts on what `source` holds.
    pub fn new(source: R) -> Result<Self, TraceError> {
        let reader = Reader::new(source)?;
        Ok(Self {
            checker: Checker::new(reader.header()),
            reader,
            records: Vec::with_capacity(CHUNK),
            batch: Batch {
                offset: HEADER_LEN as u64,
                ..Batch::default()
            },
        })
    }

    /// Slots that the trace uses: all are below this.
    pub fn slots(&self) -> usize {
        // At most `MAX_SLOTS`, which every machine can count.
        self.reader.header().slots as usize
    }

    /// Operations that the trace promises.
    pub fn promised_ops(&self) -> u64 {
        self.reader.header().ops
    }

    /// The next batch: each of its operations makes sense after all those before it. `None` is the trace's end.
    pub fn next(&mut self) -> Result<Option<&Batch>, TraceError> {
        let batch = &mut self.batch;
        batch.ops.clear();
        batch.ends.clear();
        batch.begins.clear();
        batch.offset = self.reader.offset();
        let mut records = 0;
        while records < BATCH {
            self.records.clear();
            let read = self.reader.read_batch(&mut self.records, CHUNK)?;
            if read == 0 {
                break;
            }
            records += read;
            for record in &self.records {
                self.checker.record(record)?;
                batch.push(record);
            }
        }
        Ok((records > 0).then_some(&self.batch))
    }

    /// Compares the whole with what the trace says of itself.
    pub fn finish(self) -> Result<Summary, TraceError> {
        self.checker.finish()
    }
}

impl Batch {
    fn push(&mut self, record: &Record) {
        // A size that this machine cannot count is refused by any heap, as this one is.
        let bytes = |size: u64| usize::try_from(size).unwrap_or(usize::MAX);
        let (kind, slot, size) = match *record {
            Record::Alloc { slot, size, .. } => (OpKind::Alloc, slot, bytes(size)),
            Record::Free { slot, .. } => (OpKind::Free, slot, 0),
            Record::Realloc { slot, size, .. } => (OpKind::Realloc, slot, bytes(size)),
            Record::RequestBegin { .. } => return self.begins.push(self.ops.len()),
            Record::RequestEnd {
                number,
                live_blocks,
                ..
            } => {
                return self.ends.push(RequestEnd {
                    at: self.ops.len(),
                    number,
                    live_blocks,
                });
            }
        };
        self.ops.push(Op { size, slot, kind });
    }
}
