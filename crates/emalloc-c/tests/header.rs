//! The header against the Rust side: sizes and offsets of structs, numbers of enumerations, and the type of every function, each
//! asked of the C compiler.
#![cfg(unix)]

mod common;

use std::collections::BTreeSet;
use std::fmt::Write;
use std::fs;
use std::mem::{offset_of, size_of};
use std::path::{Path, PathBuf};
use std::process::Command;

use common::{CC, built, folder, succeed};
use emalloc_c::custom::EmallocHandlers;
use emalloc_c::debug::{EmallocDebug, EmallocLeak, EmallocReport};
use emalloc_c::error::{EmallocError, Kind};
use emalloc_c::fatal::Action;
use emalloc_c::figures::{EmallocFigures, EmallocItem};
use emalloc_c::observer::EmallocObserver;
use emalloc_c::options::EmallocHeapOptions;
use emalloc_c::profile::{EmallocEstimate, EmallocProfile};
use emalloc_c::site::EmallocSite;
use emalloc_c::storage::{EmallocSegment, EmallocStorage, EmallocStorageHandlers};

fn written(name: &str, text: &str) -> PathBuf {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    fs::write(&path, text).unwrap();
    path
}

/// An expression in C and what Rust says it is.
type Fact = (String, usize);

/// The facts about a struct: its size, and where each of its fields lies. Fields are named as in Rust; `as` gives C's name.
macro_rules! layout {
    ($rust:ty, $c:literal, [$($field:ident $(as $name:ident)?),*]) => {{
        let mut facts: Vec<Fact> = vec![(format!("sizeof({})", $c), size_of::<$rust>())];
        $(
            let names = [stringify!($field) $(, stringify!($name))?];
            facts.push((format!("offsetof({}, {})", $c, names[names.len() - 1]), offset_of!($rust, $field)));
        )*
        facts
    }};
}

fn facts() -> Vec<Fact> {
    let mut facts = [
        layout!(
            EmallocSite,
            "emalloc_site",
            [file, orig_file, line, orig_line]
        ),
        layout!(
            EmallocError,
            "emalloc_error",
            [
                size, kind, reserved, site, requested, limit, held, address, text
            ]
        ),
        layout!(EmallocSegment, "emalloc_segment", [size, next_segment]),
        layout!(EmallocStorage, "emalloc_storage", [handlers, data]),
        layout!(
            EmallocStorageHandlers,
            "emalloc_storage_handlers",
            [
                name,
                init,
                dtor,
                compact,
                alloc as _alloc,
                realloc as _realloc,
                free as _free,
                alignment,
                alloc_aligned as _alloc_aligned
            ]
        ),
        layout!(
            EmallocHeapOptions,
            "emalloc_heap_options",
            [
                size,
                storage_name,
                storage,
                storage_params,
                segment_size,
                limit,
                soft_limit,
                reserve,
                retain,
                compact,
                warm,
                checked,
                debug
            ]
        ),
        layout!(
            EmallocFigures,
            "emalloc_figures",
            [
                size,
                usage,
                peak,
                real_usage,
                real_peak,
                limit,
                segment_size,
                segments,
                huge_blocks,
                cached,
                free_pages,
                longest_free_run,
                free_small
            ]
        ),
        layout!(
            EmallocItem,
            "emalloc_item",
            [size, kind, huge, address, bytes, holds, block_size]
        ),
        layout!(
            EmallocHandlers,
            "emalloc_handlers",
            [
                size, data, alloc, free, realloc, block_size, collect, shutdown
            ]
        ),
        layout!(
            EmallocDebug,
            "emalloc_debug",
            [
                size,
                guards,
                quarantine,
                quarantine_blocks,
                check_every,
                script,
                fill,
                free_fill,
                guard_pages,
                on_error,
                leaks
            ]
        ),
        layout!(
            EmallocReport,
            "emalloc_report",
            [
                size,
                finding,
                at_least,
                address,
                site,
                block,
                block_size,
                allocated,
                freed,
                distance,
                changed,
                changed_bytes,
                shown,
                found,
                expected,
                text
            ]
        ),
        layout!(
            EmallocLeak,
            "emalloc_leak",
            [size, site, count, bytes, address, block_size]
        ),
        layout!(EmallocEstimate, "emalloc_estimate", [samples, count, bytes]),
        layout!(
            EmallocProfile,
            "emalloc_profile",
            [size, site, live, allocated, left]
        ),
        layout!(
            EmallocObserver,
            "emalloc_observer",
            [
                size, data, allocated, freed, resized, reset, collected, reserved
            ]
        ),
    ]
    .concat();
    for (name, value) in [
        ("EMALLOC_ERROR_LIMIT", Kind::Limit as usize),
        ("EMALLOC_ERROR_MEMORY", Kind::Memory as usize),
        ("EMALLOC_ERROR_OVERFLOW", Kind::Overflow as usize),
        ("EMALLOC_ERROR_WALKING", Kind::Walking as usize),
        ("EMALLOC_ERROR_POINTER", Kind::Pointer as usize),
        ("EMALLOC_ERROR_CORRUPT", Kind::Corrupt as usize),
        ("EMALLOC_ERROR_SETTING", Kind::Setting as usize),
        ("EMALLOC_ERROR_STORAGE", Kind::Storage as usize),
        ("EMALLOC_END", Action::End as usize),
        ("EMALLOC_RETRY", Action::Retry as usize),
        ("EMALLOC_CONTINUE", Action::Continue as usize),
        ("EMALLOC_NONE", emalloc_c::options::NONE),
    ] {
        facts.push((name.to_owned(), value));
    }
    facts
}

