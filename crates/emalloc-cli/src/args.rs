//! The command line: its words, their help, and the values that are wrong before anything runs.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use clap_complete::Shell;
use emalloc::heap::{Debug, LeakFormat};
use emalloc::interface::{Settings, parse_size};
use emalloc::layout::{DEFAULT_SEGMENT, MAX_SEGMENT, MIN_SEGMENT};
use emalloc::storage::registry::{self, Entry};

use crate::output::size;

const EXIT_CODES: &str = "\
Exit codes:
  0  all is well
  1  something was found: a request was refused, a check or a storage failed
  2  the command line is wrong
  3  a file cannot be read or is no valid trace, or the answer cannot be written";

const REPLAY_NOTES: &str = "\
Columns:
  req.        requests that ended; the heap is reset at the end of each
  ns/op       nanoseconds for one operation, the mean over all of them. Reading and
              decoding come before and are not in it; blocks are not written to
  ns/reset    nanoseconds for one reset of the heap, the mean
  MiB used    the most that was in blocks at once, as rounded when handed out
  MiB held    the most that the heap held from its storage at once
  seg. taken  segments and huge blocks taken from the storage; what a cache serves is
              not taken
  given back  those that went back before the heap was dropped
  left        blocks alive at the ends of requests, over all requests
  fragm.      fragmentation: the part of MiB held that is more than MiB used

With --check nothing is timed.

Exit codes:
  0  every trace ran to its end
  1  a request was refused (limit, budget, full buffer), or a check failed
  2  the command line is wrong
  3  a trace cannot be read or makes no sense; the message has the offset in bytes
     (of the decompressed trace); or the answer cannot be written
A trace that fails does not keep the others from running; the highest code counts.

