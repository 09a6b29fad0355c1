//! A table as the text that the `nft` program reads and people do: the same data that is sent to the kernel.
//!
//! In: a [`Table`], names of addresses. Out: one file for `nft -f`, with whose rules a chain has as comments. Never: a
//! part left out; what has no text here is an error. The kernel is not asked and nothing is applied.

use super::expression::{Comparison, Expression, Header, Limit, Meta, Register, Verdict, Which};
use super::rule::{SYN, SYN_FIN_RST_ACK};
use super::table::{Also, Chain, Element, Elements, Keys, Part, Place, Set, Table};
use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::net::IpAddr;

/// Something that this room sends to the kernel and has no text for.
#[derive(Debug, thiserror::Error)]
#[error("chain `{chain}` has an expression that has no text: {expression}")]
pub struct NoText {
    /// The chain.
    pub chain: Box<str>,
    /// The expression, as the program has it.
    pub expression: String,
}

/// Renders a table; `names` say whose an address is.
///
/// # Errors
/// [`NoText`]
pub fn render(table: &Table, names: &BTreeMap<IpAddr, Box<str>>) -> Result<String, NoText> {
    let mut text = "table inet ringwall {\n".to_owned();
    for (name, set) in &table.sets {
        render_set(name, set, &mut text);
    }
    let owners = owners(table, names);
    for (name, chain) in &table.chains {
        for (direction, whose) in owners.get(&**name).into_iter().flatten() {
            let whose: Vec<&str> = whose.iter().map(String::as_str).collect();
            let _ = writeln!(text, "\t# what {} may {direction}", whose.join(", "));
        }
        render_chain(name, chain, table, &mut text)?;
    }
    text.push_str("}\n");
    Ok(text)
}

/// By chain: what it is for (`send`, `be sent`), and whose.
type Owners<'a> = BTreeMap<&'a str, BTreeMap<&'static str, BTreeSet<String>>>;

/// Whom the maps by address lead to each chain.
fn owners<'a>(table: &'a Table, names: &BTreeMap<IpAddr, Box<str>>) -> Owners<'a> {
    let mut owners = Owners::new();
    for (map, set) in table.sets.iter().filter(|(_, set)| set.kind.also == Also::Verdicts) {
        let direction = if map.starts_with("rw_e") { "send" } else { "be sent" };
        let Elements::Fixed(elements) = &set.elements else { continue };
        for element in elements.iter() {
            let (Some(Verdict::Jump(chain)), Some(address)) = (element.verdict.as_deref(), element.key.as_address())
            else {
                continue;
            };
            let whose = names.get(&address).map_or_else(|| address.to_string(), ToString::to_string);
            owners.entry(chain).or_default().entry(direction).or_default().insert(whose);
        }
    }
    owners
}

fn render_set(name: &str, set: &Set, text: &mut String) {
    let word = if set.kind.also == Also::Verdicts { "map" } else { "set" };
    let types: Vec<&str> = set.kind.key.iter().map(|part| type_of(*part)).collect();
    let values = if set.kind.also == Also::Verdicts { " : verdict" } else { "" };
    let _ = writeln!(text, "\t{word} {name} {{\n\t\ttype {}{values}", types.join(" . "));
    let flags = match (set.kind.also, set.kind.keys) {
        (Also::Meters, _) => "dynamic, timeout",
        (Also::Timeouts, _) => "timeout",
        (_, Keys::Intervals) => "interval",
        (_, Keys::Single) => "",
    };
    if !flags.is_empty() {
        let _ = writeln!(text, "\t\tflags {flags}");
    }
    if let Elements::Fixed(elements) = &set.elements
        && !elements.is_empty()
    {
        let all: Vec<String> = elements.iter().map(|element| element_text(element, set.kind.key)).collect();
        let _ = writeln!(text, "\t\telements = {{\n\t\t\t{}\n\t\t}}", all.join(",\n\t\t\t"));
    }
    text.push_str("\t}\n");
}

const fn type_of(part: Part) -> &'static str {
    match part {
        Part::V4 => "ipv4_addr",
        Part::V6 => "ipv6_addr",
        Part::Protocol => "inet_proto",
        Part::Port => "inet_service",
        Part::Interface => "ifname",
    }
}

fn element_text(element: &Element, key: &[Part]) -> String {
    let firsts = parts(element.key.bytes(), key);
    let lasts = element.last.map(|last| parts(last.bytes(), key));
    let both = firsts.iter().enumerate().map(|(index, first)| {
        match lasts.as_ref().and_then(|lasts| lasts.get(index)).filter(|last| *last != first) {
            Some(last) => format!("{first}-{last}"),
            None => first.clone(),
        }
    });
    let verdict = element.verdict.as_deref().map(|verdict| format!(" : {}", verdict_text(verdict))).unwrap_or_default();
    format!("{}{verdict}", both.collect::<Vec<_>>().join(" . "))
}

