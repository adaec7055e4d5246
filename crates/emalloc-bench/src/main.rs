//! `emalloc-bench`: emalloc and its peers on recorded traces, side by side.

mod allocator;
mod clock;
mod contender;
mod memory;
mod peers;
mod replay;
mod report;
mod resident;
mod rounds;
mod settings;
mod stats;
mod tls;

use std::path::PathBuf;

use anyhow::Result;
use clap::Parser;

use contender::{Lifetime, contenders};
use replay::{Touch, Trace};

/// Replays traces on emalloc and on the allocators that people would use instead, in turns in one process, and reports
/// processor time and resident memory.
#[derive(Parser)]
struct Arguments {
    /// Traces to replay
    #[arg(required = true)]
    traces: Vec<PathBuf>,
    /// Only these allocators, separated by commas; `emalloc:recommended` is one setting. null always runs
    #[arg(long, value_delimiter = ',')]
    only: Vec<String>,
    /// Rounds per trace
    #[arg(long, default_value_t = 7)]
    rounds: usize,
    /// Keep each heap over the rounds of a trace, as a server would, instead of making it anew
    #[arg(long)]
    keep: bool,
    /// Write all of each block instead of its first 8 bytes
    #[arg(long)]
    fill: bool,
    /// One JSON object per line
    #[arg(long)]
    json: bool,
    /// Do not measure resident memory
    #[arg(long)]
    no_memory: bool,
    /// The measurement of memory inside a fresh process
    #[arg(long, hide = true)]
    memory_child: bool,
}

fn main() -> Result<()> {
    tls::make_room()?;
    let arguments = Arguments::parse();
    if arguments.memory_child {
        return memory::child(&arguments.traces[0], &arguments.only[0]);
    }
    let (mut all, missing) = contenders(&arguments.only)?;
    for missing in &missing {
        eprintln!("{missing}");
    }
    let touch = if arguments.fill {
        Touch::Fill
    } else {
        Touch::First
    };
    let lifetime = if arguments.keep {
        Lifetime::Rounds
    } else {
        Lifetime::Replay
    };
    let mut results = Vec::new();
    for path in &arguments.traces {
        let mut trace = Trace::open(path)?;
        eprintln!(
            "{}: {} operations, {} requests",
            trace.name,
            trace.operations(),
            trace.requests()
        );
        let times = rounds::run(&mut all, &mut trace, touch, lifetime, arguments.rounds);
        drop(trace);
        let resident = if arguments.no_memory {
            vec![None; all.len()]
        } else {
            memory::measure(&all, path)?
        };
        results.push(report::results(path, &all, &times, &resident));
    }
    if arguments.json {
        report::json(&results)
    } else {
        report::table(&results);
        Ok(())
    }
}
