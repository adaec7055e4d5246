//! Owns which heap is current on a thread: the one that the program set, or else the thread's own, made from the environment's
//! settings when it is first needed and ended with the thread.
// They are `const`; with the form that `thread_local` takes on Windows clippy does not see it.
#![allow(clippy::missing_const_for_thread_local)]

use core::cell::Cell;
use core::ffi::{c_int, c_void};
use core::ptr::{self, NonNull};
use std::sync::OnceLock;

use emalloc::interface::{Settings, SettingsError};

use crate::error::{EmallocError, Ended, Kind, StartError};
use crate::fatal::{Action, abort, decide, end, is_ending, refuse};
use crate::heap::EmallocHeap;
use crate::site::EmallocSite;
use crate::target_custom::OfHandlers;
use crate::target_heap::OfHeap;
use crate::target_system::OfSystem;
use crate::{exit, fast, platform};

thread_local! {
    /// What the program set; null: nothing.
    static SET: Cell<*mut EmallocHeap> = const { Cell::new(ptr::null_mut()) };
    /// The thread's own heap; null until it is needed.
    static OWN: Cell<*mut EmallocHeap> = const { Cell::new(ptr::null_mut()) };
}

/// Whom calls on the current heap go to.
pub enum Current<'a> {
    Heap(OfHeap),
    Handlers(OfHandlers<'a>),
    System(OfSystem),
}

/// The heap that calls go to at once, if nobody has to look first.
#[inline(always)]
pub fn at_once() -> Option<OfHeap> {
    // SAFETY: `refresh` has set it, to a heap that is this thread's and alive until it is set anew.
    NonNull::new(fast::get()).map(|raw| unsafe { OfHeap::new(raw) })
}

/// Runs `call` on the current heap, or on what is in its place.
macro_rules! on_current {
    (|$target:ident| $call:expr) => {
        match crate::current::at_once() {
            Some($target) => $call,
            None => crate::current::apart(move || match crate::current::find() {
                crate::current::Current::Heap($target) => $call,
                crate::current::Current::Handlers($target) => $call,
                crate::current::Current::System($target) => $call,
            }),
        }
    };
}
pub(crate) use on_current;

/// Runs `call` where it is not in the way of the fast path.
#[cold]
#[inline(never)]
pub fn apart<R>(call: impl FnOnce() -> R) -> R {
    call()
}

/// Whom calls on the current heap go to, in all cases.
pub fn find<'a>() -> Current<'a> {
    match current() {
        None => Current::System(OfSystem),
        Some(heap) => match heap.custom.get() {
            Some(handlers) => Current::Handlers(OfHandlers { heap, handlers }),
            // SAFETY: it is current, so it is alive and this thread's.
            None => Current::Heap(unsafe { OfHeap::new(heap.raw()) }),
        },
    }
}

/// The current heap; `None` if `USE_ZEND_ALLOC=0` says that there is none.
pub fn current<'a>() -> Option<&'a EmallocHeap> {
    let known = known();
    let heap = if known.is_null() { make_own()? } else { known };
    // SAFETY: the program set it, and keeps it alive as long as it is current; or it is the thread's own. The reference
    // is used for one operation.
    unsafe { heap.as_ref() }
}

/// The current heap, null if there is none yet.
fn known() -> *mut EmallocHeap {
    let set = SET.get();
    if set.is_null() { OWN.get() } else { set }
}

/// Brings the fast pointer up to date, after a change of what is current or of its handlers.
pub fn refresh() {
    // SAFETY: null, or alive as in `current`.
    let heap = unsafe { known().as_ref() };
    let plain = heap.filter(|heap| heap.custom.get().is_none());
    fast::set(plain.map_or(ptr::null_mut(), |heap| heap.raw().as_ptr()));
}

/// The environment's settings, read once per process.
pub fn settings<'a>() -> Result<&'static Settings, StartError<'a>> {
    static SETTINGS: OnceLock<Result<Settings, SettingsError>> = OnceLock::new();
    let read = SETTINGS.get_or_init(Settings::from_env).as_ref();
    read.map_err(|error| StartError::Settings(error.clone()))
}

/// A heap with these settings.
pub fn start_as_set<'a>(settings: &Settings) -> Result<NonNull<EmallocHeap>, StartError<'a>> {
    let builder = settings.builder().map_err(StartError::Settings)?;
    // With the variable's name, which nobody would know otherwise.
    EmallocHeap::start(builder).map_err(|error| StartError::Settings(SettingsError::Heap(error)))
}

/// Asks the program's handler, which may jump away; ends the process if it does not.
pub fn refuse_to_start(error: StartError<'_>) -> ! {
    // Nobody's to drop, so that no frame has to, wherever the handler jumps.
    let error: &StartError<'_> = Box::leak(Box::new(error));
    decide(None, &EmallocError::from(error));
    end(error, 255)
}

