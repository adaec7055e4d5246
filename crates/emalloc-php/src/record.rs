//! Owns [`Record`]: what a `zend_mm_heap *` points to. PHP sees it as opaque; it does not lie in the heap's first segment
//! but beside it, so that there can be one without a heap (`USE_ZEND_ALLOC=0`).

use core::cell::{Cell, UnsafeCell};
use core::ffi::c_void;
use core::ptr::{self, NonNull};

use emalloc::heap::{Heap, Limit};

use crate::handlers::Handlers;
use crate::refusal::{self, Request, corrupted};
use crate::storage::StorageRecord;
use crate::takeover;
use crate::tracked::Tracked;

/// The limit of a heap that was given none: the original's.
pub(crate) const NO_LIMIT: usize = isize::MAX as usize;

/// How far beyond a small memory limit a script may get until it is ended, in percent (PHP 8.2.36).
const HARD_PERCENT: usize = 200;

/// And beyond a limit larger than this: so many bytes.
const HARD_MORE: usize = 1 << 30;

/// A `zend_mm_heap`.
pub struct Record {
    /// `None` with `USE_ZEND_ALLOC=0`.
    heap: UnsafeCell<Option<Heap>>,
    handlers: Cell<Option<Handlers>>,
    /// Blocks of the system's malloc that are accounted for. (`USE_TRACKED_ALLOC=1`)
    tracked: Option<Tracked>,
    /// The custom storage under the heap, or null.
    storage: *mut StorageRecord,
    /// The limit as PHP set it.
    limit: Cell<usize>,
    /// The hard limit in percent of the limit; `None`: the default.
    hard_percent: Cell<Option<usize>>,
    fallible: Cell<bool>,
}

impl Record {
    /// The record of a heap, with the custom storage it has, or null.
    pub fn of_heap(heap: Heap, storage: *mut StorageRecord) -> Self {
        Self {
            heap: UnsafeCell::new(Some(heap)),
            storage,
            handlers: Cell::new(None),
            ..Self::of_system(None)
        }
    }

    /// The record of the system's malloc, tracked or not.
    pub(crate) fn of_system(tracked: Option<Tracked>) -> Self {
        let handlers = match tracked {
            Some(_) => Tracked::HANDLERS,
            None => Handlers::SYSTEM,
        };
        Self {
            heap: UnsafeCell::new(None),
            handlers: Cell::new(Some(handlers)),
            tracked,
            storage: ptr::null_mut(),
            limit: Cell::new(NO_LIMIT),
            hard_percent: Cell::new(None),
            fallible: Cell::new(false),
        }
    }

    /// The heap.
    pub fn heap(&self) -> Option<&Heap> {
        // SAFETY: only `reset` holds it mutably, for its own duration.
        unsafe { (*self.heap.get()).as_ref() }
    }

    /// The blocks of the system's malloc, where they are accounted for.
    pub(crate) fn tracked(&self) -> Option<&Tracked> {
        self.tracked.as_ref()
    }

    /// The custom storage under the heap, or null.
    pub fn storage(&self) -> *mut StorageRecord {
        self.storage
    }

    /// What stands in the heap's place.
    pub fn handlers(&self) -> Option<Handlers> {
        self.handlers.get()
    }

    /// Changes that; where there is no heap, `None` means the system's.
    pub fn set_handlers(&self, handlers: Option<Handlers>) {
        let none = self.heap().is_none().then_some(Handlers::SYSTEM);
        self.handlers.set(handlers.or(none));
    }

    /// Whether a refusal may be answered with null.
    pub fn fallible(&self) -> bool {
        self.fallible.get()
    }

    /// Sets that. Answers what it was.
    pub fn set_fallible(&self, fallible: bool) -> bool {
        self.fallible.replace(fallible)
    }

    /// Through the handlers, or the heap.
    pub fn allocate(&self, size: usize) -> *mut c_void {
        match self.handlers() {
            Some(handlers) => handlers.allocate(size),
            None => self.allocate_own(size),
        }
    }

    /// # Safety
    /// As [`_efree`](crate::allocate::_efree).
    pub unsafe fn release(&self, block: *mut c_void) {
        match self.handlers() {
            // SAFETY: the caller's promise.
            Some(handlers) => unsafe { handlers.release(block) },
            // SAFETY: the caller's promise.
            None => unsafe { self.release_own(block) },
        }
    }

    /// # Safety
    /// As [`_erealloc`](crate::allocate::_erealloc).
    pub unsafe fn resize(&self, block: *mut c_void, size: usize) -> *mut c_void {
        match self.handlers() {
            // SAFETY: the caller's promise.
            Some(handlers) => unsafe { handlers.resize(block, size) },
            // SAFETY: the caller's promise.
            None => unsafe { self.resize_own(block, size) },
        }
    }

