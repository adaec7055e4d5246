//! Allocators in C and C++, from plug-ins beside the program. Each gives up to two peers: [`Plain`], which frees every
//! block that is left at the end of a request, and [`Heaps`], which makes a heap for each request and destroys it.

use std::ffi::c_void;

use anyhow::{Context, Result, ensure};
use bench_peer::{LAYOUT, SYMBOL, Table};
use libloading::os::unix::{Library, RTLD_LOCAL, RTLD_NOW};

use crate::allocator::{Blocks, Peer};

/// An opened plug-in. It stays open: allocators leave threads and exit handlers behind.
#[derive(Clone, Copy)]
pub struct Plugin(&'static Table);

impl Plugin {
    /// Opens the plug-in of the allocator `name`, which lies beside this program.
    ///
    /// # Errors
    /// It is not there, or of another layout.
    pub fn open(name: &str) -> Result<Self> {
        let path = std::env::current_exe()?.with_file_name(format!("libbench_peer_{name}.so"));
        ensure!(
            path.exists(),
            "not built (scripts/bench.sh builds {})",
            path.display()
        );
        // SAFETY: our own plug-ins run nothing but the constructors of their allocators.
        let library = unsafe { Library::open(Some(&path), RTLD_NOW | RTLD_LOCAL) }?;
        // SAFETY: plug-ins export the table under this name.
        let table: &'static Table = unsafe { &**library.get::<*const Table>(SYMBOL)? };
        std::mem::forget(library);
        ensure!(table.layout == LAYOUT, "built for another bench");
        Ok(Self(table))
    }

    /// Its version, if it tells one.
    pub fn version(self) -> Option<String> {
        let version = (self.0.version)();
        (version != 0).then(|| {
            format!(
                "{}.{}.{}",
                version / 10_000,
                version / 100 % 100,
                version % 100
            )
        })
    }

    /// Allocation from the process.
    pub fn plain(self) -> Plain {
        Plain(self.0.plain)
    }

    /// Allocation from heaps.
    ///
    /// # Errors
    /// It has none.
    pub fn heaps(self) -> Result<Heaps> {
        Ok(Heaps(*self.0.heaps.context("it has no heaps")?))
    }
}

/// An allocator without heaps.
#[derive(Clone, Copy)]
pub struct Plain(bench_peer::Plain);

impl Peer for Plain {
    type Heap = Self;

    fn create(&self) -> Self {
        *self
    }
}

impl Blocks for Plain {
    const BULK: bool = false;

    #[inline(always)]
    fn allocate(&mut self, size: usize) -> *mut u8 {
        // SAFETY: any size may be asked for.
        unsafe { (self.0.malloc)(size).cast() }
    }

    #[inline(always)]
    unsafe fn free(&mut self, block: *mut u8) {
        // SAFETY: the caller's promise.
        unsafe { (self.0.free)(block.cast()) };
    }

    #[inline(always)]
    unsafe fn resize(&mut self, block: *mut u8, size: usize) -> *mut u8 {
        // SAFETY: the caller's promise; size 0 must not mean "free".
        unsafe { (self.0.realloc)(block.cast(), size.max(1)).cast() }
    }

    fn end_request(&mut self) {}
}

/// An allocator with heaps.
pub struct Heaps(bench_peer::Heaps);

/// A heap, made anew for each request.
pub struct PluginHeap {
    heap: *mut c_void,
    functions: bench_peer::Heaps,
}

fn create(functions: &bench_peer::Heaps) -> *mut c_void {
    // SAFETY: a heap may be made at any time.
    let heap = unsafe { (functions.create)() };
    assert!(!heap.is_null(), "there is memory for a heap");
    heap
}

impl Peer for Heaps {
    type Heap = PluginHeap;

    fn create(&self) -> PluginHeap {
        PluginHeap {
            heap: create(&self.0),
            functions: self.0,
        }
    }
}

impl Blocks for PluginHeap {
    const BULK: bool = true;

    #[inline(always)]
    fn allocate(&mut self, size: usize) -> *mut u8 {
        // SAFETY: the heap is alive.
        unsafe { (self.functions.malloc)(self.heap, size).cast() }
    }

    #[inline(always)]
    unsafe fn free(&mut self, block: *mut u8) {
        // SAFETY: the caller's promise.
        unsafe { (self.functions.free)(block.cast()) };
    }

    #[inline(always)]
    unsafe fn resize(&mut self, block: *mut u8, size: usize) -> *mut u8 {
        // SAFETY: the heap is alive, and the caller's promise; size 0 must not mean "free".
        unsafe { (self.functions.realloc)(self.heap, block.cast(), size.max(1)).cast() }
    }

    fn end_request(&mut self) {
        // SAFETY: the heap is alive, and what is in it is used no more.
        unsafe { (self.functions.destroy)(self.heap) };
        self.heap = create(&self.functions);
    }
}

impl Drop for PluginHeap {
    fn drop(&mut self) {
        // SAFETY: the heap is alive, and used no more.
        unsafe { (self.functions.destroy)(self.heap) };
    }
}
