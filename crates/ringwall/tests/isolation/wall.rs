//! An isolated wall, and programs that live in its homes for as long as a test talks to them.

use crate::{is_impossible, ringwall, text};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Output, Stdio};
use std::time::{Duration, Instant};

/// How long something that must come may take.
pub const LONG: Duration = Duration::from_secs(20);

/// A wall that ends with the test, in the way that it is meant to end.
pub struct Wall {
    child: Child,
    pub state: String,
    /// What it said until it was up.
    pub said: Vec<String>,
}

impl Drop for Wall {
    fn drop(&mut self) {
        self.end();
    }
}

impl Wall {
    /// The platform of the examples.
    pub fn up(folder: &Path) -> Option<Self> {
        Self::of(folder, &["examples/ai-platform", "--stand-in"])
    }

    /// `up --isolate` with these words, its state in a folder; `None` where there can be no namespaces.
    pub fn of(folder: &Path, words: &[&str]) -> Option<Self> {
        let state = folder.join("state").display().to_string();
        let words = [&["up", "--isolate", "--crs", "none", "--state-dir", &state], words].concat();
        let mut child = ringwall(&words).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let said: Vec<String> = BufReader::new(child.stdout.take().unwrap())
            .lines()
            .map_while(Result::ok)
            .take_while(|line| !line.starts_with("Ctrl-C"))
            .collect();
        if said.is_empty() {
            let output = child.wait_with_output().unwrap();
            let told = String::from_utf8_lossy(&output.stderr).into_owned();
            assert!(is_impossible(&told), "{told}");
            return None;
        }
        assert!(said.iter().any(|line| line.contains("cannot be gone around: yes")), "{said:#?}");
        Some(Self { child, state, said })
    }

    pub fn process(&self) -> u32 {
        self.child.id()
    }

    /// A program as a workload, until it ends.
    pub fn run(&self, workload: &str, command: &[&str]) -> Output {
        let arguments = [&["run", "--state-dir", &self.state, "--as", workload, "--"], command].concat();
        ringwall(&arguments).output().unwrap()
    }

    /// What a command says that must succeed.
    pub fn says(&self, command: &[&str]) -> String {
        let output = ringwall(&[command, &["--state-dir", &self.state]].concat()).output().unwrap();
        assert!(output.status.success(), "{command:?}: {}", text(&output));
        text(&output)
    }

    /// Status and body of the admin listener's answer.
    pub fn get(&self, path: &str) -> (u16, String) {
        let at = self.said.iter().find_map(|line| line.strip_prefix("admin     http://")).unwrap();
        let mut stream = TcpStream::connect(at.split(' ').next().unwrap()).unwrap();
        write!(stream, "GET {path} HTTP/1.1\r\nHost: wall\r\nConnection: close\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        (answer.split(' ').nth(1).unwrap().parse().unwrap(), answer)
    }

    /// Killed, without a word.
    pub fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    fn end(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            drop(std::process::Command::new("kill").arg(self.child.id().to_string()).status());
            drop(self.child.wait());
        }
    }

    /// A program in a home that a test talks to.
    pub fn program(&self, workload: &str, command: &[&str]) -> Program {
        let arguments = [&["run", "--state-dir", &self.state, "--as", workload, "--"], command].concat();
        let mut child = ringwall(&arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let (input, output) = (child.stdin.take().unwrap(), BufReader::new(child.stdout.take().unwrap()));
        Program { child, input, output }
    }

    /// A shell in a home.
    pub fn shell(&self, workload: &str) -> Program {
        self.program(workload, &["bash", "-c", "while read -r line; do eval \"$line\"; done"])
    }

    /// Something that says back what it hears at these ports of a home.
    pub fn echo(&self, workload: &str, ports: &[&str]) -> Program {
        let mut echo = self.program(workload, &[&["perl", "-MSocket", "-e", ECHO], ports].concat());
        assert_eq!(echo.line(), "listens");
        echo
    }
}

/// One process for all connections, so that nothing is left of it.
const ECHO: &str = r#"$| = 1; my (%open, $all); $all = '';
for my $port (@ARGV) {
  socket(my $s, PF_INET, SOCK_STREAM, 0); setsockopt($s, SOL_SOCKET, SO_REUSEADDR, 1);
  bind($s, sockaddr_in($port, INADDR_ANY)) or die; listen($s, 9);
  $open{fileno $s} = [$s, 1]; vec($all, fileno $s, 1) = 1;
}
print "listens\n";
while (1) {
  select(my $ready = $all, undef, undef, undef);
  for my $number (keys %open) {
    next unless vec($ready, $number, 1);
    my ($s, $listens) = @{$open{$number}};
    if ($listens) { accept(my $c, $s); $open{fileno $c} = [$c, 0]; vec($all, fileno $c, 1) = 1 }
    elsif (sysread($s, my $bytes, 64)) { syswrite($s, $bytes) }
    else { vec($all, $number, 1) = 0; delete $open{$number} }
  }
}"#;

/// A program in a home.
pub struct Program {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Drop for Program {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

impl Program {
    fn line(&mut self) -> String {
        let mut line = String::new();
        self.output.read_line(&mut line).unwrap();
        line.trim_end().to_owned()
    }

    /// The line that a line of shell prints.
    pub fn says(&mut self, command: &str) -> String {
        writeln!(self.input, "{command}").unwrap();
        self.line()
    }

    /// Whether a connection is made within a moment.
    pub fn reaches(&mut self, to: &str) -> bool {
        let (host, port) = to.split_once(':').unwrap();
        let dial = format!("timeout 1 bash -c 'exec 4<>/dev/tcp/{host}/{port}' 2>/dev/null");
        self.says(&format!("if {dial}; then echo yes; else echo no; fi")) == "yes"
    }

    /// Opens the connection that [`Self::echoes`] speaks by.
    pub fn connect(&mut self, to: &str) {
        let (host, port) = to.split_once(':').unwrap();
        assert_eq!(self.says(&format!("exec 3<>/dev/tcp/{host}/{port} && echo open")), "open");
    }

    /// Whether a word that is sent by the open connection comes back within so many seconds.
    pub fn echoes(&mut self, seconds: u32) -> bool {
        let ask = format!("back=; echo word >&3; read -r -t {seconds} back <&3; echo \"got $back\"");
        self.says(&ask) == "got word"
    }
}

/// Waits for something that must come.
pub fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !holds() {
        assert!(begun.elapsed() < LONG, "{what}");
        std::thread::yield_now();
    }
}
