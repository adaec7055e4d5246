//! Owns [`Site`]: the place in the program that called a heap. Handlers, observers and
//! reports are told of it; a fast path only carries it to the slow one.

use core::ffi::{CStr, c_char};
use core::fmt::{self, Write};
use core::panic::Location;
use core::ptr::NonNull;

/// A place in the program: a file and a line. Two words, and `Copy`.
///
/// In Rust it is a [`Location`], in C what the macros `__FILE__` and `__LINE__` say. A call that was made on behalf of
/// another can name that one as its [origin](Self::origin).
///
/// ```
/// use emalloc::heap::Site;
/// let here = Site::here();
/// assert_eq!(here.file(), file!());
/// assert!(here.to_string().starts_with(&format!("{}:{}", file!(), here.line())));
/// ```
#[derive(Clone, Copy)]
pub struct Site<'a>(Place<'a>);

#[derive(Clone, Copy)]
enum Place<'a> {
    Rust(&'static Location<'static>),
    C {
        /// A C string that stays; null if nobody knows.
        file: *const c_char,
        line: u32,
    },
    Relayed(&'a Relayed),
}

/// A call and the place on whose behalf it was made: a helper's line, and that of the helper's caller.
/// (`ZEND_FILE_LINE_RELAY_CC`)
///
/// ```
/// use emalloc::heap::{Heap, Relayed, Site};
///
/// #[track_caller]
/// fn helper(heap: &Heap) {
///     let relayed = Relayed { at: Site::here(), origin: unsafe { Site::from_c(c"a.c".as_ptr(), 7) } };
///     heap.allocate_at(100, Site::from(&relayed));
///     assert_eq!(Site::from(&relayed).origin().unwrap().line(), 7);
/// }
/// helper(&Heap::new()?);
/// # Ok::<(), emalloc::heap::HeapError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Relayed {
    /// The place reported first.
    pub at: Site<'static>,
    /// The place it was relayed from.
    pub origin: Site<'static>,
}

// SAFETY: files and lines are constants of the program, readable by all threads; a relayed site is shared and only read.
unsafe impl Send for Site<'_> {}
// SAFETY: as above.
unsafe impl Sync for Site<'_> {}

impl Site<'static> {
    /// The place of the caller.
    #[inline(always)]
    #[track_caller]
    pub fn here() -> Self {
        Self(Place::Rust(Location::caller()))
    }

    /// A place in a C program. Null stands for a file that nobody knows.
    ///
    /// # Safety
    /// `file` is null or a string that ends with NUL and neither changes nor goes away, as `__FILE__` is.
    #[inline(always)]
    pub const unsafe fn from_c(file: *const c_char, line: u32) -> Self {
        Self(Place::C { file, line })
    }
}

impl<'a> Site<'a> {
    /// The file, as bytes: the names of C files need not be UTF-8. Empty if nobody knows.
    pub fn file_bytes(&self) -> &'static [u8] {
        match self.0 {
            Place::Rust(location) => location.file().as_bytes(),
            Place::C { file, .. } => match NonNull::new(file.cast_mut()) {
                // SAFETY: whoever made the site vouched for the string.
                Some(file) => unsafe { CStr::from_ptr(file.as_ptr()) }.to_bytes(),
                None => b"",
            },
            Place::Relayed(relayed) => relayed.at.file_bytes(),
        }
    }

    /// The file, as far as it is UTF-8.
    pub fn file(&self) -> &'static str {
        let chunk = self.file_bytes().utf8_chunks().next();
        chunk.map_or("", |chunk| chunk.valid())
    }

    /// The line.
    pub fn line(&self) -> u32 {
        match self.0 {
            Place::Rust(location) => location.line(),
            Place::C { line, .. } => line,
            Place::Relayed(relayed) => relayed.at.line(),
        }
    }

    /// The place on whose behalf the call was made, if it was relayed.
    pub fn origin(&self) -> Option<Site<'static>> {
        match self.0 {
            Place::Relayed(relayed) => Some(relayed.origin),
            _ => None,
        }
    }

    /// Whether two sites are the same file and line; their origins may differ.
    pub fn is_same_line(&self, other: &Site<'_>) -> bool {
        self.line() == other.line() && self.file_bytes() == other.file_bytes()
    }
}

impl From<&'static Location<'static>> for Site<'static> {
    #[inline(always)]
    fn from(location: &'static Location<'static>) -> Self {
        Self(Place::Rust(location))
    }
}

impl<'a> From<&'a Relayed> for Site<'a> {
    #[inline(always)]
    fn from(relayed: &'a Relayed) -> Self {
        Self(Place::Relayed(relayed))
    }
}

impl PartialEq for Site<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.is_same_line(other) && self.origin() == other.origin()
    }
}

impl Eq for Site<'_> {}

/// `file:line`, in Rust with the column; what is not UTF-8 is shown as U+FFFD.
impl fmt::Display for Site<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Place::Rust(location) = self.0 {
            return location.fmt(f);
        }
        for chunk in self.file_bytes().utf8_chunks() {
            f.write_str(chunk.valid())?;
            if !chunk.invalid().is_empty() {
                f.write_char(char::REPLACEMENT_CHARACTER)?;
            }
        }
        write!(f, ":{}", self.line())
    }
}

impl fmt::Debug for Site<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")?;
        match self.origin() {
            Some(origin) => write!(f, " (relayed from {origin})"),
            None => Ok(()),
        }
    }
}

// So that a slow path gets it in registers.
const _: () = assert!(size_of::<Site<'_>>() <= 16);
