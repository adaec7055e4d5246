//! Layer 1: where segments come from. This file owns the contract, [`Storage`];
//! each storage has a file of its own. Depends on `sys` and `layout` only.

mod arrivals;
mod budget;
#[cfg_attr(unix, path = "builtin_unix.rs")]
#[cfg_attr(windows, path = "builtin_windows.rs")]
#[cfg_attr(not(any(unix, windows)), path = "builtin_none.rs")]
mod builtin;
mod cached;
pub mod conformance;
mod counting;
mod failing;
mod fixed;
#[cfg(unix)]
mod fork;
mod forward;
mod free_runs;
mod malloc;
#[cfg(unix)]
mod mmap;
mod opened;
mod regions;
pub mod registry;
#[cfg(feature = "alloc")]
mod shared;
mod shared_runs;
mod try_cell;
#[cfg(windows)]
mod win32;

pub use crate::layout::Limit;
pub use budget::{BelowHeld, Budget};
pub use cached::Cached;
pub use counting::{Counting, Counts};
pub use failing::Failing;
pub use fixed::Fixed;
pub use forward::forward_storage;
pub use malloc::{MALLOC, Malloc};
#[cfg(unix)]
pub use mmap::{MMAP_ANON, MmapAnon, MmapZero};
pub use regions::Regions;
#[cfg(windows)]
pub use win32::Win32;

use core::fmt;
use core::ptr::NonNull;

/// What a storage can do beyond handing out memory and taking it back.
///
/// A heap asks once, at its creation, and copes with whatever is missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Capabilities {
    /// Sizes are multiples of this many bytes (a power of two).
    pub granularity: usize,
    /// Fresh memory is all zero. Each [`Grant`] says it again for itself.
    pub zeroed: bool,
    /// [`Storage::resize`] and [`Storage::grow`] can succeed towards more.
    pub grow_in_place: bool,
    /// [`Storage::resize`] can succeed towards less.
    pub shrink_in_place: bool,
    /// [`Storage::discard`] can give back a part and keep its addresses.
    pub discard: bool,
    /// [`Storage::move_resize`] can succeed, without copying.
    pub move_without_copy: bool,
    /// Any part of a grant (cut at multiples of the granularity) may be freed and resized by itself, and grants
    /// that lie side by side as one, whatever the alignment: the storage keeps no book of them. A resize of such a
    /// one may always be refused.
    pub divisible: bool,
}

impl Capabilities {
    /// A storage that can do nothing optional, with the given granularity in bytes.
    pub const fn basic(granularity: usize) -> Self {
        Self {
            granularity,
            zeroed: false,
            grow_in_place: false,
            shrink_in_place: false,
            discard: false,
            move_without_copy: false,
            divisible: false,
        }
    }
}

/// Memory that a storage has handed out.
#[derive(Clone, Copy, Debug)]
pub struct Grant {
    /// Its first byte, aligned as asked.
    pub start: NonNull<u8>,
    /// Whether every byte of it is zero.
    pub zeroed: bool,
}

/// Why a storage did not do what it was asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum StorageError {
    /// There is no memory of that size left to have; `requested` bytes were asked for.
    Exhausted {
        /// Bytes asked for.
        requested: usize,
    },
    /// A limit stands in the way (see `Budget`).
    Limit {
        /// The limit in bytes.
        limit: usize,
        /// Bytes held when asked.
        held: usize,
        /// Bytes asked for on top.
        requested: usize,
    },
    /// This storage never does that, or cannot do it for this block.
    Unsupported,
    /// The system refused to set the storage up; its error number.
    System(i32),
}

impl fmt::Display for StorageError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Exhausted { requested } => write!(f, "the storage has no {requested} bytes left"),
            Self::Limit {
                limit,
                held,
                requested,
            } => write!(
                f,
                "the storage's limit of {limit} bytes is reached ({held} held, {requested} asked for)"
            ),
            Self::Unsupported => f.write_str("the storage cannot do that"),
            Self::System(code) => write!(f, "the system refused (error {code})"),
        }
    }
}

impl core::error::Error for StorageError {}

/// A source of segments (the original's `zend_mm_mem_handlers`).
///
/// Making the value is the original's `init`, dropping it is `dtor`.
///
/// Sizes are multiples of [`Capabilities::granularity`], not zero, and no more than [`isize::MAX`];
/// alignments are powers of two. A caller passes back the size and the alignment it asked for
/// (after a resize: the new size).
///
/// # Safety
/// Whoever implements this promises that memory it grants is readable and writable for the whole
/// size, aligned as asked, overlaps nothing else alive, and stays so until it is freed, wherever
/// the storage value itself moves meanwhile; that what is [taken back](Self::take_back) was left and is as it
/// was then; that a call that answers an error, or unwinds, has changed nothing; and that [`free`](Self::free) does not unwind.
pub unsafe trait Storage: Send {
    /// The name by which messages and the registry speak of it.
    fn name(&self) -> &str;

    /// What it can do. The answer never changes.
    fn capabilities(&self) -> Capabilities;

    /// Hands out `size` bytes aligned to `align` (`_alloc`).
    ///
    /// # Errors
    /// [`StorageError::Exhausted`] or [`StorageError::Limit`]; nothing has changed then.
    fn allocate(&self, size: usize, align: usize) -> Result<Grant, StorageError>;

