//! Bytes of netlink: a header, a fixed part, attributes; all lengths padded to four.

const HEADER: usize = 16;
const NLM_F_REQUEST: u16 = 1;
const NLM_F_ACK: u16 = 4;
const NLM_F_EXCL: u16 = 0x200;
const NLM_F_CREATE: u16 = 0x400;
const NLM_F_APPEND: u16 = 0x800;
const NLMSG_ERROR: u16 = 2;
const NESTED: u16 = 0x8000;

/// A request on its way to the kernel.
pub struct Message(Vec<u8>);

impl Message {
    /// A request that makes something that must not be there.
    pub fn create(kind: u16) -> Self {
        Self::request(kind, NLM_F_CREATE | NLM_F_EXCL)
    }

    /// A request that changes something that must be there.
    pub fn change(kind: u16) -> Self {
        Self::request(kind, 0)
    }

    /// A request that puts something behind what is there.
    pub fn append(kind: u16) -> Self {
        Self::request(kind, NLM_F_CREATE | NLM_F_APPEND)
    }

    /// A request that is not acknowledged.
    pub fn notice(kind: u16) -> Self {
        Self::with_flags(kind, NLM_F_REQUEST)
    }

    fn request(kind: u16, flags: u16) -> Self {
        Self::with_flags(kind, NLM_F_REQUEST | NLM_F_ACK | flags)
    }

    fn with_flags(kind: u16, flags: u16) -> Self {
        let mut bytes = vec![0; 4];
        bytes.extend(kind.to_ne_bytes());
        bytes.extend(flags.to_ne_bytes());
        bytes.resize(HEADER, 0);
        Self(bytes)
    }

    /// Adds to the fixed part.
    pub fn body(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
    }

    /// The fixed part of messages about links (`struct ifinfomsg`).
    pub fn link(&mut self, index: u32, flags: u32, change: u32) {
        self.body(&[0; 4]);
        self.body(&index.to_ne_bytes());
        self.body(&flags.to_ne_bytes());
        self.body(&change.to_ne_bytes());
    }

    /// Adds an attribute.
    pub fn attribute(&mut self, kind: u16, value: &[u8]) {
        self.0.extend(u16::try_from(value.len() + 4).unwrap_or(u16::MAX).to_ne_bytes());
        self.0.extend(kind.to_ne_bytes());
        self.0.extend_from_slice(value);
        self.pad();
    }

    /// Adds an attribute of text that ends with NUL.
    pub fn text(&mut self, kind: u16, value: &str) {
        self.attribute(kind, &[value.as_bytes(), b"\0"].concat());
    }

    /// Adds an attribute that holds others.
    pub fn nested(&mut self, kind: u16, fill: impl FnOnce(&mut Self)) {
        let start = self.0.len();
        self.0.extend([0, 0]);
        self.0.extend((kind | NESTED).to_ne_bytes());
        fill(self);
        let length = u16::try_from(self.0.len() - start).unwrap_or(u16::MAX).to_ne_bytes();
        self.0.splice(start..start + 2, length);
    }

    /// The message's bytes, with its length and number.
    pub fn finish(mut self, sequence: u32) -> Vec<u8> {
        let length = u32::try_from(self.0.len()).unwrap_or(u32::MAX).to_ne_bytes();
        self.0.splice(0..4, length);
        self.0.splice(8..12, sequence.to_ne_bytes());
        self.0
    }

    fn pad(&mut self) {
        self.0.resize(self.0.len().next_multiple_of(4), 0);
    }
}

/// The error number that acknowledges message `sequence` (0 for success); `None` when these bytes do not.
pub fn acknowledged(mut bytes: &[u8], sequence: u32) -> Option<i32> {
    loop {
        let length = u32::from_ne_bytes(bytes.get(..4)?.try_into().ok()?) as usize;
        let kind = u16::from_ne_bytes(bytes.get(4..6)?.try_into().ok()?);
        let number = u32::from_ne_bytes(bytes.get(8..12)?.try_into().ok()?);
        if kind == NLMSG_ERROR && number == sequence {
            let code = i32::from_ne_bytes(bytes.get(HEADER..HEADER + 4)?.try_into().ok()?);
            return Some(code.saturating_neg());
        }
        bytes = bytes.get(length.max(HEADER).next_multiple_of(4)..)?;
    }
}

#[cfg(test)]
mod tests {
    use super::{Message, acknowledged};

    #[test]
    fn lengths_hold_padding_but_not_that_of_the_last_attribute() {
        let mut message = Message::create(16);
        message.link(7, 1, 1);
        message.nested(18, |inner| inner.text(1, "veth"));
        let bytes = message.finish(9);
        assert_eq!(bytes.len(), 16 + 16 + 4 + 12);
        assert_eq!(u32::from_ne_bytes(bytes[..4].try_into().unwrap()) as usize, bytes.len());
        // The inner attribute is 4 + 5 bytes long and padded to 12; the outer one holds the padding.
        assert_eq!(u16::from_ne_bytes(bytes[32..34].try_into().unwrap()), 16);
        assert_eq!(u16::from_ne_bytes(bytes[36..38].try_into().unwrap()), 9);
    }

    #[test]
    fn an_acknowledgement_is_found_among_others() {
        let mut other = Message::change(2).finish(3);
        other.extend(0_i32.to_ne_bytes());
        let length = u32::try_from(other.len()).unwrap().to_ne_bytes();
        other[..4].copy_from_slice(&length);
        let mut ours = other.clone();
        ours[8..12].copy_from_slice(&4_u32.to_ne_bytes());
        ours[16..20].copy_from_slice(&(-17_i32).to_ne_bytes());
        let both = [other, ours].concat();
        assert_eq!(acknowledged(&both, 4), Some(17));
        assert_eq!(acknowledged(&both, 3), Some(0));
        assert_eq!(acknowledged(&both, 5), None);
        assert_eq!(acknowledged(&both[..7], 4), None);
    }
}
