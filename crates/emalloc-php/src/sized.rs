//! Owns the functions for sizes that PHP's compiler knows: one pair for each of the original's thirty classes.
//!
//! Between 64 and 128 bytes the heap has more classes than the original: what PHP frees as one of 80 bytes may have been
//! asked for with 72 and be a block of 72. There the address tells, not the size.

use core::ffi::c_void;

use crate::allocate::{allocate, free, free_sized};

/// `_emalloc_N` and `_efree_N`; the last word says how to free.
macro_rules! class {
    ($size:literal, $emalloc:ident, $efree:ident, exact) => {
        class!(@allocate $size, $emalloc);

        #[doc = concat!("Frees a block that was asked for with a size of the class of ", $size, " bytes.")]
        ///
        /// # Safety
        /// As [`_efree`](crate::allocate::_efree), and of that class.
        #[cfg_attr(feature = "exports", unsafe(no_mangle))]
        pub unsafe extern "C" fn $efree(block: *mut c_void) {
            // SAFETY: the caller's promise; the heap's class for this size is the original's.
            unsafe { free_sized(block, $size) }
        }
    };
    ($size:literal, $emalloc:ident, $efree:ident, wider) => {
        class!(@allocate $size, $emalloc);

        #[doc = concat!("Frees a block that was asked for with a size of the class of ", $size, " bytes.")]
        ///
        /// # Safety
        /// As [`_efree`](crate::allocate::_efree).
        // Never inlined, as `_efree` itself: compilers see that it is the same, and one copy lies in the caches.
        #[cfg_attr(feature = "exports", unsafe(no_mangle))]
        #[inline(never)]
        pub unsafe extern "C" fn $efree(block: *mut c_void) {
            // SAFETY: the caller's promise.
            unsafe { free(block) }
        }
    };
    (@allocate $size:literal, $emalloc:ident) => {
        #[doc = concat!("Allocates ", $size, " bytes.")]
        #[cfg_attr(feature = "exports", unsafe(no_mangle))]
        pub extern "C" fn $emalloc() -> *mut c_void {
            allocate($size)
        }
    };
}

class!(8, _emalloc_8, _efree_8, exact);
class!(16, _emalloc_16, _efree_16, exact);
class!(24, _emalloc_24, _efree_24, exact);
class!(32, _emalloc_32, _efree_32, exact);
class!(40, _emalloc_40, _efree_40, exact);
class!(48, _emalloc_48, _efree_48, exact);
class!(56, _emalloc_56, _efree_56, exact);
class!(64, _emalloc_64, _efree_64, exact);
class!(80, _emalloc_80, _efree_80, wider);
class!(96, _emalloc_96, _efree_96, wider);
class!(112, _emalloc_112, _efree_112, wider);
class!(128, _emalloc_128, _efree_128, wider);
class!(160, _emalloc_160, _efree_160, exact);
class!(192, _emalloc_192, _efree_192, exact);
class!(224, _emalloc_224, _efree_224, exact);
class!(256, _emalloc_256, _efree_256, exact);
class!(320, _emalloc_320, _efree_320, exact);
class!(384, _emalloc_384, _efree_384, exact);
class!(448, _emalloc_448, _efree_448, exact);
class!(512, _emalloc_512, _efree_512, exact);
class!(640, _emalloc_640, _efree_640, exact);
class!(768, _emalloc_768, _efree_768, exact);
class!(896, _emalloc_896, _efree_896, exact);
class!(1024, _emalloc_1024, _efree_1024, exact);
class!(1280, _emalloc_1280, _efree_1280, exact);
class!(1536, _emalloc_1536, _efree_1536, exact);
class!(1792, _emalloc_1792, _efree_1792, exact);
class!(2048, _emalloc_2048, _efree_2048, exact);
class!(2560, _emalloc_2560, _efree_2560, exact);
class!(3072, _emalloc_3072, _efree_3072, exact);
