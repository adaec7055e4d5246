//! Owns Rust values in a heap: plain ones, whose destructors never run, and
//! [`HeapBox`], which runs them.

use core::alloc::Layout;
use core::fmt;
use core::mem::ManuallyDrop;
use core::ops::{Deref, DerefMut};
use core::ptr::{self, NonNull};

use crate::heap::{AllocError, Heap};

/// Values.
impl Heap {
    /// Moves a value into the heap, where it stays until the heap is reset or dropped.
    ///
    /// **Its destructor never runs**: the heap throws memory away, not values. For one that has something to give
    /// back (a file, an `Arc`), use [`boxed`](Self::boxed). A refusal goes to the heap's handler.
    ///
    /// ```
    /// # use emalloc::heap::Heap;
    /// let heap = Heap::new()?;
    /// let pair = heap.alloc((1, 2));
    /// pair.0 += 1;
    /// assert_eq!(*pair, (2, 2));
    /// # Ok::<(), emalloc::heap::HeapError>(())
    /// ```
    ///
    /// The reference cannot outlive the heap:
    ///
    /// ```compile_fail,E0597
    /// # use emalloc::heap::Heap;
    /// let pair = {
    ///     let heap = Heap::new().unwrap();
    ///     heap.alloc((1, 2))
    /// };
    /// println!("{pair:?}"); // would read freed memory: does not compile
    /// ```
    #[track_caller]
    #[allow(clippy::mut_from_ref)] // Each call makes a new value.
    pub fn alloc<T>(&self, value: T) -> &mut T {
        let place = self.allocate_layout(Layout::new::<T>()).cast();
        // SAFETY: the block was just allocated for a `T`.
        unsafe { place_value(place, value) }
    }

    /// As [`alloc`](Self::alloc), with an error instead of the handler.
    ///
    /// # Errors
    /// As [`try_allocate`](Self::try_allocate); the value is dropped.
    #[track_caller]
    #[allow(clippy::mut_from_ref)] // Each call makes a new value.
    pub fn try_alloc<T>(&self, value: T) -> Result<&mut T, AllocError> {
        let place = self.try_allocate_layout(Layout::new::<T>())?.cast();
        // SAFETY: the block was just allocated for a `T`.
        Ok(unsafe { place_value(place, value) })
    }

    /// Copies a slice into the heap. A refusal goes to the heap's handler.
    #[track_caller]
    #[allow(clippy::mut_from_ref)] // Each call makes a new slice.
    pub fn alloc_slice<T: Copy>(&self, values: &[T]) -> &mut [T] {
        let place = self.allocate_layout(Layout::for_value(values)).cast();
        // SAFETY: the block was just allocated for so many values.
        unsafe { place_slice(place, values) }
    }

    /// As [`alloc_slice`](Self::alloc_slice), with an error instead of the handler.
    ///
    /// # Errors
    /// As [`try_allocate`](Self::try_allocate).
    #[track_caller]
    #[allow(clippy::mut_from_ref)] // Each call makes a new slice.
    pub fn try_alloc_slice<T: Copy>(&self, values: &[T]) -> Result<&mut [T], AllocError> {
        let place = self.try_allocate_layout(Layout::for_value(values))?.cast();
        // SAFETY: the block was just allocated for so many values.
        Ok(unsafe { place_slice(place, values) })
    }

    /// Fills a slice of `len` values in the heap, each made by `fill` from its index. A refusal goes to the heap's
    /// handler. As with [`alloc`](Self::alloc), their destructors never run.
    ///
    /// ```
    /// # use emalloc::heap::Heap;
    /// let heap = Heap::new()?;
    /// let squares = heap.alloc_slice_with(5, |index| index * index);
    /// assert_eq!(squares, [0, 1, 4, 9, 16]);
    /// # Ok::<(), emalloc::heap::HeapError>(())
    /// ```
    #[track_caller]
    #[allow(clippy::mut_from_ref)] // Each call makes a new slice.
    pub fn alloc_slice_with<T>(&self, len: usize, fill: impl FnMut(usize) -> T) -> &mut [T] {
        let place = match array::<T>(len) {
            Ok(layout) => self.allocate_layout(layout),
            Err(error) => self.report_refusal(&error),
        };
        // SAFETY: the block was just allocated for so many values.
        unsafe { fill_slice(place.cast(), len, fill) }
    }

