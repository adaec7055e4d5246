//! A trace that is cut off, foreign or damaged: which error, and where.

mod common;

use std::error::Error;
use std::io::{self, Read};

use common::*;
use emalloc_trace::{
    Compression, Count, HEADER_LEN, Header, Kind, MAX_SIZE, MAX_SLOTS, Reader, Record, TraceError,
};

/// The small trace with the bytes from `at` on replaced.
fn patched(at: usize, bytes: &[u8]) -> Vec<u8> {
    let mut trace = raw(&small_header(), &small());
    trace[at..at + bytes.len()].copy_from_slice(bytes);
    trace
}

#[test]
fn cut_at_every_byte() {
    let trace = raw(&small_header(), &small());
    // Where each record starts.
    let mut starts = vec![HEADER_LEN];
    for record in small() {
        starts.push(starts.last().unwrap() + record.encoded_len());
    }
    assert_eq!(starts.last(), Some(&trace.len()));
    for cut in 0..trace.len() {
        let (records, result) = read(&trace[..cut]);
        let error = result.expect_err("a part of the trace was taken for the whole");
        if cut < HEADER_LEN {
            assert!(
                matches!(error, TraceError::ShortHeader { found } if found == cut),
                "{error}"
            );
            assert_eq!(error.offset(), cut as u64);
            continue;
        }
        let whole = starts.iter().rposition(|&start| start <= cut).unwrap();
        assert_eq!(records, small()[..whole], "cut at {cut}");
        let start = starts[whole];
        assert_eq!(error.offset(), start as u64, "cut at {cut}: {error}");
        if start == cut {
            assert!(matches!(error, TraceError::Mismatch { .. }), "{error}");
        } else {
            let expected = small()[whole].kind();
            assert!(
                matches!(error, TraceError::TruncatedRecord { kind, found, .. }
                    if kind == expected && found == cut - start),
                "{error}"
            );
        }
    }
}

#[test]
fn compressed_and_cut_at_every_byte() {
    let trace = written(&small(), Compression::Zstd(3)).expect("the small trace is right");
    for cut in 0..trace.len() {
        let (records, result) = read(&trace[..cut]);
        let error = result.expect_err("a part of the trace was taken for the whole");
        assert!(small().starts_with(&records), "cut at {cut}");
        match (cut, &error) {
            (0, TraceError::ShortHeader { found: 0 }) => {}
            (1..4, TraceError::Magic { .. }) => {}
            // Between the two frames the compressed stream itself is whole.
            (73, TraceError::Mismatch { offset: 64, .. }) => {}
            (4..73 | 74.., TraceError::Zstd { .. }) => {}
            _ => panic!("cut at {cut}: {error}"),
        }
    }
}

#[test]
fn compressed_and_damaged_anywhere() {
    let trace = written(&small(), Compression::Zstd(3)).expect("the small trace is right");
    for at in 73..trace.len() {
        for bit in 0..8 {
            let mut damaged = trace.clone();
            damaged[at] ^= 1 << bit;
            let (records, result) = read(&damaged);
            match result {
                // Some bits say nothing about the content, which has a checksum.
                Ok(()) => {
                    assert_eq!(records, small(), "bit {bit} of byte {at}");
                    assert!(
                        at < trace.len() - 4,
                        "bit {bit} of byte {at}, in the checksum"
                    );
                }
                Err(error) => assert!(error.offset() >= 64, "bit {bit} of byte {at}: {error}"),
            }
        }
    }
}

#[test]
fn compressed_with_something_behind() {
    let mut trace = written(&small(), Compression::Zstd(3)).expect("the small trace is right");
    trace.extend_from_slice(b"something");
    let (records, result) = read(&trace);
    assert_eq!(records, small());
    let end = raw(&small_header(), &small()).len() as u64;
    let error = result.expect_err("rubbish was not noticed");
    assert!(
        matches!(error, TraceError::Zstd { offset, .. } if offset == end),
        "{error}"
    );
}

#[test]
fn compressed_with_a_window_too_large() {
    // A frame of one byte that asks for a window of 2^28 bytes.
    let frame = |log: u8| [0x28, 0xb5, 0x2f, 0xfd, 0, (log - 10) << 3, 9, 0, 0, b'E'];
    let error = error(&frame(28));
    assert!(
        matches!(error, TraceError::Zstd { offset: 0, .. }),
        "{error}"
    );
    let cause = error
        .source()
        .expect("the decompressor says why")
        .to_string();
    assert!(cause.contains("memory"), "{cause}");
    assert!(!error.to_string().contains(&cause), "said twice: {error}");
    // The largest window that is allowed.
    assert!(matches!(
        common::error(&frame(27)),
        TraceError::ShortHeader { found: 1 }
    ));
}

