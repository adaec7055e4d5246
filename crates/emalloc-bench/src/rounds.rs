//! Rounds: each allocator in turn, over and over, so that what disturbs the machine disturbs all.

use crate::contender::{Contender, Lifetime};
use crate::replay::{Touch, Trace};
use crate::stats::Spread;

/// Replays the trace `rounds` times on each allocator. Nanoseconds per operation, in the order of `all`.
pub fn run(
    all: &mut [Contender],
    trace: &mut Trace,
    lifetime: Lifetime,
    rounds: usize,
) -> Vec<Spread> {
    let operations = trace.operations().max(1) as f64;
    let mut times = vec![Vec::with_capacity(rounds); all.len()];
    // Round 0 warms everything up: pages of code, the trace itself, what allocators keep.
    for round in 0..=rounds {
        for turn in 0..all.len() {
            // Nobody always follows the same neighbour.
            let which = (turn + round) % all.len();
            let time = all[which].measured.replay(trace, Touch::First, lifetime);
            if round > 0 {
                times[which].push(time / operations);
            }
        }
    }
    for contender in all {
        contender.measured.finish();
    }
    times.into_iter().map(Spread::of).collect()
}
