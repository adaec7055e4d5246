//! `emalloc replay` on traces that are right.

use std::path::Path;

use emalloc::storage::registry;
use emalloc_trace::Header;
use serde_json::{Value, json};

use crate::support::{
    COMMITTED, alloc, begin, command, committed, emalloc, emalloc_reading, end, file, free,
    realloc, trace,
};

/// Replays all committed traces with `--check`, and these words too.
fn check_all(words: &[&str]) -> Value {
    let files = COMMITTED.map(committed);
    let mut all = vec!["replay", "--check", "--json"];
    all.extend(words);
    all.extend(files.iter().map(String::as_str));
    let answer = emalloc(&all).ended_with(0);
    assert_eq!(answer.stderr, "");
    let answer = answer.json();
    let traces = answer["traces"].as_array().unwrap();
    assert_eq!(traces.len(), COMMITTED.len());
    for trace in traces {
        assert_eq!(trace["ok"], true);
        assert_eq!(trace["ns_per_operation"], Value::Null);
    }
    answer
}

#[test]
fn the_committed_traces_on_every_storage() {
    for entry in registry::entries() {
        let answer = check_all(&["--storage", entry.name]);
        assert_eq!(answer["settings"]["storage"], entry.name);
        let operations: Vec<&Value> = traces(&answer).map(|trace| &trace["operations"]).collect();
        assert_eq!(operations, [411_888, 803_105, 561_929, 441_253]);
    }
}

#[test]
fn the_committed_traces_in_wrappers_and_a_buffer() {
    check_all(&["--cached", "--segment-size", "64K"]);
    let answer = check_all(&["--cached=4M", "--budget", "64M"]);
    assert_eq!(answer["settings"]["cached"], 4 << 20);
    assert_eq!(answer["settings"]["budget"], 64 << 20);
    check_all(&["--storage", "fixed=64M"]);
}

fn traces(answer: &Value) -> impl Iterator<Item = &Value> {
    answer["traces"].as_array().unwrap().iter()
}

/// Two requests, with all that can happen in one.
fn small() -> Vec<u8> {
    let header = Header {
        slots: 3,
        peak_live: 5_000_100,
        ..Header::default()
    };
    let records = [
        begin(1),
        alloc(0, 100),
        alloc(1, 0),
        alloc(2, 5000),
        free(1),
        realloc(2, 5_000_000),
        alloc(1, 0),
        realloc(2, 300),
        end(1, 3, 400),
        begin(2),
        alloc(0, 10_000),
        free(0),
        end(2, 0, 0),
    ];
    trace(header, &records)
}

#[test]
fn json_has_all_figures() {
    let file = file("figures.emtr", &small());
    let answer = emalloc(&["replay", "--json", "--limit", "64M", &file]).ended_with(0);
    // The version is the first of all keys.
    assert!(answer.stdout.starts_with("{\n  \"schema_version\": 1,\n"));
    let answer = answer.json();
    assert_eq!(answer["command"], "replay");
    assert_eq!(
        answer["settings"],
        json!({
            "storage": registry::default_entry().name,
            "fixed_bytes": null,
            "budget": null,
            "cached": null,
            "segment_size": 262_144,
            "limit": 64 << 20,
            "check": false,
            "debug": false,
            "repeat": 1,
        })
    );
    let trace = &answer["traces"][0];
    assert_eq!(trace["file"], file);
    assert_eq!(
        (&trace["ok"], &trace["error"]),
        (&json!(true), &Value::Null)
    );
    for (key, value) in [
        ("operations", 9),
        ("allocs", 5),
        ("frees", 2),
        ("reallocs", 2),
        ("requests", 2),
        ("peak_requested", 5_000_100),
        ("blocks_left", 3),
        ("bytes_left", 400),
    ] {
        assert_eq!(trace[key], value, "{key}");
    }
    let number = |key: &str| trace[key].as_f64().unwrap_or_else(|| panic!("{key}"));
    assert!(number("ns_per_operation") > 0.0);
    assert!(number("ns_per_reset") > 0.0);
    let (used, held) = (number("peak_usage"), number("peak_real_usage"));
    assert!(
        used >= 5_000_100.0 && held >= used + 4096.0,
        "{used} {held}"
    );
    assert!((number("fragmentation") - (1.0 - used / held)).abs() < 1e-9);
    let storage = &trace["storage"];
    // The first segment, which stays, and the huge block, which does not.
    assert_eq!(
        (&storage["taken"], &storage["given_back"]),
        (&json!(2), &json!(1))
    );
    for key in ["resized", "moved", "refused", "peak_bytes"] {
        assert!(storage[key].is_u64(), "{key}");
    }
}

