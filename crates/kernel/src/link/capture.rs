//! Every packet of a namespace, as it goes over its links: for proofs that what was said in clear is not seen there.

use socket2::{Domain, Protocol, Socket, Type};
use std::io::{self, Read};

/// Hears all links of the namespace of the thread that opened it. Needs CAP_NET_RAW there. Follows packet(7).
#[derive(Debug)]
pub struct Capture(Socket);

/// What was heard.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Heard {
    /// Packets, each on every link that it went over.
    pub packets: usize,
    /// Those that held what was looked for.
    pub holding: usize,
}

impl Capture {
    /// Begins to hear.
    ///
    /// # Errors
    /// What the kernel said.
    pub fn open() -> io::Result<Self> {
        /// All protocols, in network order.
        const ALL: u16 = 0x0003_u16.to_be();
        let socket = Socket::new(Domain::PACKET, Type::RAW, Some(Protocol::from(i32::from(ALL))))?;
        socket.set_recv_buffer_size(4 << 20)?;
        socket.set_nonblocking(true)?;
        Ok(Self(socket))
    }

    /// Looks for some bytes in all packets that came since the last look.
    ///
    /// # Errors
    /// What the kernel said.
    pub fn look(&mut self, wanted: &[u8]) -> io::Result<Heard> {
        let mut heard = Heard::default();
        let mut packet = vec![0; 1 << 16];
        loop {
            match (&self.0).read(&mut packet) {
                Ok(length) => {
                    let bytes = packet.get(..length).unwrap_or_default();
                    heard.packets += 1;
                    heard.holding += usize::from(bytes.windows(wanted.len().max(1)).any(|window| window == wanted));
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(heard),
                Err(error) => return Err(error),
            }
        }
    }
}
