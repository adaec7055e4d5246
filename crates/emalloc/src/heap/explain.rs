//! Owns the answer to "what happens to a request of so many bytes". It asks
//! the same tables and geometry as the heap itself.

use super::segment::{Geometry, MAP, map_size};
use crate::layout::{MAX_SEGMENT, MIN_SEGMENT, PAGE, round_up};
use crate::size_class::{blocks_of_class, class_of, pages_of_class, size_of_class};

/// How a request is served. Sizes are in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Explained {
    /// By a block of a size class.
    Small {
        /// The number of the class, from 0.
        class: usize,
        /// Bytes of the block.
        block_size: usize,
        /// Pages of a run of that class.
        run_pages: usize,
        /// Blocks in a run.
        blocks_per_run: usize,
        /// Bytes at the end of a run that make no block.
        run_waste: usize,
    },
    /// By a run of pages of its own, inside a segment.
    Large {
        /// Its pages.
        pages: usize,
        /// Its bytes.
        size: usize,
    },
    /// By a segment of its own, straight from the storage.
    Huge {
        /// Bytes in front of the block.
        header: usize,
        /// Bytes taken from the storage, for a storage that deals in pages; far from the limits up to an eighth more,
        /// as room to spare.
        size: usize,
    },
    /// Not at all: no address space holds it.
    TooLarge,
}

/// Says how a heap with segments of `segment_size` bytes serves a request of `size` bytes. (For a size that segments cannot have:
/// with those of the next size that they can.)
///
/// ```
/// use emalloc::heap::{Explained, explain};
/// assert!(matches!(explain(100, 256 << 10), Explained::Small { block_size: 104, .. }));
/// assert!(matches!(explain(5000, 256 << 10), Explained::Large { pages: 2, .. }));
/// assert!(matches!(explain(1 << 20, 256 << 10), Explained::Huge { .. }));
/// ```
pub fn explain(size: usize, segment_size: usize) -> Explained {
    if let Some(class) = class_of(size) {
        let (block_size, run_pages) = (size_of_class(class), pages_of_class(class));
        return Explained::Small {
            class,
            block_size,
            run_pages,
            blocks_per_run: blocks_of_class(class),
            run_waste: run_pages * PAGE % block_size,
        };
    }
    let segment_size = segment_size.clamp(MIN_SEGMENT, MAX_SEGMENT);
    let geometry = Geometry::new(segment_size.next_power_of_two(), false);
    let pages = size.div_ceil(PAGE);
    if pages <= geometry.longest_run() {
        return Explained::Large {
            pages,
            size: pages * PAGE,
        };
    }
    let header = (MAP + map_size(geometry.pages)).next_multiple_of(PAGE);
    match size
        .checked_add(header)
        .and_then(|size| round_up(size, PAGE))
    {
        Some(size) if size <= isize::MAX as usize => Explained::Huge { header, size },
        _ => Explained::TooLarge,
    }
}
