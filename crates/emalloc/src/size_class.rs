//! Owns the size classes of small blocks: which there are, which one serves a
//! request, and how many pages a run of each takes. Pure arithmetic, made at
//! compile time; depends on `layout` only.
//!
//! Classes rise in steps of 8 bytes up to 128, then in four steps per
//! doubling. Because the step is a power of two and every class is a multiple
//! of its step, a size rounded up to a multiple of an alignment always meets a
//! class that is a multiple of that alignment: runs begin on a page, so aligned
//! small requests need no path of their own.

use crate::layout::{GRAIN, PAGE};

/// The largest request, in bytes, that a size class serves.
pub const SMALL_MAX: usize = 3072;

/// How many size classes there are.
pub const CLASSES: usize = 34;

/// Up to this size classes are 8 bytes apart.
const LINEAR_MAX: usize = 128;

/// Bits of precision above [`LINEAR_MAX`]: four classes per doubling.
const STEP_BITS: u32 = 2;

/// A run may leave at most one part in this many unused, if a run of at most [`MAX_RUN`] pages manages that.
const MAX_TAIL: usize = 64;

/// The longest run of a small class, in pages.
pub(crate) const MAX_RUN: usize = 8;

/// The largest block, in bytes, that a short run is made of.
const SHORT_MAX: usize = 512;

/// A short run has room for at least this many blocks.
const SHORT_BLOCKS: usize = 4;

/// Bytes of a block, by class.
static SIZES: [u32; CLASSES] = sizes();

/// Pages of a run, by class.
static RUN_PAGES: [u8; CLASSES] = run_pages();

/// Grains of a short run, by class; 0 for those that have none.
static SHORT_GRAINS: [u8; CLASSES] = short_grains();

/// Grains of all classes' short runs together.
pub(crate) const NURSERY_GRAINS: usize = {
    let (grains, mut sum, mut class) = (short_grains(), 0, 0);
    while class < CLASSES {
        sum += grains[class] as usize;
        class += 1;
    }
    sum
};

/// What the fast paths need to know of a request's class.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Slot {
    /// The code of the class: twice its number, so that processors that scale an index by 8 reach an entry of 16 bytes
    /// with it in one step.
    pub code: usize,
    /// Bytes of its blocks.
    pub size: usize,
}

/// What slots are made of.
#[repr(C)]
struct Slots {
    /// Bytes of a block, by code; every second entry is unused.
    sizes: [u16; CODES],
    /// Codes, by the size of the request: a byte for each, so that it is the index as it comes.
    codes: [u8; SMALL_MAX + 1],
}

/// A constant and no static, so that every crate it is compiled into sees its content.
const SLOTS: &Slots = &slots();

/// Bytes of all blocks in a run, by class.
static RUN_BYTES: [u32; CLASSES] = run_bytes();

/// All codes are below this.
pub(crate) const CODES: usize = 2 * CLASSES;

/// The slot of a request of `size` bytes. Where the size is a constant, so is the answer.
///
/// # Safety
/// `size` is at most [`SMALL_MAX`].
#[inline(always)]
pub(crate) unsafe fn slot_of(size: usize) -> Slot {
    // SAFETY: there is a code for every size up to SMALL_MAX.
    let code = usize::from(unsafe { *SLOTS.codes.get_unchecked(size) });
    // SAFETY: and a size for every code.
    let size = usize::from(unsafe { *SLOTS.sizes.get_unchecked(code) });
    Slot { code, size }
}

/// The class that serves a request of `size` bytes, or `None` if it is too large for one.
#[inline]
pub fn class_of(size: usize) -> Option<usize> {
    // SAFETY: evaluated only for sizes that have a slot.
    (size <= SMALL_MAX).then(|| unsafe { slot_of(size) }.code / 2)
}

/// Bytes of a block of `class`.
#[inline]
pub fn size_of_class(class: usize) -> usize {
    SIZES[class] as usize
}

/// Pages of a run of `class`.
#[inline]
pub fn pages_of_class(class: usize) -> usize {
    usize::from(RUN_PAGES[class])
}

/// Bytes of all blocks in a run of `class`.
#[inline]
pub(crate) fn bytes_of_class(class: usize) -> usize {
    RUN_BYTES[class] as usize
}

