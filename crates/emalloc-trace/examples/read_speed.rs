//! How long reading takes, per record: `cargo run --release -p emalloc-trace
//! --example read_speed -- FILE…`. The best of several passes over each file,
//! for batches, for the iterator, and for batches with the checker.

use std::error::Error;
use std::hint::black_box;
use std::path::Path;
use std::time::Instant;

use emalloc_trace::{Checker, Reader, TraceError};

const PASSES: usize = 10;

fn main() -> Result<(), Box<dyn Error>> {
    for path in std::env::args_os().skip(1) {
        let path = Path::new(&path);
        println!(
            "{}: {:.2} ns per record in batches, {:.2} one by one, {:.2} checked",
            path.display(),
            best(|| batches(path))?,
            best(|| one_by_one(path))?,
            best(|| checked(path))?,
        );
    }
    Ok(())
}

/// Nanoseconds per record of the quickest of several runs of `pass`, which says how
/// many records there were.
fn best(pass: impl Fn() -> Result<usize, TraceError>) -> Result<f64, TraceError> {
    let mut best = f64::INFINITY;
    for _ in 0..PASSES {
        let start = Instant::now();
        let records = pass()?;
        best = best.min(start.elapsed().as_nanos() as f64 / records as f64);
    }
    Ok(best)
}

fn batches(path: &Path) -> Result<usize, TraceError> {
    let mut reader = Reader::open(path)?;
    let mut batch = Vec::with_capacity(4096);
    let mut records = 0;
    while reader.read_batch(&mut batch, 4096)? > 0 {
        records += batch.len();
        black_box(&batch);
        batch.clear();
    }
    Ok(records)
}

fn one_by_one(path: &Path) -> Result<usize, TraceError> {
    let mut records = 0;
    for record in Reader::open(path)? {
        black_box(&record?);
        records += 1;
    }
    Ok(records)
}

fn checked(path: &Path) -> Result<usize, TraceError> {
    let mut reader = Reader::open(path)?;
    let mut checker = Checker::new(reader.header());
    let mut batch = Vec::with_capacity(4096);
    let mut records = 0;
    while reader.read_batch(&mut batch, 4096)? > 0 {
        records += batch.len();
        for record in batch.drain(..) {
            checker.record(&record)?;
        }
    }
    black_box(checker.finish()?);
    Ok(records)
}
