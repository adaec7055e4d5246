//! Owns [`Fault`]: what was wrong with a pointer that somebody gave back, or
//! with the structure itself.

use core::fmt;

use crate::layout::Bytes;

/// A pointer that cannot be what the caller says it is. Nothing was changed because of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The address in question.
    pub address: usize,
    /// What is wrong with it.
    pub kind: FaultKind,
}

/// The kinds of [`Fault`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum FaultKind {
    /// It lies in no segment of this heap: another heap's, the stack's, or given back long ago.
    Foreign,
    /// It lies in a segment of this heap, but no block begins there.
    NotABlock {
        /// The page within the segment.
        page: usize,
        /// What that page holds.
        holds: PageUse,
    },
    /// It lies inside a run of small blocks, but not at the beginning of one.
    Misaligned {
        /// Bytes of a block in that run.
        block_size: usize,
        /// Bytes by which it is off.
        offset: usize,
    },
    /// The block is not alive: freed already, or never handed out.
    DoubleFree {
        /// Bytes of the block.
        block_size: usize,
    },
    /// The caller named a size that this block does not have.
    WrongSize {
        /// The size the caller named, in bytes.
        named: usize,
        /// Bytes of the block.
        block_size: usize,
    },
    /// Pages and huge blocks cannot be given back while the heap is being walked.
    Walking,
}

/// What a page of a segment holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum PageUse {
    /// The segment's own header.
    Header,
    /// Nothing: it is free.
    Free,
    /// A run of small blocks.
    Small,
    /// A large block.
    Large,
    /// A huge block.
    Huge,
    /// The heap's reserve.
    Reserve,
}

impl fmt::Display for PageUse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Header => "the segment's header",
            Self::Free => "nothing (freed already, or never handed out)",
            Self::Small => "small blocks",
            Self::Large => "the inside of a large block",
            Self::Huge => "the inside of a huge block",
            Self::Reserve => "the heap's reserve",
        })
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { address, kind } = self;
        write!(f, "zend_mm_heap corrupted: pointer {address:#x} {kind}")
    }
}

/// What is wrong, as the end of a sentence about the pointer.
impl fmt::Display for FaultKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Foreign => f.write_str("lies in no segment of this heap"),
            Self::NotABlock { page, holds } => {
                write!(f, "is no block: page {page} of its segment holds {holds}")
            }
            Self::Misaligned { block_size, offset } => write!(
                f,
                "is no block: it lies {} inside a block of {block_size} bytes, expected its beginning",
                Bytes(offset)
            ),
            Self::DoubleFree { block_size } => write!(
                f,
                "is not alive: expected a block of {block_size} bytes in use, found it freed already or never handed out"
            ),
            Self::WrongSize { named, block_size } => {
                write!(
                    f,
                    "was said to hold {}, but its block has {block_size}",
                    Bytes(named)
                )
            }
            Self::Walking => f.write_str("cannot be given back while the heap is being walked"),
        }
    }
}

impl core::error::Error for Fault {}
