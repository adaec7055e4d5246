//! What the interface does, seen from C: the programs in `c/`, compiled with warnings as errors.
#![cfg(unix)]

mod common;

use common::{CC, built, folder, run, succeed};
use std::path::Path;
use std::process::Command;

fn program(name: &str) -> Command {
    CC.program(&folder("tests/c").join(name))
}

/// Runs a program of `tests/c` that checks for itself.
fn passes(name: &str) {
    succeed(&mut program(name));
}

#[test]
fn blocks() {
    passes("blocks.c");
}

#[test]
fn blocks_in_checked_mode() {
    succeed(program("blocks.c").env("EMALLOC_CHECKED", "1"));
}

#[test]
fn blocks_without_a_heap() {
    succeed(program("blocks.c").arg("system").env("USE_ZEND_ALLOC", "0"));
}

#[test]
fn heaps() {
    passes("heaps.c");
}

#[test]
fn handlers() {
    passes("handlers.c");
}

#[test]
fn debug_mode() {
    passes("debugging.c");
}

#[test]
fn a_storage_in_c() {
    passes("storage.c");
}

#[test]
fn a_storage_in_c_by_its_name() {
    for variable in ["EMALLOC_STORAGE", "ZEND_MM_MEM_TYPE"] {
        succeed(program("storage.c").arg("sound").env(variable, "book"));
        let output = run(program("storage.c").arg("broken").env(variable, "book"));
        ends(&output, 255, "Cannot initialize zend_mm storage [book]\n");
    }
}

#[test]
fn threads() {
    passes("threads.c");
}

/// It crashed when the thread ended.
#[test]
#[cfg(not(target_vendor = "apple"))]
fn a_library_that_is_closed_while_a_thread_has_a_heap() {
    // Linked with no library of ours.
    let program = Path::new(env!("CARGO_TARGET_TMPDIR")).join("unloaded");
    let mut compiler = Command::new(CC.command);
    compiler.args([CC.standard, "-pthread", "-o"]).arg(&program);
    succeed(compiler.arg(folder("tests/c/unloaded.c")));
    let mut program = Command::new(program);
    succeed(program.arg(built().join("libemalloc_c.so")));
    succeed(program.env("EMALLOC_DEBUG", "1"));
}

#[track_caller]
fn ends(output: &std::process::Output, status: i32, text: &str) {
    assert_eq!(String::from_utf8_lossy(&output.stderr), text);
    assert_eq!(output.status.code(), Some(status));
}

/// Where the original ends the process, and what it then says.
const ENDS: [(&str, i32, &str); 8] = [
    (
        "overflow",
        255,
        "\nFatal error: Possible integer overflow in memory allocation (18446744073709551615 * 2 + 1) at ends.c:101\n",
    ),
    (
        "calloc",
        255,
        "\nFatal error: Possible integer overflow in memory allocation (18446744073709551615 * 2 + 0) at ends.c:103\n",
    ),
    (
        "realloc",
        255,
        "\nFatal error: Possible integer overflow in memory allocation (18446744073709551615 * 2 + 1) at ends.c:105\n",
    ),
    (
        "strndup",
        255,
        "\nFatal error: Possible integer overflow in memory allocation (1 * 18446744073709551615 + 1) at ends.c:107\n",
    ),
    (
        "persistent",
        255,
        "\nFatal error: Possible integer overflow in memory allocation (18446744073709551615 * 2 + 1)\n",
    ),
    ("memory", 1, "Out of memory\n"),
    (
        "limit",
        255,
        "\nFatal error: Allowed memory size of 1048576 bytes exhausted (tried to allocate 2097152 bytes) at ends.c:116\n",
    ),
    (
        "resize",
        255,
        "\nFatal error: Allowed memory size of 1048576 bytes exhausted (tried to allocate 2097152 bytes) at ends.c:119\n",
    ),
];

#[test]
#[cfg(target_pointer_width = "64")]
fn the_process_ends_as_the_original_does() {
    for (case, status, text) in ENDS {
        ends(&run(program("ends.c").arg(case)), status, text);
    }
}

