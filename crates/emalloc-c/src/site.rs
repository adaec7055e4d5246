//! Owns the place of a call as C tells it, and the making of the two forms that each function has: `_at` with a file and
//! a line, `_rel` with those of the place that relayed the call, too.

use core::ffi::{c_char, c_uint};
use core::ptr;

use emalloc::heap::Site;

/// `emalloc_site`
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct EmallocSite {
    /// The file that reports name; null if nobody knows.
    pub file: *const c_char,
    /// Where the call really is, if it was relayed; else null.
    pub orig_file: *const c_char,
    /// The line in `file`.
    pub line: c_uint,
    /// The line in `orig_file`.
    pub orig_line: c_uint,
}

impl EmallocSite {
    /// Nobody knows.
    pub const NONE: Self = Self {
        file: ptr::null(),
        orig_file: ptr::null(),
        line: 0,
        orig_line: 0,
    };
}

impl From<Site<'_>> for EmallocSite {
    fn from(site: Site<'_>) -> Self {
        let origin = site.origin();
        Self {
            file: site.c_file(),
            line: site.line(),
            orig_file: origin.map_or(ptr::null(), |origin| origin.c_file()),
            orig_line: origin.map_or(0, |origin| origin.line()),
        }
    }
}

/// Defines both forms of a function. The body is told the place as a [`Site`] called `at`.
macro_rules! sited {
    ($(
        $(#[$about:meta])*
        fn $at:ident, $rel:ident ($($name:ident: $kind:ty),*) $(-> $answer:ty)? = |$site:ident| $body:expr;
    )*) => {$(
        $(#[$about])*
        ///
        /// # Safety
        /// As the header says: pointers are what their names say, and files are strings that stay, or null.
        #[unsafe(no_mangle)]
        pub unsafe extern "C" fn $at($($name: $kind,)* file: *const c_char, line: c_uint) $(-> $answer)? {
            // SAFETY: the caller's promise.
            let $site = unsafe { Site::from_c(file, line) };
            $body
        }

        $(#[$about])*
        /// A call that was relayed.
        ///
        /// # Safety
        /// As the header says: pointers are what their names say, and files are strings that stay, or null.
        #[unsafe(no_mangle)]
        pub unsafe extern "C" fn $rel(
            $($name: $kind,)*
            file: *const c_char,
            line: c_uint,
            orig_file: *const c_char,
            orig_line: c_uint,
        ) $(-> $answer)? {
            // SAFETY: the caller's promise.
            let (at, origin) = unsafe { (Site::from_c(file, line), Site::from_c(orig_file, orig_line)) };
            let relayed = Relayed { at, origin };
            let $site = Site::from(&relayed);
            $body
        }
    )*};
}

pub(crate) use sited;
