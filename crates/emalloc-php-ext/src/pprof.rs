//! Owns profiles as `pprof` reads them: the format's messages, as far as we use them, and the way there.

use std::borrow::ToOwned;
use std::format;
use std::io::Write;
use std::string::{String, ToString};
use std::time::{SystemTime, UNIX_EPOCH};
use std::vec::Vec;

use flate2::Compression;
use flate2::write::GzEncoder;
use hashbrown::HashMap;
use prost::Message;

use crate::leaks::By;
use crate::stacks::Place;
use crate::watch::Book;

// The fields and their numbers are those of `perftools.profiles` in pprof's profile.proto.

#[derive(Clone, PartialEq, Message)]
struct Profile {
    #[prost(message, repeated, tag = "1")]
    sample_type: Vec<ValueType>,
    #[prost(message, repeated, tag = "2")]
    sample: Vec<Sample>,
    #[prost(message, repeated, tag = "4")]
    location: Vec<Location>,
    #[prost(message, repeated, tag = "5")]
    function: Vec<Function>,
    #[prost(string, repeated, tag = "6")]
    string_table: Vec<String>,
    #[prost(int64, tag = "9")]
    time_nanos: i64,
    #[prost(message, optional, tag = "11")]
    period_type: Option<ValueType>,
    #[prost(int64, tag = "12")]
    period: i64,
    #[prost(int64, tag = "14")]
    default_sample_type: i64,
}

#[derive(Clone, Copy, PartialEq, Message)]
struct ValueType {
    #[prost(int64, tag = "1")]
    r#type: i64,
    #[prost(int64, tag = "2")]
    unit: i64,
}

#[derive(Clone, PartialEq, Message)]
struct Sample {
    #[prost(uint64, repeated, tag = "1")]
    location_id: Vec<u64>,
    #[prost(int64, repeated, tag = "2")]
    value: Vec<i64>,
}

#[derive(Clone, PartialEq, Message)]
struct Location {
    #[prost(uint64, tag = "1")]
    id: u64,
    #[prost(message, repeated, tag = "4")]
    line: Vec<Line>,
}

#[derive(Clone, Copy, PartialEq, Message)]
struct Line {
    #[prost(uint64, tag = "1")]
    function_id: u64,
    #[prost(int64, tag = "2")]
    line: i64,
}

#[derive(Clone, Copy, PartialEq, Message)]
struct Function {
    #[prost(uint64, tag = "1")]
    id: u64,
    #[prost(int64, tag = "2")]
    name: i64,
    #[prost(int64, tag = "3")]
    system_name: i64,
    #[prost(int64, tag = "4")]
    filename: i64,
}

/// The columns: what is counted, and in what.
const COLUMNS: [(&str, By); 3] = [
    ("alloc", By::Allocated),
    ("inuse", By::Live),
    ("peak", By::Peak),
];

/// Strings, places and functions, each once.
#[derive(Default)]
struct Tables {
    strings: HashMap<String, i64>,
    functions: HashMap<(i64, i64), u64>,
    locations: HashMap<(u64, u32), u64>,
    profile: Profile,
}

impl Tables {
    fn string(&mut self, text: &str) -> i64 {
        if let Some(&number) = self.strings.get(text) {
            return number;
        }
        let number = self.profile.string_table.len() as i64;
        self.profile.string_table.push(text.to_owned());
        self.strings.insert(text.to_owned(), number);
        number
    }

    fn value_type(&mut self, name: &str, unit: &str) -> ValueType {
        ValueType {
            r#type: self.string(name),
            unit: self.string(unit),
        }
    }

    fn location(&mut self, place: &Place) -> u64 {
        let (name, filename) = (self.string(&place.function), self.string(&place.file));
        let id = self.functions.len() as u64 + 1;
        let function = *self.functions.entry((name, filename)).or_insert(id);
        if function == id {
            self.profile.function.push(Function {
                id,
                name,
                system_name: name,
                filename,
            });
        }
        let id = self.locations.len() as u64 + 1;
        let location = *self.locations.entry((function, place.line)).or_insert(id);
        if location == id {
            let line = Line {
                function_id: function,
                line: place.line.into(),
            };
            self.profile.location.push(Location {
                id,
                line: [line].to_vec(),
            });
        }
        location
    }
}

/// The profile of `book`: allocated, in use, and at the peak, as blocks and as bytes; compressed, as pprof wants it.
pub fn encode(book: &Book) -> Vec<u8> {
    let mut tables = Tables::default();
    // The table begins with the empty string.
    tables.string("");
    for (name, _) in COLUMNS {
        for (what, unit) in [("objects", "count"), ("space", "bytes")] {
            let column = tables.value_type(&format!("{name}_{what}"), unit);
            tables.profile.sample_type.push(column);
        }
    }
    tables.profile.period_type = Some(tables.value_type("space", "bytes"));
    tables.profile.period = book.every as i64;
    tables.profile.default_sample_type = tables.string("alloc_space");
    tables.profile.time_nanos = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_nanos() as i64);
    for (stack, sums) in book.sums.iter().enumerate() {
        let sample = Sample {
            location_id: book
                .stacks
                .stack(stack)
                .map(|place| tables.location(place))
                .collect(),
            value: COLUMNS
                .iter()
                .map(|(_, by)| by.of(sums))
                .flat_map(|sum| [sum.blocks.round() as i64, sum.bytes.round() as i64])
                .collect(),
        };
        tables.profile.sample.push(sample);
    }
    compress(&tables.profile.encode_to_vec())
}

fn compress(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    // Writing to a vector does not fail.
    let written = encoder.write_all(bytes).and_then(|()| encoder.finish());
    written.unwrap_or_else(|error| error.to_string().into_bytes())
}
