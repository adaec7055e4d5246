//! What came out, as lines; the siblings show them.

pub mod chart;
mod micro;
mod table;

use anyhow::Result;
use serde::Serialize;

use crate::contender::{Contender, Lifetime};
use crate::memory::Resident;
use crate::stats::{CAP, FLOOR, Spread, geometric_mean};

pub use micro::{MicroLine, print as print_micro};
pub use table::{describe, traces as print_traces};

/// Of the form of the JSON lines. It grows when a field goes or changes its meaning, not when one is added.
const SCHEMA: u32 = 1;

/// One allocator on one trace.
#[derive(Serialize)]
pub struct Line {
    schema_version: u32,
    trace: String,
    operations: usize,
    allocator: &'static str,
    setting: &'static str,
    version: String,
    heap: Lifetime,
    rounds: usize,
    ns_per_op: f64,
    net_ns_per_op: f64,
    spread: Spread,
    peak_resident: Option<i64>,
    resident_after: Option<i64>,
    #[serde(skip)]
    label: String,
}

/// How a trace was run.
pub struct Run<'a> {
    /// The trace's name.
    pub trace: &'a str,
    /// Operations in it.
    pub operations: usize,
    /// How long heaps lived.
    pub heap: Lifetime,
    /// Rounds, the one that warms up left out.
    pub rounds: usize,
}

/// The results on one trace, in the order of `all`, of which the null allocator is the first.
pub fn lines(
    run: &Run<'_>,
    all: &[Contender],
    times: &[Spread],
    resident: &[Option<Resident>],
) -> Vec<Line> {
    let null = times[0].median;
    all.iter()
        .zip(times)
        .zip(resident)
        .map(|((contender, time), resident)| Line {
            schema_version: SCHEMA,
            trace: run.trace.to_owned(),
            operations: run.operations,
            allocator: contender.name,
            setting: contender.setting,
            version: contender.version.clone(),
            heap: run.heap,
            rounds: run.rounds,
            ns_per_op: time.median,
            net_ns_per_op: time.median - null,
            spread: *time,
            peak_resident: resident.map(|resident| resident.peak),
            resident_after: resident.map(|resident| resident.after),
            label: contender.label(),
        })
        .collect()
}

/// One object per line.
///
/// # Errors
/// A figure that is none.
pub fn json<'a, T: Serialize + 'a>(lines: impl IntoIterator<Item = &'a T>) -> Result<String> {
    let mut text = String::new();
    for line in lines {
        text += &serde_json::to_string(line)?;
        text += "\n";
    }
    Ok(text)
}

/// How many times as fast as `theirs` net time `ours` is, floored and capped.
fn ratio(ours: &Line, theirs: &Line) -> f64 {
    (theirs.net_ns_per_op.max(FLOOR) / ours.net_ns_per_op.max(FLOOR)).min(CAP)
}

/// The geometric mean over the traces of how many times as fast as the allocator labelled `base` the one at `place` is.
fn mean_ratio(results: &[Vec<Line>], place: usize, base: &str) -> Option<f64> {
    let ratios: Vec<f64> = results
        .iter()
        .filter_map(|lines| Some(ratio(&lines[place], find(lines, base)?)))
        .collect();
    geometric_mean(&ratios)
}

fn find<'a>(lines: &'a [Line], label: &str) -> Option<&'a Line> {
    lines.iter().find(|line| line.label == label)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(label: &str, net: f64) -> Line {
        Line {
            schema_version: SCHEMA,
            trace: "t".to_owned(),
            operations: 1,
            allocator: "zend",
            setting: "default",
            version: String::new(),
            heap: Lifetime::New,
            rounds: 1,
            ns_per_op: net + 1.0,
            net_ns_per_op: net,
            spread: Spread::of(vec![net + 1.0]),
            peak_resident: None,
            resident_after: None,
            label: label.to_owned(),
        }
    }

    #[test]
    fn ratios_are_floored_and_capped() {
        assert_eq!(ratio(&line("a", 0.1), &line("b", 0.2)), 1.0);
        assert_eq!(ratio(&line("a", 2.0), &line("b", 5.0)), 2.5);
        assert_eq!(ratio(&line("a", 1.0), &line("b", 100.0)), CAP);
    }

    #[test]
    fn the_mark_is_a_geometric_mean_over_traces() {
        let results = [
            vec![line("zend", 8.0), line("a", 2.0)],
            vec![line("zend", 1.0), line("a", 1.0)],
        ];
        assert_eq!(mean_ratio(&results, 1, "zend"), Some(2.0));
        assert_eq!(mean_ratio(&results, 1, "nobody"), None);
    }

    #[test]
    fn a_line_has_the_documented_fields() {
        let json: serde_json::Value = serde_json::to_value(line("zend", 2.0)).unwrap();
        assert_eq!(json["schema_version"], 1);
        assert_eq!(json["heap"], "new");
        assert_eq!(json["net_ns_per_op"], 2.0);
        assert_eq!(json["peak_resident"], serde_json::Value::Null);
        assert!(json.get("label").is_none());
    }
}
