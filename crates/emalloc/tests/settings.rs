//! Settings as values: what each variable takes, what it refuses and with which text, who wins. The original's
//! own rows are those observed on it. What a process does with them is in `process`.
#![cfg(feature = "std")]

use std::error::Error;
use std::sync::Once;
use std::sync::atomic::{AtomicUsize, Ordering};

use emalloc::heap::{
    AllocError, Handler, Heap, HeapError, Limit, Recovery, Sampling, Site, SoftLimitEvent,
};
use emalloc::interface::{Settings, SettingsError};
use emalloc::storage::{Counting, MALLOC, Malloc, StorageError, registry};

fn read(variables: &[(&str, &str)]) -> Result<Settings, SettingsError> {
    Settings::from_lookup(|name| {
        let found = variables.iter().find(|(variable, _)| *variable == name);
        found.map(|(_, value)| (*value).to_owned())
    })
}

/// The text with which `variable=value` is refused.
#[track_caller]
fn refused(variable: &str, value: &str) -> String {
    match read(&[(variable, value)]) {
        Ok(settings) => panic!("{variable}={value} is taken as {settings:?}"),
        Err(error) => error.to_string(),
    }
}

#[track_caller]
fn taken(variable: &str, value: &str) -> Settings {
    match read(&[(variable, value)]) {
        Ok(settings) => settings,
        Err(error) => panic!("{variable}={value}: {error}"),
    }
}

/// A storage of the program's own, in the registry as `settings-counted`.
fn counted() -> &'static Counting<Malloc> {
    static COUNTED: Counting<Malloc> = Counting::new(MALLOC);
    static REGISTERED: Once = Once::new();
    let entry = &registry::Entry {
        name: "settings-counted",
        about: "malloc, counted",
        open: &|| Ok(registry::AnyStorage::Own(&COUNTED)),
    };
    REGISTERED.call_once(|| registry::register(entry).unwrap());
    &COUNTED
}

#[test]
fn nothing_set_is_what_the_original_has_then() {
    let settings = read(&[]).unwrap();
    assert_eq!(settings, Settings::default());
    assert!(settings.enabled && !settings.checked);
    assert_eq!(
        settings.storage,
        if cfg!(windows) { "win32" } else { "malloc" }
    );
    assert_eq!(
        (settings.segment_size, settings.compact),
        (256 << 10, 2 << 20)
    );
    assert_eq!(
        (settings.limit, settings.soft_limit),
        (Limit::Unlimited, Limit::Unlimited)
    );
    assert_eq!((settings.reserve, settings.sample), (None, 0));
}

#[test]
fn emalloc_sample() {
    assert_eq!(
        refused("EMALLOC_SAMPLE", "often"),
        "EMALLOC_SAMPLE is 'often', but must be a size in bytes, such as 262144 or 256K"
    );
    for (value, sampling) in [
        ("512K", Some(Sampling::every(512 << 10))),
        ("1000", Some(Sampling::every(1000))),
        ("0", None),
    ] {
        let heap = taken("EMALLOC_SAMPLE", value).start().unwrap();
        assert_eq!(heap.sampling(), sampling);
    }
}

