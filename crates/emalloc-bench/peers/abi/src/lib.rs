//! What a plug-in of the bench offers: the functions of one allocator written in C or C++, as they are, so that a call from
//! the bench costs what a call through a C library costs.
//!
//! Each plug-in is a dynamic library of its own. So two versions of one allocator can be loaded side by side, and a
//! process that measures memory loads only the one it measures.

use std::ffi::c_void;

/// The number of this layout.
pub const LAYOUT: u32 = 1;

/// The name under which a plug-in exports its [`Table`], with the terminating zero.
pub const SYMBOL: &[u8] = b"emalloc_bench_peer\0";

/// Functions that allocate from the whole process.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct Plain {
    /// `malloc`
    pub malloc: unsafe extern "C" fn(usize) -> *mut c_void,
    /// `free`
    pub free: unsafe extern "C" fn(*mut c_void),
    /// `realloc`
    pub realloc: unsafe extern "C" fn(*mut c_void, usize) -> *mut c_void,
}

/// Functions that allocate from a heap which can be destroyed with all that is in it.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct Heaps {
    /// Makes a heap.
    pub create: unsafe extern "C" fn() -> *mut c_void,
    /// Ends a heap, and every block of it.
    pub destroy: unsafe extern "C" fn(*mut c_void),
    /// A block of a heap.
    pub malloc: unsafe extern "C" fn(*mut c_void, usize) -> *mut c_void,
    /// Frees a block of any heap.
    pub free: unsafe extern "C" fn(*mut c_void),
    /// Resizes a block of a heap.
    pub realloc: unsafe extern "C" fn(*mut c_void, *mut c_void, usize) -> *mut c_void,
}

/// What a plug-in exports.
#[repr(C)]
pub struct Table {
    /// [`LAYOUT`].
    pub layout: u32,
    /// The allocator's version: hundreds of hundreds for the major number, hundreds for the minor one; 0 if it tells none.
    pub version: extern "C" fn() -> u32,
    /// Allocation from the process.
    pub plain: Plain,
    /// Allocation from heaps, if there is that.
    pub heaps: Option<&'static Heaps>,
}

/// Makes a plug-in of whichever mimalloc is linked: plain, and its first-class heaps.
#[macro_export]
macro_rules! mimalloc {
    () => {
        use std::ffi::{c_int, c_void};

        unsafe extern "C" {
            fn mi_version() -> c_int;
            fn mi_malloc(size: usize) -> *mut c_void;
            fn mi_free(block: *mut c_void);
            fn mi_realloc(block: *mut c_void, size: usize) -> *mut c_void;
            fn mi_heap_new() -> *mut c_void;
            fn mi_heap_destroy(heap: *mut c_void);
            fn mi_heap_malloc(heap: *mut c_void, size: usize) -> *mut c_void;
            fn mi_heap_realloc(heap: *mut c_void, block: *mut c_void, size: usize) -> *mut c_void;
        }

        static HEAPS: $crate::Heaps = $crate::Heaps {
            create: mi_heap_new,
            destroy: mi_heap_destroy,
            malloc: mi_heap_malloc,
            free: mi_free,
            realloc: mi_heap_realloc,
        };

        extern "C" fn version() -> u32 {
            // SAFETY: it may be called at any time.
            unsafe { mi_version() as u32 }
        }

        /// What the bench looks for.
        // SAFETY: nothing else in the plug-in has this name.
        #[unsafe(no_mangle)]
        pub static emalloc_bench_peer: $crate::Table = $crate::Table {
            layout: $crate::LAYOUT,
            version,
            plain: $crate::Plain {
                malloc: mi_malloc,
                free: mi_free,
                realloc: mi_realloc,
            },
            heaps: Some(&HEAPS),
        };
    };
}
