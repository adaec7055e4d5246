//! The original: PHP's memory manager, out of the embedding library that Debian's `libphp8.2-embed` installs, opened at
//! run time. A request ends as PHP ends one: `zend_mm_shutdown`, not full, which keeps some chunks.

use std::ffi::{CStr, OsStr, c_void};
use std::fs;
use std::mem::MaybeUninit;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use libloading::os::unix::{Library, RTLD_LOCAL, RTLD_NOW};

use crate::allocator::{Blocks, Peer};

/// Where Debian puts it, and the name without a version.
const NAMES: [&str; 2] = ["libphp8.2.so", "libphp.so"];

type Startup = unsafe extern "C" fn() -> *mut c_void;
type Alloc = unsafe extern "C" fn(*mut c_void, usize) -> *mut c_void;
type Free = unsafe extern "C" fn(*mut c_void, *mut c_void);
type Realloc = unsafe extern "C" fn(*mut c_void, *mut c_void, usize) -> *mut c_void;
type Shutdown = unsafe extern "C" fn(*mut c_void, bool, bool);

/// The functions of a build without debug mode and thread safety, which is what Debian ships.
#[derive(Clone, Copy)]
struct Functions {
    startup: Startup,
    alloc: Alloc,
    free: Free,
    realloc: Realloc,
    shutdown: Shutdown,
}

/// The peer.
pub struct Zend {
    functions: Functions,
    version: String,
    /// Keeps the functions mapped.
    _library: Library,
}

impl Zend {
    /// Opens the library.
    ///
    /// # Errors
    /// Why it cannot be had.
    pub fn open() -> Result<Self, libloading::Error> {
        let mut result = Self::open_named(NAMES[0]);
        for name in &NAMES[1..] {
            result = result.or_else(|_| Self::open_named(name));
        }
        result
    }

    fn open_named(name: &str) -> Result<Self, libloading::Error> {
        // SAFETY: loading PHP runs nothing but the constructors of it and its libraries, which every program that
        // embeds PHP runs, too.
        let library = unsafe { Library::open(Some(name), RTLD_NOW | RTLD_LOCAL)? };
        // SAFETY: the types are those of PHP 8's headers for such a build.
        let functions = unsafe {
            Functions {
                startup: *library.get::<Startup>(b"zend_mm_startup\0")?,
                alloc: *library.get::<Alloc>(b"_zend_mm_alloc\0")?,
                free: *library.get::<Free>(b"_zend_mm_free\0")?,
                realloc: *library.get::<Realloc>(b"_zend_mm_realloc\0")?,
                shutdown: *library.get::<Shutdown>(b"zend_mm_shutdown\0")?,
            }
        };
        let version = version(functions.startup as *const c_void);
        Ok(Self {
            functions,
            version,
            _library: library,
        })
    }

    /// PHP's version.
    pub fn version(&self) -> String {
        self.version.clone()
    }
}

/// A heap of the original. It has no limit unless one is set.
pub struct ZendHeap {
    heap: *mut c_void,
    functions: Functions,
}

impl Peer for Zend {
    type Heap = ZendHeap;

    fn create(&self) -> ZendHeap {
        // SAFETY: it may be called at any time, any number of times.
        let heap = unsafe { (self.functions.startup)() };
        assert!(!heap.is_null(), "there is memory for a chunk");
        ZendHeap {
            heap,
            functions: self.functions,
        }
    }
}

impl Blocks for ZendHeap {
    const BULK: bool = true;

    #[inline(always)]
    fn allocate(&mut self, size: usize) -> *mut u8 {
        // SAFETY: the heap is alive.
        unsafe { (self.functions.alloc)(self.heap, size).cast() }
    }

    #[inline(always)]
    unsafe fn free(&mut self, block: *mut u8) {
        // SAFETY: the heap is alive, and the caller's promise.
        unsafe { (self.functions.free)(self.heap, block.cast()) };
    }

    #[inline(always)]
    unsafe fn resize(&mut self, block: *mut u8, size: usize) -> *mut u8 {
        // SAFETY: the heap is alive, and the caller's promise.
        unsafe { (self.functions.realloc)(self.heap, block.cast(), size).cast() }
    }

    fn end_request(&mut self) {
        // SAFETY: the heap is alive, and stays so: this is not full.
        unsafe { (self.functions.shutdown)(self.heap, false, true) };
    }
}

impl Drop for ZendHeap {
    fn drop(&mut self) {
        // SAFETY: the heap is alive, and used no more.
        unsafe { (self.functions.shutdown)(self.heap, true, true) };
    }
}

/// PHP's version, as the header that it answers to browsers says. No function tells it before PHP is started.
fn version(function: *const c_void) -> String {
    const BEFORE: &[u8] = b"X-Powered-By: PHP/";
    let text = || {
        let file = fs::read(file_of(function)?).ok()?;
        let start = memchr::memmem::find(&file, BEFORE)? + BEFORE.len();
        let text = file[start..].split(|&byte| byte == 0).next()?;
        Some(format!("PHP {}", String::from_utf8_lossy(text)))
    };
    text().unwrap_or_default()
}

/// The file that a function was loaded from.
fn file_of(function: *const c_void) -> Option<PathBuf> {
    let mut info = MaybeUninit::<libc::Dl_info>::zeroed();
    // SAFETY: any address may be asked for.
    let known = unsafe { libc::dladdr(function, info.as_mut_ptr()) };
    if known == 0 {
        return None;
    }
    // SAFETY: it was filled in, with a name that lives as long as the library.
    let name = unsafe { CStr::from_ptr(info.assume_init().dli_fname) };
    Some(OsStr::from_bytes(name.to_bytes()).into())
}
