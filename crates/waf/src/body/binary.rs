//! A message that is not text, in a format that only its application knows: the texts in it.
//!
//! In: any bytes. Out: what is UTF-8 between bytes that are not, and between NULs, each an argument `message`; where it
//! holds other control bytes, as formats put them before a text, its parts between those as well. The message itself is
//! `REQUEST_BODY`, as that of a media type without a reader is. Never: texts in UTF-16, or compressed inside.

use crate::Rules;
use crate::state::State;

/// A shorter text is taken for chance.
const SHORTEST: usize = 4;

pub(super) fn read(rules: &Rules, body: &[u8], state: &mut State) -> Result<(), &'static str> {
    texts(body).try_for_each(|text| super::message(rules, text.as_bytes(), state))
}

fn texts(body: &[u8]) -> impl Iterator<Item = &str> {
    let long = |text: &&str| text.len() >= SHORTEST;
    let whole = body.utf8_chunks().flat_map(|chunk| chunk.valid().split('\0')).filter(long);
    whole.flat_map(move |text| {
        let parts = text.split(is_control).filter(long).filter(|part| part.len() < text.len());
        std::iter::once(text).chain(parts)
    })
}

/// Control bytes that do not stand in texts.
const fn is_control(c: char) -> bool {
    c.is_ascii_control() && !matches!(c, '\t' | '\n' | '\r')
}

#[cfg(test)]
mod tests {
    use super::texts;

    #[test]
    fn texts_between_other_bytes() {
        let found = |body: &[u8]| texts(body).map(str::to_owned).collect::<Vec<_>>();
        assert_eq!(found(b"plain {text}\nof two lines"), ["plain {text}\nof two lines"]);
        // MessagePack: {"q": "' OR 1=1"}
        assert_eq!(found(b"\x81\xa1q\xa8' OR 1=1"), ["' OR 1=1"]);
        // Protocol Buffers put the length before a text; some servers read a control byte as white space.
        assert_eq!(found(b"\x0a\x05hello"), ["\n\u{5}hello", "hello"]);
        assert_eq!(found(b"1' UNION\x0bSELECT 2"), ["1' UNION\u{b}SELECT 2", "1' UNION", "SELECT 2"]);
        assert_eq!(found("\0caf\u{e9}\0x\0\u{ff}four".as_bytes()), ["caf\u{e9}", "\u{ff}four"]);
        assert_eq!(found(b"\xff\xfeab\xff"), [""; 0]);
    }
}
