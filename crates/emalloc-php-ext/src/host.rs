//! Owns what crosses the border to C: what the glue does for us ([`Host`]),
//! where PHP is ([`Frame`]), and PHP arrays to be made ([`Output`]).

use core::ffi::{c_char, c_int, c_void};
use core::ptr;
use core::slice;
use std::borrow::Cow;
use std::string::String;

/// Bytes that C lends for the time of a call.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct Text {
    /// The first byte; may be null if there are none.
    pub start: *const u8,
    /// How many.
    pub length: usize,
}

impl Text {
    /// No bytes.
    pub const EMPTY: Self = Self {
        start: ptr::null(),
        length: 0,
    };

    /// The bytes of `text`.
    pub fn new(text: &str) -> Self {
        Self {
            start: text.as_ptr(),
            length: text.len(),
        }
    }

    /// The bytes that are there.
    ///
    /// # Safety
    /// They are, and nobody changes them while the answer is used.
    pub unsafe fn bytes<'a>(self) -> &'a [u8] {
        match self.length {
            0 => &[],
            // SAFETY: the caller's promise.
            length => unsafe { slice::from_raw_parts(self.start, length) },
        }
    }

    /// What is there, as text; what is not UTF-8 is replaced.
    ///
    /// # Safety
    /// As for [`bytes`](Self::bytes).
    pub unsafe fn read<'a>(self) -> Cow<'a, str> {
        // SAFETY: the caller's promise.
        String::from_utf8_lossy(unsafe { self.bytes() })
    }
}

/// One of PHP's strings, lent for the time of a call.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct Name {
    /// Its bytes.
    pub text: Text,
    /// The hash that PHP keeps with it; 0 for no string.
    pub hash: u64,
}

/// One level of PHP's calls.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct Frame {
    /// The function's name; empty outside of functions.
    pub function: Name,
    /// The class it belongs to, if any.
    pub class: Name,
    /// The script; empty for a function that is PHP's own.
    pub file: Name,
    /// The line that is being run there.
    pub line: u32,
}

impl Frame {
    pub(crate) const EMPTY: Self = {
        let none = Name {
            text: Text::EMPTY,
            hash: 0,
        };
        Self {
            function: none,
            class: none,
            file: none,
            line: 0,
        }
    };
}

/// What the glue does for us. (Fields in the order of `struct emalloc_host`.)
#[derive(Clone, Copy)]
#[repr(C)]
pub struct Host {
    /// PHP's own heap: the first argument of the next four.
    pub heap: *mut c_void,
    /// A block of the original, or of whoever's handlers were there before ours.
    pub allocate: unsafe extern "C" fn(*mut c_void, usize) -> *mut u8,
    /// Frees one.
    pub free: unsafe extern "C" fn(*mut c_void, *mut u8),
    /// Resizes one.
    pub resize: unsafe extern "C" fn(*mut c_void, *mut u8, usize) -> *mut u8,
    /// Bytes one can hold; 0 if that is not known.
    pub size: unsafe extern "C" fn(*mut c_void, *mut u8) -> usize,
    /// Reports a refusal (its [`Kind`](emalloc_php::refusal::Kind), the text, the limit in the way, the size asked for) as
    /// the original does; that may jump out of the allocation. Answers whether to serve the request all the same.
    pub refused: unsafe extern "C" fn(c_int, *const c_char, usize, usize) -> bool,
    /// Says on standard error what was wrong with a pointer, and ends the process.
    pub fault: unsafe extern "C" fn(Text) -> !,
    /// Writes at most so many of PHP's calls, the innermost first; answers how many. The last argument: a block is
    /// being freed, which may be the code of a call.
    pub frames: unsafe extern "C" fn(*mut Frame, usize, bool) -> usize,
    /// Whether PHP has freed its last block of the request that ended.
    pub request_is_over: unsafe extern "C" fn() -> bool,
    /// Makes PHP's own heap forget all blocks, as PHP does itself when nobody has handlers in.
    pub reset_original: unsafe extern "C" fn(),
    /// `memory_limit` as it stands, in bytes.
    pub limit: unsafe extern "C" fn() -> usize,
    /// Writes to standard error.
    pub say: unsafe extern "C" fn(Text),
    /// Usage of PHP's own heap: (real, peak).
    pub original_usage: unsafe extern "C" fn(bool, bool) -> usize,
}

/// A PHP array in the making: the glue's functions, and what they want to be called with.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct Output {
    /// The first argument of the others.
    pub context: *mut c_void,
    /// Begins an array under a key; an empty key appends.
    pub begin: unsafe extern "C" fn(*mut c_void, Text),
    /// Ends it.
    pub end: unsafe extern "C" fn(*mut c_void),
    /// An integer.
    pub integer: unsafe extern "C" fn(*mut c_void, Text, i64),
    /// A float.
    pub real: unsafe extern "C" fn(*mut c_void, Text, f64),
    /// A string.
    pub text: unsafe extern "C" fn(*mut c_void, Text, Text),
    /// A bool.
    pub truth: unsafe extern "C" fn(*mut c_void, Text, c_int),
}

/// Making the array. All of it is safe as long as the glue's functions do what they say.
impl Output {
    /// An array under `key` (appended if that is empty), with what `body` puts in.
    pub fn array(&self, key: &str, body: impl FnOnce(&Self)) {
        // SAFETY: an `Output` comes from the glue, whose functions take its context.
        unsafe { (self.begin)(self.context, Text::new(key)) };
        body(self);
        // SAFETY: as above.
        unsafe { (self.end)(self.context) };
    }

    /// A number.
    pub fn number(&self, key: &str, value: usize) {
        let value = i64::try_from(value).unwrap_or(i64::MAX);
        // SAFETY: as above.
        unsafe { (self.integer)(self.context, Text::new(key), value) };
    }

    /// A float.
    pub fn ratio(&self, key: &str, value: f64) {
        // SAFETY: as above.
        unsafe { (self.real)(self.context, Text::new(key), value) };
    }

    /// A string.
    pub fn string(&self, key: &str, value: &str) {
        // SAFETY: as above.
        unsafe { (self.text)(self.context, Text::new(key), Text::new(value)) };
    }

    /// A bool.
    pub fn flag(&self, key: &str, value: bool) {
        // SAFETY: as above.
        unsafe { (self.truth)(self.context, Text::new(key), value.into()) };
    }
}
