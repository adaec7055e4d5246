//! What is special about Unix: a thread's end, the store of warm segments, the system's aligned memory.

use core::cell::Cell;
use core::ffi::c_void;
use std::sync::OnceLock;

use emalloc::storage::registry::AnyStorage;
use emalloc::storage::{Cached, MMAP_ANON, MmapAnon, StorageError};
use emalloc::sys;

use crate::current::thread_ended;

/// So often, at least, the system goes through what ends with a thread.
const ROUNDS: u8 = 4;

/// Sees to it that [`thread_ended`] is called with the heap when this thread ends; null: not any more.
///
/// Not by a `thread_local!` with a destructor: those end before `atexit` handlers and the destructors of C++, which may
/// still use blocks. This happens to threads only, not to the one that leaves `main`, and in the last round.
pub fn at_thread_end(heap: *mut c_void) {
    static KEY: OnceLock<Option<libc::pthread_key_t>> = OnceLock::new();
    thread_local! {
        static ROUND: Cell<u8> = const { Cell::new(1) };
    }

    extern "C" fn ended(heap: *mut c_void) {
        let round = ROUND.get();
        if round < ROUNDS {
            ROUND.set(round + 1);
            at_thread_end(heap);
        } else {
            thread_ended(heap);
        }
    }

    let key = KEY.get_or_init(|| {
        let mut key = 0;
        // SAFETY: there is room for a key.
        let made = unsafe { libc::pthread_key_create(&mut key, Some(ended)) };
        (made == 0).then_some(key)
    });
    if let Some(key) = *key {
        // If there is no room for it, the heap stays until the process ends.
        // SAFETY: the key is one.
        unsafe { libc::pthread_setspecific(key, heap) };
    }
}

/// The storage of heaps that are to be kept warm.
pub fn warm_storage() -> Result<AnyStorage, StorageError> {
    static SEGMENTS: Cached<MmapAnon> = Cached::new(MMAP_ANON);
    Ok(AnyStorage::Own(&SEGMENTS))
}

/// Memory of the system at a multiple of `align`, a power of two, that `free` takes back.
pub fn aligned_malloc(size: usize, align: usize) -> *mut u8 {
    sys::aligned_malloc(size, align)
}
