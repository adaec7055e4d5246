//! Results of micro benchmarks.

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
    #[serde(skip)]
    heading: String,
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
                    heading: case.heading(),
                })
            })
            .collect()
    }
}

/// One table for each heading: a row for each allocator, a column for each case, net.
pub fn print(results: &[Vec<MicroLine>], all: &[Contender]) {
    let results: Vec<&[MicroLine]> = results
        .iter()
        .map(Vec::as_slice)
        .filter(|lines| !lines.is_empty())
        .collect();
    for cases in results.chunk_by(|one, other| one[0].heading == other[0].heading) {
        println!("\n## {}\n", cases[0][0].heading);
        let letters: Vec<String> = ('a'..).take(cases.len()).map(String::from).collect();
        for (letter, case) in letters.iter().zip(cases) {
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
