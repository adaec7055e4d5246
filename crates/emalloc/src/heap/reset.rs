//! Owns the end of a request: everything in the heap is gone at once, by the
//! number of segments and not of blocks, and the first segments stay warm.

use super::large::SCATTERED_FROM;
use super::observers::Event;
use super::segment::{Kind, Segment};
use super::state::State;
use super::{Heap, Retain};
use crate::size_class::CLASSES;

/// How many segments after the next one a header is fetched.
const AHEAD: usize = 3;

impl State {
    /// Forgets every block and keeps the segments worth keeping.
    pub fn reset(&self, silent: bool) {
        self.end_blocks(silent);
        self.give_up_blocks();
        self.tell_filled();
        let keep = match self.retain {
            Retain::Adaptive => recent(self.keep.get(), self.need.get()),
            Retain::Bytes(bytes) => bytes,
        };
        self.keep.set(keep);
        self.forget_blocks();
        let mut others = (keep / self.geometry.segment_size).saturating_sub(1);
        for segment in self.segments().filter(|&segment| segment != self.first) {
            // Headers are far apart, and only each one tells where the next is. But segments taken one after the other
            // mostly lie side by side, so it can be guessed where those lie that come after it.
            if let Some(next) = segment.header().next.get() {
                let step = next.address().wrapping_sub(segment.address());
                self.geometry
                    .fetch_header(next.address().wrapping_add(step.wrapping_mul(AHEAD)));
            }
            if others == 0 || segment.header().kind.get() == Kind::Huge {
                // Storage calls come last for each segment, so that the heap never leads to what it gave back.
                self.release_segment(segment);
            } else {
                others -= 1;
                self.clear_marks(segment);
                self.enter_pages(segment, self.free_end(segment));
            }
        }
        self.tell_all_filled();
        self.need.set(0);
        self.filled.set(self.filled.get() - self.filled.get() / 8);
        // Entered last, the first segment is used first again: it is the warmest.
        self.clear_marks(self.first);
        self.enter_first(self.free_end(self.first));
        if self.compact != 0 && self.held_peak.get() > self.compact {
            self.storage().trim();
        }
        self.held_peak.set(self.held.get());
        self.storage().request_ended();
        self.tell(|| Event::Reset);
    }

    fn forget_blocks(&self) {
        if let Some(samples) = self.samples() {
            samples.forget();
        }
        for class in 0..CLASSES {
            // In any mode the others are empty.
            self.list(class).take();
        }
        for fresh in &self.fresh {
            fresh.bytes.set(0);
        }
        for count in &self.run_counts {
            count.set(0);
        }
        if self.cold.is_on() {
            self.join_runs();
        }
        self.clear_nursery();
        self.spares.clear();
        self.free_runs.clear();
        self.growing_end.set(0);
        self.empty_segments.set(0);
        self.reserve_at.set(None);
        self.refusal.set(None);
        self.usage.clear();
        self.collect_at.set(SCATTERED_FROM);
        self.sweep_at.set(0);
    }

    /// Forgets which blocks of a segment are alive, if that is noted.
    fn clear_marks(&self, segment: Segment) {
        if self.geometry.checked() {
            segment.clear_live_bits(&self.geometry);
        }
    }
}

/// What recent requests needed: as much as the last one, at once; less only little by little.
fn recent(before: usize, now: usize) -> usize {
    now.max(before - before.saturating_sub(now).div_ceil(4))
}

/// The end of a request.
impl Heap {
    /// Throws everything in the heap away at once. (`shutdown_memory_manager`, not full)
    ///
    /// The cost grows with the number of segments, not of blocks; no destructor runs. As many segments stay as
    /// [`Retain`] says, ready for the next request; peaks begin anew.
    ///
    /// It takes `&mut`, so nothing that borrows from the heap survives it:
    ///
    /// ```compile_fail
    /// # use emalloc::heap::Heap;
    /// let mut heap = Heap::new().unwrap();
    /// let number = heap.alloc(5);
    /// heap.reset();
    /// println!("{number}"); // would read freed memory: does not compile
    /// ```
    ///
    /// ```
    /// # use emalloc::heap::Heap;
    /// let mut heap = Heap::new()?;
    /// for _request in 0..3 {
    ///     for _ in 0..1000 {
    ///         heap.allocate(100);
    ///     }
    ///     heap.reset();
    ///     assert_eq!(heap.usage(), 0);
    /// }
    /// # Ok::<(), emalloc::heap::HeapError>(())
    /// ```
    pub fn reset(&mut self) {
        self.state().reset(false);
    }

    /// As [`reset`](Self::reset); in debug mode leaks are reported to nobody: after an error, when nobody could
    /// clean up. (`shutdown_memory_manager`, silent)
    pub fn reset_silently(&mut self) {
        self.state().reset(true);
    }

    /// As [`reset`](Self::reset), for the thread's own heap, which is only ever shared.
    ///
    /// # Safety
    /// Nothing in the heap is used any more.
    #[cfg(feature = "std")]
    pub(crate) unsafe fn reset_shared(&self) {
        self.state().reset(false);
    }
}
