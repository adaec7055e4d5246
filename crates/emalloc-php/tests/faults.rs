//! Wrong pointers, as PHP's heaps take them. What ends the process is done by a process of its own.

use std::env;
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, Output};

use emalloc_php::allocate::*;
use emalloc_php::heaps::zend_mm_get_heap;
use emalloc_php::manager::*;

const DEED: &str = "DEED";

/// This test program again: the deed of this name, with a variable set.
fn run(deed: &str, variable: (&str, &str)) -> Output {
    let mut command = Command::new(env::current_exe().unwrap());
    command.args(["--exact", "deeds", "--nocapture"]);
    command
        .env(DEED, deed)
        .env(variable.0, variable.1)
        .output()
        .unwrap()
}

fn aborted(output: &Output, because: &str) {
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.signal(), Some(libc::SIGABRT), "{said}");
    assert!(said.contains(because), "{said}");
}

/// Does what [`run`] asks for; nothing where nobody asks.
#[test]
fn deeds() {
    let Ok(deed) = env::var(DEED) else {
        return;
    };
    start_memory_manager();
    match deed.as_str() {
        "twice in a row" => {
            let block = _emalloc(192);
            let usage = zend_memory_usage(false);
            // SAFETY: the block is alive; the second time that is not so, on purpose: a handler ignores it or ends this.
            unsafe { _efree(block) };
            // SAFETY: as above.
            unsafe { _efree(block) };
            assert_eq!(zend_memory_usage(false), usage - 192);
            assert_ne!(_emalloc(192), _emalloc(192));
        }
        "pages twice" => {
            let block = _emalloc(40000);
            // SAFETY: as above.
            unsafe { _efree(block) };
            // SAFETY: as above.
            unsafe { _efree(block) };
        }
        _ => unreachable!("no such deed"),
    }
    // SAFETY: the heap of the process lives as long as that.
    let heap = unsafe { &*zend_mm_get_heap() };
    heap.heap().unwrap().check().unwrap();
}

#[test]
fn a_block_freed_twice_in_a_row_is_freed_once() {
    let output = run("twice in a row", ("EMALLOC_CHECKED", "0"));
    assert!(output.status.success(), "{output:?}");
    assert!(output.stderr.is_empty(), "{output:?}");
}

#[test]
fn in_checked_mode_it_ends_the_process() {
    aborted(
        &run("twice in a row", ("EMALLOC_CHECKED", "1")),
        "is not alive",
    );
}

#[test]
fn pages_freed_twice_end_the_process() {
    aborted(&run("pages twice", ("EMALLOC_CHECKED", "0")), "is no block");
}
