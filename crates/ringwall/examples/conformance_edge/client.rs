//! One request on a connection of its own, its bytes as they are; of the answer the head is read.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// As long as go-ftw waits.
const PATIENCE: Duration = Duration::from_secs(10);

/// What came back.
#[derive(Clone, Debug, Default)]
pub struct Answer {
    /// Status; `None` when nothing came, or no HTTP.
    pub status: Option<u16>,
    /// `x-request-id`.
    pub id: Option<String>,
}

/// Sends a request.
pub fn send(to: SocketAddr, request: &[u8]) -> Answer {
    exchange(to, request).unwrap_or_default()
}

fn exchange(to: SocketAddr, request: &[u8]) -> std::io::Result<Answer> {
    let mut stream = TcpStream::connect(to)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    // A request that is refused by its head may be closed while its body is still being written.
    let written = stream.write_all(request);
    let mut input = Vec::new();
    loop {
        let end = input.windows(4).position(|window| window == b"\r\n\r\n");
        if let Some(end) = end {
            let head = String::from_utf8_lossy(&input[..end]).into_owned();
            let answer = read(&head);
            if answer.status.is_some_and(|status| (100..200).contains(&status) && status != 101) {
                input.drain(..end + 4);
                continue;
            }
            return Ok(answer);
        }
        let mut buffer = [0; 4096];
        let read = stream.read(&mut buffer)?;
        if read == 0 {
            written?;
            return Ok(Answer::default());
        }
        input.extend_from_slice(&buffer[..read]);
    }
}

fn read(head: &str) -> Answer {
    let mut lines = head.lines();
    let first = lines.next().unwrap_or_default();
    let status = first.strip_prefix("HTTP/1.").and_then(|rest| rest.split(' ').nth(1)?.parse().ok());
    let id = lines.find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("x-request-id").then(|| value.trim().to_owned())
    });
    Answer { status, id }
}
