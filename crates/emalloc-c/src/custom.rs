//! Owns custom handlers: functions of the program in the place of a heap.

use core::ffi::{c_int, c_void};

use crate::current::refresh;
use crate::heap::EmallocHeap;
use crate::site::EmallocSite;
use crate::sized::{self, Sized_};

type AllocFn =
    extern "C" fn(*mut c_void, *mut EmallocHeap, usize, *const EmallocSite) -> *mut c_void;
type FreeFn = extern "C" fn(*mut c_void, *mut EmallocHeap, *mut c_void, *const EmallocSite);
type ReallocFn = extern "C" fn(
    *mut c_void,
    *mut EmallocHeap,
    *mut c_void,
    usize,
    *const EmallocSite,
) -> *mut c_void;
type BlockSizeFn = extern "C" fn(*mut c_void, *mut EmallocHeap, *mut c_void) -> usize;
type CollectFn = extern "C" fn(*mut c_void, *mut EmallocHeap) -> usize;
type ShutdownFn = extern "C" fn(*mut c_void, *mut EmallocHeap, c_int, c_int);

/// `emalloc_handlers`
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct EmallocHandlers {
    /// Bytes of this struct that the caller knows.
    pub size: usize,
    /// Given to each call.
    pub data: *mut c_void,
    /// Answers a block, or null.
    pub alloc: Option<AllocFn>,
    /// Takes one back.
    pub free: Option<FreeFn>,
    /// Resizes one; null allocates.
    pub realloc: Option<ReallocFn>,
    /// Bytes a block can hold.
    pub block_size: Option<BlockSizeFn>,
    /// Gives back what can be; answers how many bytes.
    pub collect: Option<CollectFn>,
    /// Called before the heap is shut down.
    pub shutdown: Option<ShutdownFn>,
}

// SAFETY: `repr(C)` with its size in front; null pointers are no handlers.
unsafe impl Sized_ for EmallocHandlers {}

/// Handlers that are complete.
#[derive(Clone, Copy)]
pub(crate) struct Handlers {
    pub data: *mut c_void,
    pub alloc: AllocFn,
    pub free: FreeFn,
    pub realloc: ReallocFn,
    pub block_size: Option<BlockSizeFn>,
    pub collect: Option<CollectFn>,
    pub shutdown: Option<ShutdownFn>,
}

impl Handlers {
    fn new(given: EmallocHandlers) -> Option<Self> {
        Some(Self {
            data: given.data,
            alloc: given.alloc?,
            free: given.free?,
            realloc: given.realloc?,
            block_size: given.block_size,
            collect: given.collect,
            shutdown: given.shutdown,
        })
    }

    fn as_given(self) -> EmallocHandlers {
        EmallocHandlers {
            size: size_of::<EmallocHandlers>(),
            data: self.data,
            alloc: Some(self.alloc),
            free: Some(self.free),
            realloc: Some(self.realloc),
            block_size: self.block_size,
            collect: self.collect,
            shutdown: self.shutdown,
        }
    }
}

/// `emalloc_heap_set_handlers`
///
/// # Safety
/// `heap` is null, or alive and this thread's; `handlers` is null or as large as its `size` says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn emalloc_heap_set_handlers(
    heap: *mut EmallocHeap,
    handlers: *const EmallocHandlers,
) -> c_int {
    // SAFETY: the caller's promise.
    let Some(heap) = (unsafe { EmallocHeap::given(heap) }) else {
        return -1;
    };
    let custom = if handlers.is_null() {
        None
    } else {
        // SAFETY: the caller's promise.
        match unsafe { sized::read(handlers) }.and_then(Handlers::new) {
            Some(handlers) => Some(handlers),
            None => return -1,
        }
    };
    heap.custom.set(custom);
    refresh();
    0
}

/// `emalloc_heap_get_handlers`
///
/// # Safety
/// `heap` is null, or alive and this thread's; `handlers` is as large as its `size` says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn emalloc_heap_get_handlers(
    heap: *const EmallocHeap,
    handlers: *mut EmallocHandlers,
) -> c_int {
    // SAFETY: the caller's promise.
    let heap = unsafe { EmallocHeap::given(heap) };
    let Some(custom) = heap.and_then(|heap| heap.custom.get()) else {
        return 0;
    };
    // SAFETY: the caller's promise.
    unsafe { sized::write(&custom.as_given(), handlers) };
    1
}
