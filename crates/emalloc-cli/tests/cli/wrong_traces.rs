//! `emalloc replay` on files that are no traces, or make no sense: an error with the offset, never a crash.

use std::fs;

use emalloc_trace::{Header, MAX_SIZE, MAX_SLOTS, Reader, Record};

use crate::support::{
    Answer, COMMITTED, alloc, begin, committed, emalloc, end, file, free, realloc, trace,
};

/// Replays a file with and without `--check`; both must end with 3, having said the same.
#[track_caller]
fn refused(name: &str, bytes: &[u8]) -> Answer {
    let file = file(name, bytes);
    let plain = emalloc(&["replay", &file]).ended_with(3);
    let checked = emalloc(&["replay", "--check", &file]).ended_with(3);
    assert_eq!(plain.stderr, checked.stderr);
    assert!(
        plain.stderr.starts_with(&format!("emalloc: {file}: ")),
        "{}",
        plain.stderr
    );
    plain
}

/// As [`refused`]; the offset must be this one.
#[track_caller]
fn refused_at(name: &str, bytes: &[u8], offset: usize) -> Answer {
    let answer = refused(name, bytes);
    let place = format!(": byte {offset}: ");
    assert!(
        answer.stderr.contains(&place),
        "expected {place:?}: {}",
        answer.stderr
    );
    let file = file(name, bytes);
    let json = emalloc(&["replay", "--json", &file]).ended_with(3).json();
    let error = &json["traces"][0]["error"];
    assert_eq!(
        (&error["kind"], &error["offset"]),
        (&"unreadable".into(), &offset.into())
    );
    answer
}

/// A committed trace, decompressed and written again record by record.
fn decompressed(name: &str) -> Vec<u8> {
    let reader = Reader::open(committed(name)).unwrap();
    let mut bytes = reader.header().encode().to_vec();
    for record in reader {
        record.unwrap().encode(&mut bytes);
    }
    bytes
}

#[test]
fn a_compressed_trace_that_is_cut_off() {
    for name in COMMITTED {
        let whole = fs::read(committed(name)).unwrap();
        for part in [1, 3, 7] {
            let cut = whole.len() * part / 8;
            let answer = refused(&format!("{name}_{part}.emtr.zst"), &whole[..cut]);
            assert!(answer.stderr.contains(": byte "), "{}", answer.stderr);
        }
        refused(&format!("{name}_last.emtr.zst"), &whole[..whole.len() - 1]);
    }
}

#[test]
fn a_plain_trace_that_is_cut_off() {
    let whole = decompressed("twig");
    let file = file("whole.emtr", &whole);
    emalloc(&["replay", &file]).ended_with(0);
    // Between two records, and everywhere in one: the header promises more.
    let records = Reader::new(whole.as_slice()).unwrap().map(Result::unwrap);
    let mut starts = records.scan(64, |start, record| {
        *start += record.encoded_len();
        Some(*start)
    });
    let start = starts.by_ref().nth(200_000).unwrap();
    let next = starts.next().unwrap();
    for cut in start..next {
        refused_at("cut.emtr", &whole[..cut], start);
    }
    for cut in [0, 3, 63] {
        refused_at("cut_header.emtr", &whole[..cut], cut);
    }
}

#[test]
fn a_damaged_compressed_trace() {
    let mut bytes = fs::read(committed("micro_bench")).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 0x55;
    bytes[middle + 1] ^= 0x55;
    refused("damaged.emtr.zst", &bytes);
}

#[test]
fn files_that_are_something_else() {
    for (name, bytes) in [
        ("empty", &b""[..]),
        (
            "text",
            b"Not a trace, but long enough for a header, which has sixty-four bytes.",
        ),
        ("zstd", &[0x28, 0xb5, 0x2f, 0xfd]),
        ("program", b"\x7fELF\x02\x01\x01"),
    ] {
        refused_at(name, bytes, 0);
    }
    let missing = emalloc(&["replay", "no/such/file.emtr"]).ended_with(3);
    assert!(
        missing
            .stderr
            .contains("no/such/file.emtr: cannot be opened"),
        "{}",
        missing.stderr
    );
    assert_eq!(missing.stdout, "", "no head of a table without rows");
    let folder = emalloc(&["replay", env!("CARGO_MANIFEST_DIR")]).ended_with(3);
    assert_ne!(folder.stderr, "");
}

#[test]
fn an_unreadable_file_does_not_keep_others_from_running() {
    let answer = emalloc(&["replay", "no/such/file", &committed("micro_bench")]).ended_with(3);
    assert!(
        answer.stdout.contains("\nmicro_bench "),
        "{}",
        answer.stdout
    );
}

