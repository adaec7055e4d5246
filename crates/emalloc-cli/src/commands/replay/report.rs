//! What `replay` answers: a table with a row for each trace, or JSON.

use std::io::{self, Write};
use std::path::Path;
use std::time::Duration;

use serde::Serialize;

use super::Replayed;
use super::failure::Report;
use super::play::Outcome;
use crate::args::{ReplayArgs, StorageChoice};
use crate::output::size::{display, grouped};
use crate::output::{json, table};

/// The file's name without what all traces have at the end.
pub fn name(file: &Path) -> String {
    let name = file.file_name().unwrap_or(file.as_os_str());
    let name = name.to_string_lossy();
    let name = name.strip_suffix(".zst").unwrap_or(&name);
    name.strip_suffix(".emtr").unwrap_or(name).to_owned()
}

/// Writes the table; traces that failed are not in it, and without any there is none.
pub fn text(args: &ReplayArgs, replayed: &[Replayed], out: &mut dyn Write) -> io::Result<()> {
    if replayed.iter().all(|replayed| replayed.result.is_err()) {
        return Ok(());
    }
    writeln!(out, "{}\n", settings_line(args))?;
    let mut rows = table::table(
        [
            "\ntrace",
            "\noperations",
            "\nreq.",
            "ns/\nop",
            "ns/\nreset",
            "MiB\nused",
            "MiB\nheld",
            "seg.\ntaken",
            "given\nback",
            "\nleft",
            "\nfragm.",
        ],
        &[0],
    );
    for Replayed { file, result } in replayed {
        if let Ok(outcome) = result {
            rows.add_row(row(file, outcome));
        }
    }
    write!(out, "{}", table::lines(&rows))?;
    if args.check {
        writeln!(out, "\nContents and invariants verified; nothing timed.")?;
    }
    Ok(())
}

fn settings_line(args: &ReplayArgs) -> String {
    let mut line = match args.storage {
        StorageChoice::Named(entry) => format!("Storage {}", entry.name),
        StorageChoice::Fixed(bytes) => format!("Storage fixed, {}", display(bytes)),
    };
    let wrappers = [
        ("budget", args.budget),
        ("cached", args.cached),
        ("segments of", Some(args.segment_size)),
        ("limit", args.limit),
    ];
    for (what, bytes) in wrappers {
        if let Some(bytes) = bytes {
            line += &format!(", {what} {}", display(bytes));
        }
    }
    if args.debug.is_some() {
        line += ", debug mode";
    }
    if args.repeat > 1 {
        line += &format!(", the shortest times of {} replays", args.repeat);
    }
    line
}

fn row(file: &Path, outcome: &Outcome) -> [String; 11] {
    let time = |nanoseconds: Option<f64>, decimals: usize| {
        nanoseconds.map_or_else(|| "-".to_owned(), |ns| format!("{ns:.decimals$}"))
    };
    let summary = &outcome.summary;
    let counts = &outcome.counts;
    [
        name(file),
        grouped(outcome.operations()),
        grouped(summary.requests),
        time(ns_per_operation(outcome), 1),
        time(ns_per_reset(outcome), 0),
        mib(outcome.peak_usage),
        mib(outcome.peak_real_usage),
        grouped(counts.allocated as u64),
        grouped(counts.freed as u64),
        grouped(summary.left_blocks),
        format!("{:.1}%", outcome.fragmentation() * 100.0),
    ]
}

fn mib(bytes: usize) -> String {
    format!("{:.2}", bytes as f64 / f64::from(1 << 20))
}

fn ns_per_operation(outcome: &Outcome) -> Option<f64> {
    mean(outcome.times?.ops, outcome.operations())
}

fn ns_per_reset(outcome: &Outcome) -> Option<f64> {
    mean(outcome.times?.resets, outcome.summary.requests)
}

/// The mean in nanoseconds; none of nothing.
fn mean(time: Duration, count: u64) -> Option<f64> {
    (count > 0).then(|| time.as_nanos() as f64 / count as f64)
}

#[derive(Serialize)]
struct Answer {
    settings: Settings,
    traces: Vec<Trace>,
}

#[derive(Serialize)]
struct Settings {
    storage: &'static str,
    fixed_bytes: Option<usize>,
    budget: Option<usize>,
    cached: Option<usize>,
    segment_size: usize,
    limit: Option<usize>,
    check: bool,
    debug: bool,
    repeat: u32,
}

#[derive(Serialize)]
struct Trace {
    file: String,
    ok: bool,
    #[serde(flatten)]
    figures: Option<Figures>,
    error: Option<Report>,
}

#[derive(Serialize)]
struct Figures {
    operations: u64,
    allocs: u64,
    frees: u64,
    reallocs: u64,
    requests: u64,
    ns_per_operation: Option<f64>,
    ns_per_reset: Option<f64>,
    peak_requested: u64,
    peak_usage: usize,
    peak_real_usage: usize,
    fragmentation: f64,
    blocks_left: u64,
    bytes_left: u64,
    storage: Storage,
}

#[derive(Serialize)]
struct Storage {
    taken: usize,
    given_back: usize,
    resized: usize,
    moved: usize,
    refused: usize,
    peak_bytes: usize,
}

/// Writes everything, failures too.
pub fn json(args: &ReplayArgs, replayed: &[Replayed], out: &mut dyn Write) -> io::Result<()> {
    let (storage, fixed_bytes) = match args.storage {
        StorageChoice::Named(entry) => (entry.name, None),
        StorageChoice::Fixed(bytes) => ("fixed", Some(bytes)),
    };
    let answer = Answer {
        settings: Settings {
            storage,
            fixed_bytes,
            budget: args.budget,
            cached: args.cached,
            segment_size: args.segment_size,
            limit: args.limit,
            check: args.check,
            debug: args.debug.is_some(),
            repeat: args.repeat,
        },
        traces: replayed.iter().map(trace).collect(),
    };
    json::write(out, "replay", &answer)
}

fn trace(replayed: &Replayed) -> Trace {
    let result = &replayed.result;
    Trace {
        file: replayed.file.to_string_lossy().into_owned(),
        ok: result.is_ok(),
        figures: result.as_ref().ok().map(figures),
        error: result.as_ref().err().map(|failure| failure.report()),
    }
}

fn figures(outcome: &Outcome) -> Figures {
    let summary = &outcome.summary;
    let counts = &outcome.counts;
    Figures {
        operations: outcome.operations(),
        allocs: summary.allocs,
        frees: summary.frees,
        reallocs: summary.reallocs,
        requests: summary.requests,
        ns_per_operation: ns_per_operation(outcome),
        ns_per_reset: ns_per_reset(outcome),
        peak_requested: summary.peak_live,
        peak_usage: outcome.peak_usage,
        peak_real_usage: outcome.peak_real_usage,
        fragmentation: outcome.fragmentation(),
        blocks_left: summary.left_blocks,
        bytes_left: summary.left_bytes,
        storage: Storage {
            taken: counts.allocated,
            given_back: counts.freed,
            resized: counts.resized,
            moved: counts.moved,
            refused: counts.refused,
            peak_bytes: counts.peak_bytes,
        },
    }
}
