//! Executes operations on the thread's current heap, through the interface, as fast as it can be measured.
//!
//! What goes wrong in the heap arrives here by unwinding: the loop itself asks nothing. Owns the loop,
//! the heap's handler that unwinds, and the plain table of blocks; the verified one is in `contents.rs`.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::ptr;

use emalloc::heap::{Fault, Handler, Recovery, Site};
use emalloc::{AllocError, Heap, efree, emalloc, erealloc};

use super::batch::{Op, OpKind};
use super::failure::Damage;

/// Why an operation was not done.
#[derive(Debug)]
pub enum Cause {
    /// The heap refused.
    Refused(AllocError),
    /// The heap found a pointer wrong that the trace says is right.
    Fault(Fault),
    /// A block is not as it should be.
    Damage(Damage),
}

/// The execution ended early.
#[derive(Debug)]
pub struct Stop {
    /// The operation, by its place among those that were to be executed.
    pub index: usize,
    /// What happened.
    pub cause: Cause,
}

/// Ends the execution from inside an operation.
pub fn stop(cause: Cause) -> ! {
    resume_unwind(Box::new(cause))
}

/// Hands refusals and faults to whoever executes.
pub struct Unwinding;

impl Handler for Unwinding {
    fn out_of_memory(&self, _: &Heap, error: &AllocError, _: Site<'_>) -> Recovery {
        stop(Cause::Refused(*error))
    }

    fn fault(&self, _: &Heap, fault: &Fault, _: Site<'_>) {
        stop(Cause::Fault(*fault))
    }
}

/// A table of blocks by slot.
///
/// # Safety
/// None for those who implement it; its functions are called in the order of a trace that makes sense,
/// on a thread whose current heap is the same each time and has not been reset since the last
/// [`end_request`](Self::end_request).
pub trait Blocks {
    /// An empty table for slots below `slots`.
    fn new(slots: usize) -> Self;

    /// Allocates a block.
    fn allocate(&mut self, slot: u32, size: usize);

    /// Frees a block.
    ///
    /// # Safety
    /// The slot's block is alive in the current heap.
    unsafe fn free(&mut self, slot: u32);

    /// Resizes a block.
    ///
    /// # Safety
    /// The slot's block is alive in the current heap.
    unsafe fn resize(&mut self, slot: u32, size: usize);

    /// All blocks are about to go.
    ///
    /// # Safety
    /// All blocks are alive, though no heap need be current.
    unsafe fn end_request(&mut self) -> Result<(), Damage>;
}

/// Nothing but pointers.
pub struct Plain(Vec<*mut u8>);

impl Blocks for Plain {
    fn new(slots: usize) -> Self {
        Self(vec![ptr::null_mut(); slots])
    }

    #[inline(always)]
    fn allocate(&mut self, slot: u32, size: usize) {
        self.0[slot as usize] = emalloc(size);
    }

    #[inline(always)]
    unsafe fn free(&mut self, slot: u32) {
        // SAFETY: the caller's promise.
        unsafe { efree(self.0[slot as usize]) };
    }

    #[inline(always)]
    unsafe fn resize(&mut self, slot: u32, size: usize) {
        let block = &mut self.0[slot as usize];
        // SAFETY: the caller's promise.
        *block = unsafe { erealloc(*block, size) };
    }

    /// What is left in the table is never looked at again: the next request allocates before it frees.
    unsafe fn end_request(&mut self) -> Result<(), Damage> {
        Ok(())
    }
}

/// Executes `ops`, up to the first that cannot be done.
///
/// # Safety
/// `ops` make sense after all that was executed on `blocks` before; the thread's current heap is the one that it
/// was then, with [`Unwinding`] as its handler.
pub unsafe fn execute<B: Blocks>(blocks: &mut B, ops: &[Op]) -> Result<(), Stop> {
    let mut rest = ops.iter();
    let done = catch_unwind(AssertUnwindSafe(|| {
        for op in rest.by_ref() {
            match op.kind {
                OpKind::Alloc => blocks.allocate(op.slot, op.size),
                // SAFETY: the operation makes sense, so the slot's block is alive.
                OpKind::Free => unsafe { blocks.free(op.slot) },
                // SAFETY: as above.
                OpKind::Realloc => unsafe { blocks.resize(op.slot, op.size) },
            }
        }
    }));
    done.map_err(|payload| {
        let cause = payload
            .downcast::<Cause>()
            .unwrap_or_else(|other| resume_unwind(other));
        Stop {
            index: ops.len() - rest.len() - 1,
            cause: *cause,
        }
    })
}
