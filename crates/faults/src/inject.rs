//! Faults in system calls, for any program, linked as it may be: a seccomp filter hands chosen calls to us, and we let
//! them through, late, or answer in the kernel's place. So fsync fails, a write fails, a disk is slow, and the wall
//! clock jumps, for one process alone (its children, too, but for the clock of those that become another program).
#![allow(unsafe_code, reason = "seccomp, ptrace and messages with descriptors have no safe interface")]

use std::fs::File;
use std::io;
use std::mem::{size_of, zeroed};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::fs::FileExt;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

#[cfg(target_arch = "x86_64")]
const ARCH: u32 = 0xc000_003e;
#[cfg(target_arch = "aarch64")]
const ARCH: u32 = 0xc000_00b7;

/// Which calls are handed over. Each costs its program some microseconds, also when nothing is done to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Traps {
    /// fsync, fdatasync.
    pub sync: bool,
    /// pwrite64.
    pub write: bool,
    /// The wall clock. Nothing is done to the monotonic one.
    pub clock: bool,
}

impl Traps {
    pub const NONE: Self = Self { sync: false, write: false, clock: false };
    pub const DISK: Self = Self { sync: true, write: true, clock: false };
    pub const CLOCK: Self = Self { sync: false, write: false, clock: true };
}

/// What is done to the calls, from now on.
#[derive(Default)]
pub struct Policy {
    /// So many of the next calls fail with an I/O error.
    pub fail_syncs: AtomicI64,
    pub fail_writes: AtomicI64,
    /// Each sync waits between so many milliseconds, and so many more.
    pub delay: AtomicU64,
    pub delay_more: AtomicU64,
    /// The wall clock is so many milliseconds ahead.
    pub ahead: AtomicI64,
    /// How many calls were seen, and how many failed.
    pub syncs: AtomicU64,
    pub writes: AtomicU64,
    pub clocks: AtomicU64,
    pub failed: AtomicU64,
}

pub struct Injector {
    pub policy: Arc<Policy>,
    over: Arc<AtomicBool>,
    task: Option<JoinHandle<()>>,
}

const fn filter(code: u32, jt: u8, jf: u8, k: u32) -> libc::sock_filter {
    libc::sock_filter { code: code as u16, jt, jf, k }
}

fn program(t: Traps) -> Vec<libc::sock_filter> {
    const LOAD: u32 = libc::BPF_LD | libc::BPF_W | libc::BPF_ABS;
    const EQUAL: u32 = libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K;
    const RETURN: u32 = libc::BPF_RET | libc::BPF_K;
    let hand = filter(RETURN, 0, 0, libc::SECCOMP_RET_USER_NOTIF);
    let allow = filter(RETURN, 0, 0, libc::SECCOMP_RET_ALLOW);
    let mut p = vec![filter(LOAD, 0, 0, 4), filter(EQUAL, 1, 0, ARCH), allow, filter(LOAD, 0, 0, 0)];
    let mut call = |n: i64| p.extend([filter(EQUAL, 0, 1, n as u32), hand]);
    if t.sync {
        call(libc::SYS_fsync);
        call(libc::SYS_fdatasync);
    }
    if t.write {
        call(libc::SYS_pwrite64);
    }
    if t.clock {
        call(libc::SYS_gettimeofday);
        // clock_gettime only of the wall clock, precise or coarse: the first argument tells.
        p.extend([
            filter(EQUAL, 0, 6, libc::SYS_clock_gettime as u32),
            filter(LOAD, 0, 0, 16),
            filter(EQUAL, 0, 1, libc::CLOCK_REALTIME as u32),
            hand,
            filter(EQUAL, 0, 1, libc::CLOCK_REALTIME_COARSE as u32),
            hand,
            allow,
        ]);
    }
    p.push(allow);
    p
}

fn last() -> io::Error {
    io::Error::last_os_error()
}

