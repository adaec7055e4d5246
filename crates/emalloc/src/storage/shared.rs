//! With `alloc`: storages behind `Arc` (shared between heaps and threads) and `Box`.

use super::{Storage, forward_storage};
use alloc::boxed::Box;
use alloc::sync::Arc;

// SAFETY: the target keeps the contract's promises; any clone reaches the same target,
// which stays where it is when the `Arc` moves.
unsafe impl<T: Storage + Sync + ?Sized> Storage for Arc<T> {
    forward_storage!(|self| (**self));
}

// SAFETY: the target keeps the contract's promises, and stays where it is when the `Box` moves.
unsafe impl<T: Storage + ?Sized> Storage for Box<T> {
    forward_storage!(|self| (**self));
}
