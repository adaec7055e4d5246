//! Whatever the bytes: an answer, the same one by every way of reading, and no panic.

mod common;

use common::*;
use emalloc_trace::{Checker, Compression, HEADER_LEN, Reader, Record, Recording, TraceError};
use proptest::collection::vec;
use proptest::prelude::*;

/// The body of the fuzz tests.
fn explore(bytes: &[u8], batch: usize) -> Result<(), TestCaseError> {
    let (records, result) = read(bytes);
    let told = result.as_ref().err().map(TraceError::to_string);

    // In batches it is the same.
    let mut batches = Vec::new();
    let in_batches = read_in_batches(bytes, batch, &mut batches);
    prop_assert_eq!(&batches, &records);
    prop_assert_eq!(in_batches.as_ref().err().map(TraceError::to_string), told);

    // The records are those bytes, up to the error.
    if let Ok(reader) = Reader::new(bytes) {
        let mut length = HEADER_LEN as u64;
        for record in &records {
            length += record.encoded_len() as u64;
            if let Record::Alloc { slot, .. } | Record::Realloc { slot, .. } = record {
                prop_assert!(u64::from(*slot) < reader.header().slots);
            }
        }
        if let Err(error) = &result {
            prop_assert!(
                error.offset() >= length,
                "{} records, {error}",
                records.len()
            );
        }

        // Checked, and as a recording: both or neither.
        let checked = check(reader);
        let recording = Recording::read(Reader::new(bytes)?);
        prop_assert_eq!(
            checked.map_err(|e| e.to_string()),
            recording.map(drop).map_err(|e| e.to_string())
        );
    } else {
        prop_assert!(records.is_empty());
    }
    Ok(())
}

fn read_in_batches(bytes: &[u8], batch: usize, out: &mut Vec<Record>) -> Result<(), TraceError> {
    let mut reader = Reader::new(bytes)?;
    while reader.read_batch(out, batch)? > 0 {}
    Ok(())
}

fn check(reader: Reader<&[u8]>) -> Result<(), TraceError> {
    let mut checker = Checker::new(reader.header());
    for record in reader {
        checker.record(&record?)?;
    }
    checker.finish().map(drop)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn any_bytes(bytes in vec(any::<u8>(), 0..300), batch in 1..50_usize) {
        explore(&bytes, batch)?;
    }

    #[test]
    fn any_bytes_behind_a_header(bytes in vec(prop_oneof![0..=5_u8, any::<u8>()], 0..600), batch in 1..50_usize) {
        let mut trace = raw(&counting_header(&[alloc(0, 0); 40]), &[]);
        trace.extend_from_slice(&bytes);
        explore(&trace, batch)?;
    }

    #[test]
    fn any_records(records in vec(any_record(), 0..100), batch in 1..50_usize) {
        explore(&raw(&counting_header(&records), &records), batch)?;
    }

    #[test]
    fn flipped_bits(
        records in any_sensible(),
        compressed in any::<bool>(),
        flips in vec((any::<prop::sample::Index>(), 0..8_u8), 1..4),
        batch in 1..50_usize,
    ) {
        let way = if compressed { Compression::Zstd(3) } else { Compression::None };
        let mut trace = written(&records, way)?;
        for (index, bit) in flips {
            let at = index.index(trace.len());
            trace[at] ^= 1 << bit;
        }
        explore(&trace, batch)?;
    }

    #[test]
    fn cut_anywhere(records in any_sensible(), compressed in any::<bool>(), cut in any::<prop::sample::Index>()) {
        let way = if compressed { Compression::Zstd(3) } else { Compression::None };
        let trace = written(&records, way)?;
        let cut = cut.index(trace.len());
        explore(&trace[..cut], 7)?;
    }
}
