//! Owns [`Sited`]: a heap together with the place in the program that uses it.

use core::panic::Location;

use crate::heap::{Heap, Site};

/// A heap, and the source line from which it is used. Small and `Copy`; containers take it as their allocator, and
/// what they allocate can be told by where the container was made.
///
/// ```
/// use emalloc::heap::Heap;
/// let heap = Heap::new()?;
/// let here = heap.here();
/// assert_eq!(here.location().file(), file!());
/// # Ok::<(), emalloc::heap::HeapError>(())
/// ```
///
/// It borrows the heap, so the heap can neither be dropped nor reset under it:
///
/// ```compile_fail,E0505
/// # use emalloc::heap::Heap;
/// let heap = Heap::new().unwrap();
/// let here = heap.here();
/// drop(heap);
/// println!("{here:?}"); // would speak of a heap that is gone: does not compile
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Sited<'h> {
    heap: &'h Heap,
    at: &'static Location<'static>,
}

impl<'h> Sited<'h> {
    /// The heap.
    pub fn heap(&self) -> &'h Heap {
        self.heap
    }

    /// The place that called [`Heap::here`].
    pub fn location(&self) -> &'static Location<'static> {
        self.at
    }

    /// The same, as a heap takes it.
    pub fn site(&self) -> Site<'static> {
        self.at.into()
    }
}

impl Heap {
    /// This heap with the file and line of the caller: for containers.
    ///
    /// ```
    /// # #[cfg(feature = "allocator-api2-02")] {
    /// # use allocator_api2_02 as allocator_api2;
    /// # use emalloc::heap::Heap;
    /// use allocator_api2::vec::Vec;
    ///
    /// let heap = Heap::new()?;
    /// let mut numbers = Vec::new_in(heap.here());
    /// numbers.extend(1..=100);
    /// assert_eq!(numbers.iter().sum::<i32>(), 5050);
    /// assert!(heap.owns(numbers.as_ptr().cast()));
    /// # }
    /// # Ok::<(), emalloc::heap::HeapError>(())
    /// ```
    ///
    /// A container keeps the heap from being reset:
    ///
    /// ```compile_fail,E0502
    /// # use allocator_api2_02 as allocator_api2;
    /// # use emalloc::heap::Heap;
    /// # use allocator_api2::vec::Vec;
    /// let mut heap = Heap::new().unwrap();
    /// let mut numbers = Vec::new_in(heap.here());
    /// numbers.extend(1..=100);
    /// heap.reset();
    /// println!("{numbers:?}"); // would read freed memory: does not compile
    /// ```
    ///
    /// It cannot own the heap, for it would lend it out to be reset:
    ///
    /// ```compile_fail,E0277
    /// # use allocator_api2_02 as allocator_api2;
    /// # use emalloc::heap::Heap;
    /// # use allocator_api2::vec::Vec;
    /// let heap = Heap::new().unwrap();
    /// let numbers: Vec<i32, Heap> = Vec::with_capacity_in(10, heap); // `Heap` is no `Allocator`, `&Heap` is
    /// ```
    #[track_caller]
    #[inline]
    pub fn here(&self) -> Sited<'_> {
        Sited {
            heap: self,
            at: Location::caller(),
        }
    }
}