/// In the child, before it becomes the program: filters itself and sends the listener to its parent.
fn filtered(p: &[libc::sock_filter], to: RawFd, trace: bool) -> io::Result<()> {
    let prog = libc::sock_fprog { len: p.len() as u16, filter: p.as_ptr().cast_mut() };
    // SAFETY: `prog` and what it points to live through the call; the child has one thread.
    let fd = unsafe {
        if libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 {
            return Err(last());
        }
        if trace && libc::ptrace(libc::PTRACE_TRACEME, 0, 0, 0) != 0 {
            return Err(last());
        }
        libc::syscall(
            libc::SYS_seccomp,
            libc::SECCOMP_SET_MODE_FILTER,
            libc::SECCOMP_FILTER_FLAG_NEW_LISTENER,
            &raw const prog,
        )
    };
    if fd < 0 {
        return Err(last());
    }
    send_fd(to, fd as RawFd)
}

const ROOM: usize = 64;

fn message(byte: &mut u8, control: &mut [u64; ROOM / 8]) -> (Box<libc::iovec>, libc::msghdr) {
    let mut part = Box::new(libc::iovec { iov_base: std::ptr::from_mut(byte).cast(), iov_len: 1 });
    // SAFETY: all zeros are a valid msghdr.
    let mut m: libc::msghdr = unsafe { zeroed() };
    m.msg_iov = &raw mut *part;
    m.msg_iovlen = 1;
    m.msg_control = control.as_mut_ptr().cast();
    // SAFETY: computes a size.
    m.msg_controllen = unsafe { libc::CMSG_SPACE(size_of::<RawFd>() as u32) } as _;
    (part, m)
}

fn send_fd(to: RawFd, fd: RawFd) -> io::Result<()> {
    let (mut byte, mut control) = (0, [0; ROOM / 8]);
    let (_part, m) = message(&mut byte, &mut control);
    // SAFETY: the header points into the buffers above, which are large enough and live.
    let n = unsafe {
        let c = libc::CMSG_FIRSTHDR(&raw const m);
        (*c).cmsg_level = libc::SOL_SOCKET;
        (*c).cmsg_type = libc::SCM_RIGHTS;
        (*c).cmsg_len = libc::CMSG_LEN(size_of::<RawFd>() as u32) as _;
        libc::CMSG_DATA(c).cast::<RawFd>().write_unaligned(fd);
        libc::sendmsg(to, &raw const m, 0)
    };
    if n == 1 { Ok(()) } else { Err(last()) }
}

fn receive_fd(from: RawFd) -> io::Result<OwnedFd> {
    let (mut byte, mut control) = (0, [0; ROOM / 8]);
    let (_part, mut m) = message(&mut byte, &mut control);
    // SAFETY: as in `send_fd`; a descriptor that arrives is ours alone.
    unsafe {
        if libc::recvmsg(from, &raw mut m, libc::MSG_CMSG_CLOEXEC) != 1 {
            return Err(last());
        }
        let c = libc::CMSG_FIRSTHDR(&raw const m);
        if c.is_null() || (*c).cmsg_type != libc::SCM_RIGHTS {
            return Err(io::Error::other("no descriptor came"));
        }
        Ok(OwnedFd::from_raw_fd(libc::CMSG_DATA(c).cast::<RawFd>().read_unaligned()))
    }
}

/// Takes the kernel's library away from a program that has just begun: it then asks the kernel for the time.
fn without_vdso(pid: i32) -> io::Result<()> {
    let mut status = 0;
    // SAFETY: plain calls on our own child.
    if unsafe { libc::waitpid(pid, &raw mut status, 0) } != pid || !libc::WIFSTOPPED(status) {
        return Err(io::Error::other("the program did not stop when it began"));
    }
    let done = hide_vdso(pid);
    // SAFETY: as above.
    if unsafe { libc::ptrace(libc::PTRACE_DETACH, pid, 0, 0) } != 0 {
        return Err(last());
    }
    done
}

fn hide_vdso(pid: i32) -> io::Result<()> {
    const AT_IGNORE: u64 = 1;
    const AT_SYSINFO_EHDR: u64 = 33;
    // The stack's start, field 28 of stat (after the name in brackets, which may have spaces).
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
    let after = stat.rsplit_once(')').map_or("", |(_, a)| a);
    let bad = || io::Error::other("the program's stack is not as expected");
    let mut at: u64 = after.split_whitespace().nth(25).and_then(|t| t.parse().ok()).ok_or_else(bad)?;
    let memory = File::options().read(true).write(true).open(format!("/proc/{pid}/mem"))?;
    let word = |at: u64| {
        let mut b = [0; 8];
        memory.read_exact_at(&mut b, at).map(|()| u64::from_le_bytes(b))
    };
    // The stack begins with the number of arguments, them, a zero, the environment, a zero, and pairs.
    at += 8 * (word(at)? + 2);
    while word(at)? != 0 {
        at += 8;
    }
    at += 8;
    loop {
        match word(at)? {
            0 => return Ok(()),
            AT_SYSINFO_EHDR => memory.write_all_at(&AT_IGNORE.to_le_bytes(), at)?,
            _ => {}
        }
        at += 16;
    }
}