#[test]
fn a_relayed_call_is_the_callers() {
    let output = run(program("ends.c").args(["relayed", "go on"]));
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(
        said.starts_with("kind 3, line 7: Possible integer overflow"),
        "{said}"
    );
}

#[test]
fn a_wrong_pointer_ends_the_process_or_not() {
    for (case, reports) in [("twice", 1), ("foreign", 4)] {
        let output = run(program("ends.c").arg(case));
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(
            said.starts_with("zend_mm_heap corrupted: pointer 0x"),
            "{said}"
        );
        assert!(said.contains(" at ends.c:1"), "{said}");
        assert!(output.status.code().is_none(), "{}", output.status);
        let said = succeed(program("ends.c").args([case, "go on"]));
        assert_eq!(said.matches("kind 5, line 1").count(), reports, "{said}");
    }
}

#[test]
fn a_heap_that_has_ended_is_not_ended_again() {
    let output = run(program("ends.c").arg("ended"));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(
        said.starts_with("zend_mm_heap corrupted: heap 0x"),
        "{said}"
    );
    assert!(said.ends_with(" has ended already\n"), "{said}");
    assert!(output.status.code().is_none(), "{}", output.status);
    let said = succeed(program("ends.c").args(["ended", "go on"]));
    let (heap, _) = said.split_once('\n').unwrap();
    let text = format!("zend_mm_heap corrupted: {heap} has ended already");
    assert_eq!(said.matches(&text).count(), 3, "{said}");
}

#[test]
fn an_alignment_that_is_no_power_of_two_is_named() {
    let text = "\nFatal error: the alignment 24 is no power of two at ends.c:144\n";
    ends(&run(program("ends.c").arg("alignment")), 255, text);
    let mut without_a_heap = program("ends.c");
    without_a_heap.arg("alignment").env("USE_ZEND_ALLOC", "0");
    ends(&run(&mut without_a_heap), 255, text);
    let said = succeed(program("ends.c").args(["alignment", "go on"]));
    assert_eq!(said.matches("kind 7, line 14").count(), 2, "{said}");
}

#[test]
fn an_unknown_storage_ends_the_process() {
    let text = "Wrong or unsupported zend_mm storage type 'shm'\n  supported types:\n    'malloc'\n    'mmap_anon'\n    'mmap_zero'\n";
    ends(&run(program("ends.c").arg("shm")), 255, text);
    for variable in ["EMALLOC_STORAGE", "ZEND_MM_MEM_TYPE"] {
        ends(&run(program("blocks.c").env(variable, "shm")), 255, text);
    }
}

#[test]
fn nonsense_in_the_environment_ends_the_process() {
    for (variable, value, text) in [
        (
            "ZEND_MM_SEG_SIZE",
            "3M",
            "ZEND_MM_SEG_SIZE must be a power of two\n",
        ),
        ("ZEND_MM_SEG_SIZE", "abc", "ZEND_MM_SEG_SIZE is too small\n"),
        (
            "EMALLOC_SEGMENT_SIZE",
            "16K",
            "EMALLOC_SEGMENT_SIZE is '16K', but must be a power of two from 64K to 1G\n",
        ),
        (
            "EMALLOC_LIMIT",
            "much",
            "EMALLOC_LIMIT is 'much', but must be a size in bytes, such as 64M, or 'unlimited'\n",
        ),
        (
            "EMALLOC_LIMIT",
            "1",
            "EMALLOC_LIMIT: a limit of 1 byte is too low for a heap, it needs at least 262144\n",
        ),
        (
            "EMALLOC_DEBUG",
            "guards=99999999999",
            "EMALLOC_DEBUG is 'guards=99999999999', but must be a size in bytes of at most 4096, such as 16\n",
        ),
    ] {
        ends(&run(program("blocks.c").env(variable, value)), 255, text);
    }
    succeed(
        program("blocks.c")
            .env("ZEND_MM_SEG_SIZE", "1M")
            .env("ZEND_MM_MEM_TYPE", "mmap_zero"),
    );
}
