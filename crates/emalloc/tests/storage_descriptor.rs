//! `mmap_zero` owns its descriptor: one per value, closed with it, unknown to programs started.
//! Alone in its file, as other tests would open descriptors meanwhile.
#![cfg(target_os = "linux")]

use emalloc::storage::{MmapZero, Storage};
use std::path::Path;

/// The process's descriptors for `/dev/zero`.
fn descriptors() -> Vec<i32> {
    std::fs::read_dir("/proc/self/fd")
        .unwrap()
        .filter_map(|entry| {
            let path = entry.ok()?.path();
            let target = std::fs::read_link(&path).ok()?;
            let number = path.file_name()?.to_str()?.parse().ok()?;
            (target == Path::new("/dev/zero")).then_some(number)
        })
        .collect()
}

#[test]
fn the_descriptor_lives_as_long_as_the_storage_and_grants_outlive_it() {
    let before = descriptors();
    let first = MmapZero::new().unwrap();
    let second = MmapZero::new().unwrap();
    let opened: Vec<_> = descriptors()
        .into_iter()
        .filter(|number| !before.contains(number))
        .collect();
    assert_eq!(opened.len(), 2);
    for number in opened {
        // SAFETY: reads a flag of a descriptor that is open.
        let flags = unsafe { libc::fcntl(number, libc::F_GETFD) };
        assert_eq!(flags & libc::FD_CLOEXEC, libc::FD_CLOEXEC);
    }

    let grant = first.allocate(1 << 20, 4096).unwrap();
    drop(first);
    assert_eq!(descriptors().len(), before.len() + 1);
    // SAFETY: inside the grant, whose mapping does not need the descriptor.
    unsafe { grant.start.write_bytes(3, 1 << 20) };
    // SAFETY: the grant above; any value of the type unmaps it.
    unsafe { second.free(grant.start, 1 << 20, 4096) };
    drop(second);
    assert_eq!(descriptors(), before);

    // More than a process may have open at once.
    for _ in 0..3000 {
        assert!(MmapZero::new().is_ok());
    }
    assert_eq!(descriptors(), before);
}