impl Injector {
    /// Starts a program under a filter, its clock ahead by so many milliseconds (if clocks are trapped).
    pub fn spawn(c: &mut Command, traps: Traps, ahead: i64) -> Result<(Child, Self), String> {
        let text = |what: &str, e: io::Error| format!("system calls cannot be trapped here ({what}): {e}");
        let mut pair = [0; 2];
        // SAFETY: the call fills the pair.
        let made = unsafe {
            libc::socketpair(libc::AF_UNIX, libc::SOCK_STREAM | libc::SOCK_CLOEXEC, 0, pair.as_mut_ptr())
        };
        if made != 0 {
            return Err(text("socketpair", last()));
        }
        // SAFETY: both were just made, and nobody else has them.
        let (ours, theirs) = unsafe { (OwnedFd::from_raw_fd(pair[0]), OwnedFd::from_raw_fd(pair[1])) };
        let p = program(traps);
        let to = theirs.as_raw_fd();
        // SAFETY: what runs between fork and exec makes system calls, and allocates one small box: the process that
        // forks holds no allocator lock of this thread.
        unsafe { c.pre_exec(move || filtered(&p, to, traps.clock)) };
        let child = c.spawn().map_err(|e| text("start", e))?;
        let pid = i32::try_from(child.id()).unwrap_or(0);
        if traps.clock {
            without_vdso(pid).map_err(|e| text("clock", e))?;
        }
        let listener = receive_fd(ours.as_raw_fd()).map_err(|e| text("listener", e))?;
        let (policy, over) = (Arc::new(Policy::default()), Arc::new(AtomicBool::new(false)));
        policy.ahead.store(ahead, Ordering::SeqCst);
        let (p, o) = (policy.clone(), over.clone());
        let task = std::thread::spawn(move || serve(Arc::new(listener), &p, &o));
        Ok((child, Self { policy, over, task: Some(task) }))
    }
}

impl Drop for Injector {
    fn drop(&mut self) {
        self.over.store(true, Ordering::SeqCst);
        if let Some(t) = self.task.take() {
            // A panic there was printed.
            let _ = t.join();
        }
    }
}

const RECEIVE: libc::c_ulong = 0xc050_2100;
const SEND: libc::c_ulong = 0xc018_2101;

fn answer(listener: &OwnedFd, id: u64, error: i32, flags: u32) {
    // SAFETY: all zeros are a valid answer; the kernel reads it.
    unsafe {
        let mut r: libc::seccomp_notif_resp = zeroed();
        r.id = id;
        r.error = -error;
        r.flags = flags;
        // The one who asked may be dead by now.
        libc::ioctl(listener.as_raw_fd(), SEND, &raw mut r);
    }
}

const GO_ON: u32 = libc::SECCOMP_USER_NOTIF_FLAG_CONTINUE as u32;

fn serve(listener: Arc<OwnedFd>, policy: &Policy, over: &AtomicBool) {
    while !over.load(Ordering::SeqCst) {
        let mut p = libc::pollfd { fd: listener.as_raw_fd(), events: libc::POLLIN, revents: 0 };
        // SAFETY: one pollfd.
        let n = unsafe { libc::poll(&raw mut p, 1, 50) };
        if n == 0 {
            continue;
        }
        if n < 0 || p.revents & libc::POLLIN == 0 {
            if p.revents & libc::POLLHUP != 0 {
                return;
            }
            continue;
        }
        // SAFETY: all zeros, as the kernel wants it before it fills it.
        let mut r: libc::seccomp_notif = unsafe { zeroed() };
        // SAFETY: the kernel fills `r`.
        if unsafe { libc::ioctl(listener.as_raw_fd(), RECEIVE, &raw mut r) } != 0 {
            continue;
        }
        one(&listener, policy, &r);
    }
}

/// Takes one from a counter; whether there was one.
fn take(n: &AtomicI64) -> bool {
    n.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |n| (n > 0).then(|| n - 1)).is_ok()
}

