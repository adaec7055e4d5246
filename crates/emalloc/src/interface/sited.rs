//! Owns [`Sited`]: a heap together with the place in the program that uses it.

use core::panic::Location;

use crate::heap::Heap;

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
}

impl Heap {
    /// This heap with the file and line of the caller: for containers, as in `Vec::new_in(heap.here())`.
    #[track_caller]
    #[inline]
    pub fn here(&self) -> Sited<'_> {
        Sited {
            heap: self,
            at: Location::caller(),
        }
    }
}
