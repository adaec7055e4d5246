//! Storages that tell what a heap asks of them: counting outside, failing inside, shared with the test.

use std::sync::Arc;

use emalloc::heap::{Builder, Heap};
use emalloc::storage::{Counting, Failing, Storage};

/// A storage that counts, and one inside it that fails when told to.
pub type Probe<S> = Arc<Counting<Failing<S>>>;

pub fn probe<S: Storage>(storage: S) -> Probe<S> {
    Arc::new(Counting::new(Failing::new(storage)))
}

/// Builder of a heap on the probe, with segments of `segment_size` bytes.
pub fn on<S: Storage + Sync + 'static>(probe: &Arc<S>, segment_size: usize) -> Builder<Arc<S>> {
    Heap::builder()
        .storage(Arc::clone(probe))
        .segment_size(segment_size)
}

/// Nothing is out any more.
pub fn assert_all_returned<S: Storage>(probe: &Counting<S>) {
    let counts = probe.counts();
    assert_eq!(
        (counts.live_grants, counts.live_bytes),
        (0, 0),
        "leaked: {counts:?}"
    );
}
