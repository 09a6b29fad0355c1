//! Namespaces that outlive the wall: a process of their own keeps them open, and gives them to the next wall.
//!
//! In: namespaces with a label, over a socket in the state folder. Out: the same to whoever comes after a wall that was
//! killed. Never: a look into a namespace, or two walls at a time. It ends when a wall says so, or is killed itself;
//! then, or after a restart of the machine, nobody answers at the socket, and the next wall makes everything anew.
//!
//! One message a packet: `here`, `keep LABEL` with a namespace, `forget LABEL`, `all`, `end`; each is answered with `ok`,
//! after what was asked for.

use super::{IsolationError, Namespace, Standing, enter, unshare};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::fd::{AsFd, OwnedFd};
use rustix::io::{Errno, IoSlice, IoSliceMut};
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage,
    SendFlags, SocketAddrUnix, SocketFlags, SocketType, accept_with, bind, connect, listen, recvmsg, sendmsg,
    socket_with,
    sockopt::{Timeout, set_socket_timeout, socket_peercred},
};
use rustix::thread::{LinkNameSpaceType, UnshareFlags, move_into_link_name_space};
use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::mem::MaybeUninit;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

/// Name of the socket in the state folder.
const NAME: &str = "node.sock";
/// The most bytes of a message.
const MOST: usize = 256;
/// How long an answer may take: one that was stopped must not stop the wall.
const PATIENCE: Duration = Duration::from_secs(10);

/// A wall's hold on the process that keeps its namespaces. While it is there no other wall gets one.
#[derive(Debug)]
pub struct Keeper {
    socket: OwnedFd,
    path: PathBuf,
    /// The process.
    pub process: u32,
    /// It, where this process started it.
    child: Option<Child>,
}

/// As [`enter`]; where that means a user namespace, into the one of the namespaces that are kept for this state folder.
/// ORDER: before the first thread is started.
///
/// # Errors
/// As [`enter`].
pub fn enter_beside(folder: &Path) -> Result<Standing, IsolationError> {
    if super::is_privileged()? {
        return Ok(Standing::Privileged);
    }
    let found = Keeper::find(folder).map_err(|error| IsolationError::step("ask for the kept node", error))?;
    let Some(keeper) = found else { return enter() };
    let path = format!("/proc/{}/ns/user", keeper.process);
    let user = File::open(&path).map_err(|error| IsolationError::step(format!("open {path}"), error))?;
    move_into_link_name_space(user.as_fd(), Some(LinkNameSpaceType::User))
        .map_err(|error| IsolationError::step("join the user namespace of the kept node", error))?;
    unshare(UnshareFlags::NEWNS).map_err(|error| IsolationError::step("unshare mounts", error))?;
    Ok(Standing::OwnUser)
}

impl Keeper {
    /// The one of a state folder; `None` when nobody keeps anything there.
    ///
    /// # Errors
    /// [`io::ErrorKind::AddrInUse`] when another wall has it.
    pub fn find(folder: &Path) -> io::Result<Option<Self>> {
        let path = folder.join(NAME);
        let socket = packets()?;
        match connect(&socket, &SocketAddrUnix::new(&path)?) {
            Ok(()) => {}
            // Nobody answers: it was never there, or it ended without a wall.
            Err(Errno::NOENT | Errno::CONNREFUSED) => return Ok(None),
            Err(error) => return Err(error.into()),
        }
        set_socket_timeout(&socket, Timeout::Recv, Some(PATIENCE))?;
        let process = socket_peercred(&socket)?.pid.as_raw_pid().unsigned_abs();
        let keeper = Self { socket, path, process, child: None };
        let busy = |_| io::Error::new(io::ErrorKind::AddrInUse, "another wall of this state folder has it");
        keeper.ask("here", None).map_err(busy)?;
        Ok(Some(keeper))
    }

    /// Starts one for a state folder; `program` is to call [`serve`].
    ///
    /// # Errors
    /// What the system said.
    pub fn start(folder: &Path, program: &mut Command) -> io::Result<Self> {
        use std::os::unix::process::CommandExt;
        let path = folder.join(NAME);
        match std::fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let listener = packets()?;
        bind(&listener, &SocketAddrUnix::new(&path)?)?;
        listen(&listener, 8)?;
        // A group of its own: what a terminal tells the wall is not for it.
        program.stdin(Stdio::from(listener)).stdout(Stdio::null()).stderr(Stdio::null()).process_group(0);
        let child = program.spawn()?;
        let mut keeper = Self::find(folder)?.ok_or_else(ended)?;
        (keeper.process, keeper.child) = (child.id(), Some(child));
        Ok(keeper)
    }

    /// Whether the process is still there.
    pub fn is_there(&self) -> bool {
        self.ask("here", None).is_ok()
    }

    /// Keeps a namespace under a label, instead of what was kept under it.
    ///
    /// # Errors
    /// When the process is gone.
    pub fn keep(&self, label: &str, namespace: &Namespace) -> io::Result<()> {
        self.ask(&format!("keep {label}"), Some(namespace)).map(drop)
    }

    /// Keeps it no more.
    ///
    /// # Errors
    /// When the process is gone.
    pub fn forget(&self, label: &str) -> io::Result<()> {
        self.ask(&format!("forget {label}"), None).map(drop)
    }

