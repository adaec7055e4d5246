//! The command line.

use std::path::PathBuf;

use clap::{Parser, ValueEnum};

use crate::contender::Lifetime;

/// Replays recorded traces on emalloc and on the allocators that people would use instead, in turns in one process, and
/// tells processor time and resident memory.
#[derive(Parser)]
#[command(
    version,
    after_help = "Exit status: 0 measured, 1 something could not be measured, 2 wrong usage."
)]
pub struct Arguments {
    /// Traces to replay, or folders with *.emtr and *.zst in them
    #[arg(required_unless_present_any = ["micro", "child"])]
    pub traces: Vec<PathBuf>,

    /// Only these allocators, separated by commas; emalloc:recommended is one setting. null always runs
    #[arg(long, value_delimiter = ',', value_name = "NAME")]
    pub only: Vec<String>,

    /// Rounds, besides one that warms up
    #[arg(long, default_value_t = 9, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,

    /// How long a heap lives
    #[arg(long, value_enum, default_value_t = Lifetime::New)]
    pub heap: Lifetime,

    /// Run the micro benchmarks; those whose kind begins so, if named
    #[arg(long, num_args = 0..=1, default_missing_value = "", value_name = "KIND")]
    pub micro: Option<String>,

    /// Print no table for each single trace
    #[arg(long)]
    pub summary: bool,

    /// Print one JSON object per line instead of tables
    #[arg(long)]
    pub json: bool,

    /// Also write the JSON lines to this file
    #[arg(long, value_name = "FILE")]
    pub json_file: Option<PathBuf>,

    /// Write a chart to this file (SVG); zend must take part
    #[arg(long, value_name = "FILE")]
    pub chart: Option<PathBuf>,

    /// Do not measure resident memory
    #[arg(long)]
    pub no_memory: bool,

    /// What to do in a process that is measured from outside
    #[arg(long, hide = true, requires = "only")]
    pub child: Option<Child>,

    /// How often
    #[arg(long, hide = true, default_value_t = 1)]
    pub count: usize,
}

/// Work for a process that is measured from outside, on one allocator.
#[derive(Clone, Copy, ValueEnum)]
pub enum Child {
    /// One replay; answers resident memory.
    Memory,
    /// Many heaps; answers resident memory.
    Heaps,
    /// So many replays of a trace on one heap.
    Replays,
    /// So many pairs of a block of 64 bytes.
    Pairs,
}

impl Arguments {
    /// Rounds, besides one that warms up; at least one.
    pub fn rounds(&self) -> usize {
        self.rounds as usize
    }
}