Examples:
  emalloc replay traces
  emalloc replay --repeat 5 --storage mmap_anon --segment-size 2M traces/twig.emtr.zst
  emalloc replay --check --storage fixed=64M traces/bench.emtr.zst
  emalloc replay --json traces/*.zst | jq '.traces[].ns_per_operation'";

const EXPLAIN_NOTES: &str = "\
Exit codes: 0 fine, 2 the command line is wrong, 3 the answer cannot be written.

Examples:
  emalloc explain 56
  emalloc explain 1000 64K 1M --segment-size 2M
  emalloc explain 1000 --json | jq '.requests[0].block_size'";

const STORAGES_NOTES: &str = "\
The columns say what a storage can do: hand out memory that is zero; grow and shrink a
grant where it stands; discard a part (give its memory back, keep its addresses); move
a grant without copying; take back parts of a grant by themselves. Sizes are multiples of
the granularity.

The suite holds 64 MiB at most. A storage that passes keeps every promise that was
checked; skipped steps were refused for want of memory, or too large.

Exit codes: 0 all passed, 1 a storage failed, 2 the command line is wrong, 3 the answer
cannot be written.

Examples:
  emalloc storages
  emalloc storages --no-test --json";

/// A memory manager in three layers: look at it at work
///
/// emalloc is a heap per request: single blocks are freed and resized, everything that is
/// left goes at once. This command runs recorded programs through it and explains it.
#[derive(Debug, Parser)]
#[command(name = "emalloc", version, after_help = EXIT_CODES, arg_required_else_help = true)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run the memory operations of recorded programs
    ///
    /// Reads EMTR traces (compressed with zstd or not; "-" is standard input) as a stream
    /// and does what they say, request by request, in one heap per trace.
    #[command(after_long_help = REPLAY_NOTES)]
    Replay(ReplayArgs),
    /// List the storages that are here, and test them
    ///
    /// Lists where segments can come from, the default marked with "*", and runs the
    /// conformance suite on each, on a fixed buffer, and on the wrappers over the default.
    #[command(after_long_help = STORAGES_NOTES)]
    Storages(StoragesArgs),
    /// Say what happens to a request of N bytes
    #[command(after_long_help = EXPLAIN_NOTES)]
    Explain(ExplainArgs),
    /// Print a completion script for a shell
    #[command(
        after_long_help = "Example:\n  emalloc completions bash > ~/.local/share/bash-completion/completions/emalloc"
    )]
    Completions {
        /// The shell.
        shell: Shell,
    },
    /// Print the manual page
    #[command(after_long_help = "Example:\n  emalloc man | man -l -")]
    Man,
}

/// Settings of `replay`.
#[derive(Debug, Args)]
pub struct ReplayArgs {
    /// Traces to replay, or folders with *.emtr and *.zst in them; "-" is standard input
    #[arg(required = true, value_name = "FILE")]
    pub files: Vec<PathBuf>,

    /// Where segments come from: a name that `emalloc storages` lists, or fixed=BYTES
    ///
    /// It is alone here: the store of warm memory that heaps share in front of malloc unless told otherwise is
    /// not there, so that what is taken can be counted; --cached puts one in front.
    #[arg(long, value_name = "NAME", value_parser = storage, default_value = default_storage())]
    pub storage: StorageChoice,

    /// Keep up to BYTES of freed segments for later (32M unless told), never more than was held at once
    #[arg(long, value_name = "BYTES", value_parser = parse_size, num_args = 0..=1,
          require_equals = true, default_missing_value = "32M")]
    pub cached: Option<usize>,

    /// A limit on what is held from the storage, cache included
    #[arg(long, value_name = "BYTES", value_parser = parse_size)]
    pub budget: Option<usize>,

    /// Bytes of a segment: a power of two from 64K to 1G
    #[arg(long, value_name = "BYTES", value_parser = segment_size, default_value = "256K")]
    pub segment_size: usize,

    /// A limit on what the heap holds
    #[arg(long, value_name = "BYTES", value_parser = parse_size)]
    pub limit: Option<usize>,

    /// Verify contents and invariants
    ///
    /// Every block is filled when it is allocated, and verified when it is freed, when it
    /// moves, and at the end of its request; when it is resized where it stands, what is
    /// cut off and the edges of what stays. The heap runs in checked mode; all its
    /// invariants are verified at least every 65,536 operations and at the end of each
    /// request, its live blocks counted, and at the end nothing may be lost.
    #[arg(long)]
    pub check: bool,

    /// The heap runs in debug mode, with settings as EMALLOC_DEBUG takes them: such as guard_pages,check_every=1000
    #[arg(long, value_name = "LIST", value_parser = debug, num_args = 0..=1, require_equals = true,
          default_missing_value = "1")]
    pub debug: Option<Debug>,

    /// Replay each file N times, and print the shortest times
    #[arg(long, value_name = "N", default_value_t = 1, conflicts_with = "check",
          value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub repeat: u32,

    /// Answer in JSON
    #[arg(long)]
    pub json: bool,
}

/// Settings of `storages`.
#[derive(Debug, Args)]
pub struct StoragesArgs {
    /// Only list them
    #[arg(long)]
    pub no_test: bool,

    /// Answer in JSON
    #[arg(long)]
    pub json: bool,
}

/// Settings of `explain`.
#[derive(Debug, Args)]
pub struct ExplainArgs {
    /// Bytes asked for, such as 56, 64K, 1M
    #[arg(required = true, value_name = "N", value_parser = parse_size)]
    pub sizes: Vec<usize>,

    /// Bytes of a segment: a power of two from 64K to 1G
    #[arg(long, value_name = "BYTES", value_parser = segment_size, default_value = "256K")]
    pub segment_size: usize,

    /// Answer in JSON
    #[arg(long)]
    pub json: bool,
}

/// Debug mode, without reports of leaks: what a request leaves is dropped with it.
fn debug(text: &str) -> Result<Debug, String> {
    let lookup = |name: &str| (name == "EMALLOC_DEBUG").then(|| text.to_owned());
    let settings = Settings::from_lookup(lookup).map_err(|error| error.to_string())?;
    let debug = settings.debug.ok_or("0 is no debug mode")?;
    Ok(debug.leaks(LeakFormat::Silent))
}

/// Where segments come from.
#[derive(Clone, Copy, Debug)]
pub enum StorageChoice {
    /// One of the registry.
    Named(&'static Entry),
    /// A buffer of so many bytes.
    Fixed(usize),
}

fn default_storage() -> &'static str {
    registry::default_entry().name
}

fn storage(text: &str) -> Result<StorageChoice, String> {
    if let Some(bytes) = text.strip_prefix("fixed=") {
        return parse_size(bytes)
            .map(StorageChoice::Fixed)
            .map_err(|error| error.to_string());
    }
    registry::find(text)
        .map(StorageChoice::Named)
        .map_err(|unknown| format!("{unknown}\n    'fixed=BYTES'"))
}

fn segment_size(text: &str) -> Result<usize, String> {
    let bytes = parse_size(text).map_err(|error| error.to_string())?;
    if bytes.is_power_of_two() && (MIN_SEGMENT..=MAX_SEGMENT).contains(&bytes) {
        Ok(bytes)
    } else {
        Err(format!(
            "expected a power of two from {} to {} (the default is {})",
            size::display(MIN_SEGMENT),
            size::display(MAX_SEGMENT),
            size::display(DEFAULT_SEGMENT)
        ))
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_well_formed() {
        Cli::command().debug_assert();
    }

    #[test]
    fn the_default_segment_size_is_the_library_s() {
        assert_eq!(segment_size("256K"), Ok(DEFAULT_SEGMENT));
    }
}