#[test]
fn the_table_fits_a_terminal() {
    let files = COMMITTED.map(committed);
    let mut words = vec!["replay"];
    words.extend(files.iter().map(String::as_str));
    let answer = emalloc(&words).ended_with(0);
    assert_eq!(answer.stderr, "");
    let lines: Vec<&str> = answer.stdout.lines().collect();
    assert!(lines[0].starts_with("Storage ") && lines[0].ends_with("segments of 256 KiB"));
    assert_eq!(lines.len(), 4 + COMMITTED.len());
    for (line, name) in lines[4..].iter().zip(COMMITTED) {
        let cells: Vec<&str> = line.split_whitespace().collect();
        assert_eq!((cells[0], cells.len()), (name, 11));
        assert!(cells[3].parse::<f64>().unwrap() > 0.0);
    }
    for line in lines {
        assert!(line.len() <= 100 && !line.contains('\x1b'), "{line:?}");
    }
}

#[test]
fn standard_input_is_a_file_too() {
    let answer = emalloc_reading(&["replay", "--check", "-"], &small()).ended_with(0);
    assert!(answer.stdout.contains("verified"));
}

#[test]
fn a_folder_stands_for_the_traces_in_it() {
    let folder = Path::new(&committed("twig")).with_file_name("");
    let answer = emalloc(&["replay", "--json", folder.to_str().unwrap()]).ended_with(0);
    let answer = answer.json();
    let files = traces(&answer).map(|trace| trace["file"].as_str().unwrap().to_owned());
    assert_eq!(files.collect::<Vec<_>>(), COMMITTED.map(committed));
}

#[test]
fn a_folder_without_traces_is_named_and_others_go_on() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/src");
    let small = file("beside.emtr", &small());
    let answer = emalloc(&["replay", "--json", folder, &small]).ended_with(3);
    let said = format!(
        "emalloc: {folder}: cannot be opened: a folder without files that end in .emtr or .zst\n"
    );
    assert_eq!(answer.stderr, said);
    let answer = answer.json();
    let whole: Vec<_> = traces(&answer).map(|trace| &trace["ok"]).collect();
    assert_eq!(whole, [false, true]);
}

#[test]
fn a_replay_can_be_repeated() {
    let file = file("repeated.emtr", &small());
    let answer = emalloc(&["replay", "--json", "--repeat", "3", &file]).ended_with(0);
    let answer = answer.json();
    assert_eq!(answer["settings"]["repeat"], 3);
    assert_eq!(answer["traces"][0]["operations"], 9);
    emalloc(&["replay", "--check", "--repeat", "3", &file]).ended_with(2);
}

#[test]
fn a_recording_that_was_cut_short_is_replayed_as_far_as_it_goes() {
    let header = Header {
        slots: 1,
        peak_live: 10,
        truncated: true,
        ..Header::default()
    };
    let file = file("cut_short.emtr", &trace(header, &[begin(1), alloc(0, 10)]));
    let answer = emalloc(&["replay", "--check", "--json", &file]).ended_with(0);
    let trace = &answer.json()["traces"][0];
    assert_eq!(
        (&trace["operations"], &trace["requests"]),
        (&json!(1), &json!(0))
    );
    let answer = emalloc(&["replay", "--json", &file]).ended_with(0);
    assert_eq!(answer.json()["traces"][0]["ns_per_reset"], Value::Null);
}

#[test]
fn a_limit_that_is_hit_is_named_with_all_numbers_and_others_go_on() {
    let small = file("within.emtr", &small());
    let phpparser = committed("phpparser");
    for check in [&[][..], &["--check"]] {
        let mut words = vec!["replay", "--limit", "8M"];
        words.extend(check);
        words.extend([phpparser.as_str(), &small]);
        let text = emalloc(&words).ended_with(1);
        words.insert(1, "--json");
        let answer = emalloc(&words).ended_with(1).json();
        let [refused, fine] = answer["traces"].as_array().unwrap().as_slice() else {
            panic!("{answer}");
        };
        assert_eq!((&refused["ok"], &fine["ok"]), (&json!(false), &json!(true)));
        let error = &refused["error"];
        assert_eq!(
            (&error["kind"], &error["limit"]),
            (&json!("refused"), &json!(8 << 20))
        );
        let number = |key: &str| error[key].as_u64().unwrap_or_else(|| panic!("{key}"));
        let (held, requested) = (number("held"), number("requested"));
        assert!(held <= 8 << 20 && requested > 0);
        let (operation, offset) = (number("operation"), number("offset"));
        let place = format!("emalloc: {phpparser}: operation {operation} at byte {offset} (");
        assert!(text.stderr.starts_with(&place), "{}", text.stderr);
        let numbers = format!(
            "the limit is {} bytes (8 MiB), the heap holds {held} bytes",
            8 << 20
        );
        assert!(text.stderr.contains(&numbers), "{}", text.stderr);
        assert!(text.stdout.contains("\nwithin "), "{}", text.stdout);
        assert!(!text.stdout.contains("\nphpparser "), "{}", text.stdout);
    }
}