#[test]
fn foreign_files() {
    let error = error(b"\x7fELF\x02\x01\x01 and more");
    assert!(matches!(
        error,
        TraceError::Magic {
            found: [0x7f, b'E', b'L', b'F'],
            ..
        }
    ));
    assert_eq!(
        error.to_string(),
        "byte 0: not an EMTR trace: expected \"EMTR\", found \"\\x7fELF\""
    );
    let error = common::error(b"#!");
    assert_eq!(
        error.to_string(),
        "byte 0: not an EMTR trace: expected \"EMTR\", found \"#!\""
    );
    assert!(matches!(
        common::error(b""),
        TraceError::ShortHeader { found: 0 }
    ));
}

#[test]
fn a_foreign_file_compressed() {
    let text = zstd::encode_all(
        &b"some text, long enough to be compressed, text, text"[..],
        3,
    )
    .expect("memory can be compressed");
    assert!(matches!(error(&text), TraceError::Magic { found, .. } if &found == b"some"));
}

#[test]
fn versions_to_come() {
    let error = error(&patched(4, &2_u16.to_le_bytes()));
    assert!(matches!(error, TraceError::Version { found: 2 }));
    assert_eq!(
        error.to_string(),
        "byte 4: expected version 1 of the EMTR format, found 2"
    );
}

#[test]
fn header_fields_out_of_bounds() {
    for slots in [MAX_SLOTS + 1, u64::from(u32::MAX), u64::MAX] {
        let error = error(&patched(24, &slots.to_le_bytes()));
        assert!(
            matches!(error, TraceError::Field { offset: 24, field: "slots", found, .. } if found == slots),
            "{error}"
        );
    }
    let error = error(&patched(48, &2_u64.to_le_bytes()));
    assert_eq!(
        error.to_string(),
        "byte 48: \"truncated\" of the header may be at most 1, found 2"
    );
    // As many slots as there may be cost a reader nothing.
    let most = patched(24, &MAX_SLOTS.to_le_bytes());
    assert_eq!(read(&most).0, small());
}

#[test]
fn what_may_be_ignored_is_ignored() -> Result<(), TraceError> {
    let mut trace = patched(56, &u64::MAX.to_le_bytes());
    trace[6..8].copy_from_slice(&0xfff4_u16.to_le_bytes());
    trace[HEADER_LEN] |= 0xf0; // hints of REQ_BEGIN
    trace[HEADER_LEN + 5] |= 0xc0; // hints of ALLOC without a name
    let reader = Reader::new(trace.as_slice())?;
    assert_eq!(reader.header().flags.bits(), 0xfff4);
    let records = reader.collect::<Result<Vec<_>, _>>()?;
    assert_eq!(records[0], begin(0));
    assert!(
        matches!(records[1], Record::Alloc { slot: 0, size: 56, hints } if hints.bits() == 0xc0)
    );
    assert_eq!(records[2..], small()[2..]);
    Ok(())
}

#[test]
fn unknown_kinds() {
    for kind in (0..=15).filter(|kind| !(1..=5).contains(kind)) {
        let error = error(&patched(HEADER_LEN + 5, &[kind | 0x30]));
        assert!(
            matches!(error, TraceError::UnknownKind { offset: 69, found } if found == kind | 0x30),
            "{error}"
        );
    }
    assert_eq!(
        error(&patched(HEADER_LEN + 5, &[0x39])).to_string(),
        "byte 69: expected a record (kinds 1 to 5), found byte 0x39"
    );
}

#[test]
fn slots_and_sizes_out_of_bounds() {
    for (record, kind) in [
        (alloc(3, 1), Kind::Alloc),
        (free(u32::MAX), Kind::Free),
        (realloc(4, 1), Kind::Realloc),
    ] {
        let records = [begin(1), record, begin(2), begin(3), begin(4), begin(5)];
        let error = error(&raw(&small_header(), &records));
        assert!(
            matches!(error, TraceError::Slot { offset: 69, kind: k, slots: 3, .. } if k == kind),
            "{error}"
        );
    }
    for (record, kind) in [
        (alloc(0, MAX_SIZE + 1), Kind::Alloc),
        (realloc(1, u64::MAX), Kind::Realloc),
    ] {
        // Right behind the header, and as the last bytes of the trace.
        for records in [
            vec![record, begin(1), begin(2), begin(3), begin(4)],
            vec![record],
        ] {
            let error = error(&raw(&small_header(), &records));
            assert!(
                matches!(error, TraceError::Size { offset: 64, kind: k, .. } if k == kind),
                "{error}"
            );
        }
    }
    let largest = [begin(1), alloc(0, MAX_SIZE), end(1, 1, MAX_SIZE)];
    assert_eq!(read(&raw(&small_header(), &largest)).0, largest);
}

