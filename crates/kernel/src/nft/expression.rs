//! The expressions of nftables that rules are made of, as data: written for the kernel, and read back from it.
//! Attribute numbers are those of `linux/netfilter/nf_tables.h`.

use crate::netlink::attribute::{Attributes, Writer, attributes};

/// A register of 32 bits: `NFT_REG32_00` + n. A value of 16 bytes takes four of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Register(pub u32);

impl Register {
    /// The first one.
    pub const FIRST: Self = Self(8);

    /// The one that stands so many bytes behind the first.
    pub const fn at(bytes: u32) -> Self {
        Self(8 + bytes.div_ceil(4))
    }

    /// The kernel names a register that begins 16 bytes by its old number.
    fn read(attributes: &Attributes<'_>, kind: u16) -> Option<Self> {
        let number = attributes.be32(kind)?;
        Some(Self(if (1..=4).contains(&number) { 4 + number * 4 } else { number }))
    }
}

/// What a rule, or an element of a verdict map, does with the packet.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verdict {
    /// This hook lets it go on.
    Accept,
    /// It is gone.
    Drop,
    /// Back to the chain that jumped here.
    Return,
    /// On in another chain, and back.
    Jump(Box<str>),
    /// On in another chain.
    Goto(Box<str>),
}

impl Verdict {
    /// Writes the nest that holds a verdict.
    pub fn write(&self, writer: &mut Writer) {
        let (code, chain) = match self {
            Self::Drop => (0, None),
            Self::Accept => (1, None),
            Self::Jump(chain) => (-3, Some(chain)),
            Self::Goto(chain) => (-4, Some(chain)),
            Self::Return => (-5_i32, None),
        };
        writer.nested(2, |verdict| {
            verdict.bytes(1, &code.to_be_bytes());
            if let Some(chain) = chain {
                verdict.text(2, chain);
            }
        });
    }

    /// Reads the attributes of data; `None` when it is another verdict or none.
    pub fn read(data: &Attributes<'_>) -> Option<Self> {
        let verdict = data.inside(2);
        let chain = || verdict.text(2).map(Into::into);
        Some(match verdict.be32(1)?.cast_signed() {
            0 => Self::Drop,
            1 => Self::Accept,
            -3 => Self::Jump(chain()?),
            -4 => Self::Goto(chain()?),
            -5 => Self::Return,
            _ => return None,
        })
    }
}

/// What is known of a packet beside its bytes (`enum nft_meta_keys`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Meta {
    /// The mark.
    Mark = 3,
    /// Name of the interface it came in by, 16 bytes.
    InputName = 6,
    /// Name of the interface it goes out by, 16 bytes.
    OutputName = 7,
    /// Type of the interface it came in by (`ARPHRD_…`), in the machine's order.
    InputType = 8,
    /// Type of the interface it goes out by.
    OutputType = 9,
    /// Family: 2 IPv4, 10 IPv6.
    Family = 15,
    /// IP protocol number.
    Protocol = 16,
}

impl Meta {
    fn read(number: u32) -> Option<Self> {
        use Meta::{Family, InputName, InputType, Mark, OutputName, OutputType, Protocol};
        [Mark, InputName, OutputName, InputType, OutputType, Family, Protocol]
            .into_iter()
            .find(|key| *key as u32 == number)
    }
}

/// Where bytes of a packet are counted from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Header {
    /// IP.
    Network = 1,
    /// TCP, UDP, SCTP, ICMP.
    Transport = 2,
}

/// How two values are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Comparison {
    /// They are the same.
    Equal = 0,
    /// They differ.
    Unequal = 1,
    /// The packet's is not greater.
    AtMost = 3,
    /// The packet's is not smaller.
    AtLeast = 5,
}

