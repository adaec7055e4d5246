//! Tables for people, in a form that Markdown shows as tables, too.

use std::fs;

use super::{Line, find, mean_ratio, ratio};
use crate::contender::{Contender, FLOORS};

/// Who takes part, and on what machine.
pub fn describe(all: &[Contender]) {
    println!("{}", machine());
    println!();
    let versions: Vec<String> = all
        .iter()
        .filter(|contender| !contender.version.is_empty())
        .map(|contender| format!("{} {}", contender.label(), contender.version))
        .collect();
    println!("{}", versions.join(", "));
}

/// Each trace, unless only the summary is wanted; then all together.
pub fn traces(results: &[Vec<Line>], only_summary: bool) {
    for lines in results.iter().filter(|_| !only_summary) {
        trace(lines);
    }
    summary(results);
}

fn trace(lines: &[Line]) {
    let Some(first) = lines.first() else { return };
    println!("\n## {}\n\n{} operations\n", first.trace, first.operations);
    row(
        "",
        [
            "ns/op",
            "net",
            "quartiles",
            "x zend",
            "peak MiB",
            "after MiB",
        ],
    );
    rule(6);
    let zend = find(lines, "zend");
    for line in lines {
        let times = zend
            .filter(|_| line.allocator != "null")
            .map(|zend| format!("{:.2}", ratio(line, zend)));
        let quartiles = format!("{:.2}..{:.2}", line.spread.q1, line.spread.q3);
        row(
            &line.label,
            [
                &format!("{:.2}", line.ns_per_op),
                &format!("{:.2}", line.net_ns_per_op),
                &quartiles,
                times.as_deref().unwrap_or(""),
                &mebibytes(line.peak_resident),
                &mebibytes(line.resident_after),
            ],
        );
    }
}

/// Geometric means over the traces, and the worst trace of each.
fn summary(results: &[Vec<Line>]) {
    let Some(first) = results.first() else { return };
    println!(
        "\n## All {} traces: times as fast, geometric mean\n",
        results.len()
    );
    row(
        "",
        ["x zend", "x mi2-heap", "x mi3-heap", "x best", "worst at"],
    );
    rule(5);
    for (place, line) in first.iter().enumerate().skip(1) {
        let mean = |base| {
            mean_ratio(results, place, base).map_or(String::new(), |mean| format!("{mean:.2}"))
        };
        let worst = results
            .iter()
            .filter_map(|lines| {
                let best = best_peer(lines, &lines[place])?;
                Some((ratio(&lines[place], best), &lines[place].trace))
            })
            .min_by(|one, other| one.0.total_cmp(&other.0));
        let (times, trace) = worst.map_or_else(Default::default, |(times, trace)| {
            (format!("{times:.2}"), trace.clone())
        });
        row(
            &line.label,
            [
                &mean("zend"),
                &mean("mimalloc2-heap"),
                &mean("mimalloc3-heap"),
                &times,
                &trace,
            ],
        );
    }
    println!(
        "\n\"x best\": on the trace named beside it, compared with whoever else is best there \
         (other than emalloc's\nother settings, and the model and bumpalo, which are floors)."
    );
}

/// The fastest allocator that `line` has to be compared with.
fn best_peer<'a>(lines: &'a [Line], line: &Line) -> Option<&'a Line> {
    lines
        .iter()
        .filter(|peer| {
            !["null", "emalloc", "emalloc-c"].contains(&peer.allocator)
                && !FLOORS.contains(&peer.allocator)
        })
        .filter(|peer| peer.label != line.label)
        .min_by(|one, other| one.net_ns_per_op.total_cmp(&other.net_ns_per_op))
}

/// A row of a table; the first cell is the allocator.
pub fn row<const N: usize>(label: &str, cells: [&str; N]) {
    cells_row(label, &cells);
}

/// As [`row`], for any number of cells.
pub fn cells_row(label: &str, cells: &[&str]) {
    print!("| {label:<19} |");
    for cell in cells {
        print!(" {cell:>9} |");
    }
    println!();
}

/// The line below a table's head.
pub fn rule(cells: usize) {
    println!("|---{}", "|--:".repeat(cells) + "|");
}

fn mebibytes(bytes: Option<i64>) -> String {
    bytes.map_or(String::new(), |bytes| {
        format!("{:.2}", bytes as f64 / f64::from(1 << 20))
    })
}

/// This machine, in words.
fn machine() -> String {
    let read = |path| fs::read_to_string(path).unwrap_or_default();
    let cpu = read("/proc/cpuinfo");
    let model = cpu
        .lines()
        .find_map(|line| line.strip_prefix("model name"))
        .map_or("unknown processor", |line| {
            line.trim_start_matches([' ', '\t', ':'])
        });
    let count = cpu
        .lines()
        .filter(|line| line.starts_with("processor"))
        .count();
    let memory = read("/proc/meminfo");
    let kilobytes: u64 = memory
        .lines()
        .find_map(|line| {
            line.strip_prefix("MemTotal:")?
                .split_whitespace()
                .next()?
                .parse()
                .ok()
        })
        .unwrap_or(0);
    let kernel = read("/proc/sys/kernel/osrelease");
    let huge = read("/sys/kernel/mm/transparent_hugepage/enabled");
    let huge = huge
        .split_once('[')
        .and_then(|(_, rest)| rest.split_once(']'))
        .map_or("unknown", |(chosen, _)| chosen);
    let load = read("/proc/loadavg");
    format!(
        "{count} x {model}, {} GiB, Linux {}, transparent huge pages: {huge}, load {}",
        kilobytes >> 20,
        kernel.trim(),
        load.split_whitespace().next().unwrap_or("unknown")
    )
}
