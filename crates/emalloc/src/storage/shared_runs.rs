//! Free runs that several threads use and none waits for: whoever frees while another one is inside leaves
//! the run to that one or the next. For `fixed` and `regions`.

use super::arrivals::Arrivals;
use super::free_runs::{FreeRuns, Run};
use super::try_cell::{FEW, MANY, TryCell};

/// The runs.
#[derive(Debug)]
pub(super) struct SharedRuns {
    pub(super) runs: TryCell<FreeRuns>,
    /// Freed while somebody else was inside; whoever comes next takes them in.
    waiting: Arrivals<Run>,
}

impl SharedRuns {
    pub(super) const fn new(runs: FreeRuns) -> Self {
        Self {
            runs: TryCell::new(runs),
            waiting: Arrivals::new(),
        }
    }

    /// Has `act` done with the free runs, all earlier frees taken in; `None` if others were
    /// inside at each of `looks` looks.
    fn with_runs<T>(&self, looks: u32, act: impl FnOnce(&mut FreeRuns) -> T) -> Option<T> {
        let mut runs = self.runs.try_enter(looks)?;
        let mut waiting = self.waiting.take_all();
        while !waiting.is_null() {
            // SAFETY: written by `put_back`, and ours alone since the swap.
            let run = unsafe { waiting.read() };
            // SAFETY: freed memory of this list.
            unsafe { runs.insert(waiting.cast(), run.size) };
            waiting = run.next;
        }
        Some(act(&mut runs))
    }

    /// Takes `size` bytes aligned to `align`; null if there are none, or others were inside all the time.
    pub(super) fn take(&self, size: usize, align: usize) -> *mut u8 {
        self.with_runs(MANY, |runs| runs.take(size, align))
            .unwrap_or_default()
    }

    /// Takes exactly the `size` bytes at `start`. `false`: nothing has changed.
    pub(super) fn take_at(&self, looks: u32, start: *mut u8, size: usize) -> bool {
        self.with_runs(looks, |runs| runs.take_at(start, size))
            .unwrap_or(false)
    }

    /// Takes memory back without ever waiting. Answers the run that it is part of now, unless that is left to others.
    ///
    /// # Safety
    /// As [`FreeRuns::insert`] says.
    pub(super) unsafe fn put_back(&self, start: *mut u8, size: usize) -> Option<(*mut u8, usize)> {
        // SAFETY: the caller's promise.
        let done = self.with_runs(FEW, |runs| unsafe { runs.insert(start, size) });
        if done.is_some() {
            return done;
        }
        let run: *mut Run = start.cast();
        self.waiting.push(run, |next| {
            // SAFETY: the caller's bytes, aligned and large enough by the grain.
            unsafe { run.write(Run { size, next }) };
        });
        None
    }

    /// Keeps others out while the answer lives.
    #[cfg(test)]
    pub(super) fn enter_for_test(&self) -> Option<impl Drop + use<'_>> {
        self.runs.try_enter(1)
    }
}