/// One expression.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Expression {
    /// Loads something known of the packet.
    Meta(Meta, Register),
    /// Sets the packet's mark.
    SetMark(Register),
    /// Loads bytes of the packet: header, offset, length.
    Payload(Header, u32, u32, Register),
    /// Goes on only when the register compares so.
    Compare(Register, Comparison, Box<[u8]>),
    /// Register = register & mask ^ xor, in place.
    Bitwise(Register, Box<[u8]>, Box<[u8]>),
    /// Goes on only when the set holds the key.
    Lookup(Box<str>, Register),
    /// Goes on only when the set does not hold the key.
    LookupNot(Box<str>, Register),
    /// The verdict that the map has for the key; goes on when it has none.
    Map(Box<str>, Register),
    /// Loads a value.
    Immediate(Register, Box<[u8]>),
    /// Ends here.
    Verdict(Verdict),
    /// Loads the state of the packet's connection, a bit in the machine's order.
    ConnectionState(Register),
    /// Loads the mark of the packet's connection.
    ConnectionMark(Register),
    /// Sets the mark of the packet's connection.
    SetConnectionMark(Register),
    /// Counts packets and bytes.
    Counter,
    /// Loads a number that each packet makes greater by one, beginning with 0, below a modulus.
    Turn(Register, u32),
    /// Goes on only so often a second.
    Limit(Limit),
    /// Tells a group of nflog.
    Log(Log),
    /// Enters the key in a dynamic set, with expressions of its own for each key.
    Update {
        /// The set.
        set: Box<str>,
        /// The key.
        key: Register,
        /// How long the element lives unseen, in milliseconds.
        timeout: u64,
        /// What each element does.
        each: Vec<Self>,
    },
    /// Sends the packet to a port of this machine, which the register holds.
    Redirect(Register),
    /// One that this room does not write.
    Foreign(Box<str>),
}

/// A rate of packets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limit {
    /// Packets a second.
    pub rate: u64,
    /// Packets at once.
    pub burst: u32,
    /// What is let through.
    pub which: Which,
}

/// Which packets a limit lets through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Which {
    /// Those within the rate.
    Within,
    /// Those over it.
    Over,
}

/// Telling a group of nflog.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Log {
    /// The group.
    pub group: u16,
    /// What is told with each packet; at most 127 bytes.
    pub prefix: Box<str>,
    /// Bytes of the packet that are told.
    pub snaplen: u32,
}

impl Expression {
    /// Writes a list element that holds the expression.
    pub fn write(&self, list: &mut Writer) {
        const LIST_ELEMENT: u16 = 1;
        list.nested(LIST_ELEMENT, |expression| self.write_inside(expression));
    }

    fn write_inside(&self, expression: &mut Writer) {
        expression.text(1, self.name());
        expression.nested(2, |w| self.write_attributes(w));
    }

    fn name(&self) -> &str {
        match self {
            Self::Meta(..) | Self::SetMark(_) => "meta",
            Self::Payload(..) => "payload",
            Self::Compare(..) => "cmp",
            Self::Bitwise(..) => "bitwise",
            Self::Lookup(..) | Self::LookupNot(..) | Self::Map(..) => "lookup",
            Self::Immediate(..) | Self::Verdict(_) => "immediate",
            Self::ConnectionState(_) | Self::ConnectionMark(_) | Self::SetConnectionMark(_) => "ct",
            Self::Counter => "counter",
            Self::Turn(..) => "numgen",
            Self::Limit(_) => "limit",
            Self::Log(_) => "log",
            Self::Update { .. } => "dynset",
            Self::Redirect(_) => "redir",
            Self::Foreign(name) => name,
        }
    }

