//! `emalloc-bench`: emalloc and its peers on recorded traces, side by side. This file owns what is done in which order.

mod allocator;
mod cli;
mod clock;
mod contender;
mod lock;
mod memory;
mod micro;
mod peers;
mod replay;
mod report;
mod resident;
mod rounds;
mod settings;
mod stats;
mod tls;

use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use clap::Parser;
use emalloc_trace::trace_files;

use cli::{Arguments, Child};
use contender::{Contender, Lifetime, contenders};
use micro::Case;
use replay::{Touch, Trace};
use report::{Line, MicroLine, Run};

/// A reader that goes away (`emalloc-bench ... | head`) ends the program quietly, as it does other programs that print
/// tables. Rust's runtime would have each line fail instead, and panic.
fn end_with_the_reader() {
    // SAFETY: the default action runs no code of ours.
    unsafe { libc::signal(libc::SIGPIPE, libc::SIG_DFL) };
}

fn main() -> Result<()> {
    end_with_the_reader();
    tls::make_room()?;
    let arguments = Arguments::parse();
    let (mut all, missing) = contenders(&arguments.only)?;
    if let Some(child) = arguments.child {
        return run_child(child, &arguments, &mut all);
    }
    for missing in &missing {
        eprintln!("left out: {missing}");
    }
    let with_original = all.iter().any(|contender| contender.name == "zend");
    ensure!(
        arguments.chart.is_none() || with_original,
        "the chart needs zend"
    );
    if !arguments.json {
        report::describe(&all);
    }
    let mut json = String::new();
    if !arguments.traces.is_empty() {
        let results = run_traces(&arguments, &mut all)?;
        json += &report::json(results.iter().flatten())?;
        if !arguments.json {
            report::print_traces(&results, arguments.summary);
        }
        if let Some(path) = &arguments.chart {
            let chart = report::chart::svg(&results)?;
            fs::write(path, chart).with_context(|| format!("cannot write {}", path.display()))?;
        }
    }
    if let Some(kind) = &arguments.micro {
        let results = run_micro(&mut all, kind, arguments.rounds())?;
        json += &report::json(results.iter().flatten())?;
        if !arguments.json {
            report::print_micro(&results, &all);
        }
    }
    if arguments.json {
        print!("{json}");
    }
    if let Some(path) = &arguments.json_file {
        fs::write(path, json).with_context(|| format!("cannot write {}", path.display()))?;
    }
    Ok(())
}

fn run_traces(arguments: &Arguments, all: &mut [Contender]) -> Result<Vec<Vec<Line>>> {
    let measure = |path: &PathBuf| {
        let mut trace = Trace::open(path)?;
        eprintln!("{} ...", trace.name);
        let times = rounds::run(all, &mut trace, arguments.heap, arguments.rounds());
        let resident = if arguments.no_memory {
            vec![None; all.len()]
        } else {
            memory::measure(all, path)?
        };
        let run = Run {
            trace: &trace.name,
            operations: trace.operations(),
            heap: arguments.heap,
            rounds: arguments.rounds(),
        };
        Ok(report::lines(&run, all, &times, &resident))
    };
    let mut files = Vec::new();
    for named in &arguments.traces {
        let found = trace_files(named);
        files.extend(found.with_context(|| format!("cannot read {}", named.display()))?);
    }
    files.iter().map(measure).collect()
}

fn run_micro(all: &mut [Contender], kind: &str, rounds: usize) -> Result<Vec<Vec<MicroLine>>> {
    let mut cases = Case::all();
    let mut kinds: Vec<_> = cases.iter().map(|case| case.kind()).collect();
    kinds.dedup();
    cases.retain(|case| case.kind().starts_with(kind));
    ensure!(
        !cases.is_empty(),
        "there is no micro benchmark {kind}; there are {}",
        kinds.join(", ")
    );
    cases
        .into_iter()
        .map(|case| {
            eprintln!("{case} ...");
            let values = micro::rounds(all, case, rounds)?;
            Ok(MicroLine::of(case, all, &values))
        })
        .collect()
}

fn run_child(child: Child, arguments: &Arguments, all: &mut [Contender]) -> Result<()> {
    let label = &arguments.only[0];
    let contender = all
        .iter_mut()
        .find(|contender| contender.label() == *label)
        .with_context(|| format!("{label} is not here"))?;
    let trace = || arguments.traces.first().context("no trace is named");
    match child {
        Child::Memory => memory::child(contender, trace()?),
        Child::Heaps => micro::child(contender),
        Child::Replays => {
            let mut trace = Trace::open(trace()?)?;
            for _ in 0..arguments.count {
                contender
                    .measured
                    .replay(&mut trace, Touch::First, Lifetime::Kept);
            }
            Ok(())
        }
        Child::Pairs => {
            contender.measured.pairs(arguments.count);
            Ok(())
        }
    }
}