    /// Past the handlers, as they themselves do it.
    pub fn allocate_own(&self, size: usize) -> *mut c_void {
        let Some(heap) = self.heap() else {
            return Handlers::SYSTEM.allocate(size);
        };
        match heap.try_allocate(size) {
            Ok(block) => block.as_ptr().cast(),
            Err(error) => refusal::refused(self, heap, Request::Allocate(size), error),
        }
    }

    /// # Safety
    /// As [`_efree`](crate::allocate::_efree), for a block of this heap itself.
    pub unsafe fn release_own(&self, block: *mut c_void) {
        match (self.heap(), NonNull::new(block)) {
            // SAFETY: the caller's promise.
            (Some(heap), Some(block)) => unsafe { heap.free(block.cast()) },
            (Some(_), None) => {}
            // SAFETY: the caller's promise.
            (None, _) => unsafe { Handlers::SYSTEM.release(block) },
        }
    }

    /// # Safety
    /// As [`_erealloc`](crate::allocate::_erealloc), for a block of this heap itself.
    pub unsafe fn resize_own(&self, block: *mut c_void, size: usize) -> *mut c_void {
        let Some(heap) = self.heap() else {
            // SAFETY: the caller's promise.
            return unsafe { Handlers::SYSTEM.resize(block, size) };
        };
        let Some(block) = NonNull::new(block) else {
            return self.allocate_own(size);
        };
        // SAFETY: the caller's promise.
        match unsafe { heap.try_resize(block.cast(), size) } {
            Ok(block) => block.as_ptr().cast(),
            Err(error) => refusal::refused(self, heap, Request::Resize(block.cast(), size), error),
        }
    }

    /// Bytes that a block of `heap` can hold; 0 for null.
    ///
    /// # Safety
    /// The block is null or a live one of that heap.
    pub unsafe fn size_in(heap: &Heap, block: *mut c_void) -> usize {
        let Some(block) = NonNull::new(block) else {
            return 0;
        };
        // SAFETY: the caller's promise.
        match unsafe { heap.usable_size(block.cast()) } {
            Ok(size) => size,
            Err(_) if takeover::is_others(block.cast()) => 0,
            Err(fault) => corrupted(&fault),
        }
    }

    /// Lets go of the heap, which is somebody else's.
    pub(crate) fn release_heap(mut self) {
        core::mem::forget(self.heap.get_mut().take());
    }

    /// Throws everything in the heap away. (`zend_mm_shutdown`, not full)
    ///
    /// # Safety
    /// Nothing in it is used any more.
    pub unsafe fn reset(&self) {
        // SAFETY: nobody uses the heap now: it is the end of a request.
        if let Some(heap) = unsafe { &mut *self.heap.get() } {
            heap.reset();
        }
    }

    /// Changes the limit. Says no if more is held, even after collecting.
    pub fn set_limit(&self, limit: usize) -> bool {
        // The original counts no further either, and PHP says "none" with a larger number.
        let limit = limit.min(NO_LIMIT);
        let done = match (self.heap(), &self.tracked) {
            (Some(heap), _) => heap.set_limit(Limit::Bytes(limit)).is_ok(),
            (None, Some(tracked)) => limit >= tracked.usage(),
            (None, None) => true,
        };
        if done {
            self.limit.set(limit);
        }
        done
    }

    /// The limit.
    pub fn limit(&self) -> usize {
        self.limit.get()
    }

    /// Changes how far beyond the limit a script may get, in percent of it; `None`: the default.
    pub fn set_hard_percent(&self, percent: Option<usize>) {
        self.hard_percent.set(percent);
    }

    /// The bytes up to which memory is handed out to a script that is about to end because of the limit.
    pub fn hard_limit(&self) -> usize {
        let limit = self.limit();
        let percent = |percent: usize| {
            let whole = (limit / 100).saturating_mul(percent);
            whole.saturating_add((limit % 100).saturating_mul(percent) / 100)
        };
        let hard = match self.hard_percent.get() {
            Some(number) => percent(number),
            None if limit <= HARD_MORE => percent(HARD_PERCENT),
            None => limit.saturating_add(HARD_MORE),
        };
        hard.min(NO_LIMIT)
    }

    /// Bytes in use, and the most there were: in blocks, or held from the storage (`real`).
    pub fn usage(&self, real: bool) -> (usize, usize) {
        match (self.heap(), &self.tracked) {
            (Some(heap), _) if real => (heap.real_usage(), heap.real_peak()),
            (Some(heap), _) => (heap.usage(), heap.peak()),
            (None, Some(tracked)) => (tracked.usage(), tracked.peak()),
            (None, None) => (0, 0),
        }
    }

    /// Makes the peaks begin anew.
    pub fn reset_peaks(&self) {
        if let Some(heap) = self.heap() {
            heap.reset_peaks();
        }
        if let Some(tracked) = &self.tracked {
            tracked.reset_peak();
        }
    }
}
