//! Owns [`Field`]: a cell in memory as a storage hands it out, which holds anything or nothing before it is written. Used by
//! `segment` for what each page has in the header: most of it is never written, for most pages never need it.

use core::cell::Cell;
use core::mem::MaybeUninit;

/// As a [`Cell`], whose `set` looks at no old value: there may be none.
#[repr(transparent)]
pub(super) struct Field<T>(Cell<MaybeUninit<T>>);

impl<T: Copy> Field<T> {
    /// What was written last. Something was: callers know that by the map, or by what other fields say.
    #[inline(always)]
    pub fn get(&self) -> T {
        // SAFETY: written before. Numbers and pointers, which may be anything where `check` looks at a broken heap.
        unsafe { self.0.get().assume_init() }
    }

    #[inline(always)]
    pub fn set(&self, value: T) {
        self.0.set(MaybeUninit::new(value));
    }
}