#[test]
fn structs_and_numbers_are_the_same_on_both_sides() {
    let mut text = String::from("#include <emalloc.h>\n#include <stdio.h>\nint main(void)\n{\n");
    for (expression, _) in facts() {
        writeln!(
            text,
            "    printf(\"{expression} %zu\\n\", (size_t){expression});"
        )
        .unwrap();
    }
    text.push_str("    return 0;\n}\n");
    let said = succeed(&mut CC.program(&written("facts.c", &text)));
    let expected: Vec<_> = facts()
        .iter()
        .map(|(expression, value)| format!("{expression} {value}"))
        .collect();
    assert_eq!(said.lines().collect::<Vec<_>>(), expected);
}

#[test]
fn no_field_of_the_header_is_left_out() {
    // Each line that ends with a semicolon, comments aside, is a field.
    let header = fs::read_to_string(folder("include/emalloc.h")).unwrap();
    let listed = facts();
    for (at, _) in header.match_indices("struct emalloc_") {
        let rest = &header[at + "struct ".len()..];
        let name: String = rest
            .chars()
            .take_while(|&c| c == '_' || c.is_alphanumeric())
            .collect();
        let Some(body) = rest[name.len()..]
            .strip_prefix(" {")
            .and_then(|body| body.split_once('}'))
        else {
            continue;
        };
        let is_field = |line: &&str| line.split("/*").next().unwrap().trim_end().ends_with(';');
        let fields = body.0.lines().filter(is_field).count();
        let known = listed
            .iter()
            .filter(|(fact, _)| fact.starts_with(&format!("offsetof({name},")))
            .count();
        assert_eq!(known, fields, "{name}");
    }
}

/// A function as Rust defines it: its name, its parameters' types, its answer's.
struct Function {
    name: String,
    parameters: Vec<String>,
    answer: String,
}

/// What C calls a type.
fn c_type(rust: &str) -> String {
    let known = match rust {
        "usize" => "size_t",
        "c_int" => "int",
        "c_uint" => "unsigned",
        "c_char" => "char",
        "c_void" => "void",
        "EmallocHeap" => "emalloc_heap",
        "EmallocError" => "emalloc_error",
        "EmallocFigures" => "emalloc_figures",
        "EmallocHandlers" => "emalloc_handlers",
        "EmallocObserver" => "emalloc_observer",
        "EmallocHeapOptions" => "emalloc_heap_options",
        "EmallocStorageHandlers" => "emalloc_storage_handlers",
        "Option<FatalFn>" => "emalloc_fatal_fn",
        "u64" => "uint64_t",
        "ProfileFn" => "emalloc_profile_fn",
        "Option<ReportFn>" => "emalloc_report_fn",
        "Option<LeakFn>" => "emalloc_leak_fn",
        "Option<SoftLimitFn>" => "emalloc_soft_limit_fn",
        r#"extern "C" fn(*mut c_void, *const EmallocItem) -> c_int"# => {
            return "int (*)(void *, const emalloc_item *)".to_owned();
        }
        _ => {
            let (constant, to) = match rust.strip_prefix("*const ") {
                Some(to) => ("const ", to),
                None => (
                    "",
                    rust.strip_prefix("*mut ")
                        .unwrap_or_else(|| panic!("what is {rust} in C?")),
                ),
            };
            return format!("{constant}{} *", c_type(to));
        }
    };
    known.to_owned()
}