    /// As [`alloc_slice_with`](Self::alloc_slice_with), with an error instead of the handler.
    ///
    /// # Errors
    /// As [`try_allocate`](Self::try_allocate); `fill` was not called then.
    #[track_caller]
    #[allow(clippy::mut_from_ref)] // Each call makes a new slice.
    pub fn try_alloc_slice_with<T>(
        &self,
        len: usize,
        fill: impl FnMut(usize) -> T,
    ) -> Result<&mut [T], AllocError> {
        let place = self.try_allocate_layout(array::<T>(len)?)?;
        // SAFETY: the block was just allocated for so many values.
        Ok(unsafe { fill_slice(place.cast(), len, fill) })
    }

    /// Copies a text into the heap. A refusal goes to the heap's handler.
    ///
    /// ```
    /// # use emalloc::heap::Heap;
    /// let heap = Heap::new()?;
    /// assert_eq!(heap.alloc_str("text"), "text");
    /// # Ok::<(), emalloc::heap::HeapError>(())
    /// ```
    #[track_caller]
    pub fn alloc_str(&self, text: &str) -> &str {
        let bytes = self.alloc_slice(text.as_bytes());
        // SAFETY: they are the bytes of a `str`.
        unsafe { core::str::from_utf8_unchecked(bytes) }
    }

    /// As [`alloc_str`](Self::alloc_str), with an error instead of the handler.
    ///
    /// # Errors
    /// As [`try_allocate`](Self::try_allocate).
    #[track_caller]
    pub fn try_alloc_str(&self, text: &str) -> Result<&str, AllocError> {
        let bytes = self.try_alloc_slice(text.as_bytes())?;
        // SAFETY: they are the bytes of a `str`.
        Ok(unsafe { core::str::from_utf8_unchecked(bytes) })
    }

    /// Moves a value into a block of its own, which is freed, and its destructor run, when the box is dropped.
    /// A refusal goes to the heap's handler.
    ///
    /// ```
    /// # use emalloc::heap::Heap;
    /// let heap = Heap::new()?;
    /// let text = heap.boxed(String::from("has a destructor"));
    /// assert_eq!(text.len(), 16);
    /// drop(text);
    /// assert_eq!(heap.usage(), 0);
    /// # Ok::<(), emalloc::heap::HeapError>(())
    /// ```
    #[track_caller]
    pub fn boxed<T>(&self, value: T) -> HeapBox<'_, T> {
        let place = self.allocate_layout(Layout::new::<T>());
        // SAFETY: the block was just allocated for a `T`.
        unsafe { HeapBox::new(self, place, value) }
    }

    /// As [`boxed`](Self::boxed), with an error instead of the handler.
    ///
    /// # Errors
    /// As [`try_allocate`](Self::try_allocate); the value is dropped.
    #[track_caller]
    pub fn try_boxed<T>(&self, value: T) -> Result<HeapBox<'_, T>, AllocError> {
        let place = self.try_allocate_layout(Layout::new::<T>())?;
        // SAFETY: the block was just allocated for a `T`.
        Ok(unsafe { HeapBox::new(self, place, value) })
    }
}

/// Writes a value and answers where it is.
///
/// # Safety
/// `place` has size and alignment for it, is the caller's alone and lives for `'h`.
unsafe fn place_value<'h, T>(place: NonNull<T>, value: T) -> &'h mut T {
    // SAFETY: the caller's promise.
    unsafe { place.write(value) };
    // SAFETY: the caller's promise; the value was just written.
    unsafe { &mut *place.as_ptr() }
}

/// The layout of `len` values; too many bytes for an address are the original's overflow.
fn array<T>(len: usize) -> Result<Layout, AllocError> {
    Layout::array::<T>(len).map_err(|_| AllocError::Overflow {
        count: len,
        size: size_of::<T>(),
        offset: 0,
    })
}

/// Makes `len` values one after the other and answers where they are.
///
/// # Safety
/// As [`place_value`], for all of them.
unsafe fn fill_slice<'h, T>(
    place: NonNull<T>,
    len: usize,
    mut fill: impl FnMut(usize) -> T,
) -> &'h mut [T] {
    for index in 0..len {
        // SAFETY: the caller's promise: the place has room for `len` values.
        unsafe { place.add(index).write(fill(index)) };
    }
    // SAFETY: the caller's promise; all of them were just written.
    unsafe { core::slice::from_raw_parts_mut(place.as_ptr(), len) }
}

