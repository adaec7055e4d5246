//! Owns [`Link`]: the way from one segment's header to another's. Headers lie
//! beside memory that programs write to, so a link carries a seal by which
//! `check` can tell it from what was written over it before following it.
//! Used by `segment`, `index` and `check`.

use core::cell::Cell;

use super::segment::Segment;
use crate::layout::MIN_SEGMENT;

/// The bits that are zero in every segment's address, and have room for the seal.
const SEAL: usize = MIN_SEGMENT - 1;

/// A segment, or none.
pub(super) struct Link(Cell<usize>);

/// What the low bits say beside `address`: a hash of it, which for "none" is not zero either.
const fn seal(address: usize) -> usize {
    let high = (address / MIN_SEGMENT) as u64 + 1;
    (high.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 48) as usize & SEAL
}

impl Link {
    pub const fn none() -> Self {
        Self(Cell::new(seal(0)))
    }

    pub fn get(&self) -> Option<Segment> {
        let address = self.0.get() & !SEAL;
        // SAFETY: `set` got the address from a segment, whose memory's provenance is exposed, and links are
        // unset before their segment is given back.
        (address != 0).then(|| unsafe { Segment::at(address) })
    }

    pub fn set(&self, to: Option<Segment>) {
        let address = to.map_or(0, Segment::address);
        self.0.set(address | seal(address));
    }

    /// Whether `set` may have written this, so that it can be followed.
    pub fn is_sound(&self) -> bool {
        let word = self.0.get();
        word & SEAL == seal(word & !SEAL)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_over_a_link_is_not_sound() {
        let link = Link::none();
        assert!(link.is_sound() && link.get().is_none());
        let sound = link.0.get();
        for byte in 0..=u8::MAX {
            link.0.set(usize::from_ne_bytes([byte; size_of::<usize>()]));
            assert!(!link.is_sound(), "{byte:#x}");
        }
        for bit in 0..usize::BITS {
            link.0.set(sound ^ 1 << bit);
            assert!(!link.is_sound(), "bit {bit}");
        }
    }
}