const SLOTS: Header = Header { slots: 4, ..EMPTY };
const EMPTY: Header = Header {
    flags: emalloc_trace::Flags::EMPTY,
    ops: 0,
    requests: 0,
    slots: 0,
    dropped: 0,
    peak_live: 0,
    truncated: false,
};

/// The offset of the record with this index.
fn offset(records: &[Record], index: usize) -> usize {
    let before = records[..index].iter().map(|record| record.encoded_len());
    64 + before.sum::<usize>()
}

#[test]
fn records_that_make_no_sense() {
    let a = alloc(0, 100);
    // The name of the case, its records, and which of them is wrong.
    let cases: [(&str, &[Record], usize); 14] = [
        ("free of a slot never used", &[begin(1), free(0)], 1),
        ("free twice", &[begin(1), a, free(0), free(0)], 3),
        (
            "resize of a slot never used",
            &[begin(1), realloc(0, 10)],
            1,
        ),
        (
            "resize after free",
            &[begin(1), a, free(0), realloc(0, 10)],
            3,
        ),
        ("allocation into a full slot", &[begin(1), a, a], 2),
        (
            "allocation into a resized slot",
            &[begin(1), a, realloc(0, 9), a],
            3,
        ),
        (
            "free of the last request's",
            &[begin(1), a, end(1, 1, 100), begin(2), free(0)],
            4,
        ),
        (
            "resize of the last request's",
            &[begin(1), a, end(1, 1, 100), begin(2), realloc(0, 1)],
            4,
        ),
        ("a slot beyond the header's", &[begin(1), alloc(4, 1)], 1),
        ("the last of all slots", &[begin(1), alloc(u32::MAX, 1)], 1),
        ("no request", &[a], 0),
        ("a size beyond all", &[begin(1), alloc(0, MAX_SIZE + 1)], 1),
        ("more blocks at the end", &[begin(1), a, end(1, 2, 100)], 2),
        ("fewer bytes at the end", &[begin(1), a, end(1, 1, 99)], 2),
    ];
    for (name, records, wrong) in cases {
        let name = format!("{}.emtr", name.replace([' ', '\''], "_"));
        refused_at(&name, &trace(SLOTS, records), offset(records, wrong));
    }
}

#[test]
fn a_kind_of_record_that_there_is_not() {
    for byte in [0x00, 0x06, 0x0f, 0xf0, 0xff] {
        let header = Header {
            requests: 1,
            ..SLOTS
        };
        let mut bytes = header.encode().to_vec();
        begin(1).encode(&mut bytes);
        bytes.extend([byte; 20]);
        refused_at("kind.emtr", &bytes, 69);
    }
}

#[test]
fn headers_that_lie() {
    let records = [begin(1), alloc(0, 100), end(1, 1, 100)];
    let honest = Header {
        slots: 1,
        peak_live: 100,
        ..EMPTY
    };
    let file = file("honest.emtr", &trace(honest, &records));
    emalloc(&["replay", "--check", &file]).ended_with(0);
    let whole = trace(honest, &records);
    // Version, operations, requests, slots, peak.
    for (field, value) in [
        (4, 2u64),
        (8, 2),
        (8, u64::MAX),
        (16, 2),
        (24, 3),
        (40, 99),
        (48, 7),
    ] {
        let mut bytes = whole.clone();
        bytes[field] = value as u8;
        if value == u64::MAX {
            bytes[field..field + 8].fill(0xff);
        }
        refused("lie.emtr", &bytes);
    }
    // So many slots that a table of them would not fit.
    for slots in [MAX_SLOTS + 1, u64::MAX] {
        let mut bytes = whole.clone();
        bytes[24..32].copy_from_slice(&slots.to_le_bytes());
        refused_at("slots.emtr", &bytes, 24);
    }
    let mut longer = whole.clone();
    longer.push(1);
    refused_at("longer.emtr", &longer, whole.len());
}

#[test]
fn sizes_that_no_machine_has_are_refused_by_the_heap() {
    let records = [begin(1), alloc(0, MAX_SIZE), end(1, 1, MAX_SIZE)];
    let header = Header {
        slots: 1,
        peak_live: MAX_SIZE,
        ..EMPTY
    };
    let file = file("huge.emtr", &trace(header, &records));
    let answer = emalloc(&["replay", "--limit", "1G", &file]).ended_with(1);
    assert!(
        answer.stderr.contains("operation 1 at byte 69 "),
        "{}",
        answer.stderr
    );
}
