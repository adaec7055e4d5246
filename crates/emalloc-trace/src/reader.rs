//! Decodes a trace as a stream, in constant memory. Knows the form of a trace,
//! not its meaning: that is `check.rs`.

use std::fmt;
use std::fs::File;
use std::io::{self, BufReader, Chain, Cursor, Read};
use std::path::Path;

use crate::error::{Count, TraceError};
use crate::header::{HEADER_LEN, Header};
use crate::record::{Kind, MAX_RECORD_LEN, Record};

/// What a zstd frame begins with.
const ZSTD_MAGIC: [u8; 4] = 0xfd2f_b528_u32.to_le_bytes();

/// Bytes read from the source at once. Small enough to be decoded from a near cache.
const BUFFER_LEN: usize = 64 * 1024;

/// The largest window that a compressed trace may ask the decompressor to keep, as
/// a power of two: 128 MiB.
const WINDOW_LOG_MAX: u32 = 27;

/// The source again, with the bytes in front that were read to tell what it is.
type Rewound<R> = Chain<Cursor<Vec<u8>>, R>;

enum Source<R: Read> {
    Plain(Rewound<R>),
    Zstd(zstd::stream::read::Decoder<'static, BufReader<Rewound<R>>>),
}

/// Reads a trace record by record from any [`Read`], compressed with zstd or plain.
///
/// As an iterator it yields records one by one; [`Reader::read_batch`] is the
/// faster way. Memory is constant (the buffers, and for a compressed trace its
/// window of at most 128 MiB). After an error it is at its end.
///
/// The form is verified: kinds, lengths, slots below the header's, sizes up to
/// [`MAX_SIZE`](crate::MAX_SIZE), and the header's count of operations and
/// requests. Whether the records make sense is for [`Checker`](crate::Checker).
///
/// ```no_run
/// use emalloc_trace::{Reader, Record};
///
/// let mut bytes = 0;
/// for record in Reader::open("trace.emtr.zst")? {
///     if let Record::Alloc { size, .. } = record? {
///         bytes += size;
///     }
/// }
/// println!("{bytes} bytes allocated");
/// # Ok::<(), emalloc_trace::TraceError>(())
/// ```
pub struct Reader<R: Read> {
    source: Source<R>,
    header: Header,
    buffer: Box<[u8]>,
    /// What of the buffer is not decoded yet.
    pos: usize,
    end: usize,
    /// Offset of the buffer's start in the decompressed trace.
    base: u64,
    ops: u64,
    requests: u64,
    /// The source has no more than what is in the buffer.
    eof: bool,
    /// Why it has no more, if that is not the trace's end.
    failure: Option<TraceError>,
    /// The end or an error was reached.
    done: bool,
    /// That error, if records were handed out instead of it.
    pending: Option<TraceError>,
}

impl Reader<File> {
    /// Opens the trace in the file at `path`.
    ///
    /// # Errors
    /// As [`Reader::new`]; a file that cannot be opened is a [`TraceError::Io`].
    pub fn open(path: impl AsRef<Path>) -> Result<Self, TraceError> {
        match File::open(path) {
            Ok(file) => Self::new(file),
            Err(source) => Err(TraceError::Io { offset: 0, source }),
        }
    }
}

impl<R: Read> Reader<R> {
    /// Reads the header of the trace that `source` holds. No buffer is needed
    /// around `source`.
    ///
    /// # Errors
    /// What [`Header::decode`] refuses, a damaged zstd stream, and what `source`
    /// itself fails with.
    pub fn new(mut source: R) -> Result<Self, TraceError> {
        let mut magic = [0; ZSTD_MAGIC.len()];
        let len = match fill(&mut source, &mut magic) {
            (len, None) => len,
            (len, Some(source)) => {
                let offset = len as u64;
                return Err(TraceError::Io { offset, source });
            }
        };
        let rewound = Cursor::new(magic[..len].to_vec()).chain(source);
        let source = if magic == ZSTD_MAGIC {
            decompress(rewound).map_err(|source| TraceError::Zstd { offset: 0, source })?
        } else {
            Source::Plain(rewound)
        };
        let mut reader = Self {
            source,
            header: Header::default(),
            buffer: vec![0; BUFFER_LEN].into_boxed_slice(),
            pos: 0,
            end: 0,
            base: 0,
            ops: 0,
            requests: 0,
            eof: false,
            failure: None,
            done: false,
            pending: None,
        };
        reader.refill();
        if reader.end < HEADER_LEN
            && let Some(failure) = reader.failure.take()
        {
            return Err(failure);
        }
        reader.header = Header::decode(&reader.buffer[..reader.end])?;
        reader.pos = HEADER_LEN;
        Ok(reader)
    }

    /// What the trace says about itself.
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// Where the next record starts: bytes from the start of the decompressed trace.
    pub fn offset(&self) -> u64 {
        self.base + self.pos as u64
    }

    /// Appends up to `max` records to `out` and says how many; 0 is the end of the
    /// trace (or `max` is 0). Fewer than `max` does not mean that the end is near.
    ///
    /// # Errors
    /// What is wrong with the next record, once all records before it have been
    /// handed out. `out` is unchanged then.
    ///
    /// ```
    /// use emalloc_trace::{Header, Reader, Record};
    ///
    /// let mut trace = Header::default().encode().to_vec();
    /// Record::RequestBegin { number: 1 }.encode(&mut trace);
    /// trace[48] = 1; // truncated: the request does not end
    ///
    /// let mut reader = Reader::new(trace.as_slice())?;
    /// let mut batch = Vec::with_capacity(4096);
    /// while reader.read_batch(&mut batch, 4096)? > 0 {
    ///     for record in batch.drain(..) {
    ///         assert_eq!(record, Record::RequestBegin { number: 1 });
    ///     }
    /// }
    /// # Ok::<(), emalloc_trace::TraceError>(())
    /// ```
    pub fn read_batch(&mut self, out: &mut Vec<Record>, max: usize) -> Result<usize, TraceError> {
        let before = out.len();
        while out.len() - before < max {
            match self.next() {
                Some(Ok(record)) => out.push(record),
                Some(Err(error)) if out.len() > before => {
                    self.pending = Some(error);
                    break;
                }
                Some(Err(error)) => return Err(error),
                None => break,
            }
        }
        Ok(out.len() - before)
    }