    /// All that is kept, with its label.
    ///
    /// # Errors
    /// When the process is gone.
    pub fn all(&self) -> io::Result<Vec<(String, Namespace)>> {
        self.ask("all", None)
    }

    /// Ends the process and takes its socket away.
    ///
    /// # Errors
    /// When it is gone already.
    pub fn end(self) -> io::Result<()> {
        std::fs::remove_file(&self.path)?;
        self.ask("end", None).map(drop)
    }

    /// Ends what is left of one that does not answer; of a killed process that is its number, until who started it has
    /// asked how it ended.
    pub(super) fn bury(self) -> io::Result<()> {
        self.child.map_or(Ok(()), |mut child| child.kill().and_then(|()| child.wait()).map(drop))
    }

    fn ask(&self, text: &str, namespace: Option<&Namespace>) -> io::Result<Vec<(String, Namespace)>> {
        send(&self.socket, text, namespace.map(AsFd::as_fd))?;
        let mut told = Vec::new();
        loop {
            match receive(&self.socket)?.ok_or_else(ended)? {
                (label, Some(namespace)) => told.push((label, Namespace(Arc::new(namespace.into())))),
                (answer, None) if answer == "ok" => return Ok(told),
                (answer, None) => return Err(io::Error::other(answer)),
            }
        }
    }
}

fn ended() -> io::Error {
    io::Error::new(io::ErrorKind::BrokenPipe, "the process that keeps the node has ended")
}

/// What the keeping process does, until a wall ends it: `listener` is what it was started with as its standard input.
///
/// # Errors
/// What the system said; everything that it kept is then let go.
pub fn serve(listener: &OwnedFd) -> io::Result<()> {
    let mut kept = BTreeMap::new();
    let mut wall: Option<OwnedFd> = None;
    // Walls that come later know who keeps by who listens (unix(7), SO_PEERCRED).
    listen(listener, 8)?;
    loop {
        let mut polled = vec![PollFd::new(listener, PollFlags::IN)];
        polled.extend(wall.as_ref().map(|wall| PollFd::new(wall, PollFlags::IN)));
        poll(&mut polled, None)?;
        let spoke = polled.get(1).is_some_and(|wall| !wall.revents().is_empty());
        // ORDER: the end of one wall is seen before the next is looked at.
        match wall.take() {
            Some(owner) if spoke => match conversation(&owner, &mut kept) {
                Spoken::End => return Ok(()),
                Spoken::More => wall = Some(owner),
                Spoken::Gone => {}
            },
            owner => {
                let comes = accept_with(listener, SocketFlags::CLOEXEC)?;
                let own = rustix::process::geteuid();
                wall = owner.or_else(|| socket_peercred(&comes).is_ok_and(|peer| peer.uid == own).then_some(comes));
            }
        }
    }
}

enum Spoken {
    More,
    Gone,
    End,
}

/// Reads one message of the wall and answers it.
fn conversation(wall: &OwnedFd, kept: &mut BTreeMap<String, OwnedFd>) -> Spoken {
    let Ok(Some((text, namespace))) = receive(wall) else { return Spoken::Gone };
    let (word, label) = text.split_once(' ').unwrap_or((&text, ""));
    let mut said = Ok(());
    match (word, namespace) {
        ("keep", Some(namespace)) => drop(kept.insert(label.to_owned(), namespace)),
        ("forget", None) => drop(kept.remove(label)),
        ("all", None) => {
            said = kept.iter().try_for_each(|(label, namespace)| send(wall, label, Some(namespace.as_fd())));
        }
        _ => {}
    }
    match said.and_then(|()| send(wall, "ok", None)) {
        _ if word == "end" => Spoken::End,
        Ok(()) => Spoken::More,
        Err(_) => Spoken::Gone,
    }
}

fn packets() -> io::Result<OwnedFd> {
    Ok(socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)?)
}

fn send(socket: &OwnedFd, text: &str, with: Option<rustix::fd::BorrowedFd<'_>>) -> io::Result<()> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    let with: Vec<_> = with.into_iter().collect();
    if !with.is_empty() && !control.push(SendAncillaryMessage::ScmRights(&with)) {
        return Err(io::Error::other("no room for a descriptor"));
    }
    sendmsg(socket, &[IoSlice::new(text.as_bytes())], &mut control, SendFlags::NOSIGNAL)?;
    Ok(())
}

/// One message, and what came with it; `None` when the other side is gone.
fn receive(socket: &OwnedFd) -> io::Result<Option<(String, Option<OwnedFd>)>> {
    let mut bytes = [0; MOST];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let got = recvmsg(socket, &mut [IoSliceMut::new(&mut bytes)], &mut control, RecvFlags::CMSG_CLOEXEC)?;
    let came = control.drain().find_map(|message| match message {
        RecvAncillaryMessage::ScmRights(mut all) => all.next(),
        _ => None,
    });
    let text = String::from_utf8_lossy(bytes.get(..got.bytes).unwrap_or_default()).into_owned();
    Ok(if got.bytes == 0 { None } else { Some((text, came)) })
}
