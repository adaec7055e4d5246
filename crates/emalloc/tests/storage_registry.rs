//! Storages by name: the original's order and its texts.

use emalloc::storage::Storage;
use emalloc::storage::registry::{self, OpenError};

#[cfg(unix)]
const NAMES: [&str; 3] = ["malloc", "mmap_anon", "mmap_zero"];
#[cfg(windows)]
const NAMES: [&str; 2] = ["win32", "malloc"];

#[test]
fn the_original_names_in_the_original_order() {
    let names: Vec<_> = registry::entries().map(|entry| entry.name).collect();
    assert_eq!(names, NAMES);
    assert_eq!(registry::default_entry().name, NAMES[0]);
    for name in NAMES {
        assert_eq!(registry::open(name).unwrap().name(), name);
        assert!(!registry::find(name).unwrap().about.is_empty());
    }
}

#[test]
fn a_wrong_name_gets_the_original_text() {
    // Empty, of another case, with blanks, of another system: all wrong, as in the original.
    let other = if cfg!(windows) { "mmap_anon" } else { "win32" };
    for name in [
        "", "Malloc", " malloc", "malloc ", "mallo", "mallocs", other,
    ] {
        let error = registry::open(name).unwrap_err();
        assert!(matches!(error, OpenError::Unknown(_)));
        let listed: String = NAMES.map(|name| format!("\n    '{name}'")).concat();
        assert_eq!(
            error.to_string(),
            format!(
                "Wrong or unsupported zend_mm storage type '{name}'\n  supported types:{listed}"
            )
        );
    }
}

#[cfg(unix)]
#[test]
fn the_text_as_it_stands_on_unix() {
    let text = registry::find("shm").unwrap_err().to_string();
    let expected = "Wrong or unsupported zend_mm storage type 'shm'\n  supported types:\n    'malloc'\n    'mmap_anon'\n    'mmap_zero'";
    assert_eq!(text, expected);
}
