//! The processor time that this process has used.

use std::time::Duration;

/// Processor time so far, the kernel's on our behalf included.
pub fn cpu_time() -> Duration {
    let mut time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: it writes one timespec.
    let failed = unsafe { libc::clock_gettime(libc::CLOCK_PROCESS_CPUTIME_ID, &mut time) };
    assert_eq!(failed, 0, "every Linux has this clock");
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

/// Processor time of `act`, in nanoseconds.
pub fn timed(act: impl FnOnce()) -> f64 {
    let before = cpu_time();
    act();
    (cpu_time() - before).as_nanos() as f64
}
