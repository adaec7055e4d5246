//! The settings in which emalloc is measured: the only place that knows them.

use emalloc::heap::{Heap, HeapError, Retain, Sampling};
use emalloc::storage::{Cached, MmapAnon};

/// A way to set a heap up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Setting {
    /// What [`Heap::new`] gives: `malloc`, segments of 256K.
    Default,
    /// For servers.
    Recommended,
    /// For programs that want memory back after each request.
    Frugal,
    /// As recommended, with a sample every 512K. For those who ask for it.
    Sampled,
}

impl Setting {
    /// All of them, in the order of reports.
    pub const ALL: [Self; 4] = [
        Self::Default,
        Self::Recommended,
        Self::Frugal,
        Self::Sampled,
    ];

    /// Its name in reports.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Default => "default",
            Self::Recommended => "recommended",
            Self::Frugal => "frugal",
            Self::Sampled => "sampled",
        }
    }

    /// A heap with a storage of its own.
    ///
    /// # Errors
    /// No memory for the first segment.
    pub fn build(self, warm: &Warm) -> Result<Heap, HeapError> {
        match self {
            Self::Default => Heap::new(),
            Self::Recommended => Heap::builder()
                .storage(warm.segments)
                .segment_size(2 << 20)
                .retain(Retain::Bytes(0))
                .build(),
            Self::Frugal => Heap::builder()
                .storage(warm.few)
                .segment_size(2 << 20)
                .retain(Retain::Bytes(0))
                .build(),
            Self::Sampled => Heap::builder()
                .storage(warm.segments)
                .segment_size(2 << 20)
                .retain(Retain::Bytes(0))
                .sampling(Sampling::default())
                .build(),
        }
    }
}

/// What a process has one of, in statics as a rule: the storages that its heaps share. Each contender has its own.
pub struct Warm {
    segments: &'static Cached<MmapAnon>,
    few: &'static Cached<MmapAnon>,
}

impl Warm {
    /// Nothing kept yet.
    pub fn new() -> Self {
        Self {
            segments: Box::leak(Box::new(Cached::new(MmapAnon))),
            few: Box::leak(Box::new(Cached::new(MmapAnon).per_request())),
        }
    }
}
