//! A storage of one's own: segments that live in a file. Memory that is not used goes to the file
//! instead of the swap space. (The file is sparse: where the disk may fill up, reserve its
//! blocks with `posix_fallocate`, or a write into a grant ends the program.)
//!
//! What it takes: implement `Storage`, run the conformance suite on it, give it to a heap.
//!
//! `cargo run -p emalloc --example file_storage`

#[cfg(unix)]
fn main() -> Result<(), Box<dyn std::error::Error>> {
    use emalloc::heap::Heap;
    use emalloc::storage::{Cached, conformance};
    use std::sync::Arc;

    let make = || file::FileStorage::in_dir(&std::env::temp_dir());
    let report = conformance::run(conformance::ALL_BYTES, make);
    println!("in a file: {report}");
    assert!(report.passed());

    // Every wrapper works over it like over those that come with the library, and so does a heap.
    let storage = Arc::new(Cached::new(make()?));
    let mut heap = Heap::builder().storage(Arc::clone(&storage)).build()?;
    for _request in 0..3 {
        let text = heap.alloc_str("lives in the file");
        let numbers = heap.alloc_slice_with(100_000, |index| index);
        assert_eq!((text.len(), numbers.len()), (17, 100_000));
        heap.reset();
    }
    drop(heap);
    println!(
        "{} bytes in the file, {} of them kept warm",
        storage.inner().file_bytes(),
        storage.cached_bytes()
    );
    Ok(())
}

#[cfg(not(unix))]
fn main() {
    println!("this example maps files as Unix does");
}

#[cfg(unix)]
mod file {
    use emalloc::storage::{Capabilities, Grant, Storage, StorageError};
    use std::fs::{File, OpenOptions};
    use std::io;
    use std::os::fd::AsRawFd;
    use std::path::Path;
    use std::ptr::{self, NonNull};
    use std::sync::Mutex;
    use std::sync::atomic::{AtomicUsize, Ordering};

    /// Shared mappings of parts of one file that has no name any more.
    pub struct FileStorage {
        file: File,
        parts: Mutex<Parts>,
    }

    /// Which parts of the file are in use.
    #[derive(Default)]
    struct Parts {
        end: usize,
        /// Address of a grant, and where in the file it is.
        granted: Vec<(usize, usize)>,
        /// Offset and size of what was given back.
        free: Vec<(usize, usize)>,
    }

    impl FileStorage {
        /// Creates the file in a directory, and takes its name away at once.
        pub fn in_dir(dir: &Path) -> Result<Self, StorageError> {
            let system = |error: io::Error| StorageError::System(error.raw_os_error().unwrap_or(0));
            static MADE: AtomicUsize = AtomicUsize::new(0);
            let number = MADE.fetch_add(1, Ordering::Relaxed);
            let name = format!("emalloc-{}-{number}", std::process::id());
            let path = dir.join(name);
            let file = OpenOptions::new()
                .read(true)
                .write(true)
                .create_new(true)
                .open(&path)
                .map_err(system)?;
            std::fs::remove_file(&path).map_err(system)?;
            Ok(Self {
                file,
                parts: Mutex::default(),
            })
        }

        /// How large the file is.
        pub fn file_bytes(&self) -> usize {
            self.parts().end
        }

        fn parts(&self) -> std::sync::MutexGuard<'_, Parts> {
            self.parts
                .lock()
                .unwrap_or_else(std::sync::PoisonError::into_inner)
        }
    }

    impl Parts {
        /// A part of the file that was given back, or a new one at its end.
        fn take(&mut self, file: &File, size: usize) -> Option<usize> {
            let same = self.free.iter().position(|&(_, free)| free == size);
            if let Some(at) = same {
                return Some(self.free.swap_remove(at).0);
            }
            let offset = self.end;
            let end = offset.checked_add(size)?;
            file.set_len(u64::try_from(end).ok()?).ok()?;
            self.end = end;
            Some(offset)
        }
    }

    /// Addresses for a mapping: none readable yet, aligned, whole pages.
    fn reserve(size: usize, align: usize) -> Option<*mut u8> {
        let large = size.checked_add(align)?;
        let flags = libc::MAP_PRIVATE | libc::MAP_ANON;
        // SAFETY: without MAP_FIXED a mapping lands where nothing else is.
        let start = unsafe { libc::mmap(ptr::null_mut(), large, libc::PROT_NONE, flags, -1, 0) };
        if start == libc::MAP_FAILED {
            return None;
        }
        let start: *mut u8 = start.cast();
        let aligned = start.map_addr(|addr| addr.next_multiple_of(align));
        let head = aligned.addr() - start.addr();
        if head != 0 {
            // SAFETY: the beginning of what was reserved above.
            unsafe { libc::munmap(start.cast(), head) };
        }
        // SAFETY: the end of what was reserved above; there is always some.
        unsafe { libc::munmap(aligned.wrapping_add(size).cast(), large - size - head) };
        Some(aligned)
    }

    /// Maps a part of the file over reserved addresses.
    ///
    /// # Safety
    /// The addresses are the caller's, reserved and not used.
    unsafe fn map_over(start: *mut u8, size: usize, file: &File, offset: usize) -> bool {
        let Ok(place) = libc::off_t::try_from(offset) else {
            return false;
        };
        let flags = libc::MAP_SHARED | libc::MAP_FIXED;
        let prot = libc::PROT_READ | libc::PROT_WRITE;
        let file = file.as_raw_fd();
        // SAFETY: the caller's addresses.
        let answer = unsafe { libc::mmap(start.cast(), size, prot, flags, file, place) };
        answer != libc::MAP_FAILED
    }

    // SAFETY: each grant is a mapping of its own, over a part of the file that no other grant has,
    // and stays until it is unmapped, wherever the value is.
    unsafe impl Storage for FileStorage {
        fn name(&self) -> &str {
            "file"
        }

        fn capabilities(&self) -> Capabilities {
            // Whole pages of any system. A part that was used before is not zero.
            Capabilities::basic(64 << 10)
        }

        fn allocate(&self, size: usize, align: usize) -> Result<Grant, StorageError> {
            let refused = StorageError::Exhausted { requested: size };
            // No object may be larger, though on 32 bits there can be addresses for it.
            if isize::try_from(size).is_err() {
                return Err(refused);
            }
            let align = align.max(64 << 10);
            let start = reserve(size, align).ok_or(refused)?;
            let mut parts = self.parts();
            let Some(offset) = parts.take(&self.file, size) else {
                // SAFETY: reserved above.
                unsafe { libc::munmap(start.cast(), size) };
                return Err(refused);
            };
            // SAFETY: over addresses that were reserved for this.
            if !unsafe { map_over(start, size, &self.file, offset) } {
                parts.free.push((offset, size));
                // SAFETY: reserved above.
                unsafe { libc::munmap(start.cast(), size) };
                return Err(refused);
            }
            parts.granted.push((start.addr(), offset));
            Ok(Grant {
                start: NonNull::new(start).ok_or(refused)?,
                zeroed: false,
            })
        }

        unsafe fn free(&self, start: NonNull<u8>, size: usize, _align: usize) {
            // SAFETY: mapped by `allocate` with this size, as the caller vouches.
            unsafe { libc::munmap(start.as_ptr().cast(), size) };
            let mut parts = self.parts();
            let address = start.addr().get();
            let known = parts.granted.iter().position(|&(at, _)| at == address);
            if let Some(known) = known {
                let (_, offset) = parts.granted.swap_remove(known);
                parts.free.push((offset, size));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #[cfg(unix)]
    #[test]
    fn it_runs() {
        super::main().unwrap();
    }
}
