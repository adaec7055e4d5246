//! Replays one trace: decodes a batch, executes it, ends requests. Owns the heap, the clock and the peaks.

use std::io::Read;
use std::sync::Arc;
use std::time::{Duration, Instant};

use emalloc::heap::Item;
use emalloc::storage::{Counting, Counts};
use emalloc::{Heap, Limit, scope};
use emalloc_trace::Summary;

use super::batch::{Batch, Decoder, Op, RequestEnd};
use super::contents::Verified;
use super::execute::{Blocks, Cause, Plain, Stop, Unwinding, execute};
use super::failure::{Damage, Failure, Place};
use super::progress::Progress;
use super::stack::{self, Shared};
use crate::args::ReplayArgs;

/// What a replay showed.
#[derive(Debug)]
pub struct Outcome {
    /// What the trace holds.
    pub summary: Summary,
    /// Spent in operations and in resets; not taken when checking.
    pub times: Option<Times>,
    /// The most bytes in blocks.
    pub peak_usage: usize,
    /// The most bytes held from the storage.
    pub peak_real_usage: usize,
    /// What was asked of the storage before the heap was dropped.
    pub counts: Counts,
}

/// What the clock said.
#[derive(Clone, Copy, Debug, Default)]
pub struct Times {
    /// In all operations together.
    pub ops: Duration,
    /// In all resets together.
    pub resets: Duration,
}

impl Outcome {
    /// ALLOC, FREE and REALLOC records.
    pub fn operations(&self) -> u64 {
        self.summary.allocs + self.summary.frees + self.summary.reallocs
    }

    /// With the shorter times of two replays; all else is the same in both, or nearly so.
    pub fn faster(mut self, other: &Self) -> Self {
        if let (Some(times), Some(others)) = (&mut self.times, other.times) {
            times.ops = times.ops.min(others.ops);
            times.resets = times.resets.min(others.resets);
        }
        self
    }

    /// The part of the peak of what was held that is more than the peak of what was used.
    pub fn fragmentation(&self) -> f64 {
        1.0 - self.peak_usage as f64 / self.peak_real_usage as f64
    }
}

/// Replays the trace in `source`.
pub fn play(
    args: &ReplayArgs,
    source: impl Read,
    progress: &mut Progress,
) -> Result<Outcome, Failure> {
    let decoder = Decoder::new(source).map_err(Failure::Trace)?;
    if args.check {
        Player::<Verified>::new(args, decoder.slots())?.play(decoder, progress)
    } else {
        Player::<Plain>::new(args, decoder.slots())?.play(decoder, progress)
    }
}

struct Player<B> {
    heap: Heap,
    counting: Arc<Counting<Shared>>,
    blocks: B,
    check: bool,
    done: u64,
    times: Times,
    peak_usage: usize,
    peak_real_usage: usize,
}

impl<B: Blocks> Player<B> {
    fn new(args: &ReplayArgs, slots: usize) -> Result<Self, Failure> {
        let stack = stack::build(args).map_err(Failure::Storage)?;
        let builder = Heap::builder()
            .storage(stack.top)
            .handler(Unwinding)
            .segment_size(args.segment_size)
            .limit(args.limit.map_or(Limit::Unlimited, Limit::Bytes))
            .checked(args.check);
        let heap = match args.debug {
            Some(debug) => builder.debug(debug).build(),
            None => builder.build(),
        }
        .map_err(Failure::Heap)?;
        Ok(Self {
            heap,
            counting: stack.counting,
            blocks: B::new(slots),
            check: args.check,
            done: 0,
            times: Times::default(),
            peak_usage: 0,
            peak_real_usage: 0,
        })
    }

    /// The only way in, so the operations of one trace, all of them, and in order, meet one table and one heap.
    fn play(
        mut self,
        mut decoder: Decoder<impl Read>,
        progress: &mut Progress,
    ) -> Result<Outcome, Failure> {
        let promised = decoder.promised_ops();
        while let Some(batch) = decoder.next().map_err(Failure::Trace)? {
            let mut from = 0;
            for end in &batch.ends {
                self.run(batch, from, end.at)?;
                self.end_request(end)?;
                from = end.at;
            }
            self.run(batch, from, batch.ops.len())?;
            if self.check {
                self.check_heap(Place::After)?;
            }
            progress.show(self.done, promised);
        }
        let summary = decoder.finish().map_err(Failure::Trace)?;
        self.end(summary)
    }