    /// Decodes the next record, whatever it is.
    #[inline(never)]
    fn step(&mut self) -> Result<Option<Record>, TraceError> {
        if self.end - self.pos < MAX_RECORD_LEN && !self.eof {
            self.refill();
        }
        let offset = self.offset();
        let left = &self.buffer[self.pos..self.end];
        let Some(&found) = left.first() else {
            return match self.failure.take() {
                Some(failure) => Err(failure),
                None => self.at_end(),
            };
        };
        if self.complete() {
            return Err(TraceError::Trailing { offset, found });
        }
        let Some(kind) = Kind::from_byte(found) else {
            return Err(TraceError::UnknownKind { offset, found });
        };
        let len = kind.encoded_len();
        let Some(encoded) = left.get(..len) else {
            let found = left.len();
            let truncated = TraceError::TruncatedRecord {
                offset,
                kind,
                found,
            };
            return Err(self.failure.take().unwrap_or(truncated));
        };
        let mut bytes = [0; MAX_RECORD_LEN];
        bytes[..len].copy_from_slice(encoded);
        let record = Record::decode(kind, &bytes);
        record.check_bounds(self.header.slots, offset)?;
        let counted = match kind {
            Kind::RequestBegin => None,
            Kind::RequestEnd => Some((&mut self.requests, self.header.requests, Count::Requests)),
            Kind::Alloc | Kind::Free | Kind::Realloc => {
                Some((&mut self.ops, self.header.ops, Count::Ops))
            }
        };
        if let Some((seen, header, count)) = counted {
            if *seen == header {
                return Err(TraceError::Excess {
                    offset,
                    kind,
                    count,
                    header,
                });
            }
            *seen += 1;
        }
        self.pos += len;
        Ok(Some(record))
    }

    /// Whether the header leaves nothing to come.
    fn complete(&self) -> bool {
        !self.header.truncated
            && self.ops == self.header.ops
            && self.requests == self.header.requests
    }

    /// Compares what was read with what the header promised.
    fn at_end(&self) -> Result<Option<Record>, TraceError> {
        let counts = [
            (Count::Ops, self.header.ops, self.ops),
            (Count::Requests, self.header.requests, self.requests),
        ];
        for (count, header, found) in counts {
            if header != found {
                let offset = self.offset();
                return Err(TraceError::Mismatch {
                    offset,
                    count,
                    header,
                    found,
                });
            }
        }
        Ok(None)
    }

    /// Moves what is not decoded to the buffer's start and reads until the buffer
    /// is full or the source has no more.
    #[cold]
    #[inline(never)]
    fn refill(&mut self) {
        self.buffer.copy_within(self.pos..self.end, 0);
        self.base += self.pos as u64;
        self.end -= self.pos;
        self.pos = 0;
        let space = &mut self.buffer[self.end..];
        let wanted = space.len();
        let (got, error) = match &mut self.source {
            Source::Plain(source) => fill(source, space),
            Source::Zstd(source) => fill(source, space),
        };
        self.end += got;
        self.eof = got < wanted;
        if let Some(source) = error {
            let offset = self.base + self.end as u64;
            // The decompressor's own errors carry no code of the system.
            let damaged = matches!(self.source, Source::Zstd(_)) && source.raw_os_error().is_none();
            self.failure = Some(if damaged {
                TraceError::Zstd { offset, source }
            } else {
                TraceError::Io { offset, source }
            });
        }
    }
}

impl<R: Read> fmt::Debug for Reader<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reader")
            .field("header", &self.header)
            .field("offset", &self.offset())
            .finish_non_exhaustive()
    }
}

impl<R: Read> Iterator for Reader<R> {
    type Item = Result<Record, TraceError>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        if self.done {
            return self.pending.take().map(Err);
        }
        // Most of a trace, without the call. It is not complete yet, so an operation is
        // in its place here.
        if self.ops < self.header.ops
            && let Some(bytes) = self.buffer[self.pos..self.end].first_chunk()
            && let Some((record, len)) = Record::decode_op(bytes, self.header.slots)
        {
            self.pos += len;
            self.ops += 1;
            return Some(Ok(record));
        }
        let next = self.step().transpose();
        self.done = !matches!(next, Some(Ok(_)));
        next
    }
}

impl<R: Read> std::iter::FusedIterator for Reader<R> {}

fn decompress<R: Read>(source: Rewound<R>) -> io::Result<Source<R>> {
    let mut decoder = zstd::stream::read::Decoder::new(source)?;
    decoder.window_log_max(WINDOW_LOG_MAX)?;
    Ok(Source::Zstd(decoder))
}

/// Reads until `buffer` is full or `source` has no more; says how far it came, and
/// why not further if that is not the end.
fn fill(source: &mut impl Read, buffer: &mut [u8]) -> (usize, Option<io::Error>) {
    let mut len = 0;
    while len < buffer.len() {
        match source.read(&mut buffer[len..]) {
            Ok(0) => break,
            Ok(more) => len += more,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return (len, Some(error)),
        }
    }
    (len, None)
}
