//! Owns [`Gate`]: how the fast paths are shut while a heap is in checked mode
//! or walked, at no cost while it is neither. Used by `free`, `resize` and `walk`.
//!
//! Allocating needs no gate: in those modes the lists the fast path looks at are
//! empty. Freeing looks at the header of the block's segment first; a shut gate
//! leads it to a place that belongs to nobody instead, whatever the pointer is.

use core::cell::Cell;
use core::mem::{offset_of, size_of};

use super::segment::{Header, Segment};
use super::state::{Bin, State};
use crate::layout::GRAIN_SHIFT;
use crate::size_class::CLASSES;

/// The way from a block to its segment's header, for the fast paths.
pub(super) struct Gate {
    /// The bits of an address that lead to its segment; none while the gate is shut.
    mask: Cell<usize>,
    /// The bits of an address, counted in grains, that tell which grain of its segment it is.
    grains: usize,
    /// Where all addresses lead while the gate is shut; 0 while it is open.
    nowhere: Cell<usize>,
    /// Whether a block may be freed by its size alone.
    sized: Cell<bool>,
}

impl Gate {
    /// An open gate to segments of that size.
    pub fn new(segment_size: usize) -> Self {
        Self {
            mask: Cell::new(!(segment_size - 1)),
            grains: (segment_size - 1) >> GRAIN_SHIFT,
            nowhere: Cell::new(0),
            sized: Cell::new(true),
        }
    }

    /// Opens the gate to segments of that size.
    pub fn open(&self, segment_size: usize) {
        self.mask.set(!(segment_size - 1));
        self.nowhere.set(0);
    }

    /// Shuts the gate: read as a header, `state` is nobody's.
    pub fn shut(&self, state: *const State) {
        self.mask.set(0);
        self.nowhere.set(state.expose_provenance());
        self.sized.set(false);
    }

    /// Lets blocks be freed by their size alone, or not. The gate is open if so.
    pub fn set_sized(&self, sized: bool) {
        self.sized.set(sized);
    }

    #[inline(always)]
    pub fn is_sized(&self) -> bool {
        self.sized.get()
    }

    #[inline(always)]
    pub fn is_shut(&self) -> bool {
        self.nowhere.get() != 0
    }

    /// Where the header of the block at `address` lies (see `Geometry::segment_address`), or nowhere.
    #[inline(always)]
    pub fn header_of(&self, address: usize) -> usize {
        // One of the two is 0.
        self.start_of(address).wrapping_add(self.nowhere.get())
    }

    /// What the map of its segment says of the small block at `address`. Of a block that begins where a segment might, it says
    /// what stands for a header: that is no small one.
    ///
    /// A block that is freed and handed out again at once waits for what is read here, so header and grain are found side by
    /// side, and not one from the other.
    ///
    /// # Safety
    /// The gate is open, and leads from `address` to a header.
    #[inline(always)]
    pub unsafe fn map_at(&self, address: usize) -> u8 {
        // SAFETY: the caller says there is a header, and that the gate is open: it leads nowhere else then.
        let segment = unsafe { Segment::at(self.start_of(address)) };
        segment.grain(address >> GRAIN_SHIFT & self.grains)
    }

    /// Where the header of the block at `address` lies while the gate is open.
    #[inline(always)]
    fn start_of(&self, address: usize) -> usize {
        address.wrapping_sub(1) & self.mask.get()
    }
}

// In a state that is read as a header, bins stand where the owner would be: empty lists and sizes, no state's address.
const _: () = assert!(
    offset_of!(State, bins) == 0
        && offset_of!(Header, owner) + size_of::<usize>() <= CLASSES * size_of::<Bin>()
);