/// Blocks in a run of `class`.
#[inline]
pub fn blocks_of_class(class: usize) -> usize {
    pages_of_class(class) * PAGE / size_of_class(class)
}

/// Grains of a short run of `class`; 0 if it has none.
#[inline]
pub(crate) fn grains_of_short_run(class: usize) -> usize {
    usize::from(SHORT_GRAINS[class])
}

/// Blocks in a short run of `class`; 0 if it has none.
#[inline]
pub(crate) fn blocks_of_short_run(class: usize) -> usize {
    grains_of_short_run(class) * GRAIN / size_of_class(class)
}

const fn sizes() -> [u32; CLASSES] {
    let mut table = [0; CLASSES];
    let mut size = 0;
    let mut class = 0;
    while class < CLASSES {
        let step = if size < LINEAR_MAX {
            8
        } else {
            1usize << (size.ilog2() - STEP_BITS)
        };
        size += step;
        table[class] = size as u32;
        class += 1;
    }
    assert!(size == SMALL_MAX);
    table
}

const fn run_pages() -> [u8; CLASSES] {
    let sizes = sizes();
    let mut table = [0; CLASSES];
    let mut class = 0;
    while class < CLASSES {
        let size = sizes[class] as usize;
        let mut best = 1;
        let mut pages = 1;
        while pages <= MAX_RUN {
            let tail = pages * PAGE % size;
            // Fewer pages win as long as their tail is small enough.
            if tail * best < best * PAGE % size * pages {
                best = pages;
            }
            if tail * MAX_TAIL <= pages * PAGE {
                best = pages;
                break;
            }
            pages += 1;
        }
        table[class] = best as u8;
        class += 1;
    }
    table
}

const fn short_grains() -> [u8; CLASSES] {
    let sizes = sizes();
    let mut table = [0; CLASSES];
    let mut class = 0;
    while class < CLASSES && sizes[class] as usize <= SHORT_MAX {
        table[class] = (SHORT_BLOCKS * sizes[class] as usize).div_ceil(GRAIN) as u8;
        class += 1;
    }
    table
}

const fn run_bytes() -> [u32; CLASSES] {
    let (sizes, pages) = (sizes(), run_pages());
    let mut table = [0; CLASSES];
    let mut class = 0;
    while class < CLASSES {
        let bytes = pages[class] as u32 * PAGE as u32;
        table[class] = bytes - bytes % sizes[class];
        class += 1;
    }
    table
}

const fn slots() -> Slots {
    let classes = sizes();
    let (mut sizes, mut codes) = ([0; CODES], [0; SMALL_MAX + 1]);
    let (mut class, mut size) = (0, 0);
    while size <= SMALL_MAX {
        if size > classes[class] as usize {
            class += 1;
        }
        sizes[2 * class] = classes[class] as u16;
        codes[size] = 2 * class as u8;
        size += 1;
    }
    Slots { sizes, codes }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_request_gets_the_smallest_class_that_holds_it() {
        for size in 0..=SMALL_MAX {
            let class = class_of(size).unwrap();
            assert!(size_of_class(class) >= size);
            assert!(class == 0 || size_of_class(class - 1) < size, "{size}");
        }
        assert_eq!(class_of(SMALL_MAX + 1), None);
        assert_eq!(class_of(usize::MAX), None);
    }

    #[test]
    #[cfg_attr(miri, ignore = "only arithmetic, and much of it")]
    fn rounding_to_an_alignment_meets_an_aligned_class() {
        for shift in 0..12 {
            let align = 1usize << shift;
            for size in 0..=SMALL_MAX {
                let rounded = size.max(1).next_multiple_of(align);
                if let Some(class) = class_of(rounded) {
                    assert_eq!(size_of_class(class) % align, 0, "size {size} align {align}");
                }
            }
        }
    }

    #[test]
    fn runs_waste_little() {
        for class in 0..CLASSES {
            let bytes = pages_of_class(class) * PAGE;
            let tail = bytes % size_of_class(class);
            assert!(
                tail * MAX_TAIL <= bytes,
                "class {class} wastes {tail} of {bytes}"
            );
            // One word of 64 bits per page covers it: `walk` and `check` rely on that bound.
            assert!(blocks_of_class(class) <= 512);
        }
    }
}
