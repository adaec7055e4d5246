//! Owns storages written in C: the original's handlers, made into a storage of the library.
//!
//! The handlers know no alignment, and want to find a segment's header (its size) in front of what they are given; the library
//! wants all of a grant for itself, aligned. Where a storage can align (it says so), a grant is a segment, and the header is
//! written over its first bytes for the time of a call. Where not, a larger segment is asked for, and in front of the aligned
//! part of it are its header and, right before the grant, a note that leads back:
//!
//! ```text
//!  | header | ...            | note | grant: aligned, size bytes      | ...   |
//!  ^ segment                        ^ start                                  ^ size + align + ROOM
//! ```

use core::ffi::{CStr, c_char, c_void};
use core::mem::MaybeUninit;
use core::ptr::{self, NonNull};

use emalloc::storage::registry::{AnyStorage, Opened};
use emalloc::storage::{Capabilities, Grant, Storage, StorageError};

/// `emalloc_segment`: the header of one.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct EmallocSegment {
    /// Its bytes, as asked for.
    pub size: usize,
    /// Not used here.
    pub next_segment: *mut EmallocSegment,
}

/// `emalloc_storage`
#[derive(Debug)]
#[repr(C)]
pub struct EmallocStorage {
    /// What it can do.
    pub handlers: *const EmallocStorageHandlers,
    /// Its own.
    pub data: *mut c_void,
}

type InitFn = extern "C" fn(*mut c_void) -> *mut EmallocStorage;
type StorageFn = extern "C" fn(*mut EmallocStorage);
type AllocFn = extern "C" fn(*mut EmallocStorage, usize) -> *mut EmallocSegment;
type ReallocFn =
    extern "C" fn(*mut EmallocStorage, *mut EmallocSegment, usize) -> *mut EmallocSegment;
type FreeFn = extern "C" fn(*mut EmallocStorage, *mut EmallocSegment);
type AllocAlignedFn = extern "C" fn(*mut EmallocStorage, usize, usize) -> *mut EmallocSegment;

/// `emalloc_storage_handlers`
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct EmallocStorageHandlers {
    /// How it is called.
    pub name: *const c_char,
    /// Sets one up, or answers null.
    pub init: Option<InitFn>,
    /// Ends it.
    pub dtor: Option<StorageFn>,
    /// Gives back what it keeps.
    pub compact: Option<StorageFn>,
    /// Hands out a segment, or null.
    pub alloc: Option<AllocFn>,
    /// Resizes one, or answers null.
    pub realloc: Option<ReallocFn>,
    /// Takes one back.
    pub free: Option<FreeFn>,
    /// What all addresses are multiples of.
    pub alignment: usize,
    /// Hands out a segment at a multiple of the second number, or null.
    pub alloc_aligned: Option<AllocAlignedFn>,
}

/// Sizes are multiples of this.
const UNIT: usize = 4096;

/// In front of a grant that is part of a segment: where that begins, and its size.
#[derive(Clone, Copy)]
#[repr(C)]
struct Note {
    segment: *mut EmallocSegment,
    size: usize,
}

/// Bytes for a header and a note.
const ROOM: usize = size_of::<EmallocSegment>() + size_of::<Note>();

/// A storage that C set up.
struct CStorage {
    storage: *mut EmallocStorage,
    name: &'static str,
    alignment: usize,
    dtor: Option<StorageFn>,
    compact: Option<StorageFn>,
    alloc: AllocFn,
    realloc: Option<ReallocFn>,
    free: FreeFn,
    alloc_aligned: Option<AllocAlignedFn>,
}

// SAFETY: the header says that the heap's thread calls the handlers, and heaps may be handed on.
unsafe impl Send for CStorage {}

// SAFETY: each heap has one of its own, so it is shared by nobody.
unsafe impl Sync for CStorage {}

/// The name of a storage; `None` if it has none, or one that is no UTF-8.
///
/// # Safety
/// `handlers` can be read, and so can its name, for as long as the process runs.
pub unsafe fn name_of(handlers: &EmallocStorageHandlers) -> Option<&'static str> {
    let name = NonNull::new(handlers.name.cast_mut())?;
    // SAFETY: the caller's promise.
    let name = unsafe { CStr::from_ptr(name.as_ptr()) };
    name.to_str().ok().filter(|name| !name.is_empty())
}