    fn write_attributes(&self, w: &mut Writer) {
        let _: &mut Writer = match self {
            Self::Meta(key, to) => w.be32(2, *key as u32).be32(1, to.0),
            Self::SetMark(from) => w.be32(2, Meta::Mark as u32).be32(3, from.0),
            Self::Payload(header, offset, len, to) => {
                w.be32(1, to.0).be32(2, *header as u32).be32(3, *offset).be32(4, *len)
            }
            Self::Compare(register, how, value) => w.be32(1, register.0).be32(2, *how as u32).value(3, value),
            Self::Bitwise(register, mask, xor) => {
                w.be32(1, register.0).be32(2, register.0).be32(3, u32::try_from(mask.len()).unwrap_or_default());
                w.value(4, mask).value(5, xor)
            }
            Self::Lookup(set, key) => w.text(1, set).be32(2, key.0),
            Self::LookupNot(set, key) => w.text(1, set).be32(2, key.0).be32(5, 1),
            Self::Map(set, key) => w.text(1, set).be32(2, key.0).be32(3, 0),
            Self::Immediate(to, value) => w.be32(1, to.0).value(2, value),
            Self::Verdict(verdict) => w.be32(1, 0).nested(2, |data| verdict.write(data)),
            Self::ConnectionState(to) => w.be32(1, to.0).be32(2, 0),
            Self::ConnectionMark(to) => w.be32(1, to.0).be32(2, 3),
            Self::SetConnectionMark(from) => w.be32(4, from.0).be32(2, 3),
            Self::Counter | Self::Foreign(_) => w,
            Self::Turn(to, modulus) => w.be32(1, to.0).be32(2, *modulus).be32(3, 0).be32(4, 0),
            Self::Limit(Limit { rate, burst, which }) => {
                w.be64(1, *rate).be64(2, 1).be32(3, *burst).be32(4, 0).be32(5, u32::from(*which == Which::Over))
            }
            Self::Log(log) => w.be16(1, log.group).text(2, &log.prefix).be32(3, log.snaplen),
            Self::Update { set, key, timeout, each } => {
                w.text(1, set).be32(3, 1).be32(4, key.0).be64(6, *timeout);
                w.be32(9, 2).nested(10, |list| each.iter().for_each(|expression| expression.write(list)))
            }
            Self::Redirect(port) => w.be32(1, port.0),
        };
    }

    /// Reads the attributes of one expression; what this room does not write is [`Expression::Foreign`].
    pub fn read(expression: &Attributes<'_>) -> Self {
        let name = expression.text(1).unwrap_or("?");
        let inside = expression.inside(2);
        Self::read_known(name, &inside).unwrap_or_else(|| Self::Foreign(name.into()))
    }

