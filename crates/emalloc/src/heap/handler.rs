//! Owns [`Handler`]: how a heap speaks to the program when memory runs short
//! or a pointer is wrong. Called by `acquire` (soft limit) and by the plain
//! forms in `allocate`, `free` and `resize`.

use core::fmt::{self, Write};

use super::Heap;
use super::debug::{Leaks, Report};
use super::error::AllocError;
use super::fault::Fault;
use super::site::Site;
use crate::sys;

/// What to do about a request that was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Recovery {
    /// Try the request once more: the handler has freed something or raised the limit.
    Retry,
    /// There is nothing to be done: the process ends as the original does, with status 255.
    GiveUp,
}

/// A heap is about to hold more than its soft limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SoftLimitEvent {
    /// The soft limit in bytes.
    pub limit: usize,
    /// Bytes held from the storage now.
    pub held: usize,
    /// Bytes about to be taken on top.
    pub requested: usize,
}

/// What a program wants to hear of, and decide, about a heap.
///
/// All of it has defaults. A handler belongs to one heap; to share one, implement it for a reference to it.
/// It is called where the heap is whole: it may use the heap, and it may unwind.
pub trait Handler: Send {
    /// The heap is about to pass its soft limit. Called once, and again after the heap was below it.
    fn soft_limit(&self, heap: &Heap, event: &SoftLimitEvent) {
        let _ = (heap, event);
    }

    /// A plain form (not a `try_` one), called at `at`, was refused. The heap's reserve is open meanwhile;
    /// if this unwinds, it stays open until [`Heap::close_reserve`] or a reset.
    ///
    /// What it asks of the heap itself it asks by `try_` forms: a plain one that is refused would ask it again, from within.
    ///
    /// The default writes the original's text to standard error and ends the process with status 255.
    fn out_of_memory(&self, heap: &Heap, error: &AllocError, at: Site<'_>) -> Recovery {
        let _ = heap;
        fatal(error, at)
    }

    /// A pointer given back at `at` was wrong. After this returns, the call that brought it does nothing.
    ///
    /// The default writes what was wrong to standard error and aborts the process.
    fn fault(&self, heap: &Heap, fault: &Fault, at: Site<'_>) {
        let _ = heap;
        say(&format_args!("{fault} at {at}"));
        sys::abort()
    }

    /// Debug mode has found something; wrong pointers are told here too then, and not as a [`fault`](Self::fault). After
    /// this the heap does what its [`Debug`](super::Debug) says: goes on, or ends the process. The heap may be at
    /// rest, as during a [`walk`](Heap::walk).
    ///
    /// The default writes the report to standard error, in the original's text.
    fn report(&self, heap: &Heap, report: &Report<'_>) {
        let _ = heap;
        say(report);
    }

    /// The heap is being reset or dropped in debug mode, and these blocks were never freed. It is at rest, as during
    /// a [`walk`](Heap::walk).
    ///
    /// The default writes them to standard error, as the heap's [`Debug`](super::Debug) says.
    fn leaks(&self, heap: &Heap, leaks: &Leaks<'_>) {
        let _ = heap;
        leaks.print();
    }
}

/// The heap's handler.
impl Heap {
    /// The handler this heap was made with. It lies in the heap's first segment and does not move.
    pub fn handler(&self) -> &dyn Handler {
        self.state().handler()
    }
}

/// The handler of a heap that was given none: all defaults.
#[derive(Clone, Copy, Debug, Default)]
pub struct DefaultHandler;

impl Handler for DefaultHandler {}

impl<H: Handler + Sync + ?Sized> Handler for &'static H {
    fn soft_limit(&self, heap: &Heap, event: &SoftLimitEvent) {
        (**self).soft_limit(heap, event);
    }
    fn out_of_memory(&self, heap: &Heap, error: &AllocError, at: Site<'_>) -> Recovery {
        (**self).out_of_memory(heap, error, at)
    }
    fn fault(&self, heap: &Heap, fault: &Fault, at: Site<'_>) {
        (**self).fault(heap, fault, at);
    }
    fn report(&self, heap: &Heap, report: &Report<'_>) {
        (**self).report(heap, report);
    }
    fn leaks(&self, heap: &Heap, leaks: &Leaks<'_>) {
        (**self).leaks(heap, leaks);
    }
}

/// Writes `error` to standard error as the original writes its fatal errors, and ends the process with status 255.
pub(crate) fn fatal(error: &dyn fmt::Display, at: Site<'_>) -> ! {
    let (file, line) = (at.file(), at.line());
    say(&format_args!("\nFatal error: {error} at {file}:{line}"));
    sys::exit(255)
}

/// Standard error, written to without allocating. Never answers an error.
pub(super) struct Stderr;

impl Write for Stderr {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        sys::write_stderr(text.as_bytes());
        Ok(())
    }
}

/// Writes a line to standard error, without allocating.
pub(crate) fn say(message: &dyn fmt::Display) {
    // `Stderr` never answers an error.
    let _ = writeln!(Stderr, "{message}");
}