    /// Executes a part of a batch.
    fn run(&mut self, batch: &Batch, from: usize, to: usize) -> Result<(), Failure> {
        let ops = &batch.ops[from..to];
        if ops.is_empty() {
            return Ok(());
        }
        let Self { heap, blocks, .. } = self;
        let (stopped, time) = scope(heap, || {
            let begun = Instant::now();
            // SAFETY: the decoder lets through what makes sense, and `play` leaves out nothing of it;
            // the table and the heap are always the same two.
            let stopped = unsafe { execute(blocks, ops) };
            (stopped, begun.elapsed())
        });
        self.times.ops += time;
        match stopped {
            Ok(()) => {
                self.done += ops.len() as u64;
                Ok(())
            }
            Err(stop) => Err(self.stopped(batch, from + stop.index, stop)),
        }
    }

    /// What a stop means, at the operation `index` of the batch.
    fn stopped(&mut self, batch: &Batch, index: usize, stop: Stop) -> Failure {
        let op: Op = batch.ops[index];
        self.done += stop.index as u64;
        let place = Place::Op {
            number: self.done + 1,
            offset: batch.offset_of(index),
            op,
        };
        match stop.cause {
            Cause::Refused(error) if self.check => self
                .verify_all(Place::After)
                .err()
                .unwrap_or(Failure::Refused(place, error)),
            Cause::Refused(error) => Failure::Refused(place, error),
            Cause::Fault(fault) => Failure::Fault(place, fault),
            Cause::Damage(damage) => Failure::Damage(place, damage),
        }
    }

    fn end_request(&mut self, end: &RequestEnd) -> Result<(), Failure> {
        let place = |_| Place::RequestEnd(end.number);
        if self.check {
            self.check_live(end)?;
            self.verify_all(place)?;
        }
        self.note_peaks();
        let begun = Instant::now();
        self.heap.reset();
        self.times.resets += begun.elapsed();
        if self.check {
            self.check_heap(place)?;
            if self.heap.usage() != 0 {
                let damage = Damage::Left(self.heap.usage());
                return Err(Failure::Damage(place(self.done), damage));
            }
        }
        Ok(())
    }

    fn note_peaks(&mut self) {
        self.peak_usage = self.peak_usage.max(self.heap.peak());
        self.peak_real_usage = self.peak_real_usage.max(self.heap.real_peak());
    }

    /// Contents and invariants, before blocks go.
    fn verify_all(&mut self, place: impl Fn(u64) -> Place) -> Result<(), Failure> {
        // SAFETY: all blocks in the table are alive: the heap was not reset since they were allocated.
        let verified = unsafe { self.blocks.end_request() };
        verified.map_err(|damage| Failure::Damage(place(self.done), damage))?;
        self.check_heap(place)
    }

    fn check_heap(&self, place: impl Fn(u64) -> Place) -> Result<(), Failure> {
        self.heap
            .check()
            .map_err(|corruption| Failure::Damage(place(self.done), Damage::Invariant(corruption)))
    }

    fn check_live(&self, end: &RequestEnd) -> Result<(), Failure> {
        let mut found = 0;
        self.heap.walk(&mut |item| {
            found += usize::from(matches!(item, Item::Block { .. }));
        });
        let expected = end.live_blocks as usize;
        if found == expected {
            return Ok(());
        }
        let damage = Damage::LiveBlocks { expected, found };
        Err(Failure::Damage(Place::RequestEnd(end.number), damage))
    }

    /// All operations are done. A trace that was cut short has left its last request open.
    fn end(mut self, summary: Summary) -> Result<Outcome, Failure> {
        if self.check {
            self.verify_all(|_| Place::End)?;
        }
        self.note_peaks();
        let counts = self.counting.counts();
        drop(self.heap);
        let after = self.counting.counts();
        if self.check && after.live_grants != 0 {
            let (grants, bytes) = (after.live_grants, after.live_bytes);
            return Err(Failure::Damage(Place::End, Damage::Lost { grants, bytes }));
        }
        Ok(Outcome {
            summary,
            times: (!self.check).then_some(self.times),
            peak_usage: self.peak_usage,
            peak_real_usage: self.peak_real_usage,
            counts,
        })
    }
}
