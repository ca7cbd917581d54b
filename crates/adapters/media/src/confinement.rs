//! What a child gives up before it sees anything untrusted: most of the machine's memory and time, and every system call
//! by which it could reach a file, the network or another process.

use std::io;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Address space, in bytes: the pixels of the largest picture, and room to work on them.
const MEMORY: u64 = 512 << 20;
/// Seconds of work.
const CPU_SECONDS: u64 = 20;
/// Open files: input, output, error output, and what the runtime opens for a moment.
const FILES: u64 = 16;

/// Limits that hold from the next `exec` on, whatever the program sets aside before its first line: an allocator may
/// reserve more than [`MEMORY`] then.
///
/// # Errors
/// If the system refuses one of them.
pub(crate) fn limit() -> io::Result<()> {
    lower(Resource::As, MEMORY)?;
    lower(Resource::Cpu, CPU_SECONDS)?;
    lower(Resource::Nofile, FILES)?;
    lower(Resource::Fsize, 0)?;
    lower(Resource::Core, 0)
}

/// Never raises: someone may have been stricter.
fn lower(resource: Resource, most: u64) -> io::Result<()> {
    let most = getrlimit(resource).maximum.map_or(most, |present| present.min(most));
    Ok(setrlimit(resource, Rlimit { current: Some(most), maximum: Some(most) })?)
}

/// From here on all threads can work with the memory and the descriptors they have, and end. Whatever else they ask of
/// the system is refused: with nothing to be opened, no rules about files are needed.
///
/// # Errors
/// If the system knows no such filters.
#[cfg(target_os = "linux")]
pub(crate) fn close_doors() -> Result<(), alivio_kernel::BoxError> {
    use seccompiler::{BpfProgram, SeccompAction, SeccompFilter, apply_filter_all_threads};

    let rules = NEEDED.into_iter().map(|call| (call, Vec::new())).collect();
    let refused = SeccompAction::Errno(libc::EPERM.unsigned_abs());
    let filter =
        SeccompFilter::new(rules, refused, SeccompAction::Allow, std::env::consts::ARCH.try_into()?)?;
    Ok(apply_filter_all_threads(&BpfProgram::try_from(filter)?)?)
}

/// Elsewhere one develops, and has the limits alone.
#[cfg(not(target_os = "linux"))]
pub(crate) fn close_doors() -> Result<(), alivio_kernel::BoxError> {
    Ok(())
}

/// Memory, waiting for each other, reading and writing what is open, dying.
#[cfg(target_os = "linux")]
const NEEDED: [libc::c_long; 28] = [
    libc::SYS_read,
    libc::SYS_write,
    libc::SYS_writev,
    libc::SYS_close,
    libc::SYS_brk,
    libc::SYS_mmap,
    libc::SYS_munmap,
    libc::SYS_mremap,
    libc::SYS_mprotect,
    libc::SYS_madvise,
    libc::SYS_membarrier,
    libc::SYS_futex,
    libc::SYS_rseq,
    libc::SYS_set_robust_list,
    libc::SYS_sched_yield,
    libc::SYS_sched_getaffinity,
    libc::SYS_clock_gettime,
    libc::SYS_getrandom,
    libc::SYS_getpid,
    libc::SYS_gettid,
    libc::SYS_tgkill,
    libc::SYS_sigaltstack,
    libc::SYS_rt_sigaction,
    libc::SYS_rt_sigprocmask,
    libc::SYS_rt_sigreturn,
    libc::SYS_restart_syscall,
    libc::SYS_exit,
    libc::SYS_exit_group,
];
