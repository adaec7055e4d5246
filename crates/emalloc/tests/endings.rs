//! The default handler ends the process: this test calls itself, with a word in the environment, to see how.

#[path = "common/itself.rs"]
mod itself;

use std::process::Output;
use std::ptr::NonNull;

use emalloc::heap::{Heap, Limit};
use emalloc::layout::PAGE;
use emalloc::storage::{Failing, MALLOC, Malloc};

const WORD: &str = "EMALLOC_TEST_ENDING";

/// What this test file did and said with that word.
fn ending(word: &str) -> (Output, String) {
    let output = itself::this_binary()
        .args(["--exact", "ends_when_told", "--nocapture"])
        .env(WORD, word)
        .output()
        .unwrap();
    let said = String::from_utf8(output.stderr.clone())
        .unwrap()
        .replace("\r\n", "\n");
    (output, said)
}

/// The line of this file on which `mark` stands.
fn line_of(mark: &str) -> usize {
    let place = include_str!("endings.rs")
        .lines()
        .position(|line| line.ends_with(mark));
    place.unwrap() + 1
}

#[test]
fn ends_when_told() {
    let heap = Heap::builder()
        .limit(Limit::Bytes(1 << 20))
        .checked(true)
        .build()
        .unwrap();
    match std::env::var(WORD).as_deref() {
        Ok("limit") => {
            heap.allocate(2_000_001); // limit
        }
        Ok("storage") => {
            static STORAGE: Failing<Malloc> = Failing::new(MALLOC);
            let heap = Heap::builder().storage(&STORAGE).build().unwrap();
            STORAGE.fail_from(1);
            heap.allocate(2_000_001); // storage
        }
        Ok("overflow") => {
            heap.allocate(usize::MAX); // overflow
        }
        Ok("fault") => {
            let block = heap.allocate(40);
            // SAFETY: a checked heap takes any pointer.
            unsafe {
                heap.free(block);
                println!("{:#x}", block.addr());
                heap.free(block); // fault
            }
        }
        Ok("foreign") => {
            let place = 5u64;
            // SAFETY: a checked heap takes any pointer.
            unsafe { heap.resize(NonNull::from(&place).cast(), PAGE) }; // foreign
        }
        _ => {}
    }
}

#[test]
fn out_of_memory_is_status_255_with_the_originals_text() {
    let held = 256 << 10;
    let expected = [
        (
            "limit",
            "Allowed memory size of 1048576 bytes exhausted (tried to allocate 2000001 bytes)"
                .to_owned(),
        ),
        (
            "storage",
            format!("Out of memory (allocated {held} bytes) (tried to allocate 2000001 bytes)"),
        ),
        (
            "overflow",
            format!(
                "Possible integer overflow in memory allocation ({} + 4096)",
                usize::MAX
            ),
        ),
    ];
    for (word, text) in expected {
        let (output, said) = ending(word);
        assert_eq!(output.status.code(), Some(255), "{said}");
        let line = line_of(&format!("// {word}"));
        assert_eq!(
            said,
            format!("\nFatal error: {text} at {}:{line}\n", file!())
        );
    }
}

fn assert_aborted(output: &Output) {
    assert!(!output.status.success());
    #[cfg(unix)]
    {
        use std::os::unix::process::ExitStatusExt;
        const SIGABRT: i32 = 6;
        assert_eq!(output.status.signal(), Some(SIGABRT));
    }
}

#[test]
fn a_wrong_pointer_aborts_and_is_named() {
    let (output, said) = ending("fault");
    assert_aborted(&output);
    let out = String::from_utf8(output.stdout).unwrap();
    let address = out.lines().find(|line| line.starts_with("0x")).unwrap();
    let line = line_of("// fault");
    let expected = format!(
        "zend_mm_heap corrupted: pointer {address} is not alive: expected a block of 40 bytes in use, \
         found it freed already or never handed out at {}:{line}:",
        file!()
    );
    assert!(said.starts_with(&expected), "{said}");
    let (output, said) = ending("foreign");
    assert_aborted(&output);
    let line = line_of("// foreign");
    let expected = format!(" lies in no segment of this heap at {}:{line}:", file!());
    assert!(said.contains(&expected), "{said}");
}
