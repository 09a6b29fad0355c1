//! Going into a workload's home for good, with nothing that could undo it: what `ringwall run` does before it becomes the
//! program that it was told to start. Without a home it is the machine's network, and a control group confines it.
//!
//! In: where the home is, as the running wall says. Out: a process in it, without capabilities, that can gain none.
//! Never: a way back. ORDER: namespaces first, because that takes capabilities; then the capabilities; then the program.
//! What it keeps: the machine's processes and most of its files are in sight. `SECURITY.md` says what that means.

use super::{IsolationError, unshare};
use rustix::fd::AsFd;
use rustix::mount::{MountFlags, MountPropagationFlags, mount, mount_bind, mount_change};
use rustix::process::{Gid, Signal, Uid};
use rustix::thread::{CapabilitySet, CapabilitySets, LinkNameSpaceType, UnshareFlags, move_into_link_name_space};
use std::fs::File;
use std::path::{Path, PathBuf};

/// Where a program is to run, and as whom.
#[derive(Clone, Debug)]
pub struct Confinement {
    /// The home's network namespace: `/proc/PID/fd/N`; `None`: the machine's.
    pub network: Option<PathBuf>,
    /// The user namespace that it belongs to, when the wall runs in one of its own: `/proc/PID/ns/user`.
    pub user: Option<PathBuf>,
    /// Folders that the program must not see; each is empty for it.
    pub hidden: Vec<PathBuf>,
    /// User and group to become, where the wall runs as root.
    pub identity: Option<(u32, u32)>,
    /// What becomes of the program when the process that started it ends.
    pub parent: Parent,
}

/// What becomes of a program when the process that started it ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Parent {
    /// It ends too.
    Followed,
    /// It goes on.
    Ignored,
}

impl Confinement {
    /// Goes there. The calling process must have a single thread.
    ///
    /// # Errors
    /// With the step that failed; the process is then good for nothing but to end.
    pub fn enter(&self) -> Result<(), IsolationError> {
        let open = |path: &Path| {
            File::open(path).map_err(|error| IsolationError::step(format!("open {}", path.display()), error))
        };
        let step = |name: &'static str| move |error: rustix::io::Errno| IsolationError::step(name, error);
        // ORDER: opened from outside, joined from inside: the user namespace gives the right to join the other.
        let network = self.network.as_deref().map(open).transpose()?;
        if let Some(user) = &self.user {
            let user = open(user)?;
            move_into_link_name_space(user.as_fd(), Some(LinkNameSpaceType::User))
                .map_err(step("join the user namespace"))?;
        }
        if let Some(network) = network {
            move_into_link_name_space(network.as_fd(), Some(LinkNameSpaceType::Network))
                .map_err(step("join the home"))?;
        }
        unshare(UnshareFlags::NEWNS | UnshareFlags::NEWIPC).map_err(step("unshare mounts"))?;
        let private = MountPropagationFlags::PRIVATE | MountPropagationFlags::REC;
        mount_change("/", private).map_err(step("make mounts private"))?;
        for folder in self.hidden.iter().filter(|folder| folder.is_dir()) {
            hide(folder)?;
        }
        self.give_up()
    }

    /// Gives every capability up, and the means to get one.
    fn give_up(&self) -> Result<(), IsolationError> {
        let step = |name: &'static str| move |error: rustix::io::Errno| IsolationError::step(name, error);
        rustix::thread::set_no_new_privs(true).map_err(step("set no_new_privs"))?;
        for capability in CapabilitySet::all().iter() {
            match rustix::thread::remove_capability_from_bounding_set(capability) {
                // One that this kernel does not know nobody can have.
                Ok(()) | Err(rustix::io::Errno::INVAL) => {}
                Err(error) => return Err(IsolationError::step("bound capabilities", error)),
            }
        }
        if let Some((user, group)) = self.identity {
            let (user, group) = (Uid::from_raw(user), Gid::from_raw(group));
            rustix::thread::set_thread_groups(&[group]).map_err(step("set groups"))?;
            rustix::thread::set_thread_res_gid(group, group, group).map_err(step("set the group"))?;
            rustix::thread::set_thread_res_uid(user, user, user).map_err(step("set the user"))?;
        }
        let none = CapabilitySet::empty();
        let sets = CapabilitySets { effective: none, permitted: none, inheritable: none };
        rustix::thread::set_capabilities(None, sets).map_err(step("drop capabilities"))?;
        rustix::thread::clear_ambient_capability_set().map_err(step("drop ambient capabilities"))?;
        if self.parent == Parent::Followed {
            // ORDER: after the change of user, which forgets it.
            rustix::process::set_parent_process_death_signal(Some(Signal::TERM)).map_err(step("follow the parent"))?;
        }
        Ok(())
    }
}

/// Lays an empty folder over one. In the first of them `resolv.conf` names a resolver that is intercepted.
fn hide(folder: &Path) -> Result<(), IsolationError> {
    let told = |error: rustix::io::Errno| IsolationError::step(format!("hide {}", folder.display()), error);
    let flags = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
    mount("ringwall", folder, "tmpfs", flags, Some(c"mode=755,size=64k")).map_err(told)?;
    let file = folder.join("resolv.conf");
    let written = std::fs::write(&file, RESOLVERS);
    written.map_err(|error| IsolationError::step(format!("write {}", file.display()), error))?;
    match mount_bind(&file, "/etc/resolv.conf") {
        // A system without that file asks the loopback anyway (resolv.conf(5)).
        Ok(()) | Err(rustix::io::Errno::NOENT) => Ok(()),
        Err(error) => Err(IsolationError::step("bind /etc/resolv.conf", error)),
    }
}

/// Any address would do: questions for names are redirected to the home's own resolver.
const RESOLVERS: &str = "nameserver 127.0.0.1\noptions timeout:2 attempts:1\n";
