//! Owns [`EmallocHeap`]: what `emalloc_heap *` points to. It is the handler of a heap of the library, so it lies in the heap's
//! first segment, and a heap needs no other memory.

use core::cell::Cell;
use core::ffi::c_void;
use core::mem::ManuallyDrop;
use core::ptr::{self, NonNull};

use emalloc::heap::{
    AllocError, Builder, DefaultHandler, Fault, Handler, Heap, HeapError, Leaks, Recovery, Report,
    Site, SoftLimitEvent,
};
use emalloc::storage::registry::AnyStorage;

use crate::custom::Handlers;
use crate::debug::{EmallocReport, LeakFn, ReportFn, tell_leaks};
use crate::error::EmallocError;
use crate::fatal::{Action, FatalHandler, decide, set_ending};

/// `emalloc_soft_limit_fn`
pub type SoftLimitFn = extern "C" fn(*mut c_void, *mut EmallocHeap, usize, usize, usize);

/// What C calls `emalloc_heap`.
pub struct EmallocHeap {
    /// The heap this lies in; null only while that is being made.
    raw: Cell<*mut c_void>,
    /// Who decides where the original ends the process.
    pub fatal: Cell<FatalHandler>,
    /// Who hears of the soft limit.
    pub soft_limit: Cell<(Option<SoftLimitFn>, *mut c_void)>,
    /// Who hears of what debug mode has found, and of blocks that are left over.
    pub report: Cell<Option<(ReportFn, *mut c_void)>>,
    /// See `report`.
    pub leaks: Cell<Option<(LeakFn, *mut c_void)>>,
    /// Who serves the functions on the current heap instead of this heap.
    pub(crate) custom: Cell<Option<Handlers>>,
    /// The heap is gone, or about to go. Tells as long as nobody else has its memory.
    pub ended: Cell<bool>,
}

// SAFETY: a heap is used by one thread at a time, and so is this; what C put in is the program's to send along.
unsafe impl Send for EmallocHeap {}

impl EmallocHeap {
    fn new() -> Self {
        Self {
            raw: Cell::new(ptr::null_mut()),
            fatal: Cell::new(FatalHandler::NONE),
            soft_limit: Cell::new((None, ptr::null_mut())),
            report: Cell::new(None),
            leaks: Cell::new(None),
            custom: Cell::new(None),
            ended: Cell::new(false),
        }
    }

    /// Makes a heap with one of these.
    pub fn start(builder: Builder<AnyStorage, DefaultHandler>) -> Result<NonNull<Self>, HeapError> {
        let heap = builder.handler(Self::new()).build()?;
        // SAFETY: made just now, with such a handler.
        let this = unsafe { of_handler(heap.handler()) };
        let raw = heap.into_raw();
        // SAFETY: it lies in the heap, which is alive.
        unsafe { this.as_ref() }.raw.set(raw.as_ptr());
        Ok(this)
    }

    /// The heap that C gave; `None` where there is none, because `USE_ZEND_ALLOC=0` says so.
    ///
    /// # Safety
    /// `heap` is null, or alive and this thread's for as long as the answer is used.
    #[inline(always)]
    pub unsafe fn given<'a>(heap: *const Self) -> Option<&'a Self> {
        // SAFETY: the caller's promise.
        unsafe { heap.as_ref() }
    }

    /// Gives everything back.
    ///
    /// # Safety
    /// `this` came from [`start`](Self::start); nothing of it is used any more.
    pub unsafe fn end(this: NonNull<Self>) {
        // SAFETY: it is alive.
        let heap = unsafe { this.as_ref() };
        heap.ended.set(true);
        let raw = heap.raw();
        // SAFETY: it came from `into_raw`, and is used no more.
        drop(unsafe { Heap::from_raw(raw) });
    }

    /// The address of the heap as the library knows it.
    #[inline(always)]
    pub fn raw(&self) -> NonNull<c_void> {
        // SAFETY: `start` has set it before anybody had this.
        unsafe { NonNull::new_unchecked(self.raw.get()) }
    }

    /// The heap, to be used. A `&mut` is only had while nothing in it is used.
    #[inline(always)]
    pub fn view(&self) -> ManuallyDrop<Heap> {
        // SAFETY: this lies in the heap, so that is alive.
        unsafe { Heap::view(self.raw()) }
    }

    /// As C has it.
    pub fn address(&self) -> *mut Self {
        ptr::from_ref(self).cast_mut()
    }
}

/// The `emalloc_heap` of a heap.
///
/// # Safety
/// `raw` is a heap that [`EmallocHeap::start`] made, and it lives as long as the answer is used.
pub unsafe fn of_raw<'a>(raw: NonNull<c_void>) -> &'a EmallocHeap {
    // SAFETY: the caller's promise.
    let heap = unsafe { Heap::view(raw) };
    // SAFETY: as above.
    unsafe { of_handler(heap.handler()).as_ref() }
}

/// # Safety
/// `handler` is an `EmallocHeap`.
unsafe fn of_handler(handler: &dyn Handler) -> NonNull<EmallocHeap> {
    NonNull::from(handler).cast()
}

impl Handler for EmallocHeap {
    fn soft_limit(&self, _heap: &Heap, event: &SoftLimitEvent) {
        if let (Some(handler), data) = self.soft_limit.get() {
            handler(
                data,
                self.address(),
                event.limit,
                event.held,
                event.requested,
            );
        }
    }

    fn out_of_memory(&self, heap: &Heap, error: &AllocError, at: Site<'_>) -> Recovery {
        // The functions of this library ask for themselves, and never get here.
        DefaultHandler.out_of_memory(heap, error, at)
    }

    fn fault(&self, heap: &Heap, fault: &Fault, at: Site<'_>) {
        if decide(Some(self), &EmallocError::of_fault(fault, at)) != Action::Continue {
            set_ending();
            DefaultHandler.fault(heap, fault, at);
        }
    }

    fn report(&self, heap: &Heap, report: &Report<'_>) {
        let is_told = self.report.get().is_some_and(|(handler, data)| {
            handler(data, self.address(), &EmallocReport::new(report)) != 0
        });
        if !is_told {
            DefaultHandler.report(heap, report);
        }
    }

    fn leaks(&self, heap: &Heap, leaks: &Leaks<'_>) {
        match self.leaks.get() {
            Some(handler) => tell_leaks(self, handler, leaks),
            None => DefaultHandler.leaks(heap, leaks),
        }
    }
}
