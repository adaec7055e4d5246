//! Owns a heap as an address: what languages pass around that have no values of ours.

use core::ffi::c_void;
use core::mem::{self, ManuallyDrop};
use core::ptr::NonNull;

use super::Heap;

/// As an address, for bindings.
impl Heap {
    /// The heap as an address. Nothing ends it until it is a value again by [`from_raw`](Self::from_raw).
    ///
    /// ```
    /// # use emalloc::heap::Heap;
    /// let raw = Heap::new()?.into_raw();
    /// // SAFETY: it is alive, and nobody else uses it.
    /// let usage = unsafe { Heap::view(raw) }.usage();
    /// assert_eq!(usage, 0);
    /// // SAFETY: it came from `into_raw`, and nobody uses the address any more.
    /// drop(unsafe { Heap::from_raw(raw) });
    /// # Ok::<(), emalloc::heap::HeapError>(())
    /// ```
    #[inline]
    #[must_use = "without its address the heap is lost"]
    pub fn into_raw(self) -> NonNull<c_void> {
        let raw = self.state.cast();
        mem::forget(self);
        raw
    }

    /// The heap that [`into_raw`](Self::into_raw) made an address of, as a value that owns it.
    ///
    /// # Safety
    /// `raw` came from `into_raw`, of a heap that is still alive; there is no other value that owns it.
    #[inline]
    pub unsafe fn from_raw(raw: NonNull<c_void>) -> Self {
        Self { state: raw.cast() }
    }

    /// The heap at an address, to be used and not ended.
    ///
    /// # Safety
    /// `raw` came from [`into_raw`](Self::into_raw), of a heap that lives as long as the view does, on the one thread that
    /// has it. A `&mut` to a view is had only while nothing in the heap is used.
    #[inline(always)]
    pub unsafe fn view(raw: NonNull<c_void>) -> ManuallyDrop<Self> {
        ManuallyDrop::new(Self { state: raw.cast() })
    }

    /// The address by which [`view`](Self::view) knows this heap.
    #[inline(always)]
    pub fn as_raw(&self) -> NonNull<c_void> {
        self.state.cast()
    }
}
