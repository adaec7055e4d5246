//! The system layer's own functions, those that no storage shows.

#[path = "common/itself.rs"]
mod itself;

use emalloc::sys;

#[test]
fn pages_are_a_power_of_two_and_known_again() {
    assert!(sys::page_size().is_power_of_two());
    assert_eq!(sys::page_size(), sys::page_size());
}

#[test]
fn the_clock_goes_with_the_time() {
    let before = sys::millis();
    std::thread::sleep(std::time::Duration::from_millis(120));
    let passed = sys::millis() - before;
    // Coarse clocks tick every few milliseconds; a busy machine may sleep far longer.
    assert!((100..60_000).contains(&passed), "{passed}");
}

#[test]
fn the_plain_allocator() {
    let block = sys::malloc(100);
    assert!(!block.is_null());
    // SAFETY: inside the block.
    unsafe { block.write_bytes(9, 100) };
    // SAFETY: the block above.
    let block = unsafe { sys::realloc(block, 100_000) };
    assert!(!block.is_null());
    // SAFETY: inside the block, written above.
    assert_eq!(unsafe { block.add(99).read() }, 9);
    // SAFETY: the block above.
    unsafe { sys::free(block) };

    let zeroed = sys::calloc(100, 10);
    assert!(!zeroed.is_null());
    // SAFETY: inside the block, which is zeroed.
    let bytes = unsafe { std::slice::from_raw_parts(zeroed, 1000) };
    assert!(bytes.iter().all(|&byte| byte == 0));
    // SAFETY: the block above.
    unsafe { sys::free(zeroed) };

    // A product of 2 more than there is, and null as a new block and as nothing to free.
    assert!(sys::calloc(usize::MAX / 2 + 2, 2).is_null());
    // SAFETY: null is allowed.
    let fresh = unsafe { sys::realloc(std::ptr::null_mut(), 10) };
    assert!(!fresh.is_null());
    // SAFETY: the block above.
    unsafe { sys::free(fresh) };
    // SAFETY: null is allowed.
    unsafe { sys::free(std::ptr::null_mut()) };
}

#[test]
fn any_alignment() {
    for shift in 0..23 {
        let block = sys::aligned_malloc(1000, 1 << shift);
        assert!(!block.is_null() && block.addr().is_multiple_of(1 << shift));
        // SAFETY: inside the block.
        unsafe { block.write_bytes(1, 1000) };
        // SAFETY: the block above.
        unsafe { sys::aligned_free(block) };
    }
}

/// A process of its own, as these end it: the test calls itself with a word in the environment.
fn in_a_child(what: &str) -> std::process::Output {
    itself::this_binary()
        .args(["--exact", "ends_the_process_when_told", "--nocapture"])
        .env("SYS_TEST_END", what)
        .output()
        .unwrap()
}

#[test]
fn ends_the_process_when_told() {
    match std::env::var("SYS_TEST_END").as_deref() {
        Ok("exit") => {
            sys::write_stderr(b"going ");
            sys::write_stderr(b"");
            sys::write_stderr(b"now\n");
            sys::exit(255)
        }
        Ok("abort") => sys::abort(),
        _ => {}
    }
}

#[test]
fn exit_abort_and_standard_error() {
    assert!(in_a_child("nothing").status.success());
    let ended = in_a_child("exit");
    assert_eq!(ended.status.code(), Some(255));
    assert!(String::from_utf8_lossy(&ended.stderr).ends_with("going now\n"));
    let ended = in_a_child("abort");
    let code = if cfg!(windows) { Some(3) } else { None };
    assert_eq!((ended.status.success(), ended.status.code()), (false, code));
}
