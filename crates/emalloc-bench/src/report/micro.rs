//! Results of micro benchmarks.

use std::collections::BTreeSet;

use serde::Serialize;

use super::SCHEMA;
use super::table::{cells_row, rule};
use crate::contender::Contender;
use crate::micro::Case;
use crate::stats::Spread;

/// One allocator on one case.
#[derive(Serialize)]
pub struct MicroLine {
    schema_version: u32,
    micro: &'static str,
    case: String,
    allocator: &'static str,
    setting: &'static str,
    version: String,
    unit: &'static str,
    value: f64,
    /// Without what the null allocator took, where it took part.
    net: f64,
    spread: Spread,
    #[serde(skip)]
    label: String,
}

impl MicroLine {
    /// The results on one case, in the order of `all`; those who took no part are left out.
    pub fn of(case: Case, all: &[Contender], values: &[Option<Spread>]) -> Vec<Self> {
        let null = values[0].map_or(0.0, |spread| spread.median);
        all.iter()
            .zip(values)
            .filter_map(|(contender, spread)| {
                let spread = (*spread)?;
                Some(Self {
                    schema_version: SCHEMA,
                    micro: case.kind(),
                    case: case.to_string(),
                    allocator: contender.name,
                    setting: contender.setting,
                    version: contender.version.clone(),
                    unit: case.unit(),
                    value: spread.median,
                    net: spread.median - null,
                    spread,
                    label: contender.label(),
                })
            })
            .collect()
    }
}

/// One table for each kind: a row for each allocator, a column for each case, net.
pub fn print(results: &[Vec<MicroLine>], all: &[Contender]) {
    let lines: Vec<&MicroLine> = results.iter().flatten().collect();
    let mut seen = BTreeSet::new();
    for kind in lines.iter().map(|line| line.micro) {
        if !seen.insert(kind) {
            continue;
        }
        let cases: Vec<&[MicroLine]> = results
            .iter()
            .filter(|lines| lines.first().is_some_and(|line| line.micro == kind))
            .map(Vec::as_slice)
            .collect();
        println!("\n## {kind}\n");
        let letters: Vec<String> = ('a'..).take(cases.len()).map(String::from).collect();
        for (letter, case) in letters.iter().zip(&cases) {
            println!("- {letter}: {}, {}", case[0].case, case[0].unit);
        }
        println!();
        cells_row("", &letters.iter().map(String::as_str).collect::<Vec<_>>());
        rule(cases.len());
        for contender in all.iter().filter(|contender| contender.name != "null") {
            let label = contender.label();
            let cells: Vec<String> = cases
                .iter()
                .map(|case| {
                    let line = case.iter().find(|line| line.label == label);
                    line.map_or(String::new(), |line| figure(line.net))
                })
                .collect();
            if cells.iter().any(|cell| !cell.is_empty()) {
                cells_row(
                    &label,
                    &cells.iter().map(String::as_str).collect::<Vec<_>>(),
                );
            }
        }
    }
}

/// Three digits or more.
fn figure(value: f64) -> String {
    if value.abs() < 100.0 {
        format!("{value:.2}")
    } else {
        format!("{value:.0}")
    }
}
