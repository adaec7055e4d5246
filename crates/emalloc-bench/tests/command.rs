//! The command as users call it, on a small trace and on allocators that are always there.

use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Command, Output};

const TRACE: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/../../traces/micro_bench.emtr.zst"
);

fn bench(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_emalloc-bench"))
        .args(arguments)
        .output()
        .unwrap()
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

#[test]
fn each_allocator_has_a_line_of_json() {
    let only = ["--only", "emalloc:frugal,system", "--rounds", "1", "--json"];
    let output = bench(&[&[TRACE][..], &only].concat());
    assert!(output.status.success(), "{}", text(&output.stderr));
    let lines: Vec<serde_json::Value> = text(&output.stdout)
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let names: Vec<_> = lines.iter().map(|line| &line["allocator"]).collect();
    assert_eq!(names, ["null", "emalloc", "system"]);
    let emalloc = &lines[1];
    assert_eq!(emalloc["schema_version"], 1);
    assert_eq!(emalloc["trace"], "micro_bench");
    assert_eq!(emalloc["setting"], "frugal");
    let net = emalloc["ns_per_op"].as_f64().unwrap() - lines[0]["ns_per_op"].as_f64().unwrap();
    assert!((emalloc["net_ns_per_op"].as_f64().unwrap() - net).abs() < 1e-9);
    // Filled blocks are resident, in the fresh process that measures it.
    assert!(emalloc["peak_resident"].as_i64().unwrap() > 100_000);
}

#[test]
fn many_heaps_take_memory_each() {
    let output = bench(&["--micro", "heaps", "--only", "emalloc:frugal", "--json"]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    let line: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(line["micro"], "heaps");
    assert!(line["value"].as_f64().unwrap() >= 8448.0);
}

#[test]
fn a_reader_that_goes_away_is_no_error() {
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let output = Command::new(env!("CARGO_BIN_EXE_emalloc-bench"))
        .args([TRACE, "--only", "system", "--rounds", "1", "--no-memory"])
        .stdout(writer)
        .output()
        .unwrap();
    assert_eq!(output.status.signal(), Some(libc::SIGPIPE));
    let said = text(&output.stderr);
    assert!(!said.contains("panicked"), "{said}");
}

#[test]
fn a_folder_stands_for_the_traces_in_it() {
    let folder = Path::new(TRACE).parent().unwrap().to_str().unwrap();
    let only = ["--only", "null", "--rounds", "1", "--no-memory", "--json"];
    let output = bench(&[&[folder][..], &only].concat());
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert_eq!(text(&output.stdout).lines().count(), 4);
    let output = bench(&[concat!(env!("CARGO_MANIFEST_DIR"), "/src")]);
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains("emalloc-bench/src"));
}

#[test]
fn an_unknown_allocator_is_answered_with_the_known_ones() {
    let output = bench(&[TRACE, "--only", "nonesuch"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains("there are null, emalloc, zend"));
    let output = bench(&[TRACE, "--only", "emalloc:nonesuch"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains("settings are default, recommended, frugal"));
}

#[test]
fn an_unknown_micro_benchmark_is_answered_with_the_known_ones() {
    let output = bench(&["--micro", "nonesuch", "--only", "null"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains("there are life, pairs, growth"));
}

#[test]
fn a_chart_without_the_original_is_refused_and_not_written() {
    let chart = Path::new(env!("CARGO_TARGET_TMPDIR")).join("none.svg");
    let only = [
        "--only",
        "system",
        "--rounds",
        "1",
        "--no-memory",
        "--chart",
    ];
    let output = bench(&[&[TRACE][..], &only, &[chart.to_str().unwrap()]].concat());
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains("the chart needs zend"));
    assert!(!chart.exists());
}

#[test]
fn nothing_to_do_is_wrong_usage() {
    assert_eq!(bench(&[]).status.code(), Some(2));
    assert_eq!(bench(&[TRACE, "--rounds", "0"]).status.code(), Some(2));
}
