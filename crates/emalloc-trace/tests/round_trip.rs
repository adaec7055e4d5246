//! What is written is read again, by every way of reading.

mod common;

use std::cell::Cell;
use std::io::{self, Cursor, Read, Seek, SeekFrom, Write};
use std::rc::Rc;

use common::*;
use emalloc_trace::{
    Checker, Compression, Flags, HEADER_LEN, Hints, OpKind, Reader, Record, Recording, TraceError,
    Writer,
};
use proptest::prelude::*;

const WAYS: [Compression; 3] = [
    Compression::None,
    Compression::Zstd(1),
    Compression::Zstd(19),
];

/// Gives a few bytes at a time and is interrupted in between.
struct Stutter<'a> {
    bytes: &'a [u8],
    turn: usize,
}

impl Read for Stutter<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.turn += 1;
        if self.turn.is_multiple_of(3) {
            return Err(io::ErrorKind::Interrupted.into());
        }
        let len = buffer.len().min(self.turn % 7 + 1);
        self.bytes.read(&mut buffer[..len])
    }
}

/// Half a megabyte of records that make sense.
fn large() -> Vec<Record> {
    let mut records = vec![begin(1)];
    let mut live = 0;
    for n in 0..40_000_u32 {
        let (slot, size) = (n % 500, u64::from(n));
        records.push(alloc(slot, size));
        live += size;
        if n % 5 == 0 {
            records.push(realloc(slot, 9));
            live = live - size + 9;
        }
        if n % 500 == 499 {
            records.push(end(1, 500, live));
            records.push(begin(1));
            live = 0;
        }
    }
    records
}

#[test]
fn the_small_trace_is_what_its_header_says() -> Result<(), TraceError> {
    for way in WAYS {
        let bytes = written(&small(), way)?;
        assert_eq!(
            Reader::new(bytes.as_slice())?.header(),
            &small_header(),
            "{way:?}"
        );
        let (records, result) = read(&bytes);
        result?;
        assert_eq!(records, small(), "{way:?}");
    }
    assert_eq!(
        written(&small(), Compression::None)?,
        raw(&small_header(), &small())
    );
    Ok(())
}

#[test]
fn the_bytes_are_those_of_the_format() {
    let mut bytes = Vec::new();
    for record in [
        Record::Alloc {
            slot: 0x0403_0201,
            size: 0x0c0b_0a09_0807_0605,
            hints: Hints::LARGE,
        },
        Record::Free {
            slot: 1,
            hints: Hints::SMALL,
        },
        Record::Realloc {
            slot: 2,
            size: 3,
            hints: Hints::PARTIAL_COPY,
        },
        begin(4),
        end(5, 6, 7),
    ] {
        record.encode(&mut bytes);
    }
    let expected: &[&[u8]] = &[
        &[0x21, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12],
        &[0x12, 1, 0, 0, 0],
        &[0x13, 2, 0, 0, 0, 3, 0, 0, 0, 0, 0, 0, 0],
        &[4, 4, 0, 0, 0],
        &[5, 5, 0, 0, 0, 6, 0, 0, 0, 7, 0, 0, 0, 0, 0, 0, 0],
    ];
    assert_eq!(bytes, expected.concat());
}

#[test]
fn a_trace_larger_than_every_buffer_is_read_through_a_stuttering_source() -> Result<(), TraceError>
{
    let records = large();
    for way in WAYS {
        let bytes = written(&records, way)?;
        let source = Stutter {
            bytes: &bytes,
            turn: 0,
        };
        let mut reader = Reader::new(source)?;
        let mut offset = HEADER_LEN as u64;
        for expected in &records {
            assert_eq!(reader.offset(), offset, "{way:?}");
            let record = reader.next().expect("there are more records")?;
            assert_eq!(&record, expected, "{way:?}, byte {offset}");
            offset += record.encoded_len() as u64;
        }
        assert!(reader.next().is_none());
        assert_eq!(reader.offset(), offset, "{way:?}");
    }
    Ok(())
}

/// A sink that tells how much it has got.
struct Metered(Cursor<Vec<u8>>, Rc<Cell<usize>>);

impl Write for Metered {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.1.set(self.1.get() + bytes.len());
        self.0.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

impl Seek for Metered {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.0.seek(to)
    }
}

#[test]
fn the_writer_does_not_hold_the_trace_back() -> Result<(), TraceError> {
    let got = Rc::new(Cell::new(0));
    let sink = Metered(Cursor::new(Vec::new()), Rc::clone(&got));
    let mut writer = Writer::new(sink, Flags::EMPTY, Compression::None)?;
    let mut length = HEADER_LEN;
    for record in large() {
        writer.write(&record)?;
        length += record.encoded_len();
        assert!(
            length - got.get() <= 64 * 1024,
            "{length} bytes, {} written",
            got.get()
        );
    }
    assert!(length > 4 * 64 * 1024);
    Ok(())
}