    fn read_known(name: &str, a: &Attributes<'_>) -> Option<Self> {
        let value = |kind: u16| a.inside(kind).first(1).map(Into::into);
        Some(match name {
            "meta" => match (Register::read(a, 1), Register::read(a, 3)) {
                (Some(to), None) => Self::Meta(Meta::read(a.be32(2)?)?, to),
                (None, Some(from)) if a.be32(2)? == Meta::Mark as u32 => Self::SetMark(from),
                _ => return None,
            },
            "payload" => {
                let header = [Header::Network, Header::Transport].into_iter().find(|h| Some(*h as u32) == a.be32(2))?;
                Self::Payload(header, a.be32(3)?, a.be32(4)?, Register::read(a, 1)?)
            }
            "cmp" => {
                use Comparison::{AtLeast, AtMost, Equal, Unequal};
                let all = [Equal, Unequal, AtMost, AtLeast];
                let how = all.into_iter().find(|how| Some(*how as u32) == a.be32(2))?;
                Self::Compare(Register::read(a, 1)?, how, value(3)?)
            }
            "bitwise" if Register::read(a, 1) == Register::read(a, 2) && a.be32(6).unwrap_or(0) == 0 => {
                Self::Bitwise(Register::read(a, 1)?, value(4)?, value(5)?)
            }
            "lookup" => {
                let (set, key) = (a.text(1)?.into(), Register::read(a, 2)?);
                match (a.be32(3), a.be32(5).unwrap_or(0)) {
                    (None, 0) => Self::Lookup(set, key),
                    (None, 1) => Self::LookupNot(set, key),
                    (Some(0), 0) => Self::Map(set, key),
                    _ => return None,
                }
            }
            "immediate" if a.be32(1)? == 0 => Self::Verdict(Verdict::read(&a.inside(2))?),
            "immediate" => Self::Immediate(Register::read(a, 1)?, value(2)?),
            "ct" => match (Register::read(a, 1), Register::read(a, 4), a.be32(2)?) {
                (Some(to), None, 0) => Self::ConnectionState(to),
                (Some(to), None, 3) => Self::ConnectionMark(to),
                (None, Some(from), 3) => Self::SetConnectionMark(from),
                _ => return None,
            },
            "counter" => Self::Counter,
            "numgen" if a.be32(3)? == 0 && a.be32(4).unwrap_or(0) == 0 => Self::Turn(Register::read(a, 1)?, a.be32(2)?),
            "limit" if a.be64(2)? == 1 && a.be32(4).unwrap_or(0) == 0 => {
                let which = if a.be32(5).unwrap_or(0) == 1 { Which::Over } else { Which::Within };
                Self::Limit(Limit { rate: a.be64(1)?, burst: a.be32(3)?, which })
            }
            "log" => Self::Log(Log {
                group: a.be16(1)?,
                prefix: a.text(2).unwrap_or_default().into(),
                snaplen: a.be32(3).unwrap_or_default(),
            }),
            "dynset" if a.be32(3)? == 1 => Self::Update {
                set: a.text(1)?.into(),
                key: Register::read(a, 4)?,
                timeout: a.be64(6).unwrap_or_default(),
                each: read_each(a),
            },
            "redir" => Self::Redirect(Register::read(a, 1)?),
            _ => return None,
        })
    }
}

/// The expressions of a dynamic set's elements: the kernel tells one alone in another attribute than several.
fn read_each(dynset: &Attributes<'_>) -> Vec<Expression> {
    match dynset.first(7) {
        Some(one) => vec![Expression::read(&attributes(one))],
        None => read_list(dynset.first(10).unwrap_or_default()),
    }
}

/// Reads a list of expressions.
pub fn read_list(list: &[u8]) -> Vec<Expression> {
    attributes(list).map(|(_, expression)| Expression::read(&attributes(expression))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_expression_is_read_as_it_was_written() {
        let limit = Limit { rate: 9, burst: 3, which: Which::Over };
        let all = vec![
            Expression::Meta(Meta::Family, Register::FIRST),
            Expression::SetMark(Register::at(4)),
            Expression::Payload(Header::Transport, 2, 2, Register::at(20)),
            Expression::Compare(Register::FIRST, Comparison::AtMost, [1, 2].into()),
            Expression::Bitwise(Register::FIRST, [255; 4].into(), [0; 4].into()),
            Expression::Lookup("a".into(), Register::FIRST),
            Expression::LookupNot("b".into(), Register::FIRST),
            Expression::Map("c".into(), Register::at(16)),
            Expression::Immediate(Register::FIRST, [0, 80].into()),
            Expression::Verdict(Verdict::Goto("d".into())),
            Expression::Verdict(Verdict::Return),
            Expression::ConnectionState(Register::FIRST),
            Expression::ConnectionMark(Register::FIRST),
            Expression::SetConnectionMark(Register::FIRST),
            Expression::Counter,
            Expression::Turn(Register::FIRST, 16),
            Expression::Limit(limit),
            Expression::Log(Log { group: 5, prefix: "rw".into(), snaplen: 64 }),
            Expression::Update {
                set: "m".into(),
                key: Register::FIRST,
                timeout: 10,
                each: vec![Expression::Limit(limit)],
            },
            Expression::Redirect(Register::FIRST),
        ];
        let mut writer = Writer::default();
        all.iter().for_each(|expression| expression.write(&mut writer));
        assert_eq!(read_list(&writer.finish().unwrap()), all);
    }
}
