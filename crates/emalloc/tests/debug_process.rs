//! Debug mode in a whole process, switched on by its environment: this test calls itself, with a word that says what
//! to do, to see what it says and how it ends.
#![cfg(feature = "std")]

#[path = "common/itself.rs"]
mod itself;

use std::process::Output;
use std::ptr;

use emalloc::heap::{Debug, LeakFormat, OnError};
use emalloc::interface::Settings;
use emalloc::{efree, emalloc, reset_thread_heap, with_current};

const WORD: &str = "EMALLOC_TEST_DEBUG";

/// What this test file did and said with that word and those variables.
fn run(word: &str, variables: &[(&str, &str)]) -> (Output, String) {
    let output = itself::this_binary()
        .args(["--exact", "does_what_it_is_told", "--nocapture"])
        .env(WORD, word)
        .env_remove("EMALLOC_DEBUG")
        .env_remove("EMALLOC_LEAKS")
        .env_remove("ZEND_ALLOC_PRINT_LEAKS")
        .envs(variables.iter().copied())
        .output()
        .unwrap();
    let said = String::from_utf8(output.stderr.clone()).unwrap();
    (output, said.replace("\r\n", "\n"))
}

fn line_of(mark: &str) -> usize {
    let place = include_str!("debug_process.rs")
        .lines()
        .position(|line| line.ends_with(mark));
    place.unwrap() + 1
}

#[test]
fn does_what_it_is_told() {
    let Ok(word) = std::env::var(WORD) else {
        return;
    };
    let block = emalloc(64); // leak
    let at = |offset: usize| -> *mut u8 { ptr::with_exposed_provenance_mut(block.addr() + offset) };
    // SAFETY: alive; the bytes beside lie in the heap's memory, and that they are written to is what is tested.
    unsafe {
        match word.as_str() {
            "leak" => {}
            "overrun" => {
                at(64).write_volatile(0);
                efree(block); // overrun
                println!("went on");
            }
            "use" => {
                efree(block);
                at(0).write_volatile(0);
                println!("went on");
                return;
            }
            "guarded" => {
                let figures = with_current(|heap| heap.unwrap().debug_figures().unwrap());
                println!("unguarded: {}", figures.unguarded);
                at(63).write_volatile(0);
                efree(block);
                return;
            }
            other => panic!("{other}"),
        }
        reset_thread_heap();
    }
}

#[test]
fn leaks_are_printed_as_the_environment_says() {
    let line = line_of("// leak");
    let (output, said) = run("leak", &[("EMALLOC_LEAKS", "text")]);
    assert!(output.status.success());
    let said: Vec<&str> = said.lines().collect();
    assert!(said[0].ends_with("]  Script:  '-'"), "{said:?}");
    assert!(said[1].starts_with(&format!("{}({line}) :  Freeing 0x", file!())));
    assert!(said[1].ends_with(" (64 bytes), script=-"));
    assert_eq!(said[2..], ["=== Total 1 memory leaks detected ==="]);
    let (_, said) = run("leak", &[("EMALLOC_DEBUG", "1"), ("EMALLOC_LEAKS", "json")]);
    assert!(said.ends_with("{\"total\":1,\"bytes\":64}\n"), "{said}");
    for silent in [
        [("EMALLOC_DEBUG", "1"), ("EMALLOC_LEAKS", "0")],
        [("EMALLOC_DEBUG", "1"), ("ZEND_ALLOC_PRINT_LEAKS", "0")],
        [("EMALLOC_DEBUG", "0"), ("EMALLOC_CHECKED", "1")],
    ] {
        let (output, said) = run("leak", &silent);
        assert_eq!((output.status.success(), said.as_str()), (true, ""));
    }
}

#[test]
fn the_program_goes_on_or_ends_as_it_chose() {
    let line = line_of("// overrun");
    for (then, goes_on, status) in [
        ("continue", true, Some(0)),
        ("exit", false, Some(255)),
        ("abort", false, if cfg!(unix) { None } else { Some(3) }),
    ] {
        let (output, said) = run("overrun", &[("EMALLOC_DEBUG", &format!("on_error={then}"))]);
        assert!(
            said.contains(&format!("{}({line}) : Block 0x", file!())),
            "{said}"
        );
        assert!(
            said.contains("\n          \t1 byte(s) overflown\n"),
            "{said}"
        );
        let out = String::from_utf8_lossy(&output.stdout);
        assert_eq!(out.contains("went on"), goes_on, "{then}");
        assert_eq!(output.status.code(), status, "{then}");
    }
}

#[cfg(any(unix, windows))]
#[test]
fn guard_pages_stop_whoever_touches_them() {
    let pages = [("EMALLOC_DEBUG", "guard_pages"), ("EMALLOC_LEAKS", "0")];
    let (output, _) = run("guarded", &pages);
    let out = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success() && out.contains("unguarded: 0"),
        "{out}"
    );
    for word in ["overrun", "use"] {
        let (output, said) = run(word, &pages);
        let out = String::from_utf8_lossy(&output.stdout);
        assert!(!output.status.success(), "{word}: {out}{said}");
        assert!(!out.contains("went on"), "{word}");
    }
}

#[test]
fn settings_are_taken_or_refused_by_name() {
    let read = |debug: &str| {
        Settings::from_lookup(|name| (name == "EMALLOC_DEBUG").then(|| debug.to_owned()))
    };
    assert_eq!(read("0").unwrap().debug, None);
    assert_eq!(read("1").unwrap().debug, Some(Debug::new()));
    let all = "guards=32, fill=none,free_fill=0x5b,quarantine=2M,quarantine_blocks=7,check_every=1000,guard_pages,on_error=abort";
    let expected = Debug::new()
        .guards(32)
        .fill(None)
        .free_fill(Some(0x5B))
        .quarantine(2 << 20)
        .quarantine_blocks(7)
        .check_every(1000)
        .guard_pages(true)
        .on_error(OnError::Abort);
    assert_eq!(read(all).unwrap().debug, Some(expected));
    let none = Settings::from_lookup(|name| (name == "EMALLOC_LEAKS").then(|| "0".to_owned()));
    assert_eq!(none.unwrap().debug, None);
    let json = Settings::from_lookup(|name| (name == "EMALLOC_LEAKS").then(|| "json".to_owned()));
    assert_eq!(
        json.unwrap().debug,
        Some(Debug::new().leaks(LeakFormat::Json))
    );
    for (text, item, expected) in [
        ("1,guards=x", "guards=x", "a size in bytes"),
        ("fill=256", "fill=256", "a byte"),
        ("free_fill=", "free_fill=", "a byte"),
        ("quarantine_blocks=-1", "quarantine_blocks=-1", "a number"),
        ("guard_pages=2", "guard_pages=2", "0 or 1"),
        (
            "on_error=stop",
            "on_error=stop",
            "'continue', 'exit' or 'abort'",
        ),
        ("guards", "guards", "a size in bytes"),
        (
            "guards=99999999999",
            "guards=99999999999",
            "a size in bytes of at most 4096",
        ),
        (
            "guards=4097",
            "guards=4097",
            "a size in bytes of at most 4096",
        ),
        ("color=red", "color=red", "0, 1, or a list"),
        ("", "", "0, 1, or a list"),
        ("guards=8,,fill=1", "guards=8,,fill=1", "0, 1, or a list"),
    ] {
        let error = read(text).unwrap_err().to_string();
        let start = format!("EMALLOC_DEBUG is '{item}', but must be {expected}");
        assert!(error.starts_with(&start), "{error}");
    }
}