/// Makes the thread's own heap, if there is to be one. Nonsense in the environment ends the process as the original does.
#[cold]
fn make_own() -> Option<*mut EmallocHeap> {
    let started = settings().and_then(|settings| match settings.enabled {
        true => start_as_set(settings).map(Some),
        false => Ok(None),
    });
    let heap = match started {
        Ok(heap) => heap?.as_ptr(),
        Err(error) => refuse_to_start(error),
    };
    OWN.set(heap);
    platform::at_thread_end(heap.cast());
    exit::arm();
    refresh();
    Some(heap)
}

/// Ends the own heap of a thread that ends.
pub fn thread_ended(heap: *mut c_void) {
    if let Some(heap) = NonNull::new(heap.cast::<EmallocHeap>()) {
        leave(heap.as_ptr());
        // SAFETY: it is alive until it is ended.
        unsafe { heap.as_ref() }.view().silence_leaks(is_ending());
        // SAFETY: `make_own` made it, and the thread that had it ends.
        unsafe { EmallocHeap::end(heap) };
    }
}

/// Ends, in debug mode, the own heap of the thread that ends the process, and so tells of its leaks. Otherwise it stays: other
/// threads may still run, and may have been lent something of it.
pub fn process_ends() {
    let heap = OWN.get();
    // SAFETY: null, or alive.
    let known = unsafe { heap.as_ref() };
    if known.is_some_and(|heap| heap.view().debug_figures().is_some()) {
        thread_ended(heap.cast());
    }
}

/// Makes a heap that is about to end nobody's current one on this thread.
fn leave(heap: *mut EmallocHeap) {
    if SET.get() == heap {
        SET.set(ptr::null_mut());
    }
    if OWN.get() == heap {
        OWN.set(ptr::null_mut());
        platform::at_thread_end(ptr::null_mut());
    }
    refresh();
}

/// Whether a heap has ended already, so that nothing is done with it: its memory would be given back twice, and then be two
/// heaps' at once. Ends the process unless the program decides otherwise.
fn is_refused(heap: &EmallocHeap) -> bool {
    if !heap.ended.get() {
        return false;
    }
    let ended = Ended(heap.address().cast());
    // The heap's own handler is gone with it.
    if decide(None, &EmallocError::of_ended(&ended)) != Action::Continue {
        abort(&ended);
    }
    true
}

/// `emalloc_heap_current`
#[unsafe(no_mangle)]
pub extern "C" fn emalloc_heap_current() -> *mut EmallocHeap {
    current().map_or(ptr::null_mut(), EmallocHeap::address)
}

/// `emalloc_heap_set_current`
///
/// # Safety
/// `heap` is null, or alive and this thread's for as long as it is current.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn emalloc_heap_set_current(heap: *mut EmallocHeap) -> *mut EmallocHeap {
    // SAFETY: the caller's promise.
    if unsafe { EmallocHeap::given(heap) }.is_some_and(is_refused) {
        return SET.get();
    }
    let before = SET.replace(heap);
    refresh();
    before
}

/// `emalloc_heap_shutdown`
///
/// # Safety
/// `heap` is null, or alive and this thread's; nothing in it is used any more, and after a full shutdown neither is it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn emalloc_heap_shutdown(heap: *mut EmallocHeap, full: c_int, silent: c_int) {
    // SAFETY: the caller's promise.
    let Some(this) = (unsafe { EmallocHeap::given(heap) }) else {
        return;
    };
    if is_refused(this) {
        return;
    }
    if this.view().is_at_rest() {
        // Whoever walks it would go on in what is gone.
        let text = "the heap cannot be shut down while it is being walked";
        let error = EmallocError::new(Kind::Walking, &text, EmallocSite::NONE);
        refuse(Some(this), &error, &text);
        return;
    }
    if let Some(handlers) = this.custom.get()
        && let Some(shutdown) = handlers.shutdown
    {
        shutdown(handlers.data, heap, full, silent);
    }
    if full == 0 {
        match silent {
            0 => this.view().reset(),
            _ => this.view().reset_silently(),
        }
        return;
    }
    if silent != 0 {
        this.view().silence_leaks(true);
    }
    leave(heap);
    // SAFETY: the caller's promise.
    unsafe { EmallocHeap::end(NonNull::from(this)) };
}

/// `emalloc_shutdown`
///
/// # Safety
/// As [`emalloc_heap_shutdown`], for the current heap.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn emalloc_shutdown(full: c_int, silent: c_int) {
    let heap = known();
    if !heap.is_null() {
        // SAFETY: the caller's promise.
        unsafe { emalloc_heap_shutdown(heap, full, silent) };
    }
}
