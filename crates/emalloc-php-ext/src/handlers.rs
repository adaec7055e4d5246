//! Owns the handlers: what PHP calls for each block while they are in. Fast paths first; nothing here holds
//! anything that would have to be dropped, for PHP's fatal errors jump out of the call.

use core::ptr::{self, NonNull};

use emalloc::heap::{AllocError, FaultKind, Site};

use crate::debug::Debugged;
use crate::live::Sample;
use crate::own::{self, heap, own};
use crate::watch::watch;

/// The three functions that PHP calls. (`struct emalloc_handlers`)
#[derive(Clone, Copy)]
#[repr(C)]
pub struct Handlers {
    /// `_malloc`
    pub allocate: unsafe extern "C" fn(usize) -> *mut u8,
    /// `_free`
    pub free: unsafe extern "C" fn(*mut u8),
    /// `_realloc`
    pub resize: unsafe extern "C" fn(*mut u8, usize) -> *mut u8,
}

/// Where blocks come from.
pub trait Source {
    unsafe fn allocate(size: usize) -> *mut u8;
    unsafe fn free(block: *mut u8);
    /// `block` is not null.
    unsafe fn resize(block: *mut u8, size: usize) -> *mut u8;
    /// Bytes the block can hold; 0 if that is not known.
    unsafe fn size(block: *mut u8) -> usize;
}

/// Our heap. `CAREFUL`: blocks of others may lie anywhere.
struct Ours<const CAREFUL: bool>;

impl<const CAREFUL: bool> Source for Ours<CAREFUL> {
    #[inline(always)]
    unsafe fn allocate(size: usize) -> *mut u8 {
        heap().allocate_or(size, Site::here(), || allocate_slow(size))
    }

    #[inline(always)]
    unsafe fn free(block: *mut u8) {
        match own::ours::<CAREFUL>(block) {
            // SAFETY: PHP frees what it was given; what is another's, the heap tells `Report`.
            Some(block) => unsafe { heap().free(block) },
            None => own::free_foreign(block),
        }
    }

    #[inline(always)]
    unsafe fn resize(block: *mut u8, size: usize) -> *mut u8 {
        let Some(old) = own::ours::<CAREFUL>(block) else {
            return resize_foreign(block, size);
        };
        // SAFETY: PHP resizes what it was given; what is another's is found out.
        match unsafe { heap().try_resize(old, size) } {
            Ok(new) => new.as_ptr(),
            Err(error) => refuse_resize(error, block, size),
        }
    }

    unsafe fn size(block: *mut u8) -> usize {
        own::ours::<CAREFUL>(block).map_or(0, |block| {
            // SAFETY: PHP asks for what it was given; what is another's is found out.
            unsafe { heap().usable_size(block) }.unwrap_or(0)
        })
    }
}

#[cold]
#[inline(never)]
fn allocate_slow(size: usize) -> *mut u8 {
    let allocate = || heap().try_allocate(size);
    match allocate() {
        Ok(block) => block.as_ptr(),
        Err(error) => own::refused(error, size, || {
            allocate().map_or(ptr::null_mut(), |block| block.as_ptr())
        }),
    }
}

#[cold]
#[inline(never)]
fn refuse_resize(error: AllocError, block: *mut u8, size: usize) -> *mut u8 {
    match error {
        AllocError::BadPointer(fault) if fault.kind == FaultKind::Foreign => {
            resize_foreign(block, size)
        }
        AllocError::BadPointer(fault) => own::tell_fault(&fault),
        _ => own::refused(error, size, || {
            let Some(old) = NonNull::new(block) else {
                return ptr::null_mut();
            };
            // SAFETY: a refused resize leaves the block as it was.
            unsafe { heap().try_resize(old, size) }.map_or(ptr::null_mut(), |new| new.as_ptr())
        }),
    }
}

/// A block of the original's stays there.
#[cold]
#[inline(never)]
pub fn resize_foreign(block: *mut u8, size: usize) -> *mut u8 {
    // SAFETY: it is not ours, so it is theirs.
    unsafe { Original::resize(block, size) }
}

/// PHP's own heap, or whoever had handlers in before us.
struct Original;

impl Source for Original {
    #[inline(always)]
    unsafe fn allocate(size: usize) -> *mut u8 {
        let host = own().host();
        // SAFETY: that is what it is for.
        unsafe { (host.allocate)(host.heap, size) }
    }

    #[inline(always)]
    unsafe fn free(block: *mut u8) {
        let host = own().host();
        // SAFETY: PHP frees what it was given.
        unsafe { (host.free)(host.heap, block) }
    }

    #[inline(always)]
    unsafe fn resize(block: *mut u8, size: usize) -> *mut u8 {
        let host = own().host();
        // SAFETY: PHP resizes what it was given.
        unsafe { (host.resize)(host.heap, block, size) }
    }

