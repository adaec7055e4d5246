//! Owns what happens when PHP gives back a pointer that is wrong.

use emalloc::heap::{Fault, FaultKind, Handler, Heap, Site};

use crate::refusal::corrupted;

/// The handler of PHP's heaps. All but one fault end the process: PHP's blocks may be overwritten already.
pub struct Faults;

impl Handler for Faults {
    /// A block freed twice in a row is the one that is ignored: nothing has happened between, and the heap has done nothing.
    /// The original does not see it, so there are programs that do it and work. In checked mode, which is for finding
    /// mistakes, it counts as one.
    fn fault(&self, heap: &Heap, fault: &Fault, _at: Site<'_>) {
        if heap.is_checked() || !matches!(fault.kind, FaultKind::DoubleFree { .. }) {
            corrupted(fault)
        }
    }
}
