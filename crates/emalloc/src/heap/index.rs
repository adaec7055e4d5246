//! Owns the index of a heap's segments by address: a treap through the headers
//! themselves, so that it needs no memory and cannot fail. It tells whether an
//! address may be followed at all. Used inside `heap`.

use super::link::Link;
use super::segment::Segment;

/// The segments of a heap, by address.
pub(super) struct Index {
    root: Link,
}

/// A priority that looks random but follows from the address. Two rounds of multiplying and folding: after one,
/// segments at regular distances can rise or fall in priority together, which makes the tree a list.
fn priority(segment: Segment) -> u32 {
    let mut mixed = segment.address() as u64;
    for _ in 0..2 {
        mixed ^= mixed >> 32;
        mixed = mixed.wrapping_mul(0x9E37_79B9_7F4A_7C15);
    }
    (mixed >> 32) as u32
}

impl Index {
    pub const fn new() -> Self {
        Self { root: Link::none() }
    }

    /// The segment whose header lies at `address`.
    pub fn find(&self, address: usize) -> Option<Segment> {
        let mut place = self.root.get();
        while let Some(segment) = place {
            if segment.address() == address {
                return Some(segment);
            }
            place = child(segment, address).get();
        }
        None
    }

    /// The segment with the highest header that lies not above `address`.
    pub fn floor(&self, address: usize) -> Option<Segment> {
        let (mut place, mut below) = (self.root.get(), None);
        while let Some(segment) = place {
            if segment.address() <= address {
                below = place;
                place = segment.header().right.get();
            } else {
                place = segment.header().left.get();
            }
        }
        below
    }

    /// Enters a segment that is not in the index.
    pub fn insert(&self, new: Segment) {
        let (address, rank) = (new.address(), priority(new));
        // Down to the first segment that ranks lower: the new one takes its place ...
        let mut place = &self.root;
        while let Some(segment) = place.get() {
            if priority(segment) < rank {
                break;
            }
            place = child(segment, address);
        }
        let mut rest = place.get();
        place.set(Some(new));
        // ... and what stood there is split into what lies below and above it.
        let header = new.header();
        let (mut below, mut above) = (&header.left, &header.right);
        while let Some(segment) = rest {
            let parts = segment.header();
            if segment.address() < address {
                below.set(Some(segment));
                below = &parts.right;
                rest = below.get();
            } else {
                above.set(Some(segment));
                above = &parts.left;
                rest = above.get();
            }
        }
        below.set(None);
        above.set(None);
    }

    /// Takes out a segment that is in the index.
    pub fn remove(&self, old: Segment) {
        let address = old.address();
        let mut place = &self.root;
        while let Some(segment) = place.get() {
            if segment == old {
                break;
            }
            place = child(segment, address);
        }
        // Its two sides are merged in its place, the higher rank on top.
        let (mut left, mut right) = (old.header().left.get(), old.header().right.get());
        loop {
            match (left, right) {
                (Some(low), Some(high)) if priority(low) > priority(high) => {
                    place.set(Some(low));
                    place = &low.header().right;
                    left = place.get();
                }
                (Some(_), Some(high)) => {
                    place.set(Some(high));
                    place = &high.header().left;
                    right = place.get();
                }
                (only, None) | (None, only) => {
                    place.set(only);
                    return;
                }
            }
        }
    }

    /// How many segments the index holds, or `None` if they are out of order, by address or by priority.
    pub fn verify(&self) -> Option<usize> {
        fn count(place: Option<Segment>, low: usize, high: usize, most: u32) -> Option<usize> {
            let Some(segment) = place else { return Some(0) };
            let (address, header, rank) = (segment.address(), segment.header(), priority(segment));
            if address < low || address >= high || rank > most {
                return None;
            }
            let left = count(header.left.get(), low, address, rank)?;
            Some(1 + left + count(header.right.get(), address + 1, high, rank)?)
        }
        count(self.root.get(), 0, usize::MAX, u32::MAX)
    }
}

fn child<'a>(segment: Segment, address: usize) -> &'a Link {
    let header = segment.header();
    if address < segment.address() {
        &header.left
    } else {
        &header.right
    }
}
