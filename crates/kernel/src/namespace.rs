//! Network namespaces without names: each lives as long as somebody holds it. A process of its own holds those that are to
//! outlive this one ([`keep`]); of the others nothing is left when it dies.
//!
//! In: nothing but what this process may do. Out: [`Namespace`]. Never: a change in the namespace that the process
//! started in. As root they are made directly; otherwise inside a user namespace of the process's own, which it can only
//! enter while it has a single thread (user_namespaces(7)). Start reading at [`enter`].

pub mod confine;
pub mod keep;
pub mod node;

use rustix::fd::AsFd;
use rustix::thread::{CapabilitySet, LinkNameSpaceType, UnshareFlags, move_into_link_name_space, unshare_unsafe};
use std::fs::File;
use std::io;
use std::sync::Arc;

/// How this process may make namespaces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It has the capabilities where it is.
    Privileged,
    /// It went into a user namespace of its own and has them there.
    OwnUser,
}

/// Why there is no isolation.
#[derive(Debug, thiserror::Error)]
pub enum IsolationError {
    /// The kernel says no; the text names what is missing.
    #[error("isolation needs {0}")]
    Permission(String),
    /// A step failed.
    #[error("{step}: {error}")]
    Step {
        /// What was to be done.
        step: String,
        /// What the kernel said.
        error: io::Error,
    },
}

impl IsolationError {
    /// A failed step.
    pub fn step(step: impl Into<String>, error: impl Into<io::Error>) -> Self {
        Self::Step { step: step.into(), error: error.into() }
    }
}

/// Makes sure that this process may make namespaces. ORDER: before the first thread is started, because a process of
/// several threads cannot go into a user namespace.
///
/// # Errors
/// [`IsolationError::Permission`] with the missing permission.
pub fn enter() -> Result<Standing, IsolationError> {
    if is_privileged()? {
        return Ok(Standing::Privileged);
    }
    let (user, group) = (rustix::process::geteuid(), rustix::process::getegid());
    unshare(UnshareFlags::NEWUSER | UnshareFlags::NEWNS).map_err(|error| IsolationError::Permission(missing(error)))?;
    let map = |file: &str, text: String| {
        std::fs::write(file, text).map_err(|error| IsolationError::step(format!("write {file}"), error))
    };
    // An unprivileged process may map its group only after it gave up setgroups(2).
    map("/proc/self/setgroups", "deny".into())?;
    map("/proc/self/uid_map", format!("{user} {user} 1", user = user.as_raw()))?;
    map("/proc/self/gid_map", format!("{group} {group} 1", group = group.as_raw()))?;
    if !is_privileged()? {
        return Err(IsolationError::Permission(missing(rustix::io::Errno::PERM)));
    }
    Ok(Standing::OwnUser)
}

/// Whether this process may make and wire namespaces where it is.
fn is_privileged() -> Result<bool, IsolationError> {
    let has = rustix::thread::capabilities(None).map_err(|error| IsolationError::step("capget", error))?;
    Ok(has.effective.contains(CapabilitySet::SYS_ADMIN | CapabilitySet::NET_ADMIN))
}

/// Whether this process runs as root of the namespace that it is in.
pub fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// Leaves namespaces for new ones; the file descriptor table stays shared.
#[expect(unsafe_code, reason = "unshare(2) can take a thread's file descriptors from it; not with these flags")]
pub(crate) fn unshare(flags: UnshareFlags) -> rustix::io::Result<()> {
    // SAFETY: no caller asks for `FILES`, so every thread keeps the one table of file descriptors.
    unsafe { unshare_unsafe(flags.difference(UnshareFlags::FILES)) }
}

/// Which switch of the system forbids user namespaces, as far as it can be seen.
fn missing(error: rustix::io::Errno) -> String {
    let says = |path: &str, value: &str| std::fs::read_to_string(path).is_ok_and(|text| text.trim() == value);
    let reason = if says("/proc/sys/user/max_user_namespaces", "0") {
        "sysctl user.max_user_namespaces is 0"
    } else if says("/proc/sys/kernel/unprivileged_userns_clone", "0") {
        "sysctl kernel.unprivileged_userns_clone is 0"
    } else if says("/proc/sys/kernel/apparmor_restrict_unprivileged_userns", "1") {
        "AppArmor gives unprivileged user namespaces no capabilities (kernel.apparmor_restrict_unprivileged_userns is 1)"
    } else if error == rustix::io::Errno::INVAL {
        "the process has more than one thread already"
    } else {
        "the kernel refuses user namespaces to this user, as some container runtimes have it"
    };
    format!("root (CAP_SYS_ADMIN and CAP_NET_ADMIN), or unprivileged user namespaces; {reason}")
}

/// A network namespace; it lives as long as one of its handles, or a process or socket in it.
#[derive(Clone, Debug)]
pub struct Namespace(Arc<File>);

impl Namespace {
    /// The one that this thread is in.
    ///
    /// # Errors
    /// When `/proc` is not there.
    pub fn current() -> io::Result<Self> {
        Ok(Self(Arc::new(File::open("/proc/thread-self/ns/net")?)))
    }

    /// Makes a new one; nothing is in it but a loopback that is down.
    ///
    /// # Errors
    /// When the process may not; see [`enter`].
    pub fn create() -> io::Result<Self> {
        apart(|| {
            unshare(UnshareFlags::NEWNET)?;
            Self::current()
        })
    }

    /// One that another process holds open, `/proc/PID/fd/N`.
    ///
    /// # Errors
    /// When it cannot be opened.
    pub fn open(path: &str) -> io::Result<Self> {
        Ok(Self(Arc::new(File::open(path)?)))
    }

    /// Where another process finds it.
    pub fn path(&self) -> String {
        use std::os::fd::AsRawFd;
        format!("/proc/{}/fd/{}", std::process::id(), self.0.as_raw_fd())
    }

    /// Does something in it, on a thread of its own.
    ///
    /// # Errors
    /// What the work says, or why the namespace could not be entered.
    pub fn run<T: Send>(&self, work: impl FnOnce() -> io::Result<T> + Send) -> io::Result<T> {
        apart(|| {
            self.join()?;
            work()
        })
    }

    /// Moves the calling thread into it, for good.
    ///
    /// # Errors
    /// When the process may not.
    pub fn join(&self) -> io::Result<()> {
        Ok(move_into_link_name_space(self.0.as_fd(), Some(LinkNameSpaceType::Network))?)
    }
}

impl AsFd for Namespace {
    fn as_fd(&self) -> rustix::fd::BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// On a thread that ends with the work, so that what the work does to its thread ends too.
fn apart<T: Send>(work: impl FnOnce() -> io::Result<T> + Send) -> io::Result<T> {
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().name("namespace".into()).spawn_scoped(scope, work)?;
        thread.join().unwrap_or_else(|_| Err(io::Error::other("the thread in the namespace panicked")))
    })
}

/// Sets a network sysctl of the namespace that the calling thread is in.
///
/// # Errors
/// With the name of the sysctl.
pub fn set_sysctl(name: &str, value: &str) -> io::Result<()> {
    let path = format!("/proc/sys/net/{name}");
    std::fs::write(&path, value).map_err(|error| io::Error::new(error.kind(), format!("write {path}: {error}")))
}
