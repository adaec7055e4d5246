//! The free memory of `fixed`: runs in the order of their addresses, each describing itself
//! in its own first bytes, neighbours always merged. Used by `fixed.rs` only.

use core::ptr;

/// Runs begin at multiples of this many bytes and are multiples of it long, so that each
/// has room for its description. It is the storage's granularity.
pub(super) const GRAIN: usize = 64;

/// The first bytes of a free run.
#[derive(Debug)]
pub(super) struct Run {
    pub(super) size: usize,
    pub(super) next: *mut Run,
}

const _: () = assert!(size_of::<Run>() <= GRAIN && align_of::<Run>() <= GRAIN);

/// A list of free runs. Every run in it is this list's alone to read and write, down to the
/// last byte, and every pointer in it may reach the whole buffer.
#[derive(Debug)]
pub(super) struct FreeRuns {
    head: *mut Run,
}

// SAFETY: the runs belong to the list and go where it goes.
unsafe impl Send for FreeRuns {}

impl FreeRuns {
    pub(super) const fn new() -> Self {
        Self {
            head: ptr::null_mut(),
        }
    }

    /// Takes a run in, merged with what is free right before and right after it. Answers the merged run.
    ///
    /// # Safety
    /// The `size` bytes at `start` are nobody's, multiples of [`GRAIN`], and the pointer may reach
    /// the whole buffer.
    pub(super) unsafe fn insert(&mut self, start: *mut u8, mut size: usize) -> (*mut u8, usize) {
        let mut before: *mut Run = ptr::null_mut();
        let mut after = self.head;
        while !after.is_null() && after.addr() < start.addr() {
            before = after;
            // SAFETY: a run of the list.
            after = unsafe { (*after).next };
        }
        if !after.is_null() && start.addr() + size == after.addr() {
            // SAFETY: a run of the list, which leaves it here.
            let next = unsafe { after.read() };
            size += next.size;
            after = next.next;
        }
        if !before.is_null() {
            // SAFETY: a run of the list.
            let previous = unsafe { &mut *before };
            if before.addr() + previous.size == start.addr() {
                previous.size += size;
                previous.next = after;
                return (before.cast(), previous.size);
            }
        }
        let run: *mut Run = start.cast();
        // SAFETY: free memory, aligned and large enough by the grain.
        unsafe { run.write(Run { size, next: after }) };
        self.link(before, run);
        (start, size)
    }

    /// Takes `size` bytes aligned to `align` out of the first run that has them; null if none has.
    pub(super) fn take(&mut self, size: usize, align: usize) -> *mut u8 {
        let align = align.max(GRAIN);
        let mut before: *mut Run = ptr::null_mut();
        let mut at = self.head;
        while !at.is_null() {
            // SAFETY: a run of the list.
            let run = unsafe { at.read() };
            let skipped = at.addr().wrapping_neg() & (align - 1);
            if skipped <= run.size && run.size - skipped >= size {
                self.cut(before, at, skipped, size);
                return at.cast::<u8>().wrapping_add(skipped);
            }
            before = at;
            at = run.next;
        }
        ptr::null_mut()
    }

    /// Takes exactly the `size` bytes at `start`. `false`: they are not all free, nothing has changed.
    pub(super) fn take_at(&mut self, start: *mut u8, size: usize) -> bool {
        let mut before: *mut Run = ptr::null_mut();
        let mut at = self.head;
        while !at.is_null() && at.addr() <= start.addr() {
            // SAFETY: a run of the list.
            let run = unsafe { at.read() };
            if at.addr() == start.addr() {
                let enough = run.size >= size;
                if enough {
                    self.cut(before, at, 0, size);
                }
                return enough;
            }
            before = at;
            at = run.next;
        }
        false
    }

    /// Cuts `size` bytes out of a run, `skipped` bytes from its start; what is left stays free.
    fn cut(&mut self, before: *mut Run, at: *mut Run, skipped: usize, size: usize) {
        // SAFETY: a run of the list.
        let run = unsafe { at.read() };
        let rest = run.size - skipped - size;
        let mut follow = run.next;
        if rest != 0 {
            let tail: *mut Run = at.cast::<u8>().wrapping_add(skipped + size).cast();
            let described = Run {
                size: rest,
                next: follow,
            };
            // SAFETY: the end of the free run, a multiple of the grain.
            unsafe { tail.write(described) };
            follow = tail;
        }
        if skipped == 0 {
            return self.link(before, follow);
        }
        let described = Run {
            size: skipped,
            next: follow,
        };
        // SAFETY: the beginning of the free run, a multiple of the grain.
        unsafe { at.write(described) };
    }

    fn link(&mut self, before: *mut Run, to: *mut Run) {
        if before.is_null() {
            self.head = to;
        } else {
            // SAFETY: a run of the list.
            unsafe { (*before).next = to };
        }
    }
}
