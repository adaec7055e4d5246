//! What the checker finds in traces of good form and bad sense.

mod common;

use common::*;
use emalloc_trace::{Checker, Count, Fault, Header, Kind, Reader, Record, Recording, TraceError};

fn run(header: &Header, records: &[Record]) -> Result<emalloc_trace::Summary, TraceError> {
    let mut checker = Checker::new(header);
    for record in records {
        checker.record(record)?;
    }
    checker.finish()
}

#[test]
fn the_small_trace_is_counted() -> Result<(), TraceError> {
    let summary = run(&small_header(), &small())?;
    assert_eq!((summary.allocs, summary.frees, summary.reallocs), (4, 2, 1));
    assert_eq!((summary.requests, summary.slots), (2, 3));
    assert_eq!(summary.peak_live, 320 + (1 << 20));
    assert_eq!(
        (summary.left_blocks, summary.left_bytes),
        (2, 320 + (1 << 20))
    );
    Ok(())
}

#[test]
fn every_fault_is_found_where_it_is() {
    let kind = Kind::Free;
    let cases = [
        (
            vec![begin(1), alloc(0, 8), alloc(0, 9)],
            Fault::Occupied { slot: 0, size: 8 },
        ),
        (vec![begin(1), free(2)], Fault::Empty { kind, slot: 2 }),
        (
            vec![begin(1), alloc(0, 8), free(0), free(0)],
            Fault::Empty { kind, slot: 0 },
        ),
        (
            vec![begin(1), realloc(0, 8)],
            Fault::Empty {
                kind: Kind::Realloc,
                slot: 0,
            },
        ),
        // A request takes its blocks with it.
        (
            vec![begin(1), alloc(0, 8), end(1, 1, 8), begin(2), free(0)],
            Fault::Empty { kind, slot: 0 },
        ),
        (vec![alloc(0, 8)], Fault::NoRequest { kind: Kind::Alloc }),
        (
            vec![begin(1), end(1, 0, 0), free(0)],
            Fault::NoRequest { kind },
        ),
        (
            vec![end(1, 0, 0)],
            Fault::NoRequest {
                kind: Kind::RequestEnd,
            },
        ),
        (
            vec![begin(1), begin(2)],
            Fault::Nested {
                number: 2,
                running: 1,
            },
        ),
        (
            vec![begin(1), end(2, 0, 0)],
            Fault::OtherRequest {
                number: 2,
                running: 1,
            },
        ),
        (
            vec![begin(1), alloc(0, 8), end(1, 2, 8)],
            Fault::LiveBlocks {
                number: 1,
                said: 2,
                found: 1,
            },
        ),
        (
            vec![begin(1), alloc(0, 8), realloc(0, 9), end(1, 1, 8)],
            Fault::LiveBytes {
                number: 1,
                said: 8,
                found: 9,
            },
        ),
    ];
    for (records, expected) in cases {
        let before = &records[..records.len() - 1];
        let at = 64 + before.iter().map(Record::encoded_len).sum::<usize>() as u64;
        let header = Header {
            truncated: true,
            ..small_header()
        };
        let error = run(&header, &records).expect_err("the fault was not found");
        assert!(
            matches!(error, TraceError::Invalid { offset, fault } if offset == at && fault == expected),
            "expected {expected}, found {error}"
        );
        // The same when it is read as a recording.
        let header = Header {
            slots: 3,
            ..counting_header(&records)
        };
        let bytes = raw(&header, &records);
        let recorded = Reader::new(bytes.as_slice()).and_then(Recording::read);
        assert_eq!(
            recorded.map(drop).map_err(|error| error.to_string()),
            Err(error.to_string())
        );
    }
}

#[test]
fn a_fault_changes_nothing() -> Result<(), TraceError> {
    let mut checker = Checker::new(&small_header());
    for record in small() {
        let live = (checker.live_blocks(), checker.live_bytes());
        // Two records that fit nowhere.
        assert!(checker.record(&end(99, 0, 0)).is_err());
        assert!(checker.record(&alloc(3, 1)).is_err());
        assert_eq!((checker.live_blocks(), checker.live_bytes()), live);
        checker.record(&record)?;
    }
    checker.finish()?;
    Ok(())
}

#[test]
fn every_wrong_figure_is_found() {
    let right = small_header();
    let cases = [
        (Header { ops: 8, ..right }, Count::Ops),
        (
            Header {
                requests: 1,
                ..right
            },
            Count::Requests,
        ),
        (Header { slots: 4, ..right }, Count::Slots),
        (
            Header {
                peak_live: 1,
                ..right
            },
            Count::PeakLive,
        ),
    ];
    let end_of_trace = raw(&right, &small()).len() as u64;
    for (header, expected) in cases {
        let error = run(&header, &small()).expect_err("the wrong figure was not found");
        assert!(
            matches!(error, TraceError::Mismatch { offset, count, .. } if offset == end_of_trace && count == expected),
            "expected {expected}, found {error}"
        );
    }
}

#[test]
fn only_a_truncated_trace_ends_within_a_request() {
    let records = [begin(1), alloc(0, 8)];
    let mut header = Header {
        ops: 1,
        slots: 1,
        peak_live: 8,
        ..Header::default()
    };
    let error = run(&header, &records).expect_err("the request has not ended");
    let fault = Fault::Unfinished { number: 1 };
    assert!(matches!(error, TraceError::Invalid { offset: 82, fault: f } if f == fault));
    header.truncated = true;
    assert!(run(&header, &records).is_ok());
}

#[test]
fn texts_say_what_was_expected_and_found() {
    let error = run(&small_header(), &[begin(1), alloc(0, 8), end(1, 1, 7)]);
    assert_eq!(
        error.map_err(|error| error.to_string()),
        Err("byte 82: the end of request 1 says 7 bytes are alive, there are 8".to_owned())
    );
    let header = Header {
        ops: 8,
        ..small_header()
    };
    assert_eq!(
        run(&header, &small()).map_err(|error| error.to_string()),
        Err(format!(
            "byte {}: the header says 8 operations, the trace has 7",
            raw(&header, &small()).len()
        ))
    );
}
