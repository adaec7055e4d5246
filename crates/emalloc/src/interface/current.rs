//! Owns which heap is current on a thread: the one of the innermost `scope`, or
//! else the thread's own, made from the environment's settings when it is first
//! needed and dropped when the thread ends.
// They are `const`; with the form that `thread_local` takes on Windows clippy does not see it.
#![allow(clippy::missing_const_for_thread_local)]

use core::cell::{Cell, OnceCell};
use core::ptr;
use std::boxed::Box;
use std::sync::OnceLock;
use std::thread_local;

use super::settings::{Settings, SettingsError};
use crate::heap::{Heap, say};
use crate::sys;

thread_local! {
    /// The current heap; null until one is needed. It has no destructor, so it works while a thread ends.
    static CURRENT: Cell<*const Heap> = const { Cell::new(ptr::null()) };

    /// The thread's own heap.
    static OWN: OwnHeap = const { OwnHeap(OnceCell::new()) };
}

struct OwnHeap(OnceCell<Heap>);

impl Drop for OwnHeap {
    fn drop(&mut self) {
        if let Some(heap) = self.0.get() {
            // Destructors that run later on this thread get a new heap instead of a dangling one.
            let _ = CURRENT.try_with(|current| {
                if ptr::eq(current.get(), heap) {
                    current.set(ptr::null());
                }
            });
        }
    }
}

/// The environment's settings, read once per process.
fn settings() -> &'static Settings {
    static SETTINGS: OnceLock<Result<Settings, SettingsError>> = OnceLock::new();
    // Refused out here: destructors that run while the process ends may come by once more, and must not wait for a
    // reading that never ends.
    match SETTINGS.get_or_init(Settings::from_env) {
        Ok(settings) => settings,
        Err(error) => refuse_to_start(error),
    }
}

/// The current heap; `None` if `USE_ZEND_ALLOC=0` says that there is none.
///
/// # Safety
/// The reference is used on this thread only, and for no longer than the heap stays current.
#[inline(always)]
pub(super) unsafe fn current<'a>() -> Option<&'a Heap> {
    let heap = CURRENT.with(Cell::get);
    // SAFETY: it is null, or was set by `scope`, whose borrow of the heap outlasts it, or is the
    // thread's own heap, which takes itself out when it is dropped.
    unsafe { heap.as_ref() }.or_else(make_current)
}

/// Makes the thread's own heap, if there is to be one, and makes it current.
#[cold]
fn make_current<'a>() -> Option<&'a Heap> {
    let settings = settings();
    if !settings.enabled {
        return None;
    }
    let start = || {
        settings
            .start()
            .unwrap_or_else(|error| refuse_to_start(&error))
    };
    let own = OWN.try_with(|own| ptr::from_ref(own.0.get_or_init(start)));
    // While the thread ends and its own heap is gone, destructors get one that stays until the process ends.
    let heap = own.unwrap_or_else(|_| ptr::from_ref(Box::leak(Box::new(start()))));
    CURRENT.with(|current| current.set(heap));
    // SAFETY: the thread's own heap lives until the thread ends, the leaked one for ever; callers
    // use the reference for one operation.
    unsafe { heap.as_ref() }
}

/// Makes `heap` the thread's current heap while `body` runs. (`zend_mm_set_heap`)
///
/// Scopes nest; the heap that was current before is so again afterwards, also when `body` unwinds.
///
/// ```
/// use emalloc::heap::Heap;
/// use emalloc::{emalloc, mem_block_size, scope};
///
/// let heap = Heap::new()?;
/// scope(&heap, || {
///     let block = emalloc(100);
///     // SAFETY: the block is alive.
///     assert_eq!(unsafe { mem_block_size(block) }, 104);
/// });
/// assert_eq!(heap.usage(), 104);
/// # Ok::<(), emalloc::heap::HeapError>(())
/// ```
pub fn scope<R>(heap: &Heap, body: impl FnOnce() -> R) -> R {
    struct Restore(*const Heap);
    impl Drop for Restore {
        fn drop(&mut self) {
            CURRENT.with(|current| current.set(self.0));
        }
    }
    let _restore = Restore(CURRENT.with(|current| current.replace(heap)));
    body()
}

/// Nonsense in the environment ends the process as the original does: a text on standard error, status 255.
fn refuse_to_start(error: &dyn core::fmt::Display) -> ! {
    say(error);
    sys::exit(255)
}

/// Gives the thread's current heap to `body`: the innermost scope's, or the thread's own.
/// (`zend_mm_get_heap`) `None` if `USE_ZEND_ALLOC=0` says that there is none.
///
/// ```
/// use emalloc::{emalloc, with_current};
/// emalloc(100);
/// assert!(with_current(|heap| heap.unwrap().usage()) >= 104);
/// ```
pub fn with_current<R>(body: impl FnOnce(Option<&Heap>) -> R) -> R {
    // SAFETY: a scope that `body` opens ends before `body` does, and then this heap is current again.
    body(unsafe { current() })
}

/// Resets the thread's own heap: the end of a request. (`shutdown_memory_manager`)
/// A heap made current by [`scope`] is not touched.
///
/// # Safety
/// Nothing that was allocated from the thread's own heap is used any more, and none of its functions is running:
/// this is not called from a walk or a handler of that heap.
///
/// ```
/// use emalloc::{emalloc, reset_thread_heap, with_current};
/// emalloc(100);
/// // SAFETY: the block is not used any more.
/// unsafe { reset_thread_heap() };
/// assert_eq!(with_current(|heap| heap.unwrap().usage()), 0);
/// ```
pub unsafe fn reset_thread_heap() {
    // Once a thread is ending there is no heap of its own to reset.
    let _ = OWN.try_with(|own| {
        if let Some(heap) = own.0.get() {
            // SAFETY: the caller's promise.
            unsafe { heap.reset_shared() };
        }
    });
}
