//! Namespaces that outlive the wall: a process of their own keeps them open, and gives them to the next wall.
//!
//! In: namespaces with a label, over a socket in the state folder. Out: the same to whoever comes after a wall that was
//! killed. Never: a look into a namespace, or two walls at a time. It ends when a wall says so, or is killed itself;
//! then, or after a restart of the machine, nobody answers at the socket, and the next wall makes everything anew. One
//! that is stopped is woken by the next wall, and killed by it when it stays silent ([`Keeper::take`]).
//!
//! One message a packet: `here`, `keep LABEL` with a namespace, `forget LABEL`, `all`, `end`; each is answered with `ok`,
//! after what was asked for.

use super::{IsolationError, Namespace, Standing, enter, unshare};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fd::{AsFd, OwnedFd};
use rustix::io::{Errno, IoSlice, IoSliceMut};
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage,
    SendFlags, SocketAddrUnix, SocketFlags, SocketType, accept_with, bind, connect, listen, recvmsg, sendmsg,
    socket_with,
    sockopt::{Timeout, set_socket_timeout, socket_peercred},
};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
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
pub const PATIENCE: Duration = Duration::from_secs(5);
/// Walls and commands that may wait for one that is stopped.
const WAITING: i32 = 128;

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
    let found = Keeper::take(folder, PATIENCE).map_err(|error| IsolationError::step("ask for the kept node", error))?;
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
    /// [`io::ErrorKind::AddrInUse`] when another wall has it, [`io::ErrorKind::TimedOut`] when it does not answer.
    pub fn find(folder: &Path) -> io::Result<Option<Self>> {
        let Some(keeper) = Self::reach(folder, PATIENCE)? else { return Ok(None) };
        keeper.ask("here", None).map_err(|error| keeper.why(error))?;
        Ok(Some(keeper))
    }

    /// As [`Self::find`], for who needs it: one that does not answer for so long was stopped, and goes on with all that
    /// it keeps; one that stays silent for as long again is killed, and there is none.
    ///
    /// # Errors
    /// [`io::ErrorKind::AddrInUse`] when another wall has it, and when it is silent and not known to be one of ours.
    pub fn take(folder: &Path, patience: Duration) -> io::Result<Option<Self>> {
        let Some(keeper) = Self::reach(folder, patience)? else { return Ok(None) };
        match keeper.ask("here", None) {
            Ok(_) => return Ok(Some(keeper)),
            Err(error) if !is_silence(&error) => return Err(keeper.why(error)),
            Err(_) => {}
        }
        let Some(held) = keeper.hold()? else {
            let why =
                format!("process {} listens for the kept node, does not answer, and is no keeper", keeper.process);
            return Err(io::Error::new(io::ErrorKind::AddrInUse, why));
        };
        signal(&held, Signal::CONT)?;
        // What it was asked is still before it.
        match keeper.answer() {
            Ok(_) => Ok(Some(keeper)),
            Err(error) if is_silence(&error) => kill(&held).map(|()| None),
            Err(error) => Err(keeper.why(error)),
        }
    }

    fn reach(folder: &Path, patience: Duration) -> io::Result<Option<Self>> {
        let path = folder.join(NAME);
        let socket = packets()?;
        for which in [Timeout::Send, Timeout::Recv] {
            set_socket_timeout(&socket, which, Some(patience))?;
        }
        match connect(&socket, &SocketAddrUnix::new(&path)?) {
            Ok(()) => {}
            // Nobody answers: it was never there, or it ended without a wall.
            Err(Errno::NOENT | Errno::CONNREFUSED) => return Ok(None),
            Err(error) => return Err(error.into()),
        }
        let process = socket_peercred(&socket)?.pid.as_raw_pid().unsigned_abs();
        Ok(Some(Self { socket, path, process, child: None }))
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
        listen(&listener, WAITING)?;
        // A group of its own: what a terminal tells the wall is not for it.
        program.stdin(Stdio::from(listener)).stdout(Stdio::null()).stderr(Stdio::null()).process_group(0);
        let mut child = program.spawn()?;
        match Self::find(folder).and_then(|found| found.ok_or_else(ended)) {
            Ok(found) => Ok(Self { process: child.id(), child: Some(child), ..found }),
            Err(error) => {
                child.kill().and_then(|()| child.wait()).map(drop)?;
                Err(error)
            }
        }
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

    /// Ends the process, also one that does not answer, and takes its socket away.
    ///
    /// # Errors
    /// When it is gone already.
    pub fn end(self) -> io::Result<()> {
        // ORDER: by its socket it is known.
        let held = self.hold();
        std::fs::remove_file(&self.path)?;
        match self.ask("end", None) {
            Err(error) => held?.map_or(Err(error), |held| kill(&held)),
            Ok(_) => Ok(()),
        }
    }

    /// Ends what is left of one that does not answer: a process that is stopped, or of a killed one its number, until
    /// who started it has asked how it ended.
    pub(super) fn bury(&mut self) -> io::Result<()> {
        match &mut self.child {
            Some(child) => child.kill().and_then(|()| child.wait()).map(drop),
            None => self.hold()?.map_or(Ok(()), |held| kill(&held)),
        }
    }

    /// A hold on the process, whose number may be another's by the time that it is told something; `None` when it is
    /// gone, or is none that keeps a node here: its input is the socket by which it was asked.
    fn hold(&self) -> io::Result<Option<OwnedFd>> {
        let Some(process) = i32::try_from(self.process).ok().and_then(Pid::from_raw) else { return Ok(None) };
        // ORDER: held, then looked at: a signal for who was held never comes to who has the number later.
        let held = match pidfd_open(process, PidfdFlags::empty()) {
            Err(Errno::SRCH) => return Ok(None),
            opened => opened?,
        };
        Ok(listens_at(self.process, &self.path).then_some(held))
    }

    fn ask(&self, text: &str, namespace: Option<&Namespace>) -> io::Result<Vec<(String, Namespace)>> {
        send(&self.socket, text, namespace.map(AsFd::as_fd))?;
        self.answer()
    }

    fn answer(&self) -> io::Result<Vec<(String, Namespace)>> {
        let mut told = Vec::new();
        loop {
            match receive(&self.socket)?.ok_or_else(ended)? {
                (label, Some(namespace)) => told.push((label, Namespace(Arc::new(namespace.into())))),
                (answer, None) if answer == "ok" => return Ok(told),
                (answer, None) => return Err(io::Error::other(answer)),
            }
        }
    }

    /// Why it did not say that it is here.
    fn why(&self, error: io::Error) -> io::Error {
        if is_silence(&error) {
            let why = format!("process {} keeps the node and does not answer", self.process);
            return io::Error::new(io::ErrorKind::TimedOut, why);
        }
        io::Error::new(io::ErrorKind::AddrInUse, "another wall of this state folder has it")
    }
}

