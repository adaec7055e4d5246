//! Makes a trace. The header comes first but is known last, so the sink must be
//! able to seek, a compressed one too.

use std::fmt;
use std::io::{self, Seek, SeekFrom, Write};

use crate::error::TraceError;
use crate::header::{Flags, HEADER_LEN, Header, MAX_SLOTS};
use crate::ledger::Ledger;
use crate::record::Record;

/// Bytes collected before they go to the sink or the compressor.
const BUFFER_LEN: usize = 64 * 1024;

/// The start of a zstd frame that holds [`HEADER_LEN`] bytes as they are: magic
/// number, descriptor (single segment, no checksum), content size, and the head of
/// its only block (last, raw). A reader sees one stream of several frames; we have a
/// header of fixed size that can be written again at the end.
const HEADER_FRAME: [u8; 9] = [
    0x28,
    0xb5,
    0x2f,
    0xfd, // magic number
    0x20, // descriptor
    HEADER_LEN as u8,
    ((HEADER_LEN << 3) | 1) as u8,
    (HEADER_LEN >> 5) as u8,
    0,
];

/// Whether and how a trace is compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compression {
    /// Not at all.
    None,
    /// With zstd at this level (1 to 22, 0 for zstd's default).
    Zstd(i32),
}

enum Sink<W: Write> {
    Plain(W),
    Zstd(zstd::stream::write::Encoder<'static, W>),
}

/// Writes a trace that passes the [`Checker`](crate::Checker): a record that would
/// not is refused. The header's figures are counted on the way.
///
/// The sink gets its header from [`Writer::finish`]; until then it is not a trace.
/// Memory: the buffers, and 16 bytes for each slot up to the highest one.
///
/// See the [crate's example](crate).
pub struct Writer<W: Write + Seek> {
    sink: Sink<W>,
    /// Where in the sink the trace starts.
    start: u64,
    ledger: Ledger,
    buffer: Vec<u8>,
    /// Where the next record starts in the trace.
    offset: u64,
    flags: Flags,
    dropped: u64,
    truncated: bool,
}

impl<W: Write + Seek> Writer<W> {
    /// Starts a trace at the sink's current position.
    ///
    /// # Errors
    /// [`TraceError::Io`].
    pub fn new(mut sink: W, flags: Flags, compression: Compression) -> Result<Self, TraceError> {
        let started = |sink: &mut W| {
            let start = sink.stream_position()?;
            put_header(sink, compression, &[0; HEADER_LEN])?;
            Ok(start)
        };
        let start = started(&mut sink).map_err(|source| TraceError::Io { offset: 0, source })?;
        let sink = match compression {
            Compression::None => Sink::Plain(sink),
            Compression::Zstd(level) => {
                let encoder = zstd::stream::write::Encoder::new(sink, level)
                    .and_then(|mut encoder| {
                        encoder.include_checksum(true)?;
                        Ok(encoder)
                    })
                    .map_err(|source| TraceError::Io { offset: 0, source })?;
                Sink::Zstd(encoder)
            }
        };
        Ok(Self {
            sink,
            start,
            ledger: Ledger::new(),
            buffer: Vec::with_capacity(BUFFER_LEN + crate::MAX_RECORD_LEN),
            offset: HEADER_LEN as u64,
            flags,
            dropped: 0,
            truncated: false,
        })
    }

    /// Appends a record.
    ///
    /// # Errors
    /// [`TraceError::Slot`] (not below [`MAX_SLOTS`]), [`TraceError::Size`] and
    /// [`TraceError::Invalid`] refuse the record and leave the trace as it was;
    /// after [`TraceError::Io`] it cannot be finished.
    pub fn write(&mut self, record: &Record) -> Result<(), TraceError> {
        let offset = self.offset;
        record.check_bounds(MAX_SLOTS, offset)?;
        if let Err(fault) = self.ledger.apply(record) {
            return Err(TraceError::Invalid { offset, fault });
        }
        record.encode(&mut self.buffer);
        self.offset += record.encoded_len() as u64;
        if self.buffer.len() >= BUFFER_LEN {
            self.flush_buffer()?;
        }
        Ok(())
    }

    /// Blocks and bytes that are alive now: what the REQ_END of the running request
    /// must say.
    pub fn live(&self) -> (u32, u64) {
        (self.ledger.live_blocks, self.ledger.live_bytes)
    }

    /// Notes `count` more operations on blocks of unknown origin, which are left out
    /// of the trace.
    pub fn add_dropped(&mut self, count: u64) {
        self.dropped = self.dropped.saturating_add(count);
    }

    /// Notes that recording stopped before the program did. A trace that ends within
    /// a request is marked without being told.
    pub fn mark_truncated(&mut self) {
        self.truncated = true;
    }

    /// Writes the header and gives back the sink, positioned behind the trace.
    ///
    /// # Errors
    /// [`TraceError::Io`].
    pub fn finish(mut self) -> Result<(W, Header), TraceError> {
        self.flush_buffer()?;
        let header = Header {
            flags: self.flags,
            ops: self.ledger.ops(),
            requests: self.ledger.requests,
            slots: self.ledger.slots(),
            dropped: self.dropped,
            peak_live: self.ledger.peak_live,
            truncated: self.truncated || self.ledger.running.is_some(),
        };
        let finished = || {
            let (mut sink, compression) = match self.sink {
                Sink::Plain(sink) => (sink, Compression::None),
                Sink::Zstd(encoder) => (encoder.finish()?, Compression::Zstd(0)),
            };
            let end = sink.stream_position()?;
            sink.seek(SeekFrom::Start(self.start))?;
            put_header(&mut sink, compression, &header.encode())?;
            sink.seek(SeekFrom::Start(end))?;
            sink.flush()?;
            Ok((sink, header))
        };
        let offset = self.offset;
        finished().map_err(|source| TraceError::Io { offset, source })
    }

    fn flush_buffer(&mut self) -> Result<(), TraceError> {
        let written = match &mut self.sink {
            Sink::Plain(sink) => sink.write_all(&self.buffer),
            Sink::Zstd(encoder) => encoder.write_all(&self.buffer),
        };
        self.buffer.clear();
        let offset = self.offset;
        written.map_err(|source| TraceError::Io { offset, source })
    }
}

impl<W: Write + Seek> fmt::Debug for Writer<W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Writer")
            .field("start", &self.start)
            .field("offset", &self.offset)
            .finish_non_exhaustive()
    }
}

fn put_header(
    sink: &mut impl Write,
    compression: Compression,
    header: &[u8; HEADER_LEN],
) -> io::Result<()> {
    if compression != Compression::None {
        sink.write_all(&HEADER_FRAME)?;
    }
    sink.write_all(header)
}
