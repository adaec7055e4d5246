//! Owns what happens when a request cannot be served: PHP is told through its hook, with the original's text, and either
//! jumps away, takes a null, or gets its memory beyond the limit because it is about to end the script anyway.
//!
//! The hook may `longjmp`. So the heap is whole and nothing is borrowed when it is called, and no frame from here up to
//! PHP's has anything to drop.

use core::cell::Cell;
use core::ffi::{c_char, c_int, c_void};
use core::fmt::{self, Write};
use core::ptr::{self, NonNull};

use emalloc::heap::{AllocError, Fault, Heap, Limit};
use emalloc::interface::sum;
use emalloc::storage::StorageError;
use emalloc::sys;

use crate::current;
use crate::record::{NO_LIMIT, Record};
use crate::takeover;

/// What was refused, for the hook. (`struct emalloc_php_refusal`)
#[repr(C)]
#[derive(Debug)]
pub struct Refusal {
    /// The original's text, with a NUL behind. It lives as long as the call.
    pub text: *const c_char,
    /// One of the numbers of [`Kind`].
    pub kind: c_int,
    /// The caller takes a null for an answer (PHP 8.2.36's `femalloc` and its like).
    pub fallible: bool,
}

/// Why a request was refused. (`EMALLOC_PHP_LIMIT` and so on)
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i32)]
pub enum Kind {
    /// The memory limit stands in the way.
    Limit = 1,
    /// So does the hard limit, up to which memory was handed out beyond the memory limit.
    HardLimit = 2,
    /// The system has no more.
    Memory = 3,
    /// The size is more than an address can count.
    Overflow = 4,
}

/// The hook's answer that the request gets its memory beyond the limit, up to the hard one. (`EMALLOC_PHP_BEYOND`)
/// Any other answer is a null for the caller.
pub const BEYOND: c_int = 1;

/// PHP's side of a refusal. It may jump out.
pub type Hook = unsafe extern "C" fn(&Refusal) -> c_int;

struct State {
    hook: Cell<Option<Hook>>,
    reporting: Cell<bool>,
}

// SAFETY: PHP without threads uses its allocator on one thread only, as it does the original.
unsafe impl Sync for State {}

static STATE: State = State {
    hook: Cell::new(None),
    reporting: Cell::new(false),
};

/// Registers PHP's side of refusals; null takes it out.
#[cfg_attr(feature = "exports", unsafe(no_mangle))]
pub extern "C" fn emalloc_php_set_hook(hook: Option<Hook>) {
    STATE.hook.set(hook);
}

/// Says whether PHP is reporting that the limit was reached. Meanwhile no limit is enforced.
#[cfg_attr(feature = "exports", unsafe(no_mangle))]
pub extern "C" fn emalloc_php_set_reporting(reporting: bool) {
    STATE.reporting.set(reporting);
}

/// Whether PHP is reporting that the limit was reached.
#[cfg_attr(feature = "exports", unsafe(no_mangle))]
pub extern "C" fn zend_alloc_in_memory_limit_error_reporting() -> bool {
    STATE.reporting.get()
}

/// What is asked of a heap.
#[derive(Clone, Copy)]
pub enum Request {
    /// A block of so many bytes.
    Allocate(usize),
    /// A block to hold so many bytes.
    Resize(NonNull<u8>, usize),
}

impl Request {
    fn size(self) -> usize {
        match self {
            Self::Allocate(size) | Self::Resize(_, size) => size,
        }
    }

    fn ask(self, heap: &Heap) -> Result<NonNull<u8>, AllocError> {
        match self {
            Self::Allocate(size) => heap.try_allocate(size),
            // SAFETY: PHP vouches for its block; a refusal has left it as it was.
            Self::Resize(block, size) => unsafe { heap.try_resize(block, size) },
        }
    }
}

/// Answers a request that `heap`, which is the one of `record`, has refused because of `error`.
#[cold]
#[inline(never)]
pub fn refused(record: &Record, heap: &Heap, request: Request, error: AllocError) -> *mut c_void {
    match error {
        AllocError::Limit { .. } => at_limit(record, heap, request, error),
        AllocError::BadPointer(fault) => match request {
            Request::Resize(block, size) if takeover::is_others(block) => {
                takeover::copy_others(block, size)
            }
            _ => corrupted(&fault),
        },
        error => {
            let why = Why::new(heap, error);
            null_after(why.kind, record.fallible(), &why)
        }
    }
}

/// The system's page, as the original's texts name it.
const PAGE: usize = 4096;

/// Why a heap has refused a request, as the original sees it. Displays in its words.
#[derive(Clone, Copy, Debug)]
pub struct Why {
    /// Which of its reasons that is.
    pub kind: Kind,
    error: AllocError,
}