/// The parts of a key as text; alone a part has its own width, among others whole words.
fn parts(bytes: &[u8], key: &[Part]) -> Vec<String> {
    let mut at = 0;
    let part = |part: &Part| {
        let width = part.width() as usize;
        let value = bytes.get(at..at + width).unwrap_or_default();
        at += width.next_multiple_of(4);
        value_text(*part, value)
    };
    key.iter().map(part).collect()
}

fn value_text(part: Part, value: &[u8]) -> String {
    match part {
        Part::V4 | Part::V6 => address_text(value),
        Part::Protocol | Part::Port => number(value).to_string(),
        Part::Interface => {
            let name: Vec<u8> = value.iter().copied().take_while(|byte| *byte != 0).collect();
            format!("\"{}\"", String::from_utf8_lossy(&name))
        }
    }
}

fn address_text(value: &[u8]) -> String {
    let v4 = <[u8; 4]>::try_from(value).map(IpAddr::from);
    let address = v4.or_else(|_| <[u8; 16]>::try_from(value).map(IpAddr::from));
    address.map(|address| address.to_string()).unwrap_or_default()
}

fn number(value: &[u8]) -> u64 {
    value.iter().fold(0, |number, byte| number << 8 | u64::from(*byte))
}

fn verdict_text(verdict: &Verdict) -> String {
    match verdict {
        Verdict::Accept => "accept".into(),
        Verdict::Drop => "drop".into(),
        Verdict::Return => "return".into(),
        Verdict::Jump(chain) => format!("jump {chain}"),
        Verdict::Goto(chain) => format!("goto {chain}"),
    }
}

fn render_chain(name: &str, chain: &Chain, table: &Table, text: &mut String) -> Result<(), NoText> {
    let _ = writeln!(text, "\tchain {name} {{");
    if let Some(hook) = &chain.hook {
        let place = match hook.place {
            Place::Prerouting => "prerouting",
            Place::Input => "input",
            Place::Forward => "forward",
            Place::Output => "output",
            Place::Ingress => "ingress",
        };
        let links: Vec<String> = hook.links.iter().map(|link| format!("\"{link}\"")).collect();
        let devices = if links.is_empty() { String::new() } else { format!(" devices = {{ {} }}", links.join(", ")) };
        let _ = writeln!(text, "\t\ttype filter hook {place}{devices} priority {}; policy accept;", hook.priority);
    }
    for rule in &chain.rules {
        let words = rule_text(rule, table);
        let words = words.map_err(|expression| NoText { chain: name.into(), expression: format!("{expression:?}") })?;
        let _ = writeln!(text, "\t\t{words}");
    }
    text.push_str("\t}\n");
    Ok(())
}

/// What a register holds.
#[derive(Clone)]
struct Loaded {
    words: Cow<'static, str>,
    mask: Option<Box<[u8]>>,
}

/// One rule; what has no text comes back.
fn rule_text(rule: &[Expression], table: &Table) -> Result<String, Expression> {
    let mut registers: BTreeMap<u32, Loaded> = BTreeMap::new();
    let mut words: Vec<String> = Vec::new();
    let bare = |words: &'static str| Loaded { words: words.into(), mask: None };
    for expression in rule {
        let none = || expression.clone();
        match expression {
            Expression::Meta(key, to) => drop(registers.insert(to.0, bare(meta_text(*key)))),
            Expression::Payload(header, offset, len, to) => {
                registers.insert(to.0, bare(payload_text(*header, *offset, *len).ok_or_else(none)?));
            }
            Expression::Turn(to, modulus) => {
                registers.insert(to.0, Loaded { words: format!("numgen inc mod {modulus}").into(), mask: None });
            }
            Expression::ConnectionState(to) => drop(registers.insert(to.0, bare("ct state"))),
            Expression::ConnectionMark(to) => drop(registers.insert(to.0, bare("ct mark"))),
            Expression::Bitwise(register, mask, xor) if xor.iter().all(|byte| *byte == 0) => {
                registers.get_mut(&register.0).ok_or_else(none)?.mask = Some(mask.clone());
            }
            Expression::Compare(register, how, value) => {
                let loaded = registers.get(&register.0).ok_or_else(none)?;
                words.push(comparison_text(loaded, *how, value).ok_or_else(none)?);
            }
            Expression::Lookup(set, key) => {
                words.push(format!("{} @{set}", key_text(&registers, *key, table, set).ok_or_else(none)?));
            }
            Expression::LookupNot(set, key) => {
                words.push(format!("{} != @{set}", key_text(&registers, *key, table, set).ok_or_else(none)?));
            }
            Expression::Map(map, key) => {
                words.push(format!("{} vmap @{map}", key_text(&registers, *key, table, map).ok_or_else(none)?));
            }
            Expression::Verdict(verdict) => words.push(verdict_text(verdict)),
            Expression::Counter => words.push("counter".into()),
            Expression::Limit(limit) => words.push(limit_text(limit)),
            Expression::Log(log) => {
                let prefix = log.prefix.replace(['"', '\\', '\n'], "?");
                words.push(format!("log prefix \"{prefix}\" group {} snaplen {}", log.group, log.snaplen));
            }
            Expression::Update { set, key, timeout, each } => {
                let key = key_text(&registers, *key, table, set).ok_or_else(none)?;
                let [Expression::Limit(limit)] = &**each else { return Err(none()) };
                words.push(format!("update @{set} {{ {key} timeout {}s {} }}", timeout / 1000, limit_text(limit)));
            }
            Expression::SetMark(_)
            | Expression::SetConnectionMark(_)
            | Expression::Immediate(..)
            | Expression::Bitwise(..)
            | Expression::Redirect(_)
            | Expression::Foreign(_) => return Err(none()),
        }
    }
    Ok(words.join(" "))
}

