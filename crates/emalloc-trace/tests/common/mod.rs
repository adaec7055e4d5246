//! Traces for the tests: one made by hand, and any number of random ones.
#![allow(dead_code)] // Each test file is a program of its own and uses a part.

use std::io::Cursor;

use emalloc_trace::{Compression, Flags, Header, Hints, Reader, Record, TraceError, Writer};
use proptest::collection::vec;
use proptest::prelude::*;

pub fn alloc(slot: u32, size: u64) -> Record {
    let hints = Hints::EMPTY;
    Record::Alloc { slot, size, hints }
}

pub fn free(slot: u32) -> Record {
    let hints = Hints::EMPTY;
    Record::Free { slot, hints }
}

pub fn realloc(slot: u32, size: u64) -> Record {
    let hints = Hints::EMPTY;
    Record::Realloc { slot, size, hints }
}

pub fn begin(number: u32) -> Record {
    Record::RequestBegin { number }
}

pub fn end(number: u32, live_blocks: u32, live_bytes: u64) -> Record {
    Record::RequestEnd {
        number,
        live_blocks,
        live_bytes,
    }
}

/// Every kind of record, two requests; what `small_header` says is true of it.
pub fn small() -> Vec<Record> {
    vec![
        begin(0),
        alloc(0, 56),
        alloc(1, 0),
        realloc(0, 320),
        free(1),
        alloc(1, 1 << 20),
        end(0, 2, 320 + (1 << 20)),
        begin(7),
        alloc(2, 8),
        free(2),
        end(7, 0, 0),
    ]
}

pub fn small_header() -> Header {
    Header {
        flags: Flags::PRELOADED,
        ops: 7,
        requests: 2,
        slots: 3,
        dropped: 0,
        peak_live: 320 + (1 << 20),
        truncated: false,
    }
}

/// A plain trace of exactly these bytes, sensible or not.
pub fn raw(header: &Header, records: &[Record]) -> Vec<u8> {
    let mut bytes = header.encode().to_vec();
    for record in records {
        record.encode(&mut bytes);
    }
    bytes
}

/// The same trace through the writer.
pub fn written(records: &[Record], compression: Compression) -> Result<Vec<u8>, TraceError> {
    let mut writer = Writer::new(Cursor::new(Vec::new()), Flags::PRELOADED, compression)?;
    for record in records {
        writer.write(record)?;
    }
    Ok(writer.finish()?.0.into_inner())
}

/// All records before the first error, and that error.
pub fn read(bytes: &[u8]) -> (Vec<Record>, Result<(), TraceError>) {
    let mut records = Vec::new();
    let mut all = || {
        for record in Reader::new(bytes)? {
            records.push(record?);
        }
        Ok(())
    };
    let result = all();
    (records, result)
}

/// The error that reading ends with.
pub fn error(bytes: &[u8]) -> TraceError {
    read(bytes).1.expect_err("the trace is wrong, but was read")
}

/// A record with any values that the format allows.
pub fn any_record() -> impl Strategy<Value = Record> {
    let hints = any::<u8>().prop_map(Hints::from_byte);
    let size = prop_oneof![0..5000_u64, 0..=emalloc_trace::MAX_SIZE];
    prop_oneof![
        (0..64_u32, size.clone(), hints.clone()).prop_map(|(slot, size, hints)| Record::Alloc {
            slot,
            size,
            hints
        }),
        (0..64_u32, hints.clone()).prop_map(|(slot, hints)| Record::Free { slot, hints }),
        (0..64_u32, size, hints).prop_map(|(slot, size, hints)| Record::Realloc {
            slot,
            size,
            hints
        }),
        any::<u32>().prop_map(begin),
        (any::<u32>(), any::<u32>(), any::<u64>()).prop_map(|(n, b, s)| end(n, b, s)),
    ]
}

/// A trace that makes sense, made from any records by leaving out what does not and
/// letting requests end with the right figures.
pub fn sensible(records: &[Record]) -> Vec<Record> {
    let mut writer = Writer::new(Cursor::new(Vec::new()), Flags::EMPTY, Compression::None)
        .expect("memory can be written to");
    let mut running = None;
    let mut kept = Vec::new();
    for record in records {
        let record = match (*record, running) {
            (Record::RequestBegin { number }, None) => begin(number),
            (_, None) => begin(0),
            (Record::RequestEnd { .. }, Some(number)) => {
                let (blocks, bytes) = writer.live();
                end(number, blocks, bytes)
            }
            (record, Some(_)) => record,
        };
        if writer.write(&record).is_ok() {
            kept.push(record);
            running = match record {
                Record::RequestBegin { number } => Some(number),
                Record::RequestEnd { .. } => None,
                _ => running,
            };
        }
    }
    kept
}

pub fn any_sensible() -> impl Strategy<Value = Vec<Record>> {
    vec(any_record(), 0..400).prop_map(|records| sensible(&records))
}

/// A header that counts these records right (slots and peak are as large as can be).
pub fn counting_header(records: &[Record]) -> Header {
    let ends = |record: &&Record| matches!(record, Record::RequestEnd { .. });
    Header {
        ops: records.iter().filter(|record| record.is_op()).count() as u64,
        requests: records.iter().filter(ends).count() as u64,
        slots: 64,
        truncated: true,
        ..Header::default()
    }
}