fn one(listener: &Arc<OwnedFd>, policy: &Policy, r: &libc::seccomp_notif) {
    let call = i64::from(r.data.nr);
    if call == libc::SYS_fsync || call == libc::SYS_fdatasync {
        policy.syncs.fetch_add(1, Ordering::Relaxed);
        if take(&policy.fail_syncs) {
            policy.failed.fetch_add(1, Ordering::Relaxed);
            return answer(listener, r.id, libc::EIO, 0);
        }
        let (least, more) = (policy.delay.load(Ordering::SeqCst), policy.delay_more.load(Ordering::SeqCst));
        if least > 0 {
            let wait = least + crate::rng::mix(policy.syncs.load(Ordering::Relaxed)) % (more + 1);
            let (listener, id) = (listener.clone(), r.id);
            std::thread::spawn(move || {
                std::thread::sleep(Duration::from_millis(wait));
                answer(&listener, id, 0, GO_ON);
            });
            return;
        }
    } else if call == libc::SYS_pwrite64 {
        policy.writes.fetch_add(1, Ordering::Relaxed);
        if take(&policy.fail_writes) {
            policy.failed.fetch_add(1, Ordering::Relaxed);
            return answer(listener, r.id, libc::EIO, 0);
        }
    } else {
        policy.clocks.fetch_add(1, Ordering::Relaxed);
        let to = if call == libc::SYS_clock_gettime { r.data.args[1] } else { r.data.args[0] };
        let ahead = policy.ahead.load(Ordering::SeqCst);
        if to != 0 && tell_time(r.pid, to, ahead, call == libc::SYS_clock_gettime).is_ok() {
            return answer(listener, r.id, 0, 0);
        }
    }
    answer(listener, r.id, 0, GO_ON);
}

fn tell_time(pid: u32, to: u64, ahead: i64, nanos: bool) -> io::Result<()> {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    let now = i64::try_from(now.as_nanos()).unwrap_or(0) + ahead * 1_000_000;
    let part = now.rem_euclid(1_000_000_000);
    let time = [now.div_euclid(1_000_000_000), if nanos { part } else { part / 1000 }];
    let from = libc::iovec { iov_base: time.as_ptr().cast_mut().cast(), iov_len: 16 };
    let at = libc::iovec { iov_base: to as *mut libc::c_void, iov_len: 16 };
    // SAFETY: reads our array; writes in the other process where it asked us to.
    let n = unsafe { libc::process_vm_writev(pid as i32, &raw const from, 1, &raw const at, 1, 0) };
    if n == 16 { Ok(()) } else { Err(last()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(traps: Traps, ahead: i64, set: impl Fn(&Policy), program: &[&str]) -> (bool, String) {
        let mut c = Command::new(program[0]);
        c.args(&program[1..]).stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped());
        let (child, i) = Injector::spawn(&mut c, traps, ahead).unwrap();
        set(&i.policy);
        let o = child.wait_with_output().unwrap();
        (o.status.success(), String::from_utf8_lossy(&[o.stdout, o.stderr].concat()).into_owned())
    }

    #[test]
    fn a_sync_fails_when_told_to() {
        let file = std::env::temp_dir().join(format!("faults-sync-{}", std::process::id()));
        std::fs::write(&file, "x").unwrap();
        let name = file.to_string_lossy().into_owned();
        // `sync FILE` calls fsync; what is set after its start reaches it because it sleeps before.
        let script = format!("sleep 0.2; sync {name} && echo fine");
        let fail = |p: &Policy| p.fail_syncs.store(1, Ordering::SeqCst);
        let (ok, out) = run(Traps::DISK, 0, fail, &["sh", "-c", &script]);
        assert!(!ok && out.contains("Input/output error"), "{out}");
        assert_eq!(run(Traps::DISK, 0, |_| (), &["sh", "-c", &script]), (true, "fine\n".into()));
        std::fs::remove_file(file).unwrap();
    }

    #[test]
    fn the_clock_jumps_for_one_program() {
        let century = 1000 * 86_400 * 36_525;
        let (ok, out) = run(Traps::CLOCK, century, |_| (), &["date", "+%Y"]);
        assert!(ok && out.trim().parse::<u32>().unwrap() >= 2125, "{out}");
    }
}
