//! Owns [`Site`]: the place in the program that called a heap. Handlers, observers and
//! reports are told of it; a fast path only carries it to the slow one.

use core::cmp::Ordering;
use core::ffi::{CStr, c_char};
use core::fmt::{self, Write};
use core::marker::PhantomData;
use core::panic::Location;
use core::ptr;

/// A place in the program: a file and a line. Two words, and `Copy`.
///
/// In Rust it is a [`Location`], in C what the macros `__FILE__` and `__LINE__` say, in an interpreter the script's
/// [file and line](Self::new). A call that was made on behalf of another can name that one as its [origin](Self::origin).
///
/// ```
/// use emalloc::heap::Site;
/// let here = Site::here();
/// assert_eq!(here.file(), file!());
/// assert!(here.to_string().starts_with(&format!("{}:{}", file!(), here.line())));
/// ```
// A pointer and a number rather than an enum: a pair of words is handed on in registers, so that a fast path does
// nothing for it.
#[derive(Clone, Copy)]
pub struct Site<'a> {
    /// A [`Location`], a [`Relayed`] or a C string (null if nobody knows the file), as `line` says.
    place: *const (),
    /// A line in C, or what else it is.
    line: u32,
    relayed: PhantomData<&'a Relayed>,
}

/// In place of a line: the place is a [`Location`]. Compilers count no further than half as far.
const RUST: u32 = u32::MAX;

/// In place of a line: the place is a [`Relayed`].
const RELAYED: u32 = u32::MAX - 1;

#[derive(Clone, Copy)]
enum Place<'a> {
    Rust(&'static Location<'static>),
    C(*const c_char, u32),
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
///     let relayed = Relayed { at: Site::here(), origin: Site::new(c"a.c", 7) };
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
    /// A place that nobody knows.
    // SAFETY: null is no file.
    pub const UNKNOWN: Self = unsafe { Self::from_c(ptr::null(), 0) };

    /// The place of the caller.
    #[inline(always)]
    #[track_caller]
    pub fn here() -> Self {
        Self::from(Location::caller())
    }

    /// A place in a file that is none of the program's own: the script that an interpreter runs. Lines count up to
    /// 2,147,483,647.
    ///
    /// ```
    /// # use emalloc::heap::{Debug, Heap, LeakFormat, Site};
    /// let heap = Heap::builder().debug(Debug::new().leaks(LeakFormat::Silent)).build()?;
    /// heap.allocate_at(100, Site::new(c"hello.script", 42));
    /// heap.leaks(&mut |leaks| leaks.for_each(&mut |leak| assert_eq!(leak.at.to_string(), "hello.script:42")));
    /// # Ok::<(), emalloc::heap::HeapError>(())
    /// ```
    #[inline(always)]
    pub const fn new(file: &'static CStr, line: u32) -> Self {
        // SAFETY: it ends with NUL, and stays.
        unsafe { Self::from_c(file.as_ptr(), line) }
    }

    /// A place in a C program. Null stands for a file that nobody knows.
    ///
    /// # Safety
    /// `file` is null or a string that ends with NUL and neither changes nor goes away, as `__FILE__` is.
    #[inline(always)]
    pub const unsafe fn from_c(file: *const c_char, line: u32) -> Self {
        Self {
            place: file.cast(),
            line: line & (u32::MAX >> 1),
            relayed: PhantomData,
        }
    }
}

impl<'a> Site<'a> {
    /// The place itself, and the one on whose behalf the call was made.
    pub(super) fn parts(self) -> (Site<'static>, Option<Site<'static>>) {
        match self.place() {
            Place::Rust(location) => (Site::from(location), None),
            // SAFETY: it is what a site held.
            Place::C(file, line) => (unsafe { Site::from_c(file, line) }, None),
            Place::Relayed(relayed) => (relayed.at, Some(relayed.origin)),
        }
    }

