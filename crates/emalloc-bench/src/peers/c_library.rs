//! emalloc through its C library, as a C program uses it: calls into a shared library that carry file and line. In the
//! setting *recommended*. It lies beside this program.

use std::alloc::Layout;
use std::ffi::{c_char, c_int, c_uint, c_void};
use std::ptr;

use anyhow::{Result, ensure};
use libloading::os::unix::{Library, RTLD_LOCAL, RTLD_NOW};

use crate::allocator::{Blocks, Peer};

/// `emalloc_heap_options`
#[repr(C)]
struct Options {
    size: usize,
    storage: [*const c_void; 3],
    segment_size: usize,
    numbers: [usize; 5],
    warm: c_int,
    checked: c_int,
}

type Start = unsafe extern "C" fn(*const Options, *mut c_void) -> *mut c_void;
type Alloc = unsafe extern "C" fn(*mut c_void, usize, *const c_char, c_uint) -> *mut c_void;
type Free = unsafe extern "C" fn(*mut c_void, *mut c_void, *const c_char, c_uint);
type FreeSize = unsafe extern "C" fn(*mut c_void, *mut c_void, usize, *const c_char, c_uint);
type Realloc =
    unsafe extern "C" fn(*mut c_void, *mut c_void, usize, *const c_char, c_uint) -> *mut c_void;
type Shutdown = unsafe extern "C" fn(*mut c_void, c_int, c_int);

#[derive(Clone, Copy)]
struct Functions {
    start: Start,
    alloc: Alloc,
    free: Free,
    free_size: FreeSize,
    realloc: Realloc,
    shutdown: Shutdown,
}

/// The peer.
pub struct CLibrary {
    functions: Functions,
    /// Keeps the functions mapped.
    _library: Library,
}

impl CLibrary {
    /// Opens the library.
    ///
    /// # Errors
    /// It is not there.
    pub fn open() -> Result<Self> {
        let path = std::env::current_exe()?.with_file_name("libemalloc_c.so");
        ensure!(
            path.exists(),
            "not built (scripts/bench.sh builds {})",
            path.display()
        );
        // SAFETY: loading it runs nothing.
        let library = unsafe { Library::open(Some(&path), RTLD_NOW | RTLD_LOCAL) }?;
        // SAFETY: the types are those of emalloc.h.
        let functions = unsafe {
            Functions {
                start: *library.get::<Start>(b"emalloc_heap_start\0")?,
                alloc: *library.get::<Alloc>(b"emalloc_heap_alloc_at\0")?,
                free: *library.get::<Free>(b"emalloc_heap_free_at\0")?,
                free_size: *library.get::<FreeSize>(b"emalloc_heap_free_size_at\0")?,
                realloc: *library.get::<Realloc>(b"emalloc_heap_realloc_at\0")?,
                shutdown: *library.get::<Shutdown>(b"emalloc_heap_shutdown\0")?,
            }
        };
        Ok(Self {
            functions,
            _library: library,
        })
    }
}

/// A heap of the C library.
pub struct CHeap {
    heap: *mut c_void,
    functions: Functions,
}

impl Peer for CLibrary {
    type Heap = CHeap;

    fn create(&self) -> CHeap {
        let options = Options {
            size: size_of::<Options>(),
            storage: [ptr::null(); 3],
            segment_size: 2 << 20,
            numbers: [0; 5],
            warm: 1,
            checked: 0,
        };
        // SAFETY: the options are as large as they say, and nobody wants to know of an error.
        let heap = unsafe { (self.functions.start)(&options, ptr::null_mut()) };
        CHeap {
            heap,
            functions: self.functions,
        }
    }
}

/// The place of a call, as a C compiler would hand it on.
const FILE: *const c_char = c"c_library.rs".as_ptr();
const LINE: c_uint = line!();

impl Blocks for CHeap {
    const BULK: bool = true;

    #[inline(always)]
    fn allocate(&mut self, size: usize) -> *mut u8 {
        // SAFETY: the heap is alive.
        unsafe { (self.functions.alloc)(self.heap, size, FILE, LINE).cast() }
    }

    #[inline(always)]
    unsafe fn free(&mut self, block: *mut u8) {
        // SAFETY: the heap is alive, and the caller's promise.
        unsafe { (self.functions.free)(self.heap, block.cast(), FILE, LINE) };
    }

    #[inline(always)]
    unsafe fn free_sized(&mut self, block: *mut u8, layout: Layout) {
        // SAFETY: the heap is alive, and the caller's promise.
        unsafe { (self.functions.free_size)(self.heap, block.cast(), layout.size(), FILE, LINE) };
    }

    #[inline(always)]
    unsafe fn resize(&mut self, block: *mut u8, size: usize) -> *mut u8 {
        // SAFETY: the heap is alive, and the caller's promise.
        unsafe { (self.functions.realloc)(self.heap, block.cast(), size, FILE, LINE).cast() }
    }

    fn end_request(&mut self) {
        // SAFETY: the heap is alive, and stays so: this is not full.
        unsafe { (self.functions.shutdown)(self.heap, 0, 1) };
    }
}

impl Drop for CHeap {
    fn drop(&mut self) {
        // SAFETY: the heap is alive, and used no more.
        unsafe { (self.functions.shutdown)(self.heap, 1, 1) };
    }
}
