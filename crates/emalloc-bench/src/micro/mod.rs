//! Micro benchmarks: one thing at a time, for what traces do not show alone. This file owns the list of cases and their
//! rounds; each sibling runs one kind.

mod fragmented;
mod growth;
mod heaps;
mod life;
mod pairs;
mod reset;

use std::fmt;
use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::allocator::Peer;
use crate::contender::{BUMPALO, Contender, MODEL};
use crate::stats::Spread;

pub use growth::Steps;
pub use pairs::{Order, Size, at_once};

/// A micro benchmark.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Case {
    /// A heap made, used for one block, and ended; nanoseconds.
    Life,
    /// Blocks of one size allocated and freed; nanoseconds per pair.
    Pairs(Order, Size),
    /// One block grown from 16 bytes to 1 GiB, its pages written to; milliseconds.
    Growth(Steps),
    /// The end of a request that has so many blocks; nanoseconds.
    Reset(usize),
    /// A block of 256 KiB allocated and freed in a heap of so many MiB, half of it holes; nanoseconds per pair.
    Fragmented(usize),
    /// 10,000 heaps alive with 32 small blocks (8448 bytes) in each; resident bytes per heap.
    Heaps,
}

impl Case {
    /// All of them, in the order of reports.
    pub fn all() -> Vec<Self> {
        let mut all = vec![Self::Life];
        for order in Order::ALL {
            all.extend(Size::ALL.map(|size| Self::Pairs(order, size)));
        }
        all.extend([Steps::Doubling, Steps::Eighths].map(Self::Growth));
        all.extend([1, 1_000, 100_000].map(Self::Reset));
        all.extend([64, 1024, 4096].map(Self::Fragmented));
        all.push(Self::Heaps);
        all
    }

    /// The kind of benchmark.
    pub const fn kind(self) -> &'static str {
        match self {
            Self::Life => "life",
            Self::Pairs(..) => "pairs",
            Self::Growth(_) => "growth",
            Self::Reset(_) => "reset",
            Self::Fragmented(_) => "fragmented",
            Self::Heaps => "heaps",
        }
    }

    /// Cases with the same heading make up a table.
    pub fn heading(self) -> String {
        match self {
            Self::Pairs(order, _) => format!("pairs, {order}"),
            Self::Life | Self::Growth(_) | Self::Reset(_) | Self::Fragmented(_) | Self::Heaps => {
                self.kind().to_owned()
            }
        }
    }

    /// What is measured.
    pub const fn unit(self) -> &'static str {
        match self {
            Self::Growth(_) => "ms",
            Self::Heaps => "bytes",
            _ => "ns",
        }
    }

    /// Those that take long, or have no spread, are run less often.
    fn rounds(self, rounds: usize) -> usize {
        match self {
            Self::Growth(_) | Self::Fragmented(_) => rounds.min(3),
            Self::Heaps => 1,
            _ => rounds,
        }
    }

    /// Whether it says anything about this allocator.
    fn suits(self, contender: &Contender) -> bool {
        match self {
            _ if contender.name == MODEL => matches!(self, Self::Pairs(..)),
            Self::Pairs(..) | Self::Fragmented(_) => contender.name != BUMPALO,
            Self::Growth(_) => !["null", BUMPALO].contains(&contender.name),
            Self::Heaps => contender.name != "null",
            Self::Life | Self::Reset(_) => true,
        }
    }
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Life => f.write_str("create, one block, destroy"),
            Self::Pairs(order, size) => write!(f, "{} bytes, {order}", size.bytes()),
            Self::Growth(steps) => write!(f, "16 B to 1 GiB, {steps}"),
            Self::Reset(1) => f.write_str("reset after 1 block"),
            Self::Reset(blocks) => write!(f, "reset after {blocks} blocks"),
            Self::Fragmented(megabytes) => write!(f, "256 KiB in {megabytes} MiB of holes"),
            Self::Heaps => f.write_str("10,000 heaps, 8448 bytes in each"),
        }
    }
}

/// One round of a case on one allocator.
pub fn run<P: Peer>(peer: &P, case: Case) -> Option<f64> {
    match case {
        Case::Life => life::run(peer),
        Case::Pairs(order, size) => Some(pairs::run(peer, order, size)),
        Case::Growth(steps) => Some(growth::run(peer, steps)),
        Case::Reset(blocks) => reset::run(peer, blocks),
        Case::Fragmented(megabytes) => Some(fragmented::run(peer, megabytes)),
        Case::Heaps => heaps::run(peer),
    }
}

/// All rounds of a case, in the order of `all`.
///
/// # Errors
/// A process that measures memory failed.
pub fn rounds(all: &mut [Contender], case: Case, rounds: usize) -> Result<Vec<Option<Spread>>> {
    let mut values = vec![Vec::new(); all.len()];
    for round in 0..case.rounds(rounds) {
        for turn in 0..all.len() {
            let which = (turn + round) % all.len();
            let contender = &mut all[which];
            if !case.suits(contender) {
                continue;
            }
            let value = if case == Case::Heaps {
                in_child(contender)?
            } else {
                contender.measured.micro(case)
            };
            values[which].extend(value);
        }
    }
    let spread = |values: Vec<f64>| (!values.is_empty()).then(|| Spread::of(values));
    Ok(values.into_iter().map(spread).collect())
}

fn in_child(contender: &Contender) -> Result<Option<f64>> {
    let label = contender.label();
    let output = Command::new(std::env::current_exe()?)
        .args(["--child", "heaps", "--only", &label])
        .output()
        .context("cannot start a process to measure memory in")?;
    ensure!(
        output.status.success(),
        "measuring the heaps of {label} failed: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(serde_json::from_slice(&output.stdout)?)
}

/// [`Case::Heaps`] inside a fresh process; the answer goes to standard output.
///
/// # Errors
/// The answer is no figure.
pub fn child(contender: &mut Contender) -> Result<()> {
    let value = contender.measured.micro(Case::Heaps);
    println!("{}", serde_json::to_string(&value)?);
    Ok(())
}

/// Sizes of small blocks, 264 bytes on average.
fn small_sizes() -> impl Iterator<Item = usize> + Clone {
    (1..=32).map(|step| step * 16)
}