    #[inline(always)]
    unsafe fn size(block: *mut u8) -> usize {
        let host = own().host();
        // SAFETY: PHP asks for what it was given.
        unsafe { (host.size)(host.heap, block) }
    }
}

/// Nobody looks on: our heap, and the end of requests.
unsafe extern "C" fn allocate<S: Source>(size: usize) -> *mut u8 {
    if own().ending.get() {
        // SAFETY: the same promise.
        return unsafe { allocate_first::<S>(size) };
    }
    // SAFETY: the same promise.
    unsafe { S::allocate(size) }
}

/// The first block of a request, perhaps.
#[cold]
#[inline(never)]
unsafe fn allocate_first<S: Source>(size: usize) -> *mut u8 {
    own::next_request();
    // SAFETY: the same promise.
    unsafe { S::allocate(size) }
}

unsafe extern "C" fn free<S: Source>(block: *mut u8) {
    // SAFETY: the same promise.
    unsafe { S::free(block) }
}

unsafe extern "C" fn resize<S: Source>(block: *mut u8, size: usize) -> *mut u8 {
    if block.is_null() {
        // SAFETY: the same promise.
        return unsafe { allocate::<S>(size) };
    }
    // SAFETY: the same promise.
    unsafe { S::resize(block, size) }
}

/// Samples are taken.
unsafe extern "C" fn allocate_watched<S: Source>(size: usize) -> *mut u8 {
    if watch().count(size) {
        // SAFETY: the same promise.
        return unsafe { allocate_sampled::<S>(size) };
    }
    // SAFETY: the same promise.
    unsafe { S::allocate(size) }
}

#[cold]
#[inline(never)]
unsafe fn allocate_sampled<S: Source>(size: usize) -> *mut u8 {
    own::next_request();
    // SAFETY: the same promise.
    let block = unsafe { S::allocate(size) };
    watch().sample(block, size, size);
    block
}

unsafe extern "C" fn free_watched<S: Source>(block: *mut u8) {
    if watch().may_know(block) {
        // SAFETY: the same promise.
        return unsafe { free_sampled::<S>(block) };
    }
    // SAFETY: the same promise.
    unsafe { S::free(block) }
}

#[cold]
#[inline(never)]
unsafe fn free_sampled<S: Source>(block: *mut u8) {
    watch().forget(block);
    // SAFETY: the same promise.
    unsafe { S::free(block) }
}

unsafe extern "C" fn resize_watched<S: Source>(block: *mut u8, size: usize) -> *mut u8 {
    if block.is_null() {
        // SAFETY: the same promise.
        return unsafe { allocate_watched::<S>(size) };
    }
    // What is added counts, not what was there: texts grow by little many times.
    // SAFETY: the same promise.
    let grown = size.saturating_sub(unsafe { S::size(block) });
    if !watch().count_grown(grown) && !watch().may_know(block) {
        // SAFETY: the same promise.
        return unsafe { S::resize(block, size) };
    }
    // SAFETY: the same promise.
    unsafe { resize_sampled::<S>(block, size, grown) }
}

#[cold]
#[inline(never)]
unsafe fn resize_sampled<S: Source>(block: *mut u8, size: usize, grown: usize) -> *mut u8 {
    let known = watch().forget(block);
    // SAFETY: the same promise.
    let new = unsafe { S::resize(block, size) };
    match known {
        // Refused: the block is as it was.
        known if new.is_null() => watch().remember(block, known),
        Some(sample) => watch().remember(new, Some(Sample { size, ..sample })),
        None => {}
    }
    if watch().is_due() && !new.is_null() {
        watch().sample(new, size, grown);
    }
    new
}

impl Handlers {
    const fn plain<S: Source>() -> Self {
        Self {
            allocate: allocate::<S>,
            free: free::<S>,
            resize: resize::<S>,
        }
    }

    const fn watched<S: Source>() -> Self {
        Self {
            allocate: allocate_watched::<S>,
            free: free_watched::<S>,
            resize: resize_watched::<S>,
        }
    }

    /// The handlers for our heap or the original's, watched or not. The original's are only ever watched.
    pub(crate) fn choose(ours: bool, watched: bool, careful: bool) -> Self {
        if ours && own().config.debug {
            return const { Self::watched::<Debugged>() };
        }
        match (ours, watched, careful) {
            (true, false, false) => const { Self::plain::<Ours<false>>() },
            (true, false, true) => const { Self::plain::<Ours<true>>() },
            (true, true, false) => const { Self::watched::<Ours<false>>() },
            (true, true, true) => const { Self::watched::<Ours<true>>() },
            (false, ..) => const { Self::watched::<Original>() },
        }
    }
}
