//! The actions of a rule: `id:1,phase:2,msg:'a, b',setvar:tx.x=+1`.
//!
//! In: the action argument. Out: [`Act`]s in order. Never: what an action means (see `lower`).

/// One action as written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Act {
    /// Its name in lower case.
    pub name: String,
    /// Its value, quotes resolved; empty when there is none.
    pub value: String,
    /// Offset in the text that was read.
    pub at: usize,
}

/// Reads a list of actions; the error has its offset.
pub(crate) fn read(text: &str) -> Result<Vec<Act>, (usize, &'static str)> {
    let mut acts = Vec::new();
    let mut at = 0;
    loop {
        let rest = text.get(at..).unwrap_or_default();
        let trimmed = rest.trim_start_matches([' ', '\t', ',', '\r', '\n']);
        at += rest.len() - trimmed.len();
        if trimmed.is_empty() {
            return Ok(acts);
        }
        let end = trimmed.find([':', ',']).unwrap_or(trimmed.len());
        let name = trimmed.get(..end).unwrap_or_default().trim().to_ascii_lowercase();
        if name.is_empty() {
            return Err((at, "the name of an action is missing"));
        }
        let start = at;
        at += end;
        let mut value = String::new();
        if trimmed.as_bytes().get(end) == Some(&b':') {
            let (read, length) = self::value(trimmed.get(end + 1..).unwrap_or_default())
                .ok_or((at + 1, "this quoted value has no end"))?;
            value = read;
            at += 1 + length;
        }
        acts.push(Act { name, value, at: start });
        let rest = text.get(at..).unwrap_or_default();
        let trimmed = rest.trim_start();
        if !trimmed.is_empty() && !trimmed.starts_with(',') {
            return Err((at, "expected `,` between two actions"));
        }
    }
}

/// A value at the start of `text` and its length. A quote may open after a prefix, as in `redirect:'…'` or `setvar:'…'`.
fn value(text: &str) -> Option<(String, usize)> {
    let lead = text.len() - text.trim_start().len();
    let inner = text.get(lead..).unwrap_or_default();
    let Some(quoted) = inner.strip_prefix('\'') else {
        let end = unquoted(text);
        return Some((text.get(..end).unwrap_or_default().trim().to_owned(), end));
    };
    let mut out = String::new();
    let mut chars = quoted.char_indices().peekable();
    while let Some((index, c)) = chars.next() {
        match c {
            '\\' if chars.peek().is_some_and(|(_, next)| *next == '\'') => {
                out.push('\'');
                chars.next();
            }
            '\'' => return Some((out, lead + index + 2)),
            other => out.push(other),
        }
    }
    None
}

/// An unquoted value ends at a comma outside of `%{…}` and of `'…'`.
fn unquoted(text: &str) -> usize {
    let (mut quoted, mut escaped) = (false, false);
    for (index, byte) in text.bytes().enumerate() {
        match byte {
            b'\'' if !escaped => quoted = !quoted,
            b',' if !quoted => return index,
            _ => {}
        }
        escaped = byte == b'\\' && !escaped;
    }
    text.len()
}

#[cfg(test)]
mod tests {
    use super::read;

    #[track_caller]
    fn check(text: &str, want: &[(&str, &str)]) {
        let got: Vec<_> = read(text).unwrap().into_iter().map(|act| (act.name, act.value)).collect();
        let want: Vec<_> = want.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        assert_eq!(got, want, "{text}");
    }

    #[test]
    fn actions() {
        check("id:1, phase:2 ,deny", &[("id", "1"), ("phase", "2"), ("deny", "")]);
        check("msg:'a, b\\'s',t:none", &[("msg", "a, b's"), ("t", "none")]);
        check(
            "setvar:tx.a=%{x.y},ctl:ruleRemoveTargetById=1;ARGS:'a,b'",
            &[("setvar", "tx.a=%{x.y}"), ("ctl", "ruleRemoveTargetById=1;ARGS:'a,b'")],
        );
        assert!(read("msg:'a").is_err() && read(":x").is_err() && read("msg:'a' b").is_err());
    }
}
