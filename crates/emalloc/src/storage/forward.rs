//! Storages that are another storage seen through a pointer: `&'static T` here, `Arc` and `Box`
//! in `shared.rs`. Owns the macro that hands every call of the contract on.

use super::{Capabilities, Grant, Storage, StorageError};
use core::ptr::NonNull;

/// The whole contract, handed on to the storage that the expression names.
macro_rules! forward_storage {
    (|$self:ident| $target:expr) => {
        fn name(&$self) -> &str {
            $target.name()
        }

        fn capabilities(&$self) -> Capabilities {
            $target.capabilities()
        }

        fn allocate(&$self, size: usize, align: usize) -> Result<Grant, StorageError> {
            $target.allocate(size, align)
        }

        unsafe fn free(&$self, start: NonNull<u8>, size: usize, align: usize) {
            // SAFETY: what the caller vouches for here it vouches for there: all grants are the target's.
            unsafe { $target.free(start, size, align) }
        }

        unsafe fn leave(&$self, start: NonNull<u8>, size: usize, align: usize) {
            // SAFETY: as for `free`.
            unsafe { $target.leave(start, size, align) }
        }

        fn take_back(&$self, size: usize, align: usize) -> Option<NonNull<u8>> {
            $target.take_back(size, align)
        }

        unsafe fn resize(
            &$self,
            start: NonNull<u8>,
            old: usize,
            new: usize,
            align: usize,
        ) -> Result<(), StorageError> {
            // SAFETY: as for `free`.
            unsafe { $target.resize(start, old, new, align) }
        }

        unsafe fn move_resize(
            &$self,
            start: NonNull<u8>,
            old: usize,
            new: usize,
            align: usize,
        ) -> Result<Grant, StorageError> {
            // SAFETY: as for `free`.
            unsafe { $target.move_resize(start, old, new, align) }
        }

        unsafe fn discard(&$self, start: NonNull<u8>, size: usize) -> bool {
            // SAFETY: as for `free`.
            unsafe { $target.discard(start, size) }
        }

        unsafe fn will_fill(&$self, start: NonNull<u8>, size: usize) {
            // SAFETY: as for `free`.
            unsafe { $target.will_fill(start, size) }
        }

        fn request_ended(&$self) {
            $target.request_ended();
        }

        fn trim(&$self) -> usize {
            $target.trim()
        }
    };
}

pub(super) use forward_storage;

// SAFETY: the target keeps the contract's promises, and lives for ever.
unsafe impl<T: Storage + Sync + ?Sized> Storage for &'static T {
    forward_storage!(|self| (**self));
}