/// Splits at commas outside of parentheses.
fn split(list: &str) -> Vec<&str> {
    let (mut parts, mut depth, mut from) = (Vec::new(), 0, 0);
    for (at, c) in list.char_indices() {
        match c {
            '(' => depth += 1,
            ')' => depth -= 1,
            ',' if depth == 0 => {
                parts.push(&list[from..at]);
                from = at + 1;
            }
            _ => {}
        }
    }
    parts.push(&list[from..]);
    parts
        .into_iter()
        .map(str::trim)
        .filter(|part| !part.is_empty())
        .collect()
}

/// What stands between the parenthesis that `text` begins with and its partner, and what follows.
fn parenthesis(text: &str) -> (&str, &str) {
    let mut depth = 0;
    for (at, c) in text.char_indices() {
        match c {
            '(' => depth += 1,
            ')' if depth == 1 => return (&text[1..at], &text[at + 1..]),
            ')' => depth -= 1,
            _ => {}
        }
    }
    panic!("no end: {text}");
}

/// Every function that the crate's sources export.
fn functions() -> Vec<Function> {
    const AT: &str = "file: *const c_char, line: c_uint";
    const ORIGIN: &str = "orig_file: *const c_char, orig_line: c_uint";
    let mut found = Vec::new();
    let mut add = |name: &str, list: &str, rest: &str| {
        let types = split(list)
            .into_iter()
            .map(|part| c_type(part.split_once(": ").unwrap().1));
        let answer = rest.trim_start().strip_prefix("-> ").map(|rest| {
            let end = rest.find([';', '{', '=']).unwrap();
            c_type(rest[..end].trim())
        });
        found.push(Function {
            name: name.trim().to_owned(),
            parameters: types.collect(),
            answer: answer.unwrap_or_else(|| "void".to_owned()),
        });
    };
    for entry in fs::read_dir(folder("src")).unwrap() {
        let text = fs::read_to_string(entry.unwrap().path()).unwrap();
        for (at, mark) in text.match_indices(r#"extern "C" fn emalloc_"#) {
            let text = &text[at + mark.len() - "emalloc_".len()..];
            let (name, rest) = text.split_at(text.find('(').unwrap());
            let (list, rest) = parenthesis(rest);
            add(name, list, rest);
        }
        // Those that are defined in pairs.
        for (at, mark) in text.match_indices("    fn emalloc_") {
            let text = &text[at + mark.len() - "emalloc_".len()..];
            let (names, rest) = text.split_at(text.find('(').unwrap());
            let (list, rest) = parenthesis(rest);
            let (plain, relayed) = names.split_once(',').unwrap();
            let list = list.trim().trim_end_matches(',');
            add(plain, &format!("{list}, {AT}"), rest);
            add(relayed, &format!("{list}, {AT}, {ORIGIN}"), rest);
        }
    }
    assert!(found.len() > 80, "{} functions found", found.len());
    found
}

#[test]
fn functions_have_the_types_that_the_header_says() {
    let mut text = String::from("#include <emalloc.h>\n");
    for Function {
        name,
        parameters,
        answer,
    } in functions()
    {
        let list = if parameters.is_empty() {
            "void".to_owned()
        } else {
            parameters.join(", ")
        };
        writeln!(text, "extern {answer} (*const of_{name})({list});").unwrap();
        writeln!(text, "{answer} (*const of_{name})({list}) = {name};").unwrap();
    }
    text.push_str("int main(void) { return 0; }\n");
    succeed(&mut CC.program(&written("types.c", &text)));
}

/// The names that a file shows to programs linked with it.
fn exported(arguments: &[&str], file: &str) -> BTreeSet<String> {
    let listed = succeed(
        Command::new("nm")
            .args(arguments)
            .arg("--defined-only")
            .arg(built().join(file)),
    );
    let names = listed
        .lines()
        .filter_map(|line| line.split_whitespace().nth(2));
    names.map(str::to_owned).collect()
}

#[test]
#[cfg(target_os = "linux")]
fn no_name_but_ours_leaves_the_shared_library() {
    let ours: BTreeSet<String> = functions()
        .into_iter()
        .map(|function| function.name)
        .collect();
    assert_eq!(exported(&["-D"], "libemalloc_c.so"), ours);
    // All of them are in the static one; what else that shows, the installing takes away.
    assert!(exported(&["-g"], "libemalloc_c.a").is_superset(&ours));
}