/// Copies values and answers where they are.
///
/// # Safety
/// As [`place_value`], for all of them.
unsafe fn place_slice<'h, T: Copy>(place: NonNull<T>, values: &[T]) -> &'h mut [T] {
    // SAFETY: the caller's promise; a new block overlaps nothing.
    unsafe { ptr::copy_nonoverlapping(values.as_ptr(), place.as_ptr(), values.len()) };
    // SAFETY: the caller's promise; the values were just written.
    unsafe { core::slice::from_raw_parts_mut(place.as_ptr(), values.len()) }
}

/// A value in a block of a heap. Dropping it runs the value's destructor and frees the block. If the box is
/// forgotten, the block goes with the heap and the destructor does not run.
///
/// The compiler tells a destructor nothing of its caller, so where reports of [debug mode](crate::heap::Debug) say who freed
/// the block of a box that was dropped, they name this library's line; [`into_inner`](Self::into_inner) frees it at the caller's.
///
/// It keeps the heap from being reset or dropped:
///
/// ```compile_fail,E0502
/// # use emalloc::heap::Heap;
/// let mut heap = Heap::new().unwrap();
/// let text = heap.boxed(String::from("text"));
/// heap.reset();
/// drop(text); // would use freed memory: does not compile
/// ```
pub struct HeapBox<'h, T> {
    /// As the heap handed it out, for freeing: a reference's pointer is for the value only, which may be shorter than the block.
    value: NonNull<T>,
    heap: &'h Heap,
}

impl<'h, T> HeapBox<'h, T> {
    /// # Safety
    /// `place` is a block of `heap`, allocated for a `T`, and the caller's alone.
    unsafe fn new(heap: &'h Heap, place: NonNull<u8>, value: T) -> Self {
        let place = place.cast();
        // SAFETY: the caller's promise.
        unsafe { place.write(value) };
        Self { value: place, heap }
    }

    /// Takes the value out and frees its block.
    ///
    /// Called as `HeapBox::into_inner(boxed)`, so that a method of the value's of that name is not hidden.
    #[track_caller]
    pub fn into_inner(boxed: Self) -> T {
        // Held back first: the handler may unwind out of the free, and the value must not be dropped twice then.
        let this = ManuallyDrop::new(boxed);
        // SAFETY: the box owned the value, and will not drop it.
        let value = unsafe { this.value.read() };
        this.free_block();
        value
    }

    /// Gives up the block and the destructor: the value stays until the heap is reset or dropped.
    ///
    /// Called as `HeapBox::leak(boxed)`, likewise.
    pub fn leak(boxed: Self) -> &'h mut T {
        let this = ManuallyDrop::new(boxed);
        let mut value = this.value;
        // SAFETY: the box owned the value; now nothing frees it before the heap ends, which `'h` holds back.
        unsafe { value.as_mut() }
    }

    #[track_caller]
    fn free_block(&self) {
        // SAFETY: the block was allocated for a `T` in this heap, and the box owns it.
        unsafe { self.heap.free_sized(self.value.cast(), Layout::new::<T>()) };
    }
}

impl<T> Drop for HeapBox<'_, T> {
    fn drop(&mut self) {
        /// Frees the block even if the value's destructor unwinds.
        struct Block<'a, 'h, T>(&'a HeapBox<'h, T>);
        impl<T> Drop for Block<'_, '_, T> {
            fn drop(&mut self) {
                self.0.free_block();
            }
        }
        let block = Block(self);
        // SAFETY: the box owns the value, which is alive.
        unsafe { ptr::drop_in_place(block.0.value.as_ptr()) };
    }
}

impl<T> Deref for HeapBox<'_, T> {
    type Target = T;
    fn deref(&self) -> &T {
        // SAFETY: the box owns the value, which is alive.
        unsafe { self.value.as_ref() }
    }
}

impl<T> DerefMut for HeapBox<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: the box owns the value, which is alive.
        unsafe { self.value.as_mut() }
    }
}

impl<T: fmt::Display> fmt::Display for HeapBox<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

impl<T: fmt::Debug> fmt::Debug for HeapBox<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}