    /// Takes memory back (`_free`).
    ///
    /// # Safety
    /// `start` was granted by this storage with this `size` and `align`, and is used no more.
    unsafe fn free(&self, start: NonNull<u8>, size: usize, align: usize);

    /// As [`free`](Self::free), for memory that is of use as it is to whoever takes it [back](Self::take_back).
    ///
    /// Heaps leave their first segment: what is in it tells the next one what it need not write again.
    ///
    /// # Safety
    /// As for [`free`](Self::free); and only a heap of this library leaves anything, as another one expects it.
    unsafe fn leave(&self, start: NonNull<u8>, size: usize, align: usize) {
        // SAFETY: the same promise.
        unsafe { self.free(start, size, align) }
    }

    /// As [`allocate`](Self::allocate), but only hands out what was [left](Self::leave) with this `size` and `align`, with
    /// every byte as it was then. `None` if there is no such thing, or the storage does not do that.
    fn take_back(&self, size: usize, align: usize) -> Option<NonNull<u8>> {
        let _ = (size, align);
        None
    }

    /// Makes a grant larger or smaller where it stands. What is added holds anything.
    ///
    /// # Errors
    /// [`StorageError::Unsupported`] and the others; the grant is as it was then.
    ///
    /// # Safety
    /// As for [`free`](Self::free) with `old`; what is cut off is used no more.
    unsafe fn resize(
        &self,
        start: NonNull<u8>,
        old: usize,
        new: usize,
        align: usize,
    ) -> Result<(), StorageError> {
        let _ = (start, old, new, align);
        Err(StorageError::Unsupported)
    }

    /// Makes a grant larger: where it stands, or by copying it to memory that the storage keeps, if that takes less time. The
    /// content comes along; what is added holds anything. Answers where the grant begins now.
    ///
    /// # Errors
    /// As for [`resize`](Self::resize); the grant is as it was then.
    ///
    /// # Safety
    /// As for [`free`](Self::free) with `old`; the old address is used no more unless it is answered, or an error is.
    unsafe fn grow(
        &self,
        start: NonNull<u8>,
        old: usize,
        new: usize,
        align: usize,
    ) -> Result<NonNull<u8>, StorageError> {
        // SAFETY: the same promise.
        unsafe { self.resize(start, old, new, align) }.map(|()| start)
    }

    /// Makes a grant larger or smaller, moving it without copying (`_realloc`).
    /// The content up to the smaller size comes along; `zeroed` of the answer speaks of what is added.
    ///
    /// # Errors
    /// [`StorageError::Unsupported`] and the others; the grant is as it was then.
    ///
    /// # Safety
    /// As for [`free`](Self::free) with `old`; on success the old address is used no more.
    unsafe fn move_resize(
        &self,
        start: NonNull<u8>,
        old: usize,
        new: usize,
        align: usize,
    ) -> Result<Grant, StorageError> {
        let _ = (start, old, new, align);
        Err(StorageError::Unsupported)
    }

    /// Gives the memory of a part back while its addresses stay granted. The part's content is lost
    /// (it may read as anything). Answers whether anything was given back.
    ///
    /// # Safety
    /// `start` and `size` are multiples of the granularity and lie inside one grant of this storage.
    unsafe fn discard(&self, start: NonNull<u8>, size: usize) -> bool {
        let _ = (start, size);
        false
    }

    /// Whether a grant of that size, or one that grows by it, adds nothing to the most that was resident lately, because it would be of memory that is
    /// kept, or clearly more was granted at once. A guess: others may be granted something meanwhile.
    fn is_usual(&self, size: usize, align: usize) -> bool {
        let _ = (size, align);
        false
    }

    /// Hears that `bytes` of what a heap over this storage held at most lately were never filled. Where what is kept is bounded
    /// by what was granted, so much less is kept, once.
    fn keep_less(&self, bytes: usize) {
        let _ = bytes;
    }

    /// Hears that of what a heap over this storage holds `now` bytes are free, which were `before` when it told last; at its end
    /// `now` is 0. Where what is kept is bounded by what was granted, they do not count as granted.
    fn note_unfilled(&self, before: usize, now: usize) {
        let _ = (before, now);
    }

    /// Hears that a fresh grant will probably be filled: the heap that has it is large, and has filled the `filled` bytes that it had
    /// before. The system may bring in large pages for it, which takes less time and may take more memory.
    ///
    /// # Safety
    /// The `size` bytes at `start` are a grant of this storage, or a part of one.
    unsafe fn will_fill(&self, start: NonNull<u8>, size: usize, filled: usize) {
        let _ = (start, size, filled);
    }

    /// Hears the same of a grant that was used before and holds nothing any more: its pages are there already. The storage may
    /// give them back, so that the system brings in large ones instead. What lies there is lost then (it may read as anything).
    ///
    /// # Safety
    /// As for [`will_fill`](Self::will_fill), and nobody needs what lies there. (Where grants are divisible, those that lie side
    /// by side are one, here too.)
    unsafe fn will_refill(&self, start: NonNull<u8>, size: usize) {
        let _ = (start, size);
    }

    /// Hears that a heap over this storage has come to the end of a request, its memory given back already.
    fn request_ended(&self) {}

    /// Gives back what the storage itself keeps in store (`compact`). Answers how many bytes.
    fn trim(&self) -> usize {
        0
    }
}
