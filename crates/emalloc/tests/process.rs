//! What a whole process does with its environment: each test starts this binary once more with variables set, to
//! run one of the ignored tests in it, and looks at its standard error and its status.
#![cfg(feature = "std")]

#[path = "process/child.rs"]
mod child;
#[path = "common/itself.rs"]
mod itself;

use std::env;
use std::process::{Child, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use emalloc::storage::registry;
use itself::this_binary;

/// Runs the ignored test `name` in a process whose only variables of ours or the original's are these.
fn run(name: &str, variables: &[(&str, &str)]) -> Output {
    let mut command = this_binary();
    command.args(["--exact", name, "--ignored", "--nocapture"]);
    for (variable, _) in env::vars_os() {
        let variable = variable.to_string_lossy();
        if ["EMALLOC_", "ZEND_MM_", "USE_ZEND_ALLOC"]
            .iter()
            .any(|start| variable.starts_with(start))
        {
            command.env_remove(&*variable);
        }
    }
    command.envs(variables.iter().copied());
    // What destructors still allocate after a thread's heap is gone stays by design.
    for sanitizer in ["ASAN_OPTIONS", "LSAN_OPTIONS"] {
        let options = env::var(sanitizer).unwrap_or_default();
        command.env(sanitizer, format!("{options}:detect_leaks=0"));
    }
    command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    finish(command.spawn().expect("this binary can be started again"))
}

/// Waits for the end, but not for ever.
fn finish(mut child: Child) -> Output {
    let start = Instant::now();
    while child.try_wait().unwrap().is_none() {
        if start.elapsed() > Duration::from_secs(120) {
            child.kill().unwrap();
            panic!("it hangs: {:?}", child.wait_with_output());
        }
        thread::sleep(Duration::from_millis(5));
    }
    child.wait_with_output().unwrap()
}

/// Runs `name`, which must end with status 255 and nothing but `text` on standard error.
#[track_caller]
fn refuses(name: &str, variables: &[(&str, &str)], text: &str) {
    let output = run(name, variables);
    assert_eq!(
        String::from_utf8_lossy(&output.stderr),
        text,
        "{variables:?}"
    );
    assert_eq!(output.status.code(), Some(255), "{variables:?}");
}

/// Runs `name`, which makes its own assertions.
#[track_caller]
fn passes(name: &str, variables: &[(&str, &str)]) {
    let output = run(name, variables);
    let (out, err) = (
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
    assert!(output.status.success(), "{variables:?}\n{out}\n{err}");
    assert!(out.contains("1 passed"), "it was not run: {out}");
}

#[test]
fn a_wrong_storage_ends_the_process_with_the_originals_text() {
    let list: String = registry::entries()
        .map(|entry| format!("    '{}'\n", entry.name))
        .collect();
    if cfg!(target_os = "linux") {
        assert_eq!(list, "    'malloc'\n    'mmap_anon'\n    'mmap_zero'\n");
    }
    for value in ["nonsense", "", "MALLOC"] {
        for variable in ["ZEND_MM_MEM_TYPE", "EMALLOC_STORAGE"] {
            let text = format!(
                "Wrong or unsupported zend_mm storage type '{value}'\n  supported types:\n{list}"
            );
            refuses("child::uses_a_block", &[(variable, value)], &text);
        }
    }
}

#[test]
fn a_wrong_segment_size_ends_the_process_with_the_originals_text_or_ours() {
    for (value, text) in [
        ("3M", "ZEND_MM_SEG_SIZE must be a power of two\n"),
        ("16", "ZEND_MM_SEG_SIZE is too small\n"),
        ("4G", "ZEND_MM_SEG_SIZE is too large\n"),
        (
            "256KB",
            "ZEND_MM_SEG_SIZE is '256KB', but must be a size in bytes, such as 262144 or 256K\n",
        ),
    ] {
        refuses("child::uses_a_block", &[("ZEND_MM_SEG_SIZE", value)], text);
    }
    refuses(
        "child::uses_a_block",
        &[("EMALLOC_LIMIT", "100K")],
        "EMALLOC_LIMIT: a limit of 102400 bytes is too low for a heap, it needs at least 262144\n",
    );
}

#[test]
fn right_settings_reach_the_threads_heap() {
    passes("child::uses_a_block", &[]);
    for entry in registry::entries() {
        passes(
            "child::has_a_heap_with_512k",
            &[
                ("ZEND_MM_MEM_TYPE", entry.name),
                ("ZEND_MM_SEG_SIZE", "512K"),
            ],
        );
    }
}

#[test]
fn refused_settings_do_not_hang_when_destructors_come_by() {
    let variables = [("ZEND_MM_SEG_SIZE", "3M")];
    let output = run("child::leaves_a_destructor_and_uses_a_block", &variables);
    assert_eq!(output.status.code(), Some(255));
    // Where ending the process runs the thread's destructors, theirs is refused, too.
    let text = String::from_utf8_lossy(&output.stderr);
    let expected = "ZEND_MM_SEG_SIZE must be a power of two";
    assert!(
        text.starts_with(expected) && text.lines().all(|line| line == expected),
        "{text}"
    );
}

#[test]
fn the_limit_ends_the_process_with_the_originals_text() {
    let (file, line) = (child::FILE, child::BEYOND_THE_LIMIT);
    refuses(
        "child::goes_beyond_the_limit",
        &[("EMALLOC_LIMIT", "1M")],
        &format!(
            "\nFatal error: Allowed memory size of 1048576 bytes exhausted \
             (tried to allocate 2097152 bytes) at {file}:{line}\n"
        ),
    );
    passes("child::goes_beyond_the_limit", &[("EMALLOC_LIMIT", "4M")]);
}

#[test]
fn an_overflow_ends_the_process_with_a_heap_and_without() {
    let (file, line) = (child::FILE, child::OVERFLOW);
    let text = format!(
        "\nFatal error: Possible integer overflow in memory allocation ({} * 2 + 1) at {file}:{line}\n",
        usize::MAX
    );
    refuses("child::overflows", &[], &text);
    refuses("child::overflows", &[("USE_ZEND_ALLOC", "0")], &text);
}

#[test]
fn a_wrong_pointer_aborts_the_process() {
    let output = run("child::frees_twice", &[("EMALLOC_CHECKED", "1")]);
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(
        text.starts_with("zend_mm_heap corrupted: pointer 0x"),
        "{text}"
    );
    let place = format!(" at {}:{}:", child::FILE, child::SECOND_FREE);
    assert!(text.contains(&place), "{text}");
    // Neither a success nor the failure of an assertion.
    assert!(
        !matches!(output.status.code(), Some(0 | 101)),
        "{:?}",
        output.status
    );
}

#[test]
fn without_a_heap_the_functions_are_the_systems() {
    for (variable, value) in [
        ("USE_ZEND_ALLOC", "0"),
        ("USE_ZEND_ALLOC", "no"),
        ("EMALLOC_ENABLED", "0"),
    ] {
        passes("child::has_no_heap", &[(variable, value)]);
    }
}

#[test]
fn the_threads_own_heap_ends_with_the_thread() {
    passes(
        "child::counts_the_heaps_of_threads",
        &[("EMALLOC_STORAGE", "counted")],
    );
}

#[test]
fn destructors_of_a_thread_may_use_the_functions() {
    passes(
        "child::uses_blocks_in_destructors",
        &[("EMALLOC_STORAGE", "counted")],
    );
    passes(
        "child::uses_blocks_in_destructors",
        &[("EMALLOC_STORAGE", "counted"), ("EMALLOC_CHECKED", "1")],
    );
}