#[test]
fn zend_mm_seg_size() {
    for (value, bytes) in [
        ("262144", 262_144),
        ("1G", 1 << 30),
        ("0x40000", 262_144),
        ("0X40000", 262_144),
        ("01000000", 262_144),
        ("1m", 1 << 20),
        ("512k", 512 << 10),
        ("256 K", 256 << 10),
        (" +64K", 64 << 10),
    ] {
        assert_eq!(
            taken("ZEND_MM_SEG_SIZE", value).segment_size,
            bytes,
            "{value}"
        );
    }
    // The original takes 32 and upwards; here a segment has 64K at least.
    for value in ["", "0", "abc", "16", "32", "32K", "-0", "K"] {
        assert_eq!(
            refused("ZEND_MM_SEG_SIZE", value),
            "ZEND_MM_SEG_SIZE is too small",
            "{value}"
        );
    }
    for value in ["3M", "31", "-1", "65537", "-256K", "99999999999999999999"] {
        assert_eq!(
            refused("ZEND_MM_SEG_SIZE", value),
            "ZEND_MM_SEG_SIZE must be a power of two",
            "{value}"
        );
    }
    // These overflow in the original, to complaints of other things.
    for value in ["2G", "4G", "1024G", "4294967296"] {
        assert_eq!(
            refused("ZEND_MM_SEG_SIZE", value),
            "ZEND_MM_SEG_SIZE is too large",
            "{value}"
        );
    }
    // These it misreads: the first as 256 bytes.
    for value in ["256KB", "64 KiB", "1MM", "256Kx", "1e6", "262144,", "0x"] {
        assert_eq!(
            refused("ZEND_MM_SEG_SIZE", value),
            format!(
                "ZEND_MM_SEG_SIZE is '{value}', but must be a size in bytes, such as 262144 or 256K"
            )
        );
    }
}

#[test]
fn zend_mm_mem_type() {
    // Once it is registered the list stays as it is.
    counted();
    for entry in registry::entries() {
        assert_eq!(taken("ZEND_MM_MEM_TYPE", entry.name).storage, entry.name);
        assert_eq!(taken("EMALLOC_STORAGE", entry.name).storage, entry.name);
    }
    for value in ["", "nonsense", "Malloc", "malloc ", "mmap"] {
        for variable in ["ZEND_MM_MEM_TYPE", "EMALLOC_STORAGE"] {
            let text = refused(variable, value);
            let mut lines = text.lines();
            let first = format!("Wrong or unsupported zend_mm storage type '{value}'");
            assert_eq!(lines.next(), Some(first.as_str()));
            assert_eq!(lines.next(), Some("  supported types:"));
            let listed: Vec<&str> = lines.collect();
            let here: Vec<String> = registry::entries()
                .map(|entry| format!("    '{}'", entry.name))
                .collect();
            assert_eq!(listed, here);
        }
    }
}

#[test]
fn zend_mm_compact() {
    for (value, bytes) in [
        ("0", 0),
        ("1", 1),
        ("2M", 2 << 20),
        ("0x1000", 4096),
        ("010", 8),
        ("-1", usize::MAX),
    ] {
        assert_eq!(taken("ZEND_MM_COMPACT", value).compact, bytes, "{value}");
    }
    for value in ["", "abc", "2MB", "K"] {
        assert_eq!(
            refused("ZEND_MM_COMPACT", value),
            format!(
                "ZEND_MM_COMPACT is '{value}', but must be a size in bytes, such as 262144 or 256K"
            )
        );
    }
}

#[test]
fn use_zend_alloc() {
    for value in ["0", "", "no", "off", "00", "0x0", "-0"] {
        assert!(!taken("USE_ZEND_ALLOC", value).enabled, "{value}");
    }
    for value in ["1", "2", "-1", " 1", "0x1", "07", "1no"] {
        assert!(taken("USE_ZEND_ALLOC", value).enabled, "{value}");
    }
    // As in the original, though it surprises: a word is the number 0.
    assert!(!taken("USE_ZEND_ALLOC", "on").enabled);
}

