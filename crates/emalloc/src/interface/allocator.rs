//! Owns the `Allocator` trait of allocator-api2, in the versions people use, on
//! `&Heap` and [`Sited`]. Never on an owned [`Heap`]: containers may lend out
//! their allocator mutably, and a heap that can be reset under a container
//! would leave it dangling.

use core::alloc::Layout;
use core::num::NonZero;
use core::ptr::NonNull;

use super::sited::Sited;
use crate::heap::{AllocError, Heap, Site};

fn slice(block: NonNull<u8>, layout: Layout) -> NonNull<[u8]> {
    NonNull::slice_from_raw_parts(block, layout.size())
}

/// What stands for no bytes at all: an aligned address and no block, as with std's `Global`. The containers of
/// allocator-api2 count on that: they give back what they never asked for, and forget what they shrank to nothing.
fn nothing(layout: Layout) -> NonNull<[u8]> {
    // An alignment is never zero.
    let align = NonZero::new(layout.align()).unwrap_or(NonZero::<usize>::MIN);
    slice(NonNull::without_provenance(align), layout)
}

/// A block for `layout`.
#[inline]
fn allocate(heap: &Heap, layout: Layout, zeroed: bool, at: Site<'_>) -> Option<NonNull<[u8]>> {
    if layout.size() == 0 {
        return Some(nothing(layout));
    }
    let block = if zeroed {
        heap.try_allocate_zeroed_at(layout, at)
    } else {
        heap.try_allocate_layout_at(layout, at)
    };
    Some(slice(block.ok()?, layout))
}

/// Frees a block; a wrong one is reported as given at `at`.
///
/// # Safety
/// As `Allocator::deallocate`.
#[inline]
unsafe fn deallocate(heap: &Heap, block: NonNull<u8>, layout: Layout, at: Site<'_>) {
    if layout.size() == 0 {
        return;
    }
    // SAFETY: the caller's promise: a live block of this heap that was last asked for with this layout.
    if let Err(fault) = unsafe { heap.try_free_sized_at(block, layout, at) } {
        heap.report_fault_at(&fault, at);
    }
}

/// The block of `old` made to fit `new`, the added part zero if asked. A wrong one is reported as given at `at`.
///
/// # Safety
/// As `Allocator::grow` and `shrink`.
#[inline]
unsafe fn resize(
    heap: &Heap,
    block: NonNull<u8>,
    (old, new): (Layout, Layout),
    zeroed: bool,
    at: Site<'_>,
) -> Option<NonNull<[u8]>> {
    if old.size() == 0 {
        return allocate(heap, new, zeroed, at);
    }
    if new.size() == 0 {
        // SAFETY: the caller's promise.
        unsafe { deallocate(heap, block, old, at) };
        return Some(nothing(new));
    }
    // SAFETY: the caller's promise: a live block of this heap; a layout's alignment is a power of two.
    let block = match unsafe { heap.try_resize_at(block, new.size(), new.align(), at) } {
        Ok(block) => block,
        Err(AllocError::BadPointer(fault)) => {
            heap.report_fault_at(&fault, at);
            return None;
        }
        Err(_) => return None,
    };
    if zeroed {
        // SAFETY: the block now has `new.size()` bytes, at least `old.size()`.
        unsafe {
            block
                .add(old.size())
                .write_bytes(0, new.size() - old.size())
        };
    }
    Some(slice(block, new))
}

macro_rules! implement {
    ($api:ident, $this:ident, $type:ty, $heap:expr, $at:expr) => {
        // SAFETY: blocks stay until they are freed or the heap is reset or dropped, which needs it mutably or
        // owned, so not while this borrows it; copies of this are the same heap.
        unsafe impl $api::alloc::Allocator for $type {
            #[inline]
            fn allocate(&self, layout: Layout) -> Result<NonNull<[u8]>, $api::alloc::AllocError> {
                let $this = self;
                allocate($heap, layout, false, $at).ok_or($api::alloc::AllocError)
            }
            #[inline]
            fn allocate_zeroed(
                &self,
                layout: Layout,
            ) -> Result<NonNull<[u8]>, $api::alloc::AllocError> {
                let $this = self;
                allocate($heap, layout, true, $at).ok_or($api::alloc::AllocError)
            }
            #[inline]
            unsafe fn deallocate(&self, block: NonNull<u8>, layout: Layout) {
                let $this = self;
                // SAFETY: the caller's promise.
                unsafe { deallocate($heap, block, layout, $at) };
            }
            #[inline]
            unsafe fn grow(
                &self,
                block: NonNull<u8>,
                old: Layout,
                new: Layout,
            ) -> Result<NonNull<[u8]>, $api::alloc::AllocError> {
                let $this = self;
                // SAFETY: the caller's promise.
                unsafe { resize($heap, block, (old, new), false, $at) }
                    .ok_or($api::alloc::AllocError)
            }
            #[inline]
            unsafe fn grow_zeroed(
                &self,
                block: NonNull<u8>,
                old: Layout,
                new: Layout,
            ) -> Result<NonNull<[u8]>, $api::alloc::AllocError> {
                let $this = self;
                // SAFETY: the caller's promise.
                unsafe { resize($heap, block, (old, new), true, $at) }
                    .ok_or($api::alloc::AllocError)
            }
            #[inline]
            unsafe fn shrink(
                &self,
                block: NonNull<u8>,
                old: Layout,
                new: Layout,
            ) -> Result<NonNull<[u8]>, $api::alloc::AllocError> {
                let $this = self;
                // SAFETY: the caller's promise.
                unsafe { resize($heap, block, (old, new), false, $at) }
                    .ok_or($api::alloc::AllocError)
            }
        }
    };
    ($api:ident) => {
        // Containers say nothing of who called them, so a plain reference knows no better place than this.
        implement!($api, this, &Heap, this, Site::here());
        implement!($api, this, Sited<'_>, this.heap(), this.site());
    };
}

#[cfg(feature = "allocator-api2-02")]
implement!(allocator_api2_02);
#[cfg(feature = "allocator-api2-03")]
implement!(allocator_api2_03);
#[cfg(feature = "allocator-api2-04")]
implement!(allocator_api2_04);
