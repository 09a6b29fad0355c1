//! `@ipMatch`: addresses and networks.

use std::net::IpAddr;

/// A list of networks.
#[derive(Clone, Debug, Default)]
pub(crate) struct Networks {
    /// Address bits (IPv4 mapped into the low 32 bits), prefix length, whether it is IPv6.
    nets: Vec<(u128, u32, bool)>,
}

impl Networks {
    /// Reads addresses and networks between commas and white space; the error is the word at fault.
    pub fn read(text: &str) -> Result<Self, String> {
        let words = text.split([',', ' ', '\t', '\n', '\r']).map(str::trim).filter(|word| !word.is_empty());
        let nets = words.map(|word| network(word).ok_or_else(|| word.to_owned())).collect::<Result<_, _>>()?;
        Ok(Self { nets })
    }

    /// Whether one of the networks holds the address.
    pub fn hold(&self, text: &[u8]) -> bool {
        let Some(address) = std::str::from_utf8(text).ok().and_then(|text| text.trim().parse::<IpAddr>().ok()) else {
            return false;
        };
        let (bits, wide) = bits(address);
        let widest = if wide { 128_u32 } else { 32 };
        let cut = |bits: u128, prefix: u32| bits.checked_shr(widest.saturating_sub(prefix)).unwrap_or(0);
        self.nets.iter().any(|(net, prefix, kind)| *kind == wide && cut(bits, *prefix) == cut(*net, *prefix))
    }
}

fn network(word: &str) -> Option<(u128, u32, bool)> {
    let (address, prefix) = word.split_once('/').map_or((word, None), |(address, prefix)| (address, Some(prefix)));
    let (bits, wide) = bits(address.parse().ok()?);
    let longest = if wide { 128 } else { 32 };
    let prefix = prefix.map_or(Some(longest), |prefix| prefix.parse().ok())?;
    (prefix <= longest).then_some((bits, prefix, wide))
}

fn bits(address: IpAddr) -> (u128, bool) {
    match address.to_canonical() {
        IpAddr::V4(v4) => (u32::from(v4).into(), false),
        IpAddr::V6(v6) => (v6.into(), true),
    }
}

#[cfg(test)]
mod tests {
    use super::Networks;

    #[test]
    fn networks() {
        let nets = Networks::read("127.0.0.1,10.0.0.0/8 ::1, 2001:db8::/32").unwrap();
        let check = |text: &str, want| assert_eq!(nets.hold(text.as_bytes()), want, "{text}");
        check("127.0.0.1", true);
        check("127.0.0.2", false);
        check("10.255.0.1", true);
        check("::ffff:10.1.1.1", true);
        check("2001:db8:1::", true);
        check("::2", false);
        check("x", false);
        assert!(Networks::read("0.0.0.0/0").unwrap().hold(b"9.9.9.9"));
        assert_eq!(Networks::read("10.0.0.0/33").unwrap_err(), "10.0.0.0/33");
    }
}
