//! Owns what the linker is told of the shared library: where files are ELF, it is never unloaded. The system calls it when a
//! thread ends that had a heap of its own, and after `dlclose` there would be nothing to call.

use std::env;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    let is = |variable, value| env::var(variable).is_ok_and(|found| found == value);
    if is("CARGO_CFG_TARGET_FAMILY", "unix") && !is("CARGO_CFG_TARGET_VENDOR", "apple") {
        println!("cargo::rustc-cdylib-link-arg=-Wl,-z,nodelete");
    }
}