impl Why {
    /// The reason for `error`.
    pub fn new(heap: &Heap, error: AllocError) -> Self {
        let (kind, error) = match error {
            AllocError::Limit { .. } => (Kind::Limit, error),
            // The original rounds up to pages; what no address can count then is an overflow, all below is beyond the limit.
            AllocError::TooLarge { size, .. } if size > usize::MAX - PAGE + 1 => {
                (Kind::Overflow, error)
            }
            AllocError::TooLarge { size, .. } => {
                let limit = match heap.limit() {
                    Limit::Bytes(limit) => limit.min(NO_LIMIT),
                    Limit::Unlimited => NO_LIMIT,
                };
                let error = AllocError::Limit {
                    limit,
                    held: heap.real_usage(),
                    requested: size,
                };
                (Kind::Limit, error)
            }
            error => (Kind::Memory, error),
        };
        Self { kind, error }
    }

    /// The reason why `size` bytes are refused though no limit is in the way any more.
    pub fn out_of_memory(heap: &Heap, size: usize) -> Self {
        let error = AllocError::Storage {
            cause: StorageError::Exhausted { requested: size },
            held: heap.real_usage(),
            requested: size,
        };
        let kind = Kind::Memory;
        Self { kind, error }
    }

    /// The limit in the way; 0 where it is another reason.
    pub fn limit(&self) -> usize {
        match self.error {
            AllocError::Limit { limit, .. } => limit,
            _ => 0,
        }
    }
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.error.fmt(f)
    }
}

/// The limit stands in the way: PHP decides, or is reporting it already and gets what it needs for that.
fn at_limit(record: &Record, heap: &Heap, request: Request, error: AllocError) -> *mut c_void {
    let beyond = if STATE.reporting.get() {
        Limit::Unlimited
    } else {
        match tell(Kind::Limit, record.fallible(), &error) {
            BEYOND => Limit::Bytes(record.hard_limit()),
            _ => return ptr::null_mut(),
        }
    };
    let error = match heap.with_limit(beyond, |heap| request.ask(heap)) {
        Ok(block) => return block.as_ptr().cast(),
        Err(error) => error,
    };
    let AllocError::Limit { limit, .. } = error else {
        return null_after(Kind::Memory, record.fallible(), &error);
    };
    let size = request.size();
    null_after(
        Kind::HardLimit,
        record.fallible(),
        &format_args!(
            "Hard memory limit of {limit} bytes exhausted (tried to allocate {size} bytes)"
        ),
    )
}

/// Tells PHP, and answers null if it wants that.
fn null_after(kind: Kind, fallible: bool, text: &dyn fmt::Display) -> *mut c_void {
    tell(kind, fallible, text);
    ptr::null_mut()
}

/// Tells PHP of a refusal, which may not return.
#[cold]
pub fn tell(kind: Kind, fallible: bool, text: &dyn fmt::Display) -> c_int {
    let Some(hook) = STATE.hook.get() else {
        say(&format_args!("\nFatal error: {text}"));
        sys::exit(255)
    };
    let buffer = Text::new(text);
    let refusal = Refusal {
        text: buffer.as_ptr(),
        kind: kind as c_int,
        fallible,
    };
    // SAFETY: the hook is PHP's side of this; nothing here is to be dropped if it jumps away.
    unsafe { hook(&refusal) }
}

/// A text in place, with a NUL behind.
pub struct Text([u8; 256], usize);

impl Text {
    /// The text of something. What does not fit is left out; none of ours is that long.
    pub fn new(text: &dyn fmt::Display) -> Self {
        let mut written = Self([0; 256], 0);
        // Writing to it never fails.
        let _ = write!(written, "{text}");
        written
    }

    /// As C has it, as long as this is there.
    pub fn as_ptr(&self) -> *const c_char {
        self.0.as_ptr().cast()
    }
}

impl Write for Text {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let room = self.0.len() - 1 - self.1;
        let bytes = text.len().min(room);
        self.0[self.1..self.1 + bytes].copy_from_slice(&text.as_bytes()[..bytes]);
        self.1 += bytes;
        Ok(())
    }
}

/// The heap's structure is broken, or a pointer is wrong: ends the process as the original does.
#[cold]
pub fn corrupted(fault: &Fault) -> ! {
    say(fault);
    sys::abort()
}

/// Standard error, written to without allocating.
struct Stderr;

impl Write for Stderr {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        sys::write_stderr(text.as_bytes());
        Ok(())
    }
}

/// Writes a line to standard error.
#[cold]
pub fn say(text: &dyn fmt::Display) {
    // `Stderr` never answers an error.
    let _ = writeln!(Stderr, "{text}");
}

/// `count * size + offset`, unless that is an overflow: then PHP is told, and if it returns, the caller has nothing to
/// answer but null.
#[inline(always)]
pub fn address(count: usize, size: usize, offset: usize) -> Option<usize> {
    sum(count, size, offset).inspect_err(overflow).ok()
}

/// `length + 1`, likewise.
#[inline(always)]
pub fn length_and_one(length: usize) -> Option<usize> {
    address(1, length, 1)
}

#[cold]
fn overflow(error: &AllocError) {
    tell(Kind::Overflow, current::started().fallible(), error);
}
