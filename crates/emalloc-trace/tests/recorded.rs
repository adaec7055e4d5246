//! Traces of real programs: the four that come with the project, and, if asked for
//! with `--ignored`, those in the folder that `EMALLOC_TRACES` names.

use std::error::Error;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use emalloc_trace::{Checker, Flags, Header, Reader, Record, Recording, Summary, trace_files};

fn committed() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../traces")
}

/// Reads all of a trace as a stream and checks it.
fn check(path: &Path) -> Result<(Header, Summary), Box<dyn Error>> {
    let context = |error| format!("{}: {error}", path.display());
    let mut reader = Reader::open(path).map_err(context)?;
    let mut checker = Checker::new(reader.header());
    let mut batch = Vec::new();
    let (mut ops, mut requests) = (0, 0);
    while reader.read_batch(&mut batch, 4096).map_err(context)? > 0 {
        for record in batch.drain(..) {
            ops += u64::from(record.is_op());
            requests += u64::from(matches!(record, Record::RequestEnd { .. }));
            checker.record(&record).map_err(context)?;
        }
    }
    let header = *reader.header();
    assert_eq!(
        (header.ops, header.requests),
        (ops, requests),
        "{}",
        path.display()
    );
    Ok((header, checker.finish().map_err(context)?))
}

#[test]
fn those_of_the_project() -> Result<(), Box<dyn Error>> {
    // Name, operations, requests, slots, peak; counted by another program.
    let expected = [
        ("bench", 411_888, 3, 40_297, 5_423_672),
        ("micro_bench", 803_105, 3, 531, 526_322),
        ("phpparser", 561_929, 1, 151_392, 19_179_201),
        ("twig", 441_253, 25, 2_145, 689_591),
    ];
    for (name, ops, requests, slots, peak_live) in expected {
        let (header, summary) = check(&committed().join(format!("{name}.emtr.zst")))?;
        assert_eq!(header.flags, Flags::PRELOADED, "{name}");
        assert_eq!((header.ops, header.requests), (ops, requests), "{name}");
        assert_eq!(
            (summary.slots, summary.peak_live),
            (slots, peak_live),
            "{name}"
        );
    }
    let files = expected.map(|(name, ..)| committed().join(format!("{name}.emtr.zst")));
    assert_eq!(trace_files(committed())?, files);
    Ok(())
}

#[test]
fn those_of_the_project_as_recordings() -> Result<(), Box<dyn Error>> {
    for path in trace_files(committed())? {
        let recording = Recording::open(&path)?;
        assert_eq!(recording.ops.len() as u64, recording.header.ops);
        assert_eq!(recording.requests.len() as u64, recording.header.requests);
        let in_requests: usize = recording
            .requests
            .iter()
            .map(|request| request.ops.len())
            .sum();
        assert_eq!(in_requests, recording.ops.len());
    }
    Ok(())
}

#[test]
fn what_stands_for_itself_and_what_for_nothing() -> Result<(), Box<dyn Error>> {
    let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let error = trace_files(&sources).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    let absent = sources.join("absent.zst");
    assert_eq!(trace_files(&absent)?, [absent]);
    Ok(())
}

#[test]
#[ignore = "EMALLOC_TRACES must name a folder with traces"]
fn those_elsewhere() -> Result<(), Box<dyn Error>> {
    let folder = std::env::var_os("EMALLOC_TRACES").ok_or("EMALLOC_TRACES names no folder")?;
    for path in trace_files(folder)? {
        check(&path)?;
    }
    Ok(())
}
