//! The 64 bytes that a trace begins with.

use crate::error::TraceError;
use crate::record::MAX_SIZE;

/// Bytes of the header.
pub const HEADER_LEN: usize = 64;

/// The first four bytes of a trace.
pub const MAGIC: [u8; 4] = *b"EMTR";

/// The version of the format that this crate reads and writes.
pub const VERSION: u16 = 1;

/// The most slots that a trace may use: a table with an entry per slot stays
/// affordable, whoever made the trace. About a hundred times what the largest of
/// PHP's recorded programs needs.
pub const MAX_SLOTS: u64 = 1 << 24;

// Every slot alive with the largest size: the sum still fits.
const _: () = assert!(MAX_SIZE.checked_mul(MAX_SLOTS).is_some());

/// How a trace was made. Bits without a name here are kept as they are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Flags(u16);

impl Flags {
    /// Nothing is said about it.
    pub const EMPTY: Self = Self(0);
    /// By a preloaded library: the exact order of calls, PHP's startup included.
    pub const PRELOADED: Self = Self(1);
    /// By a PHP extension through custom handlers (`zend_mm_set_custom_handlers`).
    pub const HANDLERS: Self = Self(2);

    /// Flags from the header's bits.
    pub const fn from_bits(bits: u16) -> Self {
        Self(bits)
    }

    /// The bits as they stand in the header.
    pub const fn bits(self) -> u16 {
        self.0
    }

    /// Whether all bits of `other` are set.
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }
}

/// What a trace says about itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Header {
    /// How it was made.
    pub flags: Flags,
    /// Operations: ALLOC, FREE and REALLOC records.
    pub ops: u64,
    /// Requests that ended: REQ_END records.
    pub requests: u64,
    /// The highest slot plus one, at most [`MAX_SLOTS`]: entries of the table of
    /// pointers that a replay needs.
    pub slots: u64,
    /// Operations on blocks whose allocation the recorder never saw; they are not
    /// in the trace.
    pub dropped: u64,
    /// Peak of the live blocks' requested sizes added up, in bytes.
    pub peak_live: u64,
    /// Recording stopped before the program did, perhaps within a request.
    pub truncated: bool,
}

impl Header {
    /// Its bytes; the reserved ones are zero.
    pub fn encode(&self) -> [u8; HEADER_LEN] {
        let mut bytes = [0; HEADER_LEN];
        bytes[0..4].copy_from_slice(&MAGIC);
        bytes[4..6].copy_from_slice(&VERSION.to_le_bytes());
        bytes[6..8].copy_from_slice(&self.flags.bits().to_le_bytes());
        let fields = [
            self.ops,
            self.requests,
            self.slots,
            self.dropped,
            self.peak_live,
            u64::from(self.truncated),
        ];
        for (place, field) in bytes[8..].chunks_exact_mut(8).zip(fields) {
            place.copy_from_slice(&field.to_le_bytes());
        }
        bytes
    }

    /// The header in `bytes`, which are all there is of the trace up to its first
    /// record.
    ///
    /// # Errors
    /// [`TraceError::ShortHeader`], [`TraceError::Magic`], [`TraceError::Version`],
    /// or [`TraceError::Field`] for more slots than [`MAX_SLOTS`] and for a mark of
    /// truncation that is neither 0 nor 1. Reserved bytes are not looked at.
    ///
    /// ```
    /// use emalloc_trace::{Header, TraceError};
    ///
    /// let header = Header { ops: 3, slots: 2, ..Header::default() };
    /// assert_eq!(Header::decode(&header.encode())?, header);
    /// assert!(matches!(Header::decode(b"ELF"), Err(TraceError::Magic { .. })));
    /// # Ok::<(), TraceError>(())
    /// ```
    pub fn decode(bytes: &[u8]) -> Result<Self, TraceError> {
        // What is there of the magic is compared first: a foreign file that happens to
        // be short is foreign before it is short.
        let start = &bytes[..bytes.len().min(MAGIC.len())];
        if !MAGIC.starts_with(start) {
            let mut found = [0; 4];
            found[..start.len()].copy_from_slice(start);
            return Err(TraceError::Magic {
                found,
                len: start.len(),
            });
        }
        let Some(bytes) = bytes.first_chunk::<HEADER_LEN>() else {
            return Err(TraceError::ShortHeader { found: bytes.len() });
        };
        let version = u16::from_le_bytes([bytes[4], bytes[5]]);
        if version != VERSION {
            return Err(TraceError::Version { found: version });
        }
        let slots = field(bytes, 24);
        if slots > MAX_SLOTS {
            return Err(TraceError::Field {
                offset: 24,
                field: "slots",
                max: MAX_SLOTS,
                found: slots,
            });
        }
        let truncated = field(bytes, 48);
        if truncated > 1 {
            return Err(TraceError::Field {
                offset: 48,
                field: "truncated",
                max: 1,
                found: truncated,
            });
        }
        Ok(Self {
            flags: Flags::from_bits(u16::from_le_bytes([bytes[6], bytes[7]])),
            ops: field(bytes, 8),
            requests: field(bytes, 16),
            slots,
            dropped: field(bytes, 32),
            peak_live: field(bytes, 40),
            truncated: truncated == 1,
        })
    }
}

fn field(bytes: &[u8; HEADER_LEN], at: usize) -> u64 {
    let mut field = [0; 8];
    field.copy_from_slice(&bytes[at..at + 8]);
    u64::from_le_bytes(field)
}
