//! A heap in checked mode that fails the test if it is given a wrong pointer or a wrong size.

use emalloc::heap::{Fault, Handler, Heap, Site};

/// Whoever does that is named.
pub struct Strict;

impl Handler for Strict {
    fn fault(&self, _: &Heap, fault: &Fault, at: Site<'_>) {
        panic!("{fault} at {at}")
    }
}

pub fn checked() -> Heap {
    Heap::builder()
        .checked(true)
        .handler(Strict)
        .build()
        .unwrap()
}
