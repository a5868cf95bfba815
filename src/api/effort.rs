//! What a piece of work costs this thread, for tests of how cost grows: processor time, so that it
//! does not matter what else the machine does.

/// The least of five tries, in seconds.
pub fn of(mut work: impl FnMut()) -> f64 {
    let tries = (0..5).map(|_| {
        let begun = spent();
        work();
        spent() - begun
    });
    tries.fold(f64::INFINITY, f64::min)
}

/// Asserts that sixteen times as much does not cost what it would if the cost grew with the square,
/// 256 times as much, with room for caches that are too small for it.
pub fn assert_proportional(little: f64, sixteen_times: f64) {
    assert!(
        sixteen_times < little * 128.0,
        "{little} s, and {sixteen_times} s for 16 times as much"
    );
}

fn spent() -> f64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the call writes into a structure of our own.
    let told = unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &mut time) };
    assert_eq!(told, 0, "every Linux tells a thread's processor time");
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}