#[test]
fn our_own_sizes() {
    let sizes = [
        ("262144", 262_144),
        ("256K", 262_144),
        ("256KB", 262_144),
        ("1 MiB", 1 << 20),
    ];
    for (value, bytes) in sizes {
        assert_eq!(taken("EMALLOC_SEGMENT_SIZE", value).segment_size, bytes);
        assert_eq!(taken("EMALLOC_COMPACT", value).compact, bytes);
        assert_eq!(taken("EMALLOC_RESERVE", value).reserve, Some(bytes));
        assert_eq!(taken("EMALLOC_LIMIT", value).limit, Limit::Bytes(bytes));
        assert_eq!(
            taken("EMALLOC_SOFT_LIMIT", value).soft_limit,
            Limit::Bytes(bytes)
        );
    }
    assert_eq!(taken("EMALLOC_LIMIT", "0").limit, Limit::Bytes(0));
    assert_eq!(taken("EMALLOC_RESERVE", "0").reserve, Some(0));
    assert_eq!(taken("EMALLOC_LIMIT", "unlimited").limit, Limit::Unlimited);
    assert_eq!(
        taken("EMALLOC_SOFT_LIMIT", "unlimited").soft_limit,
        Limit::Unlimited
    );
    for value in ["", "abc", "-1", "0x40000", "1.5M", "99999999999999999999G"] {
        for variable in ["EMALLOC_SEGMENT_SIZE", "EMALLOC_COMPACT", "EMALLOC_RESERVE"] {
            assert_eq!(
                refused(variable, value),
                format!(
                    "{variable} is '{value}', but must be a size in bytes, such as 262144 or 256K"
                )
            );
        }
        for variable in ["EMALLOC_LIMIT", "EMALLOC_SOFT_LIMIT"] {
            assert_eq!(
                refused(variable, value),
                format!(
                    "{variable} is '{value}', but must be a size in bytes, such as 64M, or 'unlimited'"
                )
            );
        }
    }
    for value in ["3M", "0", "32K", "2G"] {
        assert_eq!(
            refused("EMALLOC_SEGMENT_SIZE", value),
            format!("EMALLOC_SEGMENT_SIZE is '{value}', but must be a power of two from 64K to 1G")
        );
    }
}

#[test]
fn our_own_switches() {
    assert!(taken("EMALLOC_CHECKED", "1").checked);
    assert!(!taken("EMALLOC_CHECKED", "0").checked);
    assert!(taken("EMALLOC_ENABLED", "1").enabled);
    assert!(!taken("EMALLOC_ENABLED", "0").enabled);
    for value in ["", "yes", "2", "true", " 1"] {
        for variable in ["EMALLOC_CHECKED", "EMALLOC_ENABLED"] {
            let text = format!("{variable} is '{value}', but must be 0 or 1");
            assert_eq!(refused(variable, value), text);
        }
    }
}

#[test]
fn ours_wins_and_the_other_is_not_even_read() {
    let settings = read(&[
        ("ZEND_MM_MEM_TYPE", "nonsense"),
        ("EMALLOC_STORAGE", "malloc"),
        ("ZEND_MM_SEG_SIZE", "256KB"),
        ("EMALLOC_SEGMENT_SIZE", "1M"),
        ("ZEND_MM_COMPACT", "2MB"),
        ("EMALLOC_COMPACT", "5M"),
        ("USE_ZEND_ALLOC", "0"),
        ("EMALLOC_ENABLED", "1"),
    ])
    .unwrap();
    assert!(settings.enabled);
    assert_eq!(settings.storage, "malloc");
    assert_eq!(
        (settings.segment_size, settings.compact),
        (1 << 20, 5 << 20)
    );
    // And nonsense in ours is not made good by the other.
    let error = read(&[("ZEND_MM_SEG_SIZE", "1M"), ("EMALLOC_SEGMENT_SIZE", "x")]).unwrap_err();
    assert!(matches!(
        error,
        SettingsError::Value {
            variable: "EMALLOC_SEGMENT_SIZE",
            ..
        }
    ));
}

#[test]
fn a_heap_is_started_as_the_settings_say() {
    // (What the counted one is asked is counted by another test.)
    for entry in registry::entries().filter(|entry| entry.name != "settings-counted") {
        let settings = read(&[
            ("EMALLOC_STORAGE", entry.name),
            ("EMALLOC_SEGMENT_SIZE", "512K"),
            ("EMALLOC_LIMIT", "4M"),
            ("EMALLOC_CHECKED", "1"),
        ]);
        let heap = settings.unwrap().start().unwrap();
        assert_eq!(heap.segment_size(), 512 << 10);
        assert_eq!(heap.limit(), Limit::Bytes(4 << 20));
        assert!(heap.is_checked());
        heap.try_allocate(3 << 20).unwrap();
        assert!(matches!(
            heap.try_allocate(3 << 20),
            Err(AllocError::Limit { .. })
        ));
    }
}

