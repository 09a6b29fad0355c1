//! The first TLS message of a client, read without answering it: for choosing a server, or for passing it on unopened.

use bytes::{Bytes, BytesMut};
use rustls::server::Acceptor;
use std::io;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

/// What a ClientHello says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hello {
    /// All bytes that were read, to be read again by whoever answers.
    pub bytes: Bytes,
    /// Server name, lower case, without a final dot.
    pub server_name: Option<Box<str>>,
}

/// A ClientHello with post-quantum key shares has about 1.8 KiB; longer than this it is an attack.
const LONGEST: usize = 16 * 1024;

/// Reads a ClientHello.
///
/// # Errors
/// When it is no ClientHello, or longer than 16 KiB, or the client goes away.
pub async fn read(io: &mut (impl AsyncRead + Unpin), already: &[u8]) -> io::Result<Hello> {
    let mut acceptor = Acceptor::default();
    let mut seen = BytesMut::from(already);
    let mut fresh = seen.clone().freeze();
    loop {
        let mut rest = &fresh[..];
        while !rest.is_empty() {
            acceptor.read_tls(&mut rest)?;
        }
        match acceptor.accept() {
            Ok(Some(accepted)) => {
                let server_name = accepted.client_hello().server_name().map(|name| {
                    let name = name.to_ascii_lowercase();
                    name.strip_suffix('.').unwrap_or(&name).into()
                });
                return Ok(Hello { bytes: seen.freeze(), server_name });
            }
            Ok(None) if seen.len() > LONGEST => return Err(io::ErrorKind::InvalidData.into()),
            Ok(None) => {}
            Err((error, _)) => return Err(io::Error::new(io::ErrorKind::InvalidData, error)),
        }
        let before = seen.len();
        if io.read_buf(&mut seen).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        fresh = Bytes::copy_from_slice(seen.get(before..).unwrap_or_default());
    }
}

/// Sends the fatal alert `unrecognized_name` (RFC 6066 section 3) and closes.
pub async fn refuse_name(io: &mut (impl AsyncWrite + Unpin)) {
    const ALERT: [u8; 7] = [21, 3, 3, 0, 2, 2, 112];
    // The connection is refused whether the client learns why or not.
    let _ = io.write_all(&ALERT).await;
    let _ = io.shutdown().await;
}