const fn meta_text(key: Meta) -> &'static str {
    match key {
        Meta::Mark => "meta mark",
        Meta::InputName => "iifname",
        Meta::OutputName => "oifname",
        Meta::InputType => "meta iiftype",
        Meta::OutputType => "meta oiftype",
        Meta::Family => "meta nfproto",
        Meta::Protocol => "meta l4proto",
    }
}

const fn payload_text(header: Header, offset: u32, len: u32) -> Option<&'static str> {
    Some(match (header, offset, len) {
        (Header::Network, 12, 4) => "ip saddr",
        (Header::Network, 16, 4) => "ip daddr",
        (Header::Network, 8, 16) => "ip6 saddr",
        (Header::Network, 24, 16) => "ip6 daddr",
        (Header::Transport, 2, 2) => "th dport",
        (Header::Network, 0, 1) => "@nh,0,8",
        (Header::Transport, 0, 1) => "icmpv6 type",
        (Header::Transport, 13, 1) => "tcp flags",
        _ => return None,
    })
}

/// What a set is asked with: one part after the other, as the set has them.
fn key_text(registers: &BTreeMap<u32, Loaded>, key: Register, table: &Table, set: &str) -> Option<String> {
    let mut at = 0;
    let part = |part: &Part| {
        let loaded = registers.get(&(key.0 + at / 4)).filter(|loaded| loaded.mask.is_none())?;
        at += part.width().next_multiple_of(4);
        Some(&*loaded.words)
    };
    let words: Option<Vec<&str>> = table.sets.get(set)?.kind.key.iter().map(part).collect();
    Some(words?.join(" . "))
}

fn comparison_text(loaded: &Loaded, how: Comparison, value: &[u8]) -> Option<String> {
    /// `NF_CT_STATE_BIT` of established and related.
    const KNOWN: u32 = 2 | 4;
    let words = &*loaded.words;
    let sign = match how {
        Comparison::Equal => "",
        Comparison::Unequal => "!= ",
        Comparison::AtMost => "<= ",
        Comparison::AtLeast => ">= ",
    };
    let machine = || value.try_into().ok().map(u32::from_ne_bytes);
    Some(match (words, &loaded.mask) {
        ("ct state", Some(mask)) => {
            let known = **mask == KNOWN.to_ne_bytes() && how == Comparison::Unequal && machine() == Some(0);
            return known.then(|| "ct state established,related".to_owned());
        }
        ("ip saddr" | "ip daddr" | "ip6 saddr" | "ip6 daddr", Some(mask)) if how == Comparison::Equal => {
            format!("{words} & {} == {}", address_text(mask), address_text(value))
        }
        ("tcp flags", Some(mask)) if **mask == [SYN_FIN_RST_ACK] && value == [SYN] => {
            format!("{words} & (fin | syn | rst | ack) {sign}syn")
        }
        ("@nh,0,8", Some(mask)) if how == Comparison::Equal => {
            format!("{words} & {:#x} == {:#x}", number(mask), number(value))
        }
        (_, Some(_)) => return None,
        ("meta nfproto", None) => format!("{words} {sign}{}", if number(value) == 2 { "ipv4" } else { "ipv6" }),
        ("meta iiftype" | "meta oiftype", None) => {
            format!("{words} {sign}{}", value.try_into().ok().map(u16::from_ne_bytes)?)
        }
        ("meta mark" | "ct mark" | "ct state", None) => format!("{words} {sign}{:#x}", machine()?),
        ("ip saddr" | "ip daddr" | "ip6 saddr" | "ip6 daddr", None) => format!("{words} {sign}{}", address_text(value)),
        ("iifname" | "oifname", None) => format!("{words} {sign}{}", value_text(Part::Interface, value)),
        (_, None) if words.starts_with("numgen") => format!("{words} {sign}{}", machine()?),
        (_, None) => format!("{words} {sign}{}", number(value)),
    })
}

fn limit_text(limit: &Limit) -> String {
    let over = if limit.which == Which::Over { "over " } else { "" };
    format!("limit rate {over}{}/second burst {} packets", limit.rate, limit.burst)
}
