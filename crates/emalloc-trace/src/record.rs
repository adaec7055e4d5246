//! One record of a trace: its meaning and its bytes. Used by everything else in
//! this crate; knows nothing about streams.

use core::fmt;

use crate::error::TraceError;

/// The longest record, in bytes (REQ_END).
pub const MAX_RECORD_LEN: usize = 17;

/// The largest block size that a trace may hold, in bytes: one less than 1 TiB.
///
/// Together with [`MAX_SLOTS`](crate::MAX_SLOTS) it keeps every sum of live sizes
/// within 64 bits.
pub const MAX_SIZE: u64 = (1 << 40) - 1;

/// What a record is, the low four bits of its first byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Kind {
    /// A block was allocated (`emalloc` and relatives).
    Alloc = 1,
    /// A block was freed (`efree`).
    Free = 2,
    /// A block was resized (`erealloc`).
    Realloc = 3,
    /// A request started.
    RequestBegin = 4,
    /// A request ended; every block still alive died with it.
    RequestEnd = 5,
}

impl Kind {
    /// The kind that a record's first byte announces, if there is one.
    pub const fn from_byte(byte: u8) -> Option<Self> {
        match byte & 0x0f {
            1 => Some(Self::Alloc),
            2 => Some(Self::Free),
            3 => Some(Self::Realloc),
            4 => Some(Self::RequestBegin),
            5 => Some(Self::RequestEnd),
            _ => None,
        }
    }

    /// Bytes of a record of this kind, the first byte included.
    pub const fn encoded_len(self) -> usize {
        match self {
            Self::Alloc | Self::Realloc => 13,
            Self::Free | Self::RequestBegin => 5,
            Self::RequestEnd => MAX_RECORD_LEN,
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Alloc => "ALLOC",
            Self::Free => "FREE",
            Self::Realloc => "REALLOC",
            Self::RequestBegin => "REQ_BEGIN",
            Self::RequestEnd => "REQ_END",
        })
    }
}

/// What is known beyond an operation's arguments, the high four bits of its first
/// byte. Bits without a name here are kept as they are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Hints(u8);

impl Hints {
    /// Nothing is known.
    pub const EMPTY: Self = Self(0);
    /// ALLOC and FREE: the size was a constant of a small size class
    /// (`_emalloc_<bin>`, `_efree_<bin>`); an ALLOC then has the class' size.
    pub const SMALL: Self = Self(0x10);
    /// ALLOC and FREE: the size was known to be large or huge
    /// (`_emalloc_large`, `_emalloc_huge`, `_efree_large`, `_efree_huge`).
    pub const LARGE: Self = Self(0x20);
    /// REALLOC: only a part of the old content had to be kept (`erealloc2`).
    /// The same bit as [`Hints::SMALL`], which REALLOC does not have.
    pub const PARTIAL_COPY: Self = Self(0x10);

    /// The hints of a record's first byte; the low four bits are left out.
    pub const fn from_byte(byte: u8) -> Self {
        Self(byte & 0xf0)
    }

    /// The bits as they stand in a record's first byte.
    pub const fn bits(self) -> u8 {
        self.0
    }

    /// Whether all bits of `other` are set.
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }
}

/// One step of a traced program.
///
/// A slot is a small number that stands for a block's address while the block is
/// alive; it is used again afterwards. Sizes are bytes as requested.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Record {
    /// `emalloc`, `ecalloc`, `erealloc` of a null pointer: slot `slot` becomes a
    /// block of `size` bytes (0 is possible).
    Alloc {
        /// Free before, alive afterwards.
        slot: u32,
        /// Bytes requested.
        size: u64,
        /// How it was called.
        hints: Hints,
    },
    /// `efree` of the block in `slot`.
    Free {
        /// Alive before, free afterwards.
        slot: u32,
        /// How it was called.
        hints: Hints,
    },
    /// `erealloc` of the block in `slot`, which it keeps, to `size` bytes.
    Realloc {
        /// Alive before and afterwards.
        slot: u32,
        /// Bytes requested.
        size: u64,
        /// How it was called.
        hints: Hints,
    },
    /// A request starts.
    RequestBegin {
        /// Its number; 0 is the start of PHP's modules.
        number: u32,
    },
    /// A request ends, and every block still alive with it
    /// (`shutdown_memory_manager`).
    RequestEnd {
        /// The number it began with.
        number: u32,
        /// Blocks still alive.
        live_blocks: u32,
        /// Their requested sizes added up, in bytes.
        live_bytes: u64,
    },
}

impl Record {
    /// What it is.
    pub const fn kind(&self) -> Kind {
        match self {
            Self::Alloc { .. } => Kind::Alloc,
            Self::Free { .. } => Kind::Free,
            Self::Realloc { .. } => Kind::Realloc,
            Self::RequestBegin { .. } => Kind::RequestBegin,
            Self::RequestEnd { .. } => Kind::RequestEnd,
        }
    }

    /// Whether it is an operation on a block, which the header counts as one.
    pub const fn is_op(&self) -> bool {
        matches!(
            self,
            Self::Alloc { .. } | Self::Free { .. } | Self::Realloc { .. }
        )
    }