/// Nothing came in time.
fn is_silence(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::WouldBlock
}

/// Whether the input of a process is the socket that listens at a path.
fn listens_at(process: u32, path: &Path) -> bool {
    let of = |what: &str| format!("/proc/{process}/{what}");
    let input = std::fs::read_link(of("fd/0")).unwrap_or_default();
    let number = input.to_str().and_then(|input| input.strip_prefix("socket:[")?.strip_suffix(']'));
    let (Some(number), Ok(sockets)) = (number, std::fs::read("/proc/thread-self/net/unix")) else { return false };
    let sockets = String::from_utf8_lossy(&sockets);
    // proc_net_unix(5): address, references, protocol, flags, type, state, number; then its path as it was bound.
    let listens = |line: &&str| line.split_ascii_whitespace().skip(3).step_by(3).take(2).eq([LISTENS, number]);
    let bound = sockets.lines().find(listens).and_then(|line| line.split_once(&format!(" {number} ")));
    let same = |bound: &str| {
        use std::os::unix::fs::MetadataExt;
        let file = |path: &Path| std::fs::metadata(path).ok().map(|file| (file.dev(), file.ino()));
        file(path).is_some_and(|ours| Some(ours) == file(&Path::new(&of("cwd")).join(bound)))
    };
    bound.is_some_and(|(_, bound)| same(bound))
}

/// `__SO_ACCEPTCON`, as `/proc/net/unix` shows it.
const LISTENS: &str = "00010000";

/// Tells a process something; one that has ended hears nothing.
fn signal(held: &OwnedFd, signal: Signal) -> io::Result<()> {
    match pidfd_send_signal(held, signal) {
        Err(Errno::SRCH) => Ok(()),
        told => Ok(told?),
    }
}

/// Kills a process and waits for its end: then it keeps nothing more, and listens nowhere.
fn kill(held: &OwnedFd) -> io::Result<()> {
    signal(held, Signal::KILL)?;
    let patience = Timespec::try_from(PATIENCE).map_err(io::Error::other)?;
    match poll(&mut [PollFd::new(held, PollFlags::IN)], Some(&patience))? {
        0 => Err(io::Error::new(io::ErrorKind::TimedOut, "the process that kept the node does not end")),
        _ => Ok(()),
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
    listen(listener, WAITING)?;
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