#[test]
fn more_than_the_header_says() {
    let end_of_trace = raw(&small_header(), &small()).len() as u64;
    for (fewer, count, at) in [
        (
            Header {
                ops: 6,
                ..small_header()
            },
            Count::Ops,
            9,
        ),
        (
            Header {
                requests: 0,
                ..small_header()
            },
            Count::Requests,
            6,
        ),
    ] {
        let error = error(&raw(&fewer, &small()));
        let records = small();
        let before: usize = records[..at].iter().map(Record::encoded_len).sum();
        assert!(
            matches!(error, TraceError::Excess { offset, kind, count: c, .. }
                if offset == (HEADER_LEN + before) as u64 && kind == records[at].kind() && c == count),
            "{error}"
        );
    }
    for behind in [
        vec![0],
        vec![4],
        vec![1; 13],
        vec![5; 40],
        b"rubbish".to_vec(),
    ] {
        let mut trace = raw(&small_header(), &small());
        trace.extend_from_slice(&behind);
        let error = error(&trace);
        assert!(
            matches!(error, TraceError::Trailing { offset, found } if offset == end_of_trace && found == behind[0]),
            "{error}"
        );
    }
}

#[test]
fn less_than_the_header_says() {
    for (more, count) in [
        (
            Header {
                ops: u64::MAX,
                ..small_header()
            },
            Count::Ops,
        ),
        (
            Header {
                requests: 3,
                ..small_header()
            },
            Count::Requests,
        ),
    ] {
        let trace = raw(&more, &small());
        let (records, result) = read(&trace);
        assert_eq!(records, small());
        let error = result.expect_err("the wrong count was not noticed");
        assert!(
            matches!(error, TraceError::Mismatch { offset, count: c, .. }
                if offset == trace.len() as u64 && c == count),
            "{error}"
        );
    }
}

/// Gives its bytes, then fails.
struct Broken<'a>(&'a [u8]);

impl Read for Broken<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self.0.read(buffer)? {
            0 => Err(io::Error::from_raw_os_error(5)),
            len => Ok(len),
        }
    }
}

#[test]
fn a_source_that_fails() {
    let plain = raw(&small_header(), &small());
    let compressed = written(&small(), Compression::Zstd(3)).expect("the small trace is right");
    for trace in [&plain, &compressed] {
        for len in 0..trace.len() {
            let mut records = Vec::new();
            let error = Reader::new(Broken(&trace[..len]))
                .and_then(|reader| {
                    for record in reader {
                        records.push(record?);
                    }
                    Ok(())
                })
                .expect_err("the failure was not noticed");
            assert!(small().starts_with(&records));
            assert!(matches!(error, TraceError::Io { .. }), "{len}: {error}");
            if trace == &plain {
                assert_eq!(error.offset(), len as u64);
            }
        }
    }
    // Everything was there, and the records are handed out: but is it the end?
    let result: Result<Vec<_>, _> = Reader::new(Broken(&plain)).and_then(Iterator::collect);
    assert!(matches!(result, Err(TraceError::Io { .. })));
}

#[test]
fn a_chain_of_errors_says_the_cause_once() {
    let error = Reader::open("no/such/file.emtr").expect_err("there is no such file");
    let cause = error.source().expect("the system says why").to_string();
    assert!(!error.to_string().contains(&cause), "{error}: {cause}");
}

#[test]
fn after_an_error_comes_the_end() -> Result<(), TraceError> {
    let trace = patched(HEADER_LEN + 5, &[0]);
    let mut reader = Reader::new(trace.as_slice())?;
    assert!(matches!(reader.next(), Some(Ok(record)) if record == begin(0)));
    assert!(matches!(reader.next(), Some(Err(_))));
    assert!(reader.next().is_none());

    let mut reader = Reader::new(trace.as_slice())?;
    let mut batch = Vec::new();
    assert_eq!(reader.read_batch(&mut batch, 100)?, 1);
    let error = reader.read_batch(&mut batch, 100).expect_err("kind 0");
    assert!(matches!(
        error,
        TraceError::UnknownKind {
            offset: 69,
            found: 0
        }
    ));
    assert_eq!(batch, [begin(0)]);
    assert_eq!(reader.read_batch(&mut batch, 100)?, 0);
    Ok(())
}
