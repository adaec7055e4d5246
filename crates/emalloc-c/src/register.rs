//! Owns the registering of storages written in C under their names, for the environment and for options.

use core::ffi::{c_int, c_void};

use emalloc::storage::registry::{self, Entry};

use crate::storage::{self, EmallocStorageHandlers};

/// What `init` is to be called with, and where.
struct Registered {
    handlers: &'static EmallocStorageHandlers,
    params: *mut c_void,
}

// SAFETY: the header says that a registered storage is set up on any thread.
unsafe impl Send for Registered {}
// SAFETY: as above.
unsafe impl Sync for Registered {}

/// `emalloc_storage_register`
///
/// # Safety
/// `handlers` is null, or they do what the header says, and stay for as long as the process runs.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn emalloc_storage_register(
    handlers: *const EmallocStorageHandlers,
    params: *mut c_void,
) -> c_int {
    // SAFETY: the caller's promise; null names nothing.
    let Some(handlers) = (unsafe { handlers.as_ref() }) else {
        return -1;
    };
    // SAFETY: the caller's promise.
    let Some(name) = (unsafe { storage::name_of(handlers) }) else {
        return -1;
    };
    let registered = Registered { handlers, params };
    // The table keeps entries for good; one that it does not take is lost, once per mistake.
    let open = Box::leak(Box::new(move || {
        let registered = &registered;
        // SAFETY: the caller's promise.
        unsafe { storage::open(registered.handlers, registered.params) }
    }));
    let entry = Box::leak(Box::new(Entry {
        name,
        about: "a storage of the program",
        open,
    }));
    match registry::register(entry) {
        Ok(()) => 0,
        Err(_) => -1,
    }
}