#[test]
fn the_place_of_a_refusal_is_exact() {
    let header = Header {
        slots: 2,
        peak_live: 1_000_010,
        ..Header::default()
    };
    let records = [
        begin(1),
        alloc(0, 10),
        end(1, 1, 10),
        begin(2),
        alloc(0, 10),
        free(0),
        alloc(0, 10),
        realloc(0, 1_000_010),
        end(2, 1, 1_000_010),
    ];
    let offset: usize = 64
        + records[..7]
            .iter()
            .map(|record| record.encoded_len())
            .sum::<usize>();
    let file = file("refused.emtr", &trace(header, &records));
    let answer = emalloc(&["replay", "--limit", "512K", &file]).ended_with(1);
    let expected = format!(
        "emalloc: {file}: operation 5 at byte {offset} (REALLOC of slot 0 to 1000010 bytes) was refused: \
         the limit is 524288 bytes (512 KiB), the heap holds 262144 bytes (256 KiB), \
         1000010 bytes (977 KiB) were asked for\n"
    );
    assert_eq!(answer.stderr, expected);
}

#[test]
fn a_full_buffer_and_a_spent_budget_are_refusals() {
    let bench = committed("bench");
    for words in [["--storage", "fixed=1M"], ["--budget", "1M"]] {
        for check in [&[][..], &["--check"]] {
            let mut all = vec!["replay", "--json"];
            all.extend(words);
            all.extend(check);
            all.push(&bench);
            let answer = emalloc(&all).ended_with(1);
            assert_eq!(answer.stderr.lines().count(), 1);
            let error = &answer.json()["traces"][0]["error"];
            assert_eq!(error["kind"], "refused");
            assert!(error["held"].as_u64().unwrap() <= 1 << 20);
            let limit = if words[0] == "--budget" {
                json!(1 << 20)
            } else {
                Value::Null
            };
            assert_eq!(error["limit"], limit);
        }
    }
}

#[test]
fn a_buffer_without_room_for_a_segment_is_a_refusal() {
    let bench = committed("bench");
    let answer = emalloc(&["replay", "--storage", "fixed=100K", &bench]).ended_with(1);
    assert!(
        answer.stderr.contains("the storage gave no first segment"),
        "{}",
        answer.stderr
    );
}

#[test]
fn a_wrong_storage_lists_the_right_ones() {
    let answer = emalloc(&["replay", "--storage", "mmap", "x"]).ended_with(2);
    assert_eq!(answer.stdout, "");
    for entry in registry::entries() {
        assert!(
            answer.stderr.contains(&format!("'{}'", entry.name)),
            "{}",
            answer.stderr
        );
    }
    assert!(answer.stderr.contains("'fixed=BYTES'"));
}

#[test]
fn wrong_settings_are_wrong_usage() {
    let bench = committed("bench");
    for words in [
        &["--segment-size", "100K"][..],
        &["--segment-size", "32K"],
        &["--segment-size", "2G"],
        &["--limit", "10 apples"],
        &["--limit", "64K"],
        &["--storage", "fixed=much"],
        &["--storage", "fixed"],
        &["--repeat", "0"],
        &["--what"],
    ] {
        let mut all = vec!["replay"];
        all.extend(words);
        all.push(&bench);
        let answer = emalloc(&all).ended_with(2);
        assert!(!answer.stderr.is_empty(), "{words:?}");
    }
    emalloc(&["replay"]).ended_with(2);
    emalloc(&[]).ended_with(2);
}

#[test]
fn a_reader_that_goes_away_is_no_error() {
    let file = file("unread.emtr", &small());
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let output = command()
        .args(["replay", &file])
        .stdout(writer)
        .output()
        .unwrap();
    assert_eq!(String::from_utf8(output.stderr).unwrap(), "");
    assert_eq!(output.status.code(), Some(0));
}