/// Sets up a storage for one heap.
///
/// # Safety
/// The handlers do what the header says, and stay for as long as the process runs.
pub unsafe fn open(
    handlers: &EmallocStorageHandlers,
    params: *mut c_void,
) -> Result<AnyStorage, StorageError> {
    let (Some(init), Some(alloc), Some(free)) = (handlers.init, handlers.alloc, handlers.free)
    else {
        return Err(StorageError::Unsupported);
    };
    let storage = init(params);
    if storage.is_null() {
        return Err(StorageError::Unsupported);
    }
    let target: Box<dyn Storage + Sync> = Box::new(CStorage {
        storage,
        // SAFETY: the caller's promise.
        name: unsafe { name_of(handlers) }.unwrap_or("unnamed"),
        alignment: handlers.alignment,
        dtor: handlers.dtor,
        compact: handlers.compact,
        alloc,
        realloc: handlers.realloc,
        free,
        alloc_aligned: handlers.alloc_aligned,
    });
    // SAFETY: what is boxed stays where it is; `close` makes it a box again, once.
    let opened = unsafe { Opened::new(NonNull::from(Box::leak(target)), close) };
    Ok(AnyStorage::Opened(opened))
}

/// # Safety
/// `target` is a box that was leaked, and used no more.
unsafe fn close(target: NonNull<dyn Storage + Sync>) {
    // SAFETY: the caller's promise.
    drop(unsafe { Box::from_raw(target.as_ptr()) });
}

impl Drop for CStorage {
    fn drop(&mut self) {
        if let Some(dtor) = self.dtor {
            dtor(self.storage);
        }
    }
}

/// Writes the header of a segment.
///
/// # Safety
/// There is room for it, which nobody else uses.
unsafe fn write_header(segment: *mut EmallocSegment, size: usize) {
    let header = EmallocSegment {
        size,
        next_segment: ptr::null_mut(),
    };
    // SAFETY: the caller's promise.
    unsafe { segment.write_unaligned(header) };
}

/// The note in front of a grant.
fn note_of(start: NonNull<u8>) -> *mut Note {
    start.as_ptr().cast::<Note>().wrapping_sub(1)
}

impl CStorage {
    /// Whether all that `_alloc` and `_realloc` answer is aligned so.
    fn aligns(&self, align: usize) -> bool {
        self.alignment >= align
    }

    /// Whether grants of this alignment are whole segments.
    fn grants_segments(&self, align: usize) -> bool {
        self.aligns(align) || self.alloc_aligned.is_some()
    }

    fn allocate_segment(&self, size: usize, align: usize) -> Option<NonNull<u8>> {
        let segment = match self.alloc_aligned {
            Some(alloc_aligned) if !self.aligns(align) => alloc_aligned(self.storage, size, align),
            _ => (self.alloc)(self.storage, size),
        };
        let start = NonNull::new(segment.cast::<u8>())?;
        if !start.addr().get().is_multiple_of(align) {
            // A promise was not kept, and the heap would take its address for another segment's.
            // SAFETY: the segment was handed out just now, and is that large.
            unsafe { write_header(segment, size) };
            (self.free)(self.storage, segment);
            return None;
        }
        Some(start)
    }

    fn allocate_part(&self, size: usize, align: usize) -> Option<NonNull<u8>> {
        let whole = size.checked_add(align)?.checked_add(UNIT)?;
        let segment = (self.alloc)(self.storage, whole);
        if segment.is_null() {
            return None;
        }
        // SAFETY: the segment was handed out just now, and is that large.
        unsafe { write_header(segment, whole) };
        // SAFETY: as above.
        Some(unsafe { part_of(segment, whole, align) })
    }
}

/// The grant in a segment, with its note written.
///
/// # Safety
/// The segment has room for a note and something aligned, which nobody else uses.
unsafe fn part_of(segment: *mut EmallocSegment, size: usize, align: usize) -> NonNull<u8> {
    let first = segment.addr() + ROOM;
    let offset = first.next_multiple_of(align) - segment.addr();
    // SAFETY: the caller's promise.
    let start = unsafe { NonNull::new_unchecked(segment.cast::<u8>().add(offset)) };
    // SAFETY: it lies in front of the grant and behind the header.
    unsafe { note_of(start).write(Note { segment, size }) };
    start
}

// SAFETY: grants are segments, or parts of one each, that the handlers handed out, whole and aligned as asked; the header
// promises that those overlap nothing and stay.
unsafe impl Storage for CStorage {
    fn name(&self) -> &str {
        self.name
    }

