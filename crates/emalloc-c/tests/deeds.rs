//! Bad deeds, each in a tiny program of its own that knows nothing of debug mode, and what `EMALLOC_DEBUG` then says of it: the
//! programs and the expected text in `c/deeds`. The time and addresses of blocks are left out of the comparison.
#![cfg(unix)]

mod common;

use common::{CC, folder, run};
use std::fs;
use std::path::PathBuf;
use std::process::{Command, Output};

fn deed(name: &str) -> PathBuf {
    folder("tests/c/deeds").join(name)
}

/// What a program wrote to standard error, with `DATE` and `ADDRESS` where such a thing stood.
fn said(output: &Output) -> String {
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    let mut lines = Vec::new();
    for line in text.lines() {
        let mut line = line.to_owned();
        if let Some((date, rest)) = line.split_once("]  Script:") {
            // [Thu Nov 26 07:34:00 2026
            let words: Vec<_> = date.split_whitespace().collect();
            assert_eq!((words.len(), date.len()), (5, 25), "{line}");
            line = format!("[DATE]  Script:{rest}");
        }
        for before in [" Block 0x", "Block 0x", " Freeing 0x"] {
            if let Some((head, tail)) = line.split_once(before) {
                let digits = tail.chars().take_while(char::is_ascii_hexdigit).count();
                assert!(digits >= 8, "{line}");
                line = format!("{head}{before}ADDRESS{}", &tail[digits..]);
                break;
            }
        }
        lines.push(line + "\n");
    }
    lines.concat()
}

fn program(name: &str) -> Command {
    CC.program(&deed(&format!("{name}.c")))
}

/// The program, with debug mode switched on from outside, says what is expected, and goes on.
#[track_caller]
fn tells(name: &str) {
    let output = run(program(name).env("EMALLOC_DEBUG", "1"));
    let expected = fs::read_to_string(deed(&format!("{name}.expected"))).unwrap();
    assert_eq!(said(&output), expected);
    assert!(output.status.success(), "{}", output.status);
}

#[test]
fn a_write_behind_a_block() {
    tells("overrun");
}

#[test]
fn a_write_in_front_of_a_block() {
    tells("underrun");
}

#[test]
fn a_write_after_the_free() {
    tells("write_after_free");
}

#[test]
fn a_block_freed_twice() {
    tells("double_free");
}

#[test]
fn a_block_of_another_heap() {
    tells("wrong_heap");
}

#[test]
fn a_pointer_never_handed_out() {
    tells("never_allocated");
}

#[test]
fn a_block_freed_with_another_size() {
    tells("wrong_size");
}

#[test]
fn forgotten_blocks() {
    tells("leaks");
}

#[test]
fn forgotten_blocks_where_the_caller_wants_silence() {
    tells("silent");
}

#[test]
fn forgotten_blocks_as_json() {
    let output = run(program("leaks")
        .env("EMALLOC_DEBUG", "1")
        .env("EMALLOC_LEAKS", "json"));
    let lines = said(&output);
    let heads: Vec<_> = lines
        .lines()
        .map(|line| line.split(r#","address""#).next().unwrap())
        .collect();
    assert_eq!(
        heads,
        [
            r#"{"file":"leaks.c","line":13,"count":2,"bytes":100"#,
            r#"{"file":"leaks.c","line":15,"origin":{"file":"leaks.c","line":5},"count":1,"bytes":10"#,
            r#"{"total":3,"bytes":110}"#,
            r#"{"file":"leaks.c","line":17,"count":1,"bytes":1"#,
            r#"{"total":1,"bytes":1}"#,
        ]
    );
    let silent = run(program("leaks")
        .env("EMALLOC_DEBUG", "1")
        .env("EMALLOC_LEAKS", "0"));
    assert_eq!(said(&silent), "");
}

#[test]
fn the_program_ends_if_that_was_chosen() {
    let output = run(program("double_free").env("EMALLOC_DEBUG", "on_error=exit"));
    assert_eq!(output.status.code(), Some(255));
    let output = run(program("double_free").env("EMALLOC_DEBUG", "on_error=abort"));
    assert_eq!(output.status.code(), None);
}

#[test]
fn leaks_are_not_told_after_a_fatal_error() {
    let output = run(program("over_limit").env("EMALLOC_DEBUG", "1"));
    assert_eq!(
        said(&output),
        "\nFatal error: Allowed memory size of 1048576 bytes exhausted (tried to allocate 2097152 bytes) at over_limit.c:7\n"
    );
    assert_eq!(output.status.code(), Some(255));
}

#[test]
fn heaps_of_the_program_listen_to_the_environment_too() {
    let output = run(CC
        .program(&folder("tests/c/heaps.c"))
        .env("EMALLOC_DEBUG", "nonsense"));
    assert_eq!(output.status.code(), Some(255));
    assert!(
        said(&output).starts_with("EMALLOC_DEBUG is 'nonsense'"),
        "{}",
        said(&output)
    );
}

#[test]
fn a_guard_page_stops_who_writes_too_far() {
    use std::os::unix::process::ExitStatusExt;
    let output = run(program("overrun_far").env("EMALLOC_DEBUG", "guard_pages"));
    assert_eq!(output.status.signal(), Some(11), "{}", said(&output));
}

#[test]
fn nothing_is_said_without_debug_mode() {
    for name in ["overrun", "underrun", "leaks", "silent"] {
        let output = run(&mut program(name));
        assert_eq!(said(&output), "", "{name}");
        assert!(output.status.success(), "{name}");
    }
}
