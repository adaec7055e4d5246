//! Owns [`Single`]: a static of a program with one thread.

use core::cell::UnsafeCell;

/// A value that only PHP's one thread touches.
pub struct Single<T>(UnsafeCell<T>);

// SAFETY: the extension is for PHP without threads (NTS); the glue refuses to be built for any other.
unsafe impl<T> Sync for Single<T> {}

impl<T> Single<T> {
    pub const fn new(value: T) -> Self {
        Self(UnsafeCell::new(value))
    }

    pub const fn get(&self) -> *mut T {
        self.0.get()
    }
}
