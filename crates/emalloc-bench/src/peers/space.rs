//! Address space, reserved once: there is memory only where it is written to. For the peers that have no system below.

use std::ptr;

/// A range of addresses, until it is dropped.
pub struct Space {
    start: *mut u8,
    bytes: usize,
}

impl Space {
    /// Reserves that many bytes.
    pub fn new(bytes: usize) -> Self {
        let access = libc::PROT_READ | libc::PROT_WRITE;
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE;
        // SAFETY: a new mapping, wherever there is room.
        let start = unsafe { libc::mmap(ptr::null_mut(), bytes, access, flags, -1, 0) };
        assert_ne!(start, libc::MAP_FAILED, "there are addresses");
        let start = start.cast();
        Self { start, bytes }
    }

    /// Where it begins.
    pub fn start(&self) -> *mut u8 {
        self.start
    }
}

impl Drop for Space {
    fn drop(&mut self) {
        // SAFETY: mapped by `new`; heaps are used no more, as the peer that owns this outlives them.
        unsafe { libc::munmap(self.start.cast(), self.bytes) };
    }
}
