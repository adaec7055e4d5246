//! Owns what a heap tells its storage of the long free runs that it holds. A storage that keeps what was freed bounds that by
//! what was filled at once, and only the heap knows. (Short runs are everywhere, and the same ones in each request.) Called by
//! `acquire`, `pages`, `huge`, `reset` and at the heap's end.
//!
//! Before more is taken, it tells how much is free now; before something is given back, how much was free when the most was
//! filled. In between pages are filled without a word, and while something is taken or given the count is rather too high. A
//! heap that never held more than its first segment has told nothing: that counts as filled.

use super::acquire::LOOKED_AT;
use super::state::State;
use crate::layout::PAGE;

impl State {
    /// Tells how much is free before more is taken, of which `more` bytes begin as a long free run. (Not those of a huge block,
    /// which is filled.)
    pub fn tell_unfilled(&self, more: usize) {
        self.set_unfilled(self.free_bytes().saturating_add(more));
    }

    /// Tells how much was free at most when the most was in blocks, before something is given back, and while its pages are in
    /// no list.
    pub fn tell_filled(&self) {
        let told = self.unfilled.get();
        if told != 0 {
            let beyond = self.held.get().saturating_sub(self.usage.peak());
            self.set_unfilled(told.min(beyond).min(self.free_bytes()));
        }
    }

    /// After a reset: all that is held counts as filled, since it was once.
    pub fn tell_all_filled(&self) {
        self.set_unfilled(0);
    }

    fn free_bytes(&self) -> usize {
        let runs = self.free_runs.long(&self.geometry).take(LOOKED_AT);
        runs.map(|run| run.pages * PAGE).sum()
    }

    fn set_unfilled(&self, bytes: usize) {
        // Those heaps have their own way (`keep_less`); both would count twice.
        if self.keep_filled {
            return;
        }
        let before = self.unfilled.replace(bytes);
        if before != bytes {
            self.storage().note_unfilled(before, bytes);
        }
    }
}
