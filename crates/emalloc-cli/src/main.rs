//! The `emalloc` command.
fn main() {}
