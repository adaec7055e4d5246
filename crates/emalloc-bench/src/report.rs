//! What is printed.

use std::path::Path;

use anyhow::Result;
use serde::Serialize;

use crate::contender::Contender;
use crate::memory::Resident;
use crate::stats::{Spread, geometric_mean, ratio};

/// One allocator on one trace.
#[derive(Serialize)]
pub struct Line {
    schema_version: u32,
    trace: String,
    allocator: &'static str,
    setting: &'static str,
    version: String,
    ns_per_op: f64,
    net_ns_per_op: f64,
    spread: Spread,
    peak_resident: Option<i64>,
    resident_after: Option<i64>,
    #[serde(skip)]
    label: String,
}

/// The results on one trace. The null allocator is the first.
pub fn results(
    trace: &Path,
    all: &[Contender],
    times: &[Spread],
    resident: &[Option<Resident>],
) -> Vec<Line> {
    let name = trace.file_name().unwrap_or_default().to_string_lossy();
    let name = name.split('.').next().unwrap_or_default();
    let null = times[0].median;
    all.iter()
        .zip(times)
        .zip(resident)
        .map(|((contender, time), resident)| Line {
            schema_version: 1,
            trace: name.to_owned(),
            allocator: contender.name,
            setting: contender.setting,
            version: contender.version.clone(),
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
pub fn json(results: &[Vec<Line>]) -> Result<()> {
    for line in results.iter().flatten() {
        println!("{}", serde_json::to_string(line)?);
    }
    Ok(())
}

/// For people.
pub fn table(results: &[Vec<Line>]) {
    for lines in results {
        let zend = lines.iter().find(|line| line.allocator == "zend");
        println!("\n{}", lines[0].trace);
        println!(
            "{:<22}{:>9}{:>9}{:>16}{:>8}{:>10}{:>10}",
            "", "ns/op", "net", "quartiles", "x zend", "peak MB", "after MB"
        );
        for line in lines {
            let times = zend
                .filter(|_| line.allocator != "null")
                .map_or(String::new(), |zend| {
                    format!("{:.2}", ratio(line.net_ns_per_op, zend.net_ns_per_op))
                });
            let megabytes = |bytes: Option<i64>| {
                bytes.map_or(String::new(), |bytes| format!("{:.2}", bytes as f64 / 1e6))
            };
            println!(
                "{:<22}{:>9.2}{:>9.2}{:>16}{:>8}{:>10}{:>10}",
                line.label,
                line.ns_per_op,
                line.net_ns_per_op,
                format!("{:.2}..{:.2}", line.spread.q1, line.spread.q3),
                times,
                megabytes(line.peak_resident),
                megabytes(line.resident_after),
            );
        }
    }
    marks(results);
}

fn marks(results: &[Vec<Line>]) {
    let Some(first) = results.first() else { return };
    println!("\nGeometric mean over {} traces, zend = 1", results.len());
    for (at, line) in first.iter().enumerate().skip(1) {
        let ratios: Vec<f64> = results
            .iter()
            .filter_map(|lines| {
                let zend = lines.iter().find(|line| line.allocator == "zend")?;
                Some(ratio(lines[at].net_ns_per_op, zend.net_ns_per_op))
            })
            .collect();
        if let Some(mean) = geometric_mean(&ratios) {
            println!("{:<22}{mean:>9.2}", line.label);
        }
    }
}
