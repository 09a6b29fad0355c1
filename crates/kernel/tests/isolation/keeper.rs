//! The process that keeps a node, when it does not answer.

use ringwall_kernel::namespace::Namespace;
use ringwall_kernel::namespace::keep::{Keeper, serve};
use rustix::fd::AsFd;
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, bind, listen, socket_with};
use rustix::process::{Pid, Signal, WaitOptions, kill_process, waitpid};
use std::ffi::OsStr;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// By this variable a process knows that it is the one that keeps, and how.
pub const VARIABLE: &str = "RINGWALL_TEST_KEEPS";

/// What the process does.
pub fn keep(how: &OsStr) {
    let listener = std::io::stdin().as_fd().try_clone_to_owned().unwrap();
    if how == "silently" {
        listen(&listener, 8).unwrap();
        println!("listens");
        loop {
            std::thread::park();
        }
    }
    serve(&listener).unwrap();
}

/// This program, as a keeper.
fn program(how: &str) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.env(VARIABLE, how);
    command
}

fn process(id: u32) -> Pid {
    Pid::from_raw(i32::try_from(id).unwrap()).unwrap()
}

pub fn one_that_is_stopped_goes_on_with_what_it_keeps() {
    let folder = tempfile::tempdir().unwrap();
    let wall = Keeper::start(folder.path(), &mut program("well")).unwrap();
    wall.keep("router", &Namespace::create().unwrap()).unwrap();
    let keeper = wall.process;
    // The wall is gone, and who it left is stopped.
    drop(wall);
    kill_process(process(keeper), Signal::STOP).unwrap();
    waitpid(Some(process(keeper)), WaitOptions::UNTRACED).unwrap().unwrap();
    let error = Keeper::find(folder.path()).unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::TimedOut, "{error}");
    let next = Keeper::take(folder.path(), Duration::from_secs(2)).unwrap().unwrap();
    let kept: Vec<String> = next.all().unwrap().into_iter().map(|(label, _)| label).collect();
    assert_eq!((next.process, kept), (keeper, vec!["router".to_owned()]));
    // Nor does one that is stopped outlive a wall that ends as it should.
    kill_process(process(keeper), Signal::STOP).unwrap();
    waitpid(Some(process(keeper)), WaitOptions::UNTRACED).unwrap().unwrap();
    next.end().unwrap();
    let (_, ended) = waitpid(Some(process(keeper)), WaitOptions::empty()).unwrap().unwrap();
    assert_eq!(ended.terminating_signal(), Some(Signal::KILL.as_raw()));
}

/// A process that listens and never answers.
fn silent(folder: &Path) -> Child {
    use std::io::BufRead;
    let listener = socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None).unwrap();
    bind(&listener, &SocketAddrUnix::new(folder.join("node.sock")).unwrap()).unwrap();
    let mut child = program("silently").stdin(Stdio::from(listener)).stdout(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    std::io::BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    assert_eq!(line, "listens\n");
    child
}

pub fn one_that_stays_silent_is_killed() {
    let folder = tempfile::tempdir().unwrap();
    let mut child = silent(folder.path());
    let begun = Instant::now();
    assert!(Keeper::take(folder.path(), Duration::from_millis(200)).unwrap().is_none());
    assert!(begun.elapsed() >= Duration::from_millis(400), "it was asked, and woken");
    assert_eq!(child.wait().unwrap().signal(), Some(9));
    // Its place is free.
    let next = Keeper::start(folder.path(), &mut program("well")).unwrap();
    next.end().unwrap();
}

/// The number of who listens is this test's own; nothing is sent to it.
pub fn who_only_listens_there_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let listener = socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None).unwrap();
    bind(&listener, &SocketAddrUnix::new(folder.path().join("node.sock")).unwrap()).unwrap();
    listen(&listener, 8).unwrap();
    let error = Keeper::take(folder.path(), Duration::from_millis(200)).unwrap_err();
    assert!(error.to_string().contains("is no keeper"), "{error}");
}
