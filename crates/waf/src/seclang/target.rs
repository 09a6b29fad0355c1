//! The targets of a rule: `ARGS|!ARGS:/^x/|&REQUEST_HEADERS:Host`.
//!
//! In: the first argument of `SecRule`. Out: [`Item`]s in order. Never: whether such a variable exists (see `lower`).

/// How a target stands in the list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sign {
    /// Its values are looked at.
    Plain,
    /// `&`: the number of its values is looked at.
    Count,
    /// `!`: its values are left out.
    Exclude,
}

/// Which members of a collection are meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Choice {
    /// All of them.
    All,
    /// Those of this name.
    Name(String),
    /// Those whose name this regular expression finds.
    Regex(String),
}

/// One target as written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Item {
    /// Its sign.
    pub sign: Sign,
    /// Name of the variable, as written.
    pub name: String,
    /// Which members.
    pub choice: Choice,
    /// Offset in the text that was read.
    pub at: usize,
}

/// Reads a list of targets; the error has its offset.
pub(crate) fn read(text: &str) -> Result<Vec<Item>, (usize, &'static str)> {
    let mut items = Vec::new();
    let mut at = 0;
    while let Some(rest) = text.get(at..) {
        let skip = rest.len() - rest.trim_start_matches([' ', ',', '\t']).len();
        at += skip;
        let rest = rest.get(skip..).unwrap_or_default();
        if rest.is_empty() {
            break;
        }
        let (item, length) = item(rest, at)?;
        items.push(item);
        at += length;
        match text.as_bytes().get(at) {
            None => break,
            Some(b'|' | b',') => at += 1,
            Some(_) => return Err((at, "expected `|` between two targets")),
        }
    }
    if items.is_empty() { Err((0, "a rule needs a target")) } else { Ok(items) }
}

fn item(text: &str, at: usize) -> Result<(Item, usize), (usize, &'static str)> {
    let (sign, start) = match text.as_bytes().first() {
        Some(b'!') => (Sign::Exclude, 1),
        Some(b'&') => (Sign::Count, 1),
        _ => (Sign::Plain, 0),
    };
    let rest = text.get(start..).unwrap_or_default();
    let end = rest.find([':', '|', ',']).unwrap_or(rest.len());
    let name = rest.get(..end).unwrap_or_default().trim().to_owned();
    if name.is_empty() {
        return Err((at + start, "the name of a variable is missing"));
    }
    if !rest.get(end..).unwrap_or_default().starts_with(':') {
        return Ok((Item { sign, name, choice: Choice::All, at }, start + end));
    }
    let selector = rest.get(end + 1..).unwrap_or_default();
    let is_path = name.eq_ignore_ascii_case("XML") || name.eq_ignore_ascii_case("JSON");
    let (choice, length) = choice(selector, is_path).ok_or((at + start + end + 1, "this selector has no end"))?;
    Ok((Item { sign, name, choice, at }, start + end + 1 + length))
}

/// A selector at the start of `text` and its length; `None` when its quote or regular expression never ends.
fn choice(text: &str, is_path: bool) -> Option<(Choice, usize)> {
    if let Some(quoted) = text.strip_prefix('\'') {
        let length = closing(quoted, b'\'')?;
        let inner = quoted.get(..length).unwrap_or_default().replace("\\'", "'");
        let regex = inner.strip_prefix('/').and_then(|rest| rest.strip_suffix('/')).filter(|_| !is_path);
        let choice = regex.map_or_else(|| Choice::Name(inner.clone()), |pattern| Choice::Regex(pattern.to_owned()));
        return Some((choice, length + 2));
    }
    if let Some(pattern) = text.strip_prefix('/').filter(|_| !is_path) {
        let length = closing(pattern, b'/')?;
        let inner = pattern.get(..length).unwrap_or_default().replace("\\/", "/");
        return Some((Choice::Regex(inner), length + 2));
    }
    let end = text.find(['|', ',']).unwrap_or(text.len());
    Some((Choice::Name(text.get(..end).unwrap_or_default().trim_end().to_owned()), end))
}

/// Where the quote closes: not escaped, and followed by the end of the target.
fn closing(text: &str, quote: u8) -> Option<usize> {
    let bytes = text.as_bytes();
    let mut escaped = false;
    for (index, byte) in bytes.iter().enumerate() {
        let ends = matches!(bytes.get(index + 1), None | Some(b'|' | b','));
        if *byte == quote && !escaped && ends {
            return Some(index);
        }
        escaped = *byte == b'\\' && !escaped;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::{Choice, Sign, read};

    #[track_caller]
    fn check(text: &str, want: &[(Sign, &str, Choice)]) {
        let items = read(text).unwrap();
        let got: Vec<_> = items.into_iter().map(|item| (item.sign, item.name, item.choice)).collect();
        let want: Vec<_> =
            want.iter().map(|(sign, name, choice)| (*sign, (*name).to_owned(), choice.clone())).collect();
        assert_eq!(got, want, "{text}");
    }

    #[test]
    fn targets() {
        let name = |text: &str| Choice::Name(text.into());
        let regex = |text: &str| Choice::Regex(text.into());
        check("ARGS", &[(Sign::Plain, "ARGS", Choice::All)]);
        check("&ARGS:a|!ARGS", &[(Sign::Count, "ARGS", name("a")), (Sign::Exclude, "ARGS", Choice::All)]);
        check(
            "REQUEST_COOKIES:/a|b/|TX:x",
            &[(Sign::Plain, "REQUEST_COOKIES", regex("a|b")), (Sign::Plain, "TX", name("x"))],
        );
        check("ARGS:'/^a\\'b/'", &[(Sign::Plain, "ARGS", regex("^a'b"))]);
        check("XML:/*|XML://@*", &[(Sign::Plain, "XML", name("/*")), (Sign::Plain, "XML", name("//@*"))]);
        assert!(read("").is_err() && read("ARGS:/x").is_err() && read("|").is_err());
    }
}
