//! Attributes of netlink messages, written and read. Reading never trusts a length: what does not fit ends the walk.
//! nftables, nflog and conntrack put numbers in network order; lengths and kinds are in the machine's own.

/// The flag of an attribute that holds attributes.
const NESTED: u16 = 0x8000;
/// The bits of a kind that are its number.
const KIND: u16 = 0x3fff;

/// Writes attributes one after the other.
#[derive(Clone, Debug, Default)]
pub struct Writer {
    bytes: Vec<u8>,
    too_long: bool,
}

impl Writer {
    /// What was written; `None` when an attribute was longer than a length can say (65,535 bytes).
    pub fn finish(self) -> Option<Vec<u8>> {
        (!self.too_long).then_some(self.bytes)
    }

    /// Bytes written so far.
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Whether nothing was written.
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// Bytes that are not an attribute, such as the head of a family; padded to four.
    pub fn raw(&mut self, bytes: &[u8]) -> &mut Self {
        self.bytes.extend_from_slice(bytes);
        self.pad()
    }

    /// An attribute of bytes.
    pub fn bytes(&mut self, kind: u16, value: &[u8]) -> &mut Self {
        let start = self.begin(kind);
        self.bytes.extend_from_slice(value);
        self.end(start)
    }

    /// A number of 8 bits.
    pub fn u8(&mut self, kind: u16, value: u8) -> &mut Self {
        self.bytes(kind, &[value])
    }

    /// A number of 16 bits in network order.
    pub fn be16(&mut self, kind: u16, value: u16) -> &mut Self {
        self.bytes(kind, &value.to_be_bytes())
    }

    /// A number of 32 bits in network order.
    pub fn be32(&mut self, kind: u16, value: u32) -> &mut Self {
        self.bytes(kind, &value.to_be_bytes())
    }

    /// A number of 64 bits in network order.
    pub fn be64(&mut self, kind: u16, value: u64) -> &mut Self {
        self.bytes(kind, &value.to_be_bytes())
    }

    /// A number of 32 bits in the machine's own order, as route netlink has them.
    pub fn ne32(&mut self, kind: u16, value: u32) -> &mut Self {
        self.bytes(kind, &value.to_ne_bytes())
    }

    /// A text, closed by a zero.
    pub fn text(&mut self, kind: u16, value: &str) -> &mut Self {
        let start = self.begin(kind);
        self.bytes.extend_from_slice(value.as_bytes());
        self.bytes.push(0);
        self.end(start)
    }

    /// Attributes inside an attribute.
    pub fn nested(&mut self, kind: u16, inside: impl FnOnce(&mut Self)) -> &mut Self {
        let start = self.begin(kind | NESTED);
        inside(self);
        self.end(start)
    }

    /// A value of nftables: `NFTA_DATA_VALUE` in a nest.
    pub fn value(&mut self, kind: u16, value: &[u8]) -> &mut Self {
        let start = self.begin(kind | NESTED);
        self.bytes(1, value);
        self.end(start)
    }

    fn begin(&mut self, kind: u16) -> usize {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(&[0, 0]);
        self.bytes.extend_from_slice(&kind.to_ne_bytes());
        start
    }

    fn end(&mut self, start: usize) -> &mut Self {
        match u16::try_from(self.bytes.len() - start) {
            Ok(len) => {
                if let Some(place) = self.bytes.get_mut(start..start + 2) {
                    place.copy_from_slice(&len.to_ne_bytes());
                }
            }
            Err(_) => self.too_long = true,
        }
        self.pad()
    }

    fn pad(&mut self) -> &mut Self {
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
        self
    }
}

/// Walks over attributes: kind without its flags, and value.
#[derive(Clone, Debug)]
pub struct Attributes<'a> {
    rest: &'a [u8],
}

/// The attributes in some bytes.
pub fn attributes(bytes: &[u8]) -> Attributes<'_> {
    Attributes { rest: bytes }
}

impl<'a> Iterator for Attributes<'a> {
    type Item = (u16, &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let len = usize::from(u16::from_ne_bytes(array(self.rest)?));
        let kind = u16::from_ne_bytes(array(self.rest.get(2..)?)?) & KIND;
        let value = self.rest.get(4..len)?;
        self.rest = self.rest.get(len.next_multiple_of(4)..).unwrap_or_default();
        Some((kind, value))
    }
}

impl<'a> Attributes<'a> {
    /// The value of the first attribute of a kind.
    pub fn first(&self, kind: u16) -> Option<&'a [u8]> {
        self.clone().find(|(found, _)| *found == kind).map(|(_, value)| value)
    }

    /// The attributes inside the first attribute of a kind; none when there is no such attribute.
    pub fn inside(&self, kind: u16) -> Self {
        attributes(self.first(kind).unwrap_or_default())
    }

    /// A number of 16 bits in network order.
    pub fn be16(&self, kind: u16) -> Option<u16> {
        array(self.first(kind)?).map(u16::from_be_bytes)
    }

    /// A number of 32 bits in network order.
    pub fn be32(&self, kind: u16) -> Option<u32> {
        array(self.first(kind)?).map(u32::from_be_bytes)
    }

    /// A number of 64 bits in network order.
    pub fn be64(&self, kind: u16) -> Option<u64> {
        array(self.first(kind)?).map(u64::from_be_bytes)
    }

    /// A text without the zero that closes it; `None` when it is not UTF-8.
    pub fn text(&self, kind: u16) -> Option<&'a str> {
        let value = self.first(kind)?;
        let end = value.iter().position(|byte| *byte == 0).unwrap_or(value.len());
        std::str::from_utf8(value.get(..end)?).ok()
    }
}

/// The first bytes as an array.
pub(crate) fn array<const N: usize>(bytes: &[u8]) -> Option<[u8; N]> {
    bytes.first_chunk().copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let mut writer = Writer::default();
        writer.text(1, "abc").be16(2, 7).nested(3, |inside| {
            inside.be64(1, 9).be32(2, 8);
        });
        let bytes = writer.finish().unwrap();
        let read = attributes(&bytes);
        assert_eq!(read.text(1), Some("abc"));
        assert_eq!(read.be16(2), Some(7));
        assert_eq!(read.inside(3).be64(1), Some(9));
        assert_eq!(read.inside(3).be32(2), Some(8));
        assert_eq!(read.inside(4).count(), 0);
    }

    #[test]
    fn a_length_that_does_not_fit_ends_the_walk() {
        assert_eq!(attributes(&[200, 0, 1, 0, 5]).count(), 0);
        assert_eq!(attributes(&[3, 0, 1, 0]).count(), 0);
        assert_eq!(attributes(&[0, 0, 0, 0, 0]).count(), 0);
    }

    #[test]
    fn an_attribute_longer_than_its_length_is_told() {
        let mut writer = Writer::default();
        writer.bytes(1, &vec![0; 65_532]);
        assert!(writer.finish().is_none());
        let mut writer = Writer::default();
        writer.bytes(1, &vec![0; 65_531]);
        assert!(writer.finish().is_some());
    }
}
