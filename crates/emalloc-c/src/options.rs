//! Owns the starting of heaps: options as C gives them, made into the library's.

use core::ffi::{CStr, c_char, c_int, c_void};
use core::ptr::{self, NonNull};

use emalloc::heap::{Builder, Debug, DefaultHandler, Heap, Limit, Retain, Sampling};
use emalloc::storage::registry::{self, AnyStorage, OpenError};

use crate::current::{refuse_to_start, settings, start_as_set};
use crate::debug::EmallocDebug;
use crate::error::{EmallocError, StartError};
use crate::heap::EmallocHeap;
use crate::platform;
use crate::sized::{self, Sized_};
use crate::storage::{self, EmallocStorageHandlers};

/// `emalloc_heap_options`
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct EmallocHeapOptions {
    /// Bytes of this struct that the caller knows.
    pub size: usize,
    /// A storage by its name; null: the default.
    pub storage_name: *const c_char,
    /// A storage of the program's own; null: none.
    pub storage: *const EmallocStorageHandlers,
    /// For its `init`.
    pub storage_params: *mut c_void,
    /// Bytes of a segment; 0: 256K.
    pub segment_size: usize,
    /// The most bytes to hold; 0: no limit.
    pub limit: usize,
    /// The soft limit; 0: none.
    pub soft_limit: usize,
    /// Bytes set aside; 0: 8K; [`NONE`]: none.
    pub reserve: usize,
    /// Bytes of segments to keep over a reset; 0: as needed lately; [`NONE`]: one segment.
    pub retain: usize,
    /// A reset after more than this was held trims the storage; 0: never.
    pub compact: usize,
    /// 1: a storage kept warm for all heaps that ask for it.
    pub warm: c_int,
    /// 1: checked mode.
    pub checked: c_int,
    /// Debug mode; null: as the environment says.
    pub debug: *const EmallocDebug,
}

// SAFETY: `repr(C)` with its size in front; zero everywhere is all defaults.
unsafe impl Sized_ for EmallocHeapOptions {}

/// `EMALLOC_NONE`, `EMALLOC_UNLIMITED`
pub const NONE: usize = usize::MAX;

/// A limit as C gives it.
pub fn limit(bytes: usize) -> Limit {
    match bytes {
        NONE => Limit::Unlimited,
        bytes => Limit::Bytes(bytes),
    }
}

/// 0 stands for what nobody said.
fn said(bytes: usize) -> Option<usize> {
    (bytes != 0).then_some(bytes)
}

/// A number of which [`NONE`] means zero.
fn amount(bytes: usize) -> usize {
    if bytes == NONE { 0 } else { bytes }
}

impl EmallocHeapOptions {
    /// # Safety
    /// The pointers are what the header says.
    unsafe fn open<'a>(&self) -> Result<AnyStorage, StartError<'a>> {
        let own = NonNull::new(self.storage.cast_mut());
        let name = NonNull::new(self.storage_name.cast_mut());
        let failed = |name| move |error| StartError::Open(OpenError::Failed { name, error });
        match (own, name, self.warm != 0) {
            (None, None, false) => {
                registry::open_default().map_err(failed(registry::default_entry().name))
            }
            (None, None, true) => platform::warm_storage().map_err(failed("warm")),
            (Some(handlers), None, false) => {
                // SAFETY: the caller's promise.
                let handlers = unsafe { handlers.as_ref() };
                // SAFETY: the caller's promise.
                let name = unsafe { storage::name_of(handlers) }.unwrap_or("");
                // SAFETY: the caller's promise.
                unsafe { storage::open(handlers, self.storage_params) }.map_err(failed(name))
            }
            (None, Some(name), false) => {
                // SAFETY: the caller's promise.
                let name: &CStr = unsafe { CStr::from_ptr(name.as_ptr()) };
                // No storage has a name that is no UTF-8.
                registry::open(name.to_str().unwrap_or("")).map_err(StartError::Open)
            }
            _ => Err(StartError::TwoStorages),
        }
    }

    /// Debug mode as the options choose it, or else the environment.
    ///
    /// # Safety
    /// The pointers are what the header says.
    unsafe fn debug<'a>(&self) -> Result<Option<Debug>, StartError<'a>> {
        if self.debug.is_null() {
            return Ok(settings()?.debug);
        }
        // SAFETY: the caller's promise.
        let chosen = unsafe { sized::read(self.debug) };
        let chosen = chosen.ok_or(StartError::NoSize("emalloc_debug"))?;
        // SAFETY: the caller's promise.
        let debug = unsafe { chosen.to_debug() };
        debug.map(Some).map_err(StartError::Option)
    }

    fn apply(
        &self,
        debug: Option<Debug>,
        mut builder: Builder<AnyStorage, DefaultHandler>,
    ) -> Builder<AnyStorage, DefaultHandler> {
        if let Some(bytes) = said(self.segment_size) {
            builder = builder.segment_size(bytes);
        }
        if let Some(bytes) = said(self.limit) {
            builder = builder.limit(limit(bytes));
        }
        if let Some(bytes) = said(self.soft_limit) {
            builder = builder.soft_limit(limit(bytes));
        }
        if let Some(bytes) = said(self.reserve) {
            builder = builder.reserve(amount(bytes));
        }
        if let Some(bytes) = said(self.retain) {
            builder = builder.retain(Retain::Bytes(amount(bytes)));
        } else if self.warm != 0 {
            // What a reset frees is for the heap that needs it next.
            builder = builder.retain(Retain::Bytes(0));
        }
        if let Some(debug) = debug {
            builder = builder.debug(debug);
        }
        builder.compact(self.compact).checked(self.checked != 0)
    }

    /// # Safety
    /// The pointers are what the header says.
    unsafe fn start<'a>(&self) -> Result<NonNull<EmallocHeap>, StartError<'a>> {
        // SAFETY: the caller's promise.
        let storage = unsafe { self.open() }?;
        // SAFETY: the caller's promise.
        let debug = unsafe { self.debug() }?;
        let mut builder = self.apply(debug, Heap::builder().storage(storage));
        if let Some(bytes) = said(settings()?.sample) {
            builder = builder.sampling(Sampling::every(bytes));
        }
        EmallocHeap::start(builder).map_err(StartError::Heap)
    }
}

/// `emalloc_heap_start`
///
/// # Safety
/// `options` is null, or as large as its `size` says and filled in as the header says; `error` is null or can be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn emalloc_heap_start(
    options: *const EmallocHeapOptions,
    error: *mut EmallocError,
) -> *mut EmallocHeap {
    let started = if options.is_null() {
        settings().and_then(start_as_set)
    } else {
        // SAFETY: the caller's promise.
        match unsafe { sized::read(options) } {
            // SAFETY: the caller's promise.
            Some(options) => unsafe { options.start() },
            None => Err(StartError::NoSize("emalloc_heap_options")),
        }
    };
    let refusal = match started {
        Ok(heap) => return heap.as_ptr(),
        Err(refusal) => refusal,
    };
    if error.is_null() {
        refuse_to_start(refusal);
    }
    // SAFETY: the caller's promise.
    unsafe { error.write(EmallocError::from(&refusal)) };
    ptr::null_mut()
}