    fn capabilities(&self) -> Capabilities {
        let mut capabilities = Capabilities::basic(UNIT);
        capabilities.move_without_copy = self.realloc.is_some();
        capabilities
    }

    fn allocate(&self, size: usize, align: usize) -> Result<Grant, StorageError> {
        let start = if self.grants_segments(align) {
            self.allocate_segment(size, align)
        } else {
            self.allocate_part(size, align)
        };
        let start = start.ok_or(StorageError::Exhausted { requested: size })?;
        Ok(Grant {
            start,
            zeroed: false,
        })
    }

    unsafe fn free(&self, start: NonNull<u8>, size: usize, align: usize) {
        let segment = if self.grants_segments(align) {
            let segment = start.as_ptr().cast::<EmallocSegment>();
            // SAFETY: the caller gave all of the grant up.
            unsafe { write_header(segment, size) };
            segment
        } else {
            // SAFETY: `part_of` wrote it.
            unsafe { note_of(start).read() }.segment
        };
        (self.free)(self.storage, segment);
    }

    unsafe fn move_resize(
        &self,
        start: NonNull<u8>,
        old: usize,
        new: usize,
        align: usize,
    ) -> Result<Grant, StorageError> {
        let Some(realloc) = self.realloc else {
            return Err(StorageError::Unsupported);
        };
        let moved = if self.aligns(align) {
            // SAFETY: the caller's promise.
            unsafe { self.resize_segment(realloc, start, old, new) }
        } else if self.alloc_aligned.is_none() {
            // SAFETY: the caller's promise.
            unsafe { self.resize_part(realloc, start, old.min(new), new, align) }
        } else {
            // Nobody promised that what is moved is aligned.
            return Err(StorageError::Unsupported);
        };
        let start = moved.ok_or(StorageError::Exhausted { requested: new })?;
        Ok(Grant {
            start,
            zeroed: false,
        })
    }

    fn trim(&self) -> usize {
        if let Some(compact) = self.compact {
            compact(self.storage);
        }
        // The handlers do not say.
        0
    }
}

impl CStorage {
    /// Resizes a grant that is a segment.
    ///
    /// # Safety
    /// As [`Storage::move_resize`]; the grant is a segment.
    unsafe fn resize_segment(
        &self,
        realloc: ReallocFn,
        start: NonNull<u8>,
        old: usize,
        new: usize,
    ) -> Option<NonNull<u8>> {
        let segment = start.as_ptr().cast::<EmallocSegment>();
        // What the header lies on for the time of the call: it may be anything.
        // SAFETY: a grant is larger than that.
        let covered = unsafe { segment.cast::<MaybeUninit<EmallocSegment>>().read() };
        // SAFETY: as above.
        unsafe { write_header(segment, old) };
        let moved = realloc(self.storage, segment, new);
        let place = if moved.is_null() { segment } else { moved };
        // SAFETY: the segment is there, or where it was, with its content.
        unsafe { place.cast::<MaybeUninit<EmallocSegment>>().write(covered) };
        NonNull::new(moved.cast())
    }

    /// Resizes the segment that a grant is part of; the first `kept` bytes of the grant come along.
    ///
    /// # Safety
    /// As [`Storage::move_resize`]; the grant is a part.
    unsafe fn resize_part(
        &self,
        realloc: ReallocFn,
        start: NonNull<u8>,
        kept: usize,
        new: usize,
        align: usize,
    ) -> Option<NonNull<u8>> {
        // SAFETY: `part_of` wrote it.
        let note = unsafe { note_of(start).read() };
        let offset = start.addr().get() - note.segment.addr();
        let whole = new.checked_add(align)?.checked_add(UNIT)?;
        let moved = realloc(self.storage, note.segment, whole);
        if moved.is_null() {
            return None;
        }
        // SAFETY: it is that large.
        unsafe { write_header(moved, whole) };
        // SAFETY: the content came along; `offset + kept` is within both sizes.
        let from = unsafe { moved.cast::<u8>().add(offset) };
        let first = (moved.addr() + ROOM).next_multiple_of(align) - moved.addr();
        // Before the note is written, which may lie on it.
        // SAFETY: as above; the two may overlap.
        unsafe { ptr::copy(from, moved.cast::<u8>().add(first), kept) };
        // SAFETY: as above.
        Some(unsafe { part_of(moved, whole, align) })
    }
}

const _: () = assert!(ROOM <= UNIT);
