//! What is sent between two ends, and how long and how much work it takes.

use crate::{lab::Program, paths::Laid};
use std::{
    io,
    net::UdpSocket,
    os::{fd::AsRawFd, unix::process::ExitStatusExt},
    process::{Child, Stdio},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

const TCP_SECONDS: u32 = 2;
/// So many packets a second are tried; the last is as fast as can be.
const RATES: [f64; 4] = [100e3, 200e3, 300e3, f64::INFINITY];
const RATE_FOR: Duration = Duration::from_millis(700);
const ROUND_TRIPS: usize = 3000;
/// A 64-byte frame with its check sequence.
const SMALL: usize = 64 - 4 - 14 - 20 - 8;

#[derive(Debug, Clone, Copy)]
pub struct Measured {
    /// TCP, one stream.
    pub gbits: f64,
    /// Seconds of the ends' programs and of those between, for a gigabit.
    pub cpu: f64,
    /// 64-byte frames that arrive, at the best of some rates.
    pub pps: f64,
    /// Round trips, in microseconds.
    pub p50: f64,
    pub p99: f64,
}

impl Measured {
    pub fn of(laid: &Laid) -> Measured {
        let (gbits, cpu) = tcp(laid);
        let pps = RATES.iter().map(|rate| packets(laid, *rate)).fold(0.0, f64::max);
        let (p50, p99) = round_trips(laid);
        Measured { gbits, cpu, pps, p50, p99 }
    }

    pub fn median(rounds: &[Measured]) -> Measured {
        let median = |of: fn(&Measured) -> f64| {
            let mut values: Vec<f64> = rounds.iter().map(of).collect();
            values.sort_by(f64::total_cmp);
            values[values.len() / 2]
        };
        Measured {
            gbits: median(|measured| measured.gbits),
            cpu: median(|measured| measured.cpu),
            pps: median(|measured| measured.pps),
            p50: median(|measured| measured.p50),
            p99: median(|measured| measured.p99),
        }
    }
}

/// Gigabits a second, and CPU seconds for one.
pub fn tcp(laid: &Laid) -> (f64, f64) {
    let server = laid.b.command("iperf3 -s -1").stdout(Stdio::null()).spawn().expect("iperf3");
    let listening = || laid.b.run("ss -Htln sport = :5201").contains("5201");
    crate::lab::wait_for("iperf3", listening);
    let before: f64 = laid.programs.iter().map(Program::cpu).sum();
    let line = format!("iperf3 -c 10.9.0.2 -t {TCP_SECONDS} -J");
    let client = laid.a.command(&line).stdout(Stdio::piped()).spawn().expect("iperf3");
    let (report, client_cpu) = ended(client);
    let (_, server_cpu) = ended(server);
    let after: f64 = laid.programs.iter().map(Program::cpu).sum();
    let report: serde_json::Value = serde_json::from_str(&report).expect("iperf3 writes JSON");
    let received = &report["end"]["sum_received"];
    let (Some(rate), Some(bytes)) =
        (received["bits_per_second"].as_f64(), received["bytes"].as_f64())
    else {
        panic!("iperf3: {report}");
    };
    (rate / 1e9, (after - before + client_cpu + server_cpu) / (bytes * 8.0 / 1e9))
}

/// What a child said, and the CPU time it took.
fn ended(mut child: Child) -> (String, f64) {
    let mut words = String::new();
    if let Some(mut output) = child.stdout.take() {
        io::Read::read_to_string(&mut output, &mut words).expect("it writes text");
    }
    let mut status = 0;
    // SAFETY: all zeros are a valid `rusage`, which has plain numbers only.
    let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
    // SAFETY: the child is ours and was not waited for; both places are valid during the call.
    let pid = unsafe { libc::wait4(child.id() as i32, &mut status, 0, &mut usage) };
    assert!(pid > 0, "{}", io::Error::last_os_error());
    let status = std::process::ExitStatus::from_raw(status);
    assert!(status.success(), "iperf3 ended with {status}: {words}");
    let seconds = |time: libc::timeval| time.tv_sec as f64 + time.tv_usec as f64 / 1e6;
    (words, seconds(usage.ru_utime) + seconds(usage.ru_stime))
}

/// Small packets a second that arrive when so many are sent.
pub fn packets(laid: &Laid, rate: f64) -> f64 {
    let receiver = laid.b.inside(|| UdpSocket::bind("10.9.0.2:9").expect("a socket"));
    let sender = laid.a.inside(|| {
        let socket = UdpSocket::bind("10.9.0.1:0").expect("a socket");
        socket.connect("10.9.0.2:9").expect("a way");
        socket
    });
    receiver.set_read_timeout(Some(Duration::from_millis(100))).expect("a socket");
    let is_over = Arc::new(AtomicBool::new(false));
    let sending = thread::spawn({
        let is_over = is_over.clone();
        move || send(&sender, rate, &is_over)
    });
    // What came first came while the path was waking up.
    count(&receiver, RATE_FOR / 4);
    let begun = Instant::now();
    let arrived = count(&receiver, RATE_FOR);
    let took = begun.elapsed();
    is_over.store(true, Ordering::Relaxed);
    sending.join().expect("the sender ends");
    arrived as f64 / took.as_secs_f64()
}

const AT_ONCE: usize = 16;

fn send(socket: &UdpSocket, rate: f64, is_over: &AtomicBool) {
    let payload = [0u8; SMALL];
    let part = libc::iovec { iov_base: payload.as_ptr().cast_mut().cast(), iov_len: SMALL };
    let mut parts = [part; AT_ONCE];
    // SAFETY: all zeros are valid headers, of messages without any part.
    let mut headers: [libc::mmsghdr; AT_ONCE] = unsafe { std::mem::zeroed() };
    for (header, part) in headers.iter_mut().zip(&mut parts) {
        header.msg_hdr.msg_iov = part;
        header.msg_hdr.msg_iovlen = 1;
    }
    let begun = Instant::now();
    let mut sent = 0.0;
    while !is_over.load(Ordering::Relaxed) {
        if sent > begun.elapsed().as_secs_f64() * rate {
            thread::yield_now();
            continue;
        }
        // What a full queue does not take is lost, as it would be further on.
        // SAFETY: every header names memory that is valid during the call.
        unsafe { libc::sendmmsg(socket.as_raw_fd(), headers.as_mut_ptr(), AT_ONCE as u32, 0) };
        sent += AT_ONCE as f64;
    }
}

fn count(socket: &UdpSocket, time: Duration) -> u64 {
    let mut payload = [[0u8; SMALL]; AT_ONCE];
    let mut parts = payload
        .each_mut()
        .map(|payload| libc::iovec { iov_base: payload.as_mut_ptr().cast(), iov_len: SMALL });
    // SAFETY: all zeros are valid headers, of messages without any part.
    let mut headers: [libc::mmsghdr; AT_ONCE] = unsafe { std::mem::zeroed() };
    for (header, part) in headers.iter_mut().zip(&mut parts) {
        header.msg_hdr.msg_iov = part;
        header.msg_hdr.msg_iovlen = 1;
    }
    let begun = Instant::now();
    let mut arrived = 0;
    while begun.elapsed() < time {
        let (fd, flags) = (socket.as_raw_fd(), libc::MSG_WAITFORONE);
        // SAFETY: every header names memory that is valid during the call.
        let count = unsafe {
            libc::recvmmsg(fd, headers.as_mut_ptr(), AT_ONCE as u32, flags, std::ptr::null_mut())
        };
        arrived += u64::try_from(count).unwrap_or(0);
    }
    arrived
}

/// The median and the 99th percentile of round trips, in microseconds, one at a time.
pub fn round_trips(laid: &Laid) -> (f64, f64) {
    let far = laid.b.inside(|| UdpSocket::bind("10.9.0.2:7").expect("a socket"));
    let near = laid.a.inside(|| {
        let socket = UdpSocket::bind("10.9.0.1:0").expect("a socket");
        socket.connect("10.9.0.2:7").expect("a way");
        socket
    });
    for socket in [&far, &near] {
        socket.set_read_timeout(Some(Duration::from_millis(500))).expect("a socket");
    }
    let is_over = Arc::new(AtomicBool::new(false));
    let echoing = thread::spawn({
        let is_over = is_over.clone();
        move || {
            let mut payload = [0; SMALL];
            while !is_over.load(Ordering::Relaxed) {
                if let Ok((length, from)) = far.recv_from(&mut payload) {
                    // A lost answer is asked for again.
                    let _ = far.send_to(&payload[..length], from);
                }
            }
        }
    });
    let mut taken: Vec<f64> = Vec::with_capacity(ROUND_TRIPS);
    let deadline = Instant::now() + Duration::from_secs(5);
    while taken.len() < ROUND_TRIPS && Instant::now() < deadline {
        let begun = Instant::now();
        near.send(&[0; SMALL]).expect("a way");
        if near.recv(&mut [0; SMALL]).is_ok() {
            taken.push(begun.elapsed().as_secs_f64() * 1e6);
        }
    }
    is_over.store(true, Ordering::Relaxed);
    echoing.join().expect("the echo ends");
    assert!(!taken.is_empty(), "no answer at all");
    taken.sort_by(f64::total_cmp);
    (taken[taken.len() / 2], taken[taken.len() * 99 / 100])
}
