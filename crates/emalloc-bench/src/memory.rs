//! Resident memory of one replay, with every block filled, in a fresh process that does nothing else.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::contender::{Contender, Lifetime};
use crate::replay::{Touch, Trace};
use crate::resident::Baseline;

/// What a replay takes, in bytes.
#[derive(Clone, Copy, Debug, serde::Serialize, serde::Deserialize)]
pub struct Resident {
    /// At most.
    pub peak: i64,
    /// After the end of the last request.
    pub after: i64,
}

/// Measures all, the null allocator taken off, which must be the first.
///
/// # Errors
/// A process that measures failed.
pub fn measure(all: &[Contender], trace: &Path) -> Result<Vec<Option<Resident>>> {
    let raw = all
        .iter()
        .map(|contender| in_child(&contender.label(), trace))
        .collect::<Result<Vec<_>>>()?;
    let null = raw[0];
    Ok(raw
        .into_iter()
        .map(|resident| {
            Some(Resident {
                peak: resident.peak - null.peak,
                after: resident.after - null.after,
            })
        })
        .collect())
}

fn in_child(label: &str, trace: &Path) -> Result<Resident> {
    let output = Command::new(std::env::current_exe()?)
        .args(["--child", "memory", "--only", label])
        .arg(trace)
        .output()
        .context("cannot start a process to measure memory in")?;
    ensure!(
        output.status.success(),
        "measuring the memory of {label} failed: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(serde_json::from_slice(&output.stdout)?)
}

/// The measurement, inside the fresh process; the answer goes to standard output.
///
/// # Errors
/// The trace cannot be read, or the system does not tell.
pub fn child(contender: &mut Contender, trace: &Path) -> Result<()> {
    let mut trace = Trace::open(trace)?;
    let baseline = Baseline::take()?;
    // The null allocator has nothing to fill.
    let touch = if contender.name == "null" {
        Touch::First
    } else {
        Touch::Fill
    };
    contender.measured.replay(&mut trace, touch, Lifetime::Kept);
    let resident = Resident {
        peak: baseline.peak()?,
        after: baseline.now()?,
    };
    println!("{}", serde_json::to_string(&resident)?);
    Ok(())
}