    /// Its bytes in a trace.
    pub const fn encoded_len(&self) -> usize {
        self.kind().encoded_len()
    }

    /// Appends its bytes to `out`, whatever the values: bounds are the business of
    /// [`Writer`](crate::Writer).
    ///
    /// ```
    /// use emalloc_trace::{Hints, Record};
    ///
    /// let mut bytes = Vec::new();
    /// Record::Free { slot: 7, hints: Hints::SMALL }.encode(&mut bytes);
    /// assert_eq!(bytes, [0x12, 7, 0, 0, 0]);
    /// ```
    pub fn encode(&self, out: &mut Vec<u8>) {
        let kind = self.kind() as u8;
        match *self {
            Self::Alloc { slot, size, hints } | Self::Realloc { slot, size, hints } => {
                out.push(kind | hints.bits());
                out.extend_from_slice(&slot.to_le_bytes());
                out.extend_from_slice(&size.to_le_bytes());
            }
            Self::Free { slot, hints } => {
                out.push(kind | hints.bits());
                out.extend_from_slice(&slot.to_le_bytes());
            }
            Self::RequestBegin { number } => {
                out.push(kind);
                out.extend_from_slice(&number.to_le_bytes());
            }
            Self::RequestEnd {
                number,
                live_blocks,
                live_bytes,
            } => {
                out.push(kind);
                out.extend_from_slice(&number.to_le_bytes());
                out.extend_from_slice(&live_blocks.to_le_bytes());
                out.extend_from_slice(&live_bytes.to_le_bytes());
            }
        }
    }

    /// The record of this kind that `bytes` begin with; the rest is not looked at.
    pub(crate) fn decode(kind: Kind, bytes: &[u8; MAX_RECORD_LEN]) -> Self {
        let hints = Hints::from_byte(bytes[0]);
        let slot = u32_at(bytes, 1);
        let size = u64_at(bytes, 5);
        match kind {
            Kind::Alloc => Self::Alloc { slot, size, hints },
            Kind::Free => Self::Free { slot, hints },
            Kind::Realloc => Self::Realloc { slot, size, hints },
            Kind::RequestBegin => Self::RequestBegin { number: slot },
            Kind::RequestEnd => Self::RequestEnd {
                number: slot,
                live_blocks: u32_at(bytes, 5),
                live_bytes: u64_at(bytes, 9),
            },
        }
    }

    /// The operation that `bytes` begin with, and its length. `None` for anything else,
    /// and for a slot or size that [`Record::check_bounds`] refuses.
    ///
    /// The kinds of a trace follow no pattern that a processor could predict. So there
    /// is no branch on them here: all fields are loaded for each kind, and the three
    /// kinds end up in the same instructions.
    #[inline(always)]
    pub(crate) fn decode_op(bytes: &[u8; MAX_RECORD_LEN], slots: u64) -> Option<(Self, usize)> {
        let kind = bytes[0] & 0x0f;
        let hints = Hints::from_byte(bytes[0]);
        let slot = u32_at(bytes, 1);
        let size = u64_at(bytes, 5);
        let free = kind == Kind::Free as u8;
        let op = kind.wrapping_sub(Kind::Alloc as u8) <= Kind::Realloc as u8 - Kind::Alloc as u8;
        if !op || u64::from(slot) >= slots || (!free & (size > MAX_SIZE)) {
            return None;
        }
        let record = match kind {
            1 => Self::Alloc { slot, size, hints },
            2 => Self::Free { slot, hints },
            _ => Self::Realloc { slot, size, hints },
        };
        let len = 5 + 8 * usize::from(!free);
        Some((record, len))
    }

    /// Fails if the slot is not below `slots` or the size above [`MAX_SIZE`];
    /// `offset` is where the record starts.
    #[inline]
    pub(crate) fn check_bounds(&self, slots: u64, offset: u64) -> Result<(), TraceError> {
        let (slot, size) = match *self {
            Self::Alloc { slot, size, .. } | Self::Realloc { slot, size, .. } => (slot, size),
            Self::Free { slot, .. } => (slot, 0),
            Self::RequestBegin { .. } | Self::RequestEnd { .. } => return Ok(()),
        };
        if u64::from(slot) >= slots {
            let kind = self.kind();
            return Err(TraceError::Slot {
                offset,
                kind,
                slot,
                slots,
            });
        }
        if size > MAX_SIZE {
            let kind = self.kind();
            return Err(TraceError::Size { offset, kind, size });
        }
        Ok(())
    }
}

#[inline(always)]
fn u32_at(bytes: &[u8; MAX_RECORD_LEN], at: usize) -> u32 {
    let mut field = [0; 4];
    field.copy_from_slice(&bytes[at..at + 4]);
    u32::from_le_bytes(field)
}

#[inline(always)]
fn u64_at(bytes: &[u8; MAX_RECORD_LEN], at: usize) -> u64 {
    let mut field = [0; 8];
    field.copy_from_slice(&bytes[at..at + 8]);
    u64::from_le_bytes(field)
}