#[test]
fn a_trace_may_lie_behind_something_else() -> Result<(), TraceError> {
    for way in WAYS {
        let mut file = Cursor::new(Vec::new());
        file.write_all(b"before").expect("memory can be written to");
        let mut writer = Writer::new(file, Flags::HANDLERS, way)?;
        for record in small() {
            writer.write(&record)?;
        }
        let (mut file, header) = writer.finish()?;
        assert_eq!(file.position(), file.get_ref().len() as u64, "{way:?}");
        assert!(file.get_ref().starts_with(b"before"), "{way:?}");
        file.seek(SeekFrom::Start(6)).expect("a cursor can seek");
        let reader = Reader::new(file)?;
        assert_eq!(reader.header(), &header);
        assert_eq!(reader.collect::<Result<Vec<_>, _>>()?, small());
    }
    Ok(())
}

#[test]
fn the_writer_says_what_was_left_out() -> Result<(), TraceError> {
    let mut writer = Writer::new(Cursor::new(Vec::new()), Flags::EMPTY, Compression::None)?;
    writer.add_dropped(3);
    writer.add_dropped(4);
    writer.mark_truncated();
    let (_, header) = writer.finish()?;
    assert_eq!((header.dropped, header.truncated), (7, true));
    Ok(())
}

#[test]
fn a_trace_that_stops_within_a_request_is_marked_by_itself() -> Result<(), TraceError> {
    let records = [begin(3), alloc(0, 100), alloc(1, 20), free(0)];
    let bytes = written(&records, Compression::Zstd(3))?;
    let recording = Recording::read(Reader::new(bytes.as_slice())?)?;
    assert!(recording.header.truncated);
    let [request] = recording.requests.as_slice() else {
        panic!("one request, found {:?}", recording.requests);
    };
    assert!(!request.ended);
    assert_eq!(
        (request.number, request.live_blocks, request.live_bytes),
        (3, 1, 20)
    );
    assert_eq!(request.ops, 0..3);
    Ok(())
}

#[test]
fn the_writer_refuses_what_makes_no_sense_and_goes_on() -> Result<(), TraceError> {
    let mut writer = Writer::new(Cursor::new(Vec::new()), Flags::EMPTY, Compression::None)?;
    let nonsense = [
        free(0),
        begin(9),
        alloc(1 << 24, 1),
        alloc(5, 1 << 40),
        end(1, 1, 1),
    ];
    for record in small() {
        // None of it fits behind any record of the small trace but the last.
        if let Record::RequestBegin { .. } = record {
            assert!(matches!(
                writer.write(&free(0)),
                Err(TraceError::Invalid { .. })
            ));
        } else {
            for wrong in &nonsense[1..] {
                assert!(writer.write(wrong).is_err(), "{wrong:?}");
            }
        }
        writer.write(&record)?;
    }
    let (file, header) = writer.finish()?;
    assert_eq!(file.into_inner(), raw(&header, &small()));
    assert_eq!(header.peak_live, small_header().peak_live);
    Ok(())
}

proptest! {
    #[test]
    fn sensible_records_survive(records in any_sensible(), way in 0..2_usize) {
        let bytes = written(&records, WAYS[way])?;
        let (read, result) = read(&bytes);
        result?;
        prop_assert_eq!(&read, &records);

        let reader = Reader::new(bytes.as_slice())?;
        let header = *reader.header();
        let mut checker = Checker::new(&header);
        for record in &records {
            checker.record(record)?;
        }
        let summary = checker.finish()?;
        prop_assert_eq!(summary.allocs + summary.frees + summary.reallocs, header.ops);

        let recording = Recording::read(reader)?;
        prop_assert_eq!(recording.summary, summary);
        prop_assert_eq!(flattened(&recording), records);
    }

    #[test]
    fn any_records_survive(records in proptest::collection::vec(any_record(), 0..400)) {
        let bytes = raw(&counting_header(&records), &records);
        let (read, result) = read(&bytes);
        result?;
        prop_assert_eq!(read, records);
    }

    #[test]
    fn batches_of_any_size_give_the_same(
        records in proptest::collection::vec(any_record(), 0..400),
        sizes in proptest::collection::vec(1..70_usize, 1..10),
    ) {
        let bytes = raw(&counting_header(&records), &records);
        let mut reader = Reader::new(bytes.as_slice())?;
        let mut batches = Vec::new();
        for &size in sizes.iter().cycle() {
            let before = batches.len();
            let got = reader.read_batch(&mut batches, size)?;
            prop_assert_eq!(batches.len() - before, got);
            prop_assert!(got <= size);
            if got == 0 {
                break;
            }
        }
        prop_assert_eq!(reader.offset(), bytes.len() as u64);
        prop_assert_eq!(batches, records);
    }
}

/// The records that a recording was made from.
fn flattened(recording: &Recording) -> Vec<Record> {
    let mut records = Vec::new();
    for request in &recording.requests {
        records.push(begin(request.number));
        for op in &recording.ops[request.ops.clone()] {
            let (slot, size, hints) = (op.slot, op.size, op.hints);
            records.push(match op.kind {
                OpKind::Alloc => Record::Alloc { slot, size, hints },
                OpKind::Free => Record::Free { slot, hints },
                OpKind::Realloc => Record::Realloc { slot, size, hints },
            });
        }
        if request.ended {
            records.push(end(request.number, request.live_blocks, request.live_bytes));
        }
    }
    records
}
