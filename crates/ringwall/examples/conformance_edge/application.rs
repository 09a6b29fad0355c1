//! The application behind the edge: answers as `albedo` does, and hands back the name that the edge gave the call.

use super::harness::serve::{answer, head};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};

/// Starts it on a free port of loopback. Its threads end with the process.
///
/// # Errors
/// What the system said.
pub fn start() -> std::io::Result<SocketAddr> {
    let listener = TcpListener::bind(("127.0.0.1", 0))?;
    let address = listener.local_addr()?;
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            std::thread::spawn(move || {
                // A connection that breaks off is the edge's business.
                let _ = serve(stream);
            });
        }
    });
    Ok(address)
}

fn serve(mut stream: TcpStream) -> std::io::Result<()> {
    let mut input = Vec::new();
    while let Some((request, used)) = next(&mut stream, &mut input)? {
        let parts = head(&request);
        let field = |name: &str| parts.fields.iter().find(|(it, _)| it.eq_ignore_ascii_case(name.as_bytes()));
        let id = field("x-request-id").map(|(_, value)| String::from_utf8_lossy(value).into_owned());
        let response = answer(&parts);
        let mut out = format!("HTTP/1.1 {} Answer\r\n", response.status);
        for (name, value) in &response.fields {
            out.push_str(&format!("{name}: {value}\r\n"));
        }
        if let Some(id) = id {
            out.push_str(&format!("x-request-id: {id}\r\n"));
        }
        let without = matches!(response.status, 204 | 304);
        if !without {
            out.push_str(&format!("content-length: {}\r\n", response.body.len()));
        }
        out.push_str("\r\n");
        let mut bytes = out.into_bytes();
        if !without && parts.method != b"HEAD" {
            bytes.extend_from_slice(&response.body);
        }
        stream.write_all(&bytes)?;
        input.drain(..used);
    }
    Ok(())
}

/// The next request with its body decoded, and how many bytes it took; `None` at the end.
fn next(stream: &mut TcpStream, input: &mut Vec<u8>) -> std::io::Result<Option<(Vec<u8>, usize)>> {
    loop {
        if let Some(found) = whole(input) {
            return Ok(Some(found));
        }
        let mut buffer = [0; 16 * 1024];
        let read = stream.read(&mut buffer)?;
        if read == 0 {
            return Ok(None);
        }
        input.extend_from_slice(&buffer[..read]);
    }
}

fn whole(input: &[u8]) -> Option<(Vec<u8>, usize)> {
    let end = input.windows(4).position(|window| window == b"\r\n\r\n")? + 4;
    let parts = head(&input[..end]);
    let field = |name: &str| parts.fields.iter().find(|(it, _)| it.eq_ignore_ascii_case(name.as_bytes()));
    if field("transfer-encoding").is_some() {
        let (body, used) = chunks(&input[end..])?;
        return Some(([&input[..end], &body].concat(), end + used));
    }
    let length = field("content-length").and_then(|(_, value)| std::str::from_utf8(value).ok()?.parse().ok());
    let length: usize = length.unwrap_or(0);
    (input.len() >= end + length).then(|| (input[..end + length].to_vec(), end + length))
}

/// The edge writes chunks plainly: a size, a line end, the bytes, a line end; no trailers.
fn chunks(input: &[u8]) -> Option<(Vec<u8>, usize)> {
    let (mut body, mut at) = (Vec::new(), 0);
    loop {
        let line = input[at..].windows(2).position(|window| window == b"\r\n")? + at;
        let size = usize::from_str_radix(std::str::from_utf8(&input[at..line]).ok()?.trim(), 16).ok()?;
        let from = line + 2;
        if input.len() < from + size + 2 {
            return None;
        }
        body.extend_from_slice(&input[from..from + size]);
        at = from + size + 2;
        if size == 0 {
            return Some((body, at));
        }
    }
}
