//! A program's own storages join the registry. Alone in its file, for what is registered stays.

use emalloc::heap::Heap;
use emalloc::storage::registry::{self, AnyStorage, Entry, Opened, RegisterError};
use emalloc::storage::{Counting, MALLOC, Malloc, Storage, StorageError};
use std::sync::Mutex;

static COUNTED: Counting<Malloc> = Counting::new(MALLOC);

static COUNTED_ENTRY: Entry = Entry {
    name: "counted",
    about: "the system's allocator, counted",
    open: &|| Ok(AnyStorage::Own(&COUNTED)),
};

static BROKEN_ENTRY: Entry = Entry {
    name: "cannot",
    about: "never to be had",
    open: &|| Err(StorageError::System(24)),
};

#[test]
fn own_storages_join_once_and_until_the_table_is_full() {
    let built_in = registry::entries().count();
    registry::register(&COUNTED_ENTRY).unwrap();
    assert_eq!(
        registry::register(&COUNTED_ENTRY),
        Err(RegisterError::NameTaken)
    );
    let storage = registry::open("counted").unwrap();
    let grant = storage.allocate(4096, 4096).unwrap();
    // SAFETY: granted just now.
    unsafe { storage.free(grant.start, 4096, 4096) };
    assert_eq!((COUNTED.counts().allocated, COUNTED.counts().freed), (1, 1));
    assert!(
        registry::find("nowhere")
            .unwrap_err()
            .to_string()
            .contains("\n    'counted'")
    );

    registry::register(&BROKEN_ENTRY).unwrap();
    let error = registry::open("cannot").unwrap_err();
    assert_eq!(
        error.to_string(),
        "Cannot initialize zend_mm storage [cannot]"
    );
    let source = std::error::Error::source(&error).unwrap();
    assert_eq!(source.to_string(), "the system refused (error 24)");

    // Also those that were refused stay where a leak checker finds them.
    static MADE: Mutex<Vec<&Entry>> = Mutex::new(Vec::new());
    let entry = |name| -> &'static Entry {
        let entry: &Entry = Box::leak(Box::new(Entry {
            name,
            ..COUNTED_ENTRY
        }));
        MADE.lock().unwrap().push(entry);
        entry
    };
    assert_eq!(registry::register(entry("")), Err(RegisterError::NoName));
    assert_eq!(
        registry::register(entry("malloc")),
        Err(RegisterError::NameTaken)
    );

    // Threads with the same names at once: each name gets in once.
    let joined: usize = std::thread::scope(|scope| {
        let names = ["a", "b", "c", "d", "e", "f"];
        let threads: Vec<_> = (0..4)
            .map(|_| {
                scope.spawn(move || {
                    let joins = |name| registry::register(entry(name)).is_ok();
                    names.into_iter().filter(|name| joins(name)).count()
                })
            })
            .collect();
        threads
            .into_iter()
            .map(|thread| thread.join().unwrap())
            .sum()
    });
    assert_eq!(joined, 6);

    let mut more = 0;
    let last = loop {
        let name: &'static str = Box::leak(format!("own{more}").into_boxed_str());
        match registry::register(entry(name)) {
            Ok(()) => more += 1,
            Err(error) => break error,
        }
    };
    assert_eq!(last, RegisterError::Full);
    assert_eq!(2 + 6 + more, registry::OWN_STORAGES);
    assert_eq!(
        registry::entries().count(),
        built_in + registry::OWN_STORAGES
    );
}

#[test]
fn an_opened_storage_ends_with_its_user() {
    use std::ptr::NonNull;
    use std::sync::atomic::{AtomicUsize, Ordering};

    static ENDED: AtomicUsize = AtomicUsize::new(0);
    let open = || {
        let target: Box<dyn Storage + Sync> = Box::new(MALLOC);
        // SAFETY: a `Box` of a valid storage, given up here, and made a box again once.
        unsafe {
            Opened::new(NonNull::from(Box::leak(target)), |target| {
                ENDED.fetch_add(1, Ordering::Relaxed);
                drop(Box::from_raw(target.as_ptr()));
            })
        }
    };
    let heap = Heap::builder()
        .storage(AnyStorage::Opened(open()))
        .build()
        .unwrap();
    assert_eq!(heap.storage_name(), "malloc");
    heap.allocate(100);
    assert_eq!(ENDED.load(Ordering::Relaxed), 0);
    drop(heap);
    assert_eq!(ENDED.load(Ordering::Relaxed), 1);
}