    fn place(&self) -> Place<'a> {
        match self.line {
            // SAFETY: only `from` sets that line, with a location, which stays.
            RUST => Place::Rust(unsafe { &*self.place.cast() }),
            // SAFETY: only `from` sets that line, with a relayed site, borrowed for `'a`.
            RELAYED => Place::Relayed(unsafe { &*self.place.cast() }),
            line => Place::C(self.place.cast(), line),
        }
    }

    /// The file, as bytes: the names of C files need not be UTF-8. Empty if nobody knows.
    pub fn file_bytes(&self) -> &'static [u8] {
        match self.place() {
            Place::Rust(location) => location.file().as_bytes(),
            Place::C(file, _) if file.is_null() => b"",
            // SAFETY: whoever made the site vouched for the string.
            Place::C(file, _) => unsafe { CStr::from_ptr(file) }.to_bytes(),
            Place::Relayed(relayed) => relayed.at.file_bytes(),
        }
    }

    /// The file, as far as it is UTF-8.
    pub fn file(&self) -> &'static str {
        let chunk = self.file_bytes().utf8_chunks().next();
        chunk.map_or("", |chunk| chunk.valid())
    }

    /// The file as C has it, with its NUL; null if the place is one in Rust, or nobody knows.
    pub fn c_file(&self) -> *const c_char {
        match self.place() {
            Place::Rust(_) => ptr::null(),
            Place::C(file, _) => file,
            Place::Relayed(relayed) => relayed.at.c_file(),
        }
    }

    /// The line.
    pub fn line(&self) -> u32 {
        match self.place() {
            Place::Rust(location) => location.line(),
            Place::C(_, line) => line,
            Place::Relayed(relayed) => relayed.at.line(),
        }
    }

    /// The place on whose behalf the call was made, if it was relayed.
    pub fn origin(&self) -> Option<Site<'static>> {
        match self.place() {
            Place::Relayed(relayed) if !relayed.origin.is_unknown() => Some(relayed.origin),
            _ => None,
        }
    }

    /// Whether nobody knows the place.
    pub fn is_unknown(&self) -> bool {
        matches!(self.place(), Place::C(file, 0) if file.is_null())
    }

    /// The site by value, to be kept.
    pub(super) fn keep(self) -> Relayed {
        let (at, origin) = self.parts();
        let origin = origin.unwrap_or(Site::UNKNOWN);
        Relayed { at, origin }
    }

    /// Whether two sites are the same file and line; their origins may differ.
    pub fn is_same_line(&self, other: &Site<'_>) -> bool {
        self.compare(other).is_eq()
    }

    /// By file and line; their origins may differ.
    pub fn compare(&self, other: &Site<'_>) -> Ordering {
        if self.place == other.place && self.line == other.line {
            return Ordering::Equal;
        }
        let files = self.file_bytes().cmp(other.file_bytes());
        files.then_with(|| self.line().cmp(&other.line()))
    }
}

impl Relayed {
    /// Nobody knows.
    pub(super) const UNKNOWN: Self = Self {
        at: Site::UNKNOWN,
        origin: Site::UNKNOWN,
    };

    /// The site that was kept.
    pub(super) fn view(&self) -> Site<'_> {
        if self.origin.is_unknown() {
            self.at
        } else {
            self.into()
        }
    }

    /// It as numbers, for a hash.
    pub(super) fn words(&self) -> [usize; 4] {
        let (at, origin) = (self.at, self.origin);
        [
            at.place.addr(),
            at.line as usize,
            origin.place.addr(),
            origin.line as usize,
        ]
    }
}

impl From<&'static Location<'static>> for Site<'static> {
    #[inline(always)]
    fn from(location: &'static Location<'static>) -> Self {
        Self {
            place: ptr::from_ref(location).cast(),
            line: RUST,
            relayed: PhantomData,
        }
    }
}

impl<'a> From<&'a Relayed> for Site<'a> {
    #[inline(always)]
    fn from(relayed: &'a Relayed) -> Self {
        Self {
            place: ptr::from_ref(relayed).cast(),
            line: RELAYED,
            relayed: PhantomData,
        }
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
        if let Place::Rust(location) = self.place() {
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
