//! What the library exports is what PHP's allocator does: compared with `exports.txt`, with the public header of
//! Debian's php8.2-dev and with Debian's libphp8.2.so.
#![cfg(target_os = "linux")]

use std::collections::BTreeSet;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::{env, fs, io};

use object::{Object, ObjectSymbol};

/// Those whose body needs PHP's own structures: `php/hook.c` has them.
const IN_HOOK: [&str; 2] = ["zend_handle_delayed_oom", "zend_mm_delayed_error_or_panic"];

/// By which the hook reaches the library.
const FOR_HOOK: [&str; 2] = ["emalloc_php_set_hook", "emalloc_php_set_reporting"];

/// Declared by the header, but not there in a PHP that is neither for threads nor for debugging; the last one PHP keeps to
/// itself.
const NOT_HERE: [&str; 3] = [
    "zend_mm_set_custom_debug_handlers",
    "zend_mm_globals_size",
    "zend_mm_oom_info_dtor",
];

const HEADER: &str = "/usr/include/php/20220829/Zend/zend_alloc.h";
const LIBRARY: &str = "/usr/lib/libphp8.2.so";

fn listed() -> BTreeSet<String> {
    include_str!("../exports.txt")
        .lines()
        .map(str::to_owned)
        .collect()
}

/// The functions that `path` exports.
fn exported(path: &Path) -> BTreeSet<String> {
    let bytes = fs::read(path).unwrap();
    let file = object::File::parse(&*bytes).unwrap();
    file.dynamic_symbols()
        .filter(|symbol| symbol.is_definition() && symbol.is_global())
        .map(|symbol| symbol.name().unwrap().to_owned())
        .collect()
}

/// The shared library that was built for this test.
fn ours() -> PathBuf {
    let deps = env::current_exe().unwrap().parent().unwrap().to_owned();
    deps.join("libemalloc_php.so")
}

/// All functions that the header declares, the sized ones for each class.
fn declared(header: &str) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for line in header.lines() {
        let declares = line.starts_with("ZEND_API") || line.starts_with("size_t zend_mm_globals");
        let hidden = line.starts_with("ZEND_COLD void");
        if !declares && !hidden {
            continue;
        }
        // The name stands before the first bracket that is not an attribute's.
        let line = line.replace("ZEND_ATTRIBUTE_MALLOC", "");
        let before = line.split('(').next().unwrap();
        let name = before.rsplit([' ', '*']).next().unwrap();
        names.insert(name.to_owned());
    }
    names
}

/// Says so where a comparison cannot be made; even if the test's output is not shown.
fn not_compared(what: &str, package: &str) {
    let _ = writeln!(
        io::stderr(),
        "NOT COMPARED with {what}: {package} is not installed"
    );
}

#[test]
fn the_library_exports_what_is_listed() {
    let mut expected = listed();
    expected.extend(FOR_HOOK.map(str::to_owned));
    assert_eq!(exported(&ours()), expected);
}

#[test]
fn the_list_is_what_php_declares() {
    let Ok(header) = fs::read_to_string(HEADER) else {
        return not_compared(HEADER, "php8.2-dev");
    };
    let mut expected = declared(&header);
    for name in NOT_HERE {
        assert!(expected.remove(name), "the header has no {name} any more");
    }
    // The sized ones are declared by a macro, for each class of this table.
    let table = fs::read_to_string(Path::new(HEADER).with_file_name("zend_alloc_sizes.h")).unwrap();
    let sizes = table.lines().filter_map(|line| {
        let row = line.trim_start().strip_prefix("_(")?;
        row.split(',').nth(1).map(|size| size.trim().to_owned())
    });
    for size in sizes {
        expected.insert(format!("_emalloc_{size}"));
        expected.insert(format!("_efree_{size}"));
    }
    let mut ours = listed();
    ours.extend(IN_HOOK.map(str::to_owned));
    assert_eq!(ours, expected);
}

#[test]
fn the_list_is_what_php_exports() {
    if !Path::new(LIBRARY).exists() {
        return not_compared(LIBRARY, "libphp8.2-embed");
    }
    let php = exported(Path::new(LIBRARY));
    let mut ours = listed();
    ours.extend(IN_HOOK.map(str::to_owned));
    let missing: Vec<_> = ours.difference(&php).collect();
    assert!(missing.is_empty(), "PHP has no {missing:?}");
    // Whatever else sounds like its allocator's.
    let families = [
        "_emalloc",
        "_efree",
        "_erealloc",
        "_fe",
        "zend_mm_",
        "_zend_mm_",
        "zend_memory_",
    ];
    let more: Vec<_> = php
        .difference(&ours)
        .filter(|name| families.iter().any(|family| name.starts_with(family)))
        .collect();
    assert!(more.is_empty(), "PHP also has {more:?}");
}

#[test]
fn all_that_work_on_a_heap_can_be_taken_over() {
    let persistent = [
        "__zend_calloc",
        "__zend_malloc",
        "__zend_realloc",
        "__zend_strdup",
        "_safe_malloc",
        "_safe_realloc",
        "zend_strndup",
    ];
    // For PHP up to 8.2.34 alone.
    let told = emalloc_php::takeover::reporting().name;
    let mut wanted = listed();
    for name in persistent.into_iter().chain([told]) {
        assert!(wanted.remove(name));
    }
    let entries = emalloc_php::takeover::entries();
    let names: BTreeSet<String> = entries
        .into_iter()
        .map(|entry| entry.name.to_owned())
        .collect();
    assert_eq!(names, wanted);
}
