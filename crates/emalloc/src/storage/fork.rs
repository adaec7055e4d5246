//! Owns what a `fork` does to the storage that all heaps share which name none. A thread that is inside one of its tables is
//! not there in the new process, and would never leave: so the tables are held while a process forks, by the thread that
//! does. Used by `builtin_unix` only.

use super::builtin::DEFAULT;
use super::try_cell::{FEW, TryCell};
use crate::sys;
use core::mem;
use core::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

/// Milliseconds until a table is given up: nobody is inside for so long, but a thread that forks in there. (A thread inside
/// may have to wait for a processor.)
const PATIENCE: u64 = 2000;

/// A longer time from one look to the next counts as so many milliseconds.
const LONGEST: u64 = 10;

/// The thread that holds the tables; 0: none does.
static HOLDER: AtomicUsize = AtomicUsize::new(0);

/// What is held.
trait Table {
    /// Keeps everybody out, unless somebody else is inside at each of a few looks.
    fn hold(&self) -> bool;

    /// Lets others in.
    ///
    /// # Safety
    /// The caller holds it.
    unsafe fn release(&self);
}

impl<T> Table for TryCell<T> {
    fn hold(&self) -> bool {
        self.try_enter(FEW).map(mem::forget).is_some()
    }

    unsafe fn release(&self) {
        // SAFETY: who holds it has entered.
        unsafe { self.leave() };
    }
}

/// The tables, in the order in which they are entered one inside another.
fn tables() -> [&'static dyn Table; 3] {
    let regions = DEFAULT.inner();
    [&DEFAULT.store, &regions.list, &regions.free.runs]
}

/// Has the tables held at each fork from now on.
pub(super) fn arm() {
    static ARMED: AtomicBool = AtomicBool::new(false);
    if !ARMED.load(Ordering::Relaxed) && !ARMED.swap(true, Ordering::Relaxed) {
        // If there is no room for it, the new process takes new regions instead of those there are.
        sys::at_fork(hold, release);
    }
}

/// Holds a table, which may take a few tries.
fn insist(table: &dyn Table) -> bool {
    let (mut last, mut waited) = (sys::millis(), 0);
    while waited < PATIENCE {
        if table.hold() {
            return true;
        }
        sys::give_way();
        // A process that is stopped for a while does not wait.
        let now = sys::millis();
        waited += now.saturating_sub(last).min(LONGEST);
        last = now;
    }
    false
}

extern "C" fn hold() {
    let tables = tables();
    let held = tables.iter().take_while(|table| insist(**table)).count();
    if held == tables.len() {
        HOLDER.store(sys::this_thread(), Ordering::Relaxed);
    } else {
        for table in tables.iter().take(held) {
            // SAFETY: held just now.
            unsafe { table.release() };
        }
    }
}

/// In both processes, of which the new one has this thread only.
extern "C" fn release() {
    if HOLDER.load(Ordering::Relaxed) == sys::this_thread() {
        HOLDER.store(0, Ordering::Relaxed);
        for table in tables().iter().rev() {
            // SAFETY: this thread holds it.
            unsafe { table.release() };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc::channel;
    use std::thread;
    use std::time::Duration;

    #[test]
    #[cfg_attr(miri, ignore = "Miri knows no fork")]
    fn a_process_that_forks_while_another_thread_is_inside_leaves_nobody_there() {
        arm();
        for number in 0..tables().len() {
            let (inside, told) = channel();
            let other = thread::spawn(move || {
                let table = tables()[number];
                while !table.hold() {}
                inside.send(()).unwrap();
                thread::sleep(Duration::from_millis(20));
                // SAFETY: held above.
                unsafe { table.release() };
            });
            told.recv().unwrap();
            // SAFETY: the new process does what needs no other thread, and ends.
            let child = unsafe { libc::fork() };
            if child == 0 {
                let free = tables().iter().all(|table| table.hold());
                // SAFETY: no preconditions.
                unsafe { libc::_exit(i32::from(!free)) };
            }
            let mut status = -1;
            // SAFETY: a process of ours, and a place for its status.
            assert_eq!(unsafe { libc::waitpid(child, &mut status, 0) }, child);
            assert_eq!(status, 0);
            other.join().unwrap();
        }
    }
}
