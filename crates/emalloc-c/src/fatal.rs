//! Owns who decides where the original ends the process: the heap's handler, else the process's, else nobody, and then the
//! text is written and the process ends as the original does.

use core::ffi::{c_int, c_void};
use core::fmt;
use core::ptr;
use core::sync::atomic::{AtomicBool, Ordering};
use std::io::{Write, stderr};
use std::process;
use std::sync::Mutex;

use crate::error::EmallocError;
use crate::heap::EmallocHeap;

/// `emalloc_fatal_fn`
pub type FatalFn = extern "C" fn(*mut c_void, *mut EmallocHeap, *const EmallocError) -> c_int;

/// `emalloc_action`
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// `EMALLOC_END`
    End,
    /// `EMALLOC_RETRY`
    Retry,
    /// `EMALLOC_CONTINUE`
    Continue,
}

/// A handler and what it is given.
#[derive(Clone, Copy, Debug)]
pub struct FatalHandler {
    handler: Option<FatalFn>,
    data: *mut c_void,
}

// SAFETY: the header says that the process's handler is called on any thread; what it is given is its own affair.
unsafe impl Send for FatalHandler {}

impl FatalHandler {
    /// There is none.
    pub const NONE: Self = Self {
        handler: None,
        data: ptr::null_mut(),
    };

    /// The handler as C gives it.
    pub fn new(handler: Option<FatalFn>, data: *mut c_void) -> Self {
        Self { handler, data }
    }

    /// The function.
    pub fn function(self) -> Option<FatalFn> {
        self.handler
    }
}

static OF_PROCESS: Mutex<FatalHandler> = Mutex::new(FatalHandler::NONE);

fn of_process() -> std::sync::MutexGuard<'static, FatalHandler> {
    // Nothing panics while it is locked.
    OF_PROCESS
        .lock()
        .unwrap_or_else(|poisoned| poisoned.into_inner())
}

/// Asks the program what to do. The handler may never return.
pub fn decide(heap: Option<&EmallocHeap>, error: &EmallocError) -> Action {
    let own = heap.map_or(FatalHandler::NONE, |heap| heap.fatal.get());
    // Not locked during the call: it may jump away.
    let asked = if own.handler.is_some() {
        own
    } else {
        *of_process()
    };
    let Some(handler) = asked.handler else {
        return Action::End;
    };
    let heap = heap.map_or(ptr::null_mut(), EmallocHeap::address);
    match handler(asked.data, heap, error) {
        1 => Action::Retry,
        2 => Action::Continue,
        _ => Action::End,
    }
}

/// The process is being ended by an error: nobody could clean up, so leaks are told to nobody.
static ENDING: AtomicBool = AtomicBool::new(false);

/// The process is about to end by an error.
pub fn set_ending() {
    ENDING.store(true, Ordering::Relaxed);
}

/// Whether the process ends by an error.
pub fn is_ending() -> bool {
    ENDING.load(Ordering::Relaxed)
}

/// Writes a text and ends the process.
pub fn end(text: &dyn fmt::Display, status: i32) -> ! {
    set_ending();
    // There is nobody left to tell of a failure.
    let _ = writeln!(stderr(), "{text}");
    process::exit(status)
}

/// Writes a text and aborts the process.
pub fn abort(text: &dyn fmt::Display) -> ! {
    set_ending();
    // There is nobody left to tell of a failure.
    let _ = writeln!(stderr(), "{text}");
    process::abort()
}

/// Null if the program wants to go on without what was asked for, which nothing can bring; else the process ends.
#[cold]
pub fn refuse(
    heap: Option<&EmallocHeap>,
    error: &EmallocError,
    text: &dyn fmt::Display,
) -> *mut u8 {
    if decide(heap, error) == Action::Continue {
        return ptr::null_mut();
    }
    end(&format_args!("\nFatal error: {text}"), 255)
}

/// `emalloc_set_fatal_handler`
#[unsafe(no_mangle)]
pub extern "C" fn emalloc_set_fatal_handler(
    handler: Option<FatalFn>,
    data: *mut c_void,
) -> Option<FatalFn> {
    let before = std::mem::replace(&mut *of_process(), FatalHandler::new(handler, data));
    before.function()
}

/// `emalloc_heap_set_fatal_handler`
///
/// # Safety
/// `heap` is null, or alive and this thread's.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn emalloc_heap_set_fatal_handler(
    heap: *mut EmallocHeap,
    handler: Option<FatalFn>,
    data: *mut c_void,
) -> Option<FatalFn> {
    // SAFETY: the caller's promise.
    let heap = unsafe { EmallocHeap::given(heap) }?;
    heap.fatal
        .replace(FatalHandler::new(handler, data))
        .function()
}
