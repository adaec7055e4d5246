//! Does a well-formed trace make sense? Fed with the records of a
//! [`Reader`](crate::Reader), in order.

use std::fmt;

use crate::error::{Count, Fault, TraceError};
use crate::header::{HEADER_LEN, Header};
use crate::ledger::Ledger;
use crate::record::Record;

/// Follows a trace and finds what cannot be: an ALLOC into a slot that is in use, a
/// FREE or REALLOC of one that is not, an operation outside any request, a request
/// that ends with other figures than its blocks give, a header that promises
/// something else than the records hold.
///
/// Memory: 16 bytes for each slot up to the highest one used.
///
/// ```
/// use emalloc_trace::{Checker, Fault, Header, Hints, Kind, Record, TraceError};
///
/// let mut checker = Checker::new(&Header { ops: 2, slots: 1, ..Header::default() });
/// checker.record(&Record::RequestBegin { number: 1 })?;
/// let wrong = checker.record(&Record::Free { slot: 0, hints: Hints::EMPTY });
/// let fault = Fault::Empty { kind: Kind::Free, slot: 0 };
/// assert!(matches!(wrong, Err(TraceError::Invalid { offset: 69, fault: f }) if f == fault));
/// # Ok::<(), TraceError>(())
/// ```
pub struct Checker {
    header: Header,
    ledger: Ledger,
    /// Where the next record starts.
    offset: u64,
}

/// What a trace holds, counted by [`Checker`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Summary {
    /// ALLOC records.
    pub allocs: u64,
    /// FREE records.
    pub frees: u64,
    /// REALLOC records.
    pub reallocs: u64,
    /// Requests that ended.
    pub requests: u64,
    /// The highest slot plus one.
    pub slots: u64,
    /// Peak of the live blocks' requested sizes added up, in bytes.
    pub peak_live: u64,
    /// Blocks alive at the ends of requests, over all requests.
    pub left_blocks: u64,
    /// Their requested sizes added up, in bytes.
    pub left_bytes: u64,
}

impl Checker {
    /// A checker for the trace whose header this is.
    pub fn new(header: &Header) -> Self {
        Self {
            header: *header,
            ledger: Ledger::new(),
            offset: HEADER_LEN as u64,
        }
    }

    /// Looks at the next record.
    ///
    /// # Errors
    /// [`TraceError::Invalid`] with what is wrong, [`TraceError::Slot`] or
    /// [`TraceError::Size`] for a record that no reader hands out.
    pub fn record(&mut self, record: &Record) -> Result<(), TraceError> {
        let offset = self.offset;
        record.check_bounds(self.header.slots, offset)?;
        if let Err(fault) = self.ledger.apply(record) {
            return Err(TraceError::Invalid { offset, fault });
        }
        self.offset += record.encoded_len() as u64;
        Ok(())
    }

    /// Blocks that are alive now.
    pub fn live_blocks(&self) -> u32 {
        self.ledger.live_blocks
    }

    /// Their requested sizes added up, in bytes.
    pub fn live_bytes(&self) -> u64 {
        self.ledger.live_bytes
    }

    /// Compares the whole with the header; to be called after the last record.
    ///
    /// # Errors
    /// [`TraceError::Mismatch`] for a figure of the header that is wrong,
    /// [`Fault::Unfinished`] if a request has not ended although the header does not
    /// say that the trace is truncated.
    pub fn finish(self) -> Result<Summary, TraceError> {
        let Self {
            header,
            ledger,
            offset,
        } = self;
        if let Some(number) = ledger.running
            && !header.truncated
        {
            let fault = Fault::Unfinished { number };
            return Err(TraceError::Invalid { offset, fault });
        }
        let figures = [
            (Count::Ops, header.ops, ledger.ops()),
            (Count::Requests, header.requests, ledger.requests),
            (Count::Slots, header.slots, ledger.slots()),
            (Count::PeakLive, header.peak_live, ledger.peak_live),
        ];
        for (count, header, found) in figures {
            if header != found {
                return Err(TraceError::Mismatch {
                    offset,
                    count,
                    header,
                    found,
                });
            }
        }
        Ok(Summary {
            allocs: ledger.allocs,
            frees: ledger.frees,
            reallocs: ledger.reallocs,
            requests: ledger.requests,
            slots: ledger.slots(),
            peak_live: ledger.peak_live,
            left_blocks: ledger.left_blocks,
            left_bytes: ledger.left_bytes,
        })
    }
}

impl fmt::Debug for Checker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Checker")
            .field("header", &self.header)
            .field("offset", &self.offset)
            .finish_non_exhaustive()
    }
}