/// As a program prints it that shows why an error came about.
fn chain(error: &dyn Error) -> String {
    let cause = error.source().map(|cause| format!(": {}", chain(cause)));
    format!("{error}{}", cause.unwrap_or_default())
}

#[test]
fn a_chain_of_errors_says_nothing_twice() {
    let error = taken("EMALLOC_LIMIT", "1").start().unwrap_err();
    let said = chain(&error);
    assert_eq!(said.matches("too low").count(), 1, "{said}");
    let exhausted = StorageError::Exhausted { requested: 7 };
    let error = SettingsError::Heap(HeapError::Storage(exhausted));
    assert_eq!(
        chain(&error),
        "the storage gave no first segment: the storage has no 7 bytes left"
    );
    let name = "mmap_zero".to_owned();
    let error = exhausted;
    assert_eq!(
        chain(&SettingsError::Storage { name, error }),
        "Cannot initialize zend_mm storage [mmap_zero]: the storage has no 7 bytes left"
    );
}

#[test]
fn settings_that_cannot_be_together_are_refused_at_the_start() {
    let error = taken("EMALLOC_LIMIT", "1").start().unwrap_err();
    assert_eq!(
        error.to_string(),
        "EMALLOC_LIMIT: a limit of 1 byte is too low for a heap, it needs at least 262144"
    );
    assert!(matches!(
        error,
        SettingsError::Heap(HeapError::LimitTooLow { .. })
    ));
    // A reserve larger than a segment, or than all memory.
    let most = usize::MAX.to_string();
    let error = taken("EMALLOC_RESERVE", &most).start().unwrap_err();
    assert!(matches!(
        error,
        SettingsError::Heap(HeapError::SegmentSizeTooSmall { .. })
    ));
    let error = taken("EMALLOC_RESERVE", "1G").start().unwrap_err();
    let SettingsError::Heap(HeapError::SegmentSizeTooSmall {
        segment: 262_144,
        needed,
    }) = error
    else {
        panic!("{error}")
    };
    assert!(needed > 1 << 30);
    // Names are looked up again, for settings may also be made in code.
    let mut settings = Settings::default();
    "elsewhere".clone_into(&mut settings.storage);
    assert!(
        matches!(settings.start(), Err(SettingsError::UnknownStorage(name)) if name == "elsewhere")
    );
}

#[test]
fn compact_trims_the_storage_at_a_reset_after_much_was_held() {
    let counted = counted();
    for (compact, size, trims) in [
        (None, 1 << 20, 0),
        (None, 3 << 20, 1),
        (Some("4M"), 3 << 20, 0),
        (Some("4M"), 5 << 20, 1),
        (Some("0"), 5 << 20, 0),
    ] {
        let mut settings = taken("EMALLOC_STORAGE", "settings-counted");
        if let Some(compact) = compact {
            settings.compact = taken("ZEND_MM_COMPACT", compact).compact;
        }
        let mut heap = settings.start().unwrap();
        let before = counted.counts().trimmed;
        heap.allocate(size);
        heap.reset();
        assert_eq!(
            counted.counts().trimmed - before,
            trims,
            "{compact:?} {size}"
        );
    }
}

#[test]
fn a_program_adds_its_handler_to_what_the_environment_says() {
    static HEARD: AtomicUsize = AtomicUsize::new(0);
    struct Hear;
    impl Handler for Hear {
        fn soft_limit(&self, _: &Heap, event: &SoftLimitEvent) {
            HEARD.fetch_add(event.limit, Ordering::Relaxed);
        }
        fn out_of_memory(&self, _: &Heap, error: &AllocError, _: Site<'_>) -> Recovery {
            panic!("{error}")
        }
    }
    let settings = taken("EMALLOC_SOFT_LIMIT", "1M");
    let heap = settings.builder().unwrap().handler(Hear).build().unwrap();
    heap.allocate(100_000);
    assert_eq!(HEARD.load(Ordering::Relaxed), 0);
    heap.allocate(2 << 20);
    assert_eq!(HEARD.load(Ordering::Relaxed), 1 << 20);
}
