//! Owns [`Opened`]: a program's own storage that lives behind an address and ends with its one user. The memory it lies
//! in is the program's, so this works without an allocator, and over a foreign language's border.

use core::fmt;
use core::ptr::NonNull;

use super::Storage;

/// A storage set up for one user: used through its address, and closed when this is dropped.
pub struct Opened {
    target: NonNull<dyn Storage + Sync>,
    close: unsafe fn(NonNull<dyn Storage + Sync>),
}

// SAFETY: such a storage is `Send`, and whoever made this gave it up.
unsafe impl Send for Opened {}

// SAFETY: all that can be had by a reference to this is a reference to a storage that is `Sync`.
unsafe impl Sync for Opened {}

impl Opened {
    /// `target`, on which `close` is called at the end.
    ///
    /// # Safety
    /// `target` stays where it is and is used by nobody else until `close` is called with it; that may be on any thread.
    pub unsafe fn new(
        target: NonNull<dyn Storage + Sync>,
        close: unsafe fn(NonNull<dyn Storage + Sync>),
    ) -> Self {
        Self { target, close }
    }

    pub(super) fn target(&self) -> &dyn Storage {
        // SAFETY: so `new` was promised.
        unsafe { self.target.as_ref() }
    }
}

impl Drop for Opened {
    fn drop(&mut self) {
        // SAFETY: it is called once, with what it was made for.
        unsafe { (self.close)(self.target) };
    }
}

impl fmt::Debug for Opened {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Opened")
            .field(&self.target().name())
            .finish()
    }
}
