//! Handing calls on: the macro by which a storage that is made of another one passes on what it has nothing to add to,
//! and `&'static T`, which passes on everything (`Arc` and `Box` are in `shared.rs`).

use super::Storage;

// By its own name it stands at the root of the crate, where exported macros have to.
#[doc(hidden)]
#[macro_export]
macro_rules! __forward_storage {
    (|$self:ident| $target:expr) => {
        $crate::storage::forward_storage!(
            |$self| $target;
            name, capabilities, allocate, free, leave, take_back, resize, grow, move_resize, discard, is_usual, keep_less, note_unfilled, will_fill, will_refill, request_ended, trim
        );
    };
    (|$self:ident| $target:expr; $($method:ident),+ $(,)?) => {
        $($crate::storage::forward_storage!(@$method $self, $target);)+
    };
    (@name $self:ident, $target:expr) => {
        fn name(&$self) -> &str {
            $target.name()
        }
    };
    (@capabilities $self:ident, $target:expr) => {
        fn capabilities(&$self) -> $crate::storage::Capabilities {
            $target.capabilities()
        }
    };
    (@allocate $self:ident, $target:expr) => {
        fn allocate(
            &$self,
            size: usize,
            align: usize,
        ) -> Result<$crate::storage::Grant, $crate::storage::StorageError> {
            $target.allocate(size, align)
        }
    };
    (@free $self:ident, $target:expr) => {
        unsafe fn free(&$self, start: core::ptr::NonNull<u8>, size: usize, align: usize) {
            // SAFETY: what the caller vouches for here it vouches for there: all grants are the target's.
            unsafe { $target.free(start, size, align) }
        }
    };
    (@leave $self:ident, $target:expr) => {
        unsafe fn leave(&$self, start: core::ptr::NonNull<u8>, size: usize, align: usize) {
            // SAFETY: as for `free`.
            unsafe { $target.leave(start, size, align) }
        }
    };
    (@take_back $self:ident, $target:expr) => {
        fn take_back(&$self, size: usize, align: usize) -> Option<core::ptr::NonNull<u8>> {
            $target.take_back(size, align)
        }
    };
    (@resize $self:ident, $target:expr) => {
        unsafe fn resize(
            &$self,
            start: core::ptr::NonNull<u8>,
            old: usize,
            new: usize,
            align: usize,
        ) -> Result<(), $crate::storage::StorageError> {
            // SAFETY: as for `free`.
            unsafe { $target.resize(start, old, new, align) }
        }
    };
    (@grow $self:ident, $target:expr) => {
        unsafe fn grow(
            &$self,
            start: core::ptr::NonNull<u8>,
            old: usize,
            new: usize,
            align: usize,
        ) -> Result<core::ptr::NonNull<u8>, $crate::storage::StorageError> {
            // SAFETY: as for `free`.
            unsafe { $target.grow(start, old, new, align) }
        }
    };
    (@move_resize $self:ident, $target:expr) => {
        unsafe fn move_resize(
            &$self,
            start: core::ptr::NonNull<u8>,
            old: usize,
            new: usize,
            align: usize,
        ) -> Result<$crate::storage::Grant, $crate::storage::StorageError> {
            // SAFETY: as for `free`.
            unsafe { $target.move_resize(start, old, new, align) }
        }
    };
    (@discard $self:ident, $target:expr) => {
        unsafe fn discard(&$self, start: core::ptr::NonNull<u8>, size: usize) -> bool {
            // SAFETY: as for `free`.
            unsafe { $target.discard(start, size) }
        }
    };
    (@is_usual $self:ident, $target:expr) => {
        fn is_usual(&$self, size: usize, align: usize) -> bool {
            $target.is_usual(size, align)
        }
    };
    (@keep_less $self:ident, $target:expr) => {
        fn keep_less(&$self, bytes: usize) {
            $target.keep_less(bytes);
        }
    };
    (@note_unfilled $self:ident, $target:expr) => {
        fn note_unfilled(&$self, before: usize, now: usize) {
            $target.note_unfilled(before, now);
        }
    };
    (@will_fill $self:ident, $target:expr) => {
        unsafe fn will_fill(&$self, start: core::ptr::NonNull<u8>, size: usize, filled: usize) {
            // SAFETY: as for `free`.
            unsafe { $target.will_fill(start, size, filled) }
        }
    };
    (@will_refill $self:ident, $target:expr) => {
        unsafe fn will_refill(&$self, start: core::ptr::NonNull<u8>, size: usize) {
            // SAFETY: as for `free`.
            unsafe { $target.will_refill(start, size) }
        }
    };
    (@request_ended $self:ident, $target:expr) => {
        fn request_ended(&$self) {
            $target.request_ended();
        }
    };
    (@trim $self:ident, $target:expr) => {
        fn trim(&$self) -> usize {
            $target.trim()
        }
    };
}

/// Methods of a [`Storage`](crate::storage::Storage) that hand the call on to the storage that the expression names:
/// those that are listed, or without a list all of them.
///
/// For wrappers. What a wrapper neither writes nor hands on is as for a storage that cannot do it: a capability that is not
/// handed on is lost, and whoever lies below does not hear of the end of a request.
/// ([`leave`](crate::storage::Storage::leave) and [`take_back`](crate::storage::Storage::take_back) belong together; a wrapper that
/// counts what is granted does without.)
///
/// ```
/// use core::ptr::NonNull;
/// use emalloc::storage::{Grant, Malloc, Storage, StorageError};
///
/// /// Says what it hands out.
/// struct Loud<S>(S);
///
/// // SAFETY: all memory is the inner storage's.
/// unsafe impl<S: Storage> Storage for Loud<S> {
///     emalloc::storage::forward_storage!(
///         |self| self.0;
///         capabilities, free, resize, grow, move_resize, discard, is_usual, keep_less, note_unfilled, will_fill, will_refill, request_ended, trim
///     );
///
///     fn name(&self) -> &str {
///         "loud"
///     }
///
///     fn allocate(&self, size: usize, align: usize) -> Result<Grant, StorageError> {
///         println!("{size} bytes");
///         self.0.allocate(size, align)
///     }
/// }
///
/// let heap = emalloc::Heap::builder().storage(Loud(Malloc)).build()?;
/// # Ok::<(), emalloc::HeapError>(())
/// ```
#[doc(inline)]
pub use __forward_storage as forward_storage;

// SAFETY: the target keeps the contract's promises, and lives for ever.
unsafe impl<T: Storage + Sync + ?Sized> Storage for &'static T {
    forward_storage!(|self| **self);
}
