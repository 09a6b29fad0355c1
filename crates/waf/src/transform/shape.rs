//! Transformations that reshape a text: white space, comments, paths, command lines.

/// `isspace` of C.
pub(crate) const fn is_white(byte: u8) -> bool {
    matches!(byte, b' ' | 9..=13)
}

/// White space, or a byte of the UTF-8 form of the no-break space, which ModSecurity v3 takes for one.
pub(crate) const fn is_white_or_nbsp(byte: u8) -> bool {
    is_white(byte) || byte == 0xa0 || byte == 0xc2
}

/// Copies what lies between the bytes that are taken away, piece by piece.
pub(crate) fn without(input: &[u8], gone: impl Fn(u8) -> bool, out: &mut Vec<u8>) {
    out.reserve(input.len());
    for piece in input.split(|byte| gone(*byte)) {
        out.extend_from_slice(piece);
    }
}

pub(crate) fn compress_white(input: &[u8], out: &mut Vec<u8>) {
    let mut white = false;
    for byte in input {
        let now = is_white(*byte);
        if !now {
            out.push(*byte);
        } else if !white {
            out.push(b' ');
        }
        white = now;
    }
}

/// What a shell would see: quotes and escapes gone, separators folded to one space, none before `/` and `(`.
pub(crate) fn command_line(input: &[u8], out: &mut Vec<u8>) {
    out.reserve(input.len());
    let mut space = false;
    for byte in input {
        match byte {
            b'"' | b'\'' | b'\\' | b'^' => {}
            b' ' | b',' | b';' | b'\t' | b'\r' | b'\n' => {
                if !space {
                    out.push(b' ');
                    space = true;
                }
            }
            b'/' | b'(' => {
                if space {
                    out.pop();
                }
                space = false;
                out.push(*byte);
            }
            other => {
                out.push(other.to_ascii_lowercase());
                space = false;
            }
        }
    }
}

/// `/* … */` becomes one space; so does one that never ends.
pub(crate) fn replace_comments(input: &[u8], out: &mut Vec<u8>) {
    let mut rest = input;
    while let Some(at) = memchr::memmem::find(rest, b"/*") {
        out.extend_from_slice(rest.get(..at).unwrap_or_default());
        out.push(b' ');
        let inner = rest.get(at + 2..).unwrap_or_default();
        match memchr::memmem::find(inner, b"*/") {
            Some(end) => rest = inner.get(end + 2..).unwrap_or_default(),
            None => return,
        }
    }
    out.extend_from_slice(rest);
}

/// Comments of C, HTML, SQL and shells are taken away with what they hold.
pub(crate) fn remove_comments(input: &[u8], out: &mut Vec<u8>) {
    let mut rest = input;
    while let Some((first, after)) = rest.split_first() {
        let pair = |open: &[u8], close: &[u8]| {
            rest.strip_prefix(open).map(|inner| match memchr::memmem::find(inner, close) {
                Some(end) => inner.get(end + close.len()..).unwrap_or_default(),
                None => &[],
            })
        };
        if let Some(left) = pair(b"/*", b"*/").or_else(|| pair(b"<!--", b"-->")) {
            rest = left;
        } else if rest.starts_with(b"--") || *first == b'#' {
            return;
        } else {
            out.push(*first);
            rest = after;
        }
    }
}

/// The marks of comments are taken away, what they hold stays.
pub(crate) fn remove_comment_marks(input: &[u8], out: &mut Vec<u8>) {
    const MARKS: [&[u8]; 6] = [b"/*", b"*/", b"<!--", b"-->", b"--", b"#"];
    let mut rest = input;
    while let Some((first, after)) = rest.split_first() {
        match MARKS.iter().find_map(|mark| rest.strip_prefix(*mark)) {
            Some(left) => rest = left,
            None => {
                out.push(*first);
                rest = after;
            }
        }
    }
}

/// Which bytes separate the parts of a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Separator {
    /// `/`
    Slash,
    /// `/` and `\`
    Both,
}

/// Takes repeated separators, `.` and `..` out of a path. A relative path keeps the `..` it begins with.
pub(crate) fn path(input: &[u8], separator: Separator, out: &mut Vec<u8>) {
    let is_separator = |byte: &u8| *byte == b'/' || separator == Separator::Both && *byte == b'\\';
    let absolute = input.first().is_some_and(is_separator);
    let trailing = input.len() > 1 && input.last().is_some_and(is_separator);
    if absolute {
        out.push(b'/');
    }
    // Where `..` may not go back behind: the root, or the `..` that a relative path begins with.
    let mut floor = out.len();
    for part in input.split(is_separator) {
        match part {
            b"" | b"." => {}
            b".." if out.len() > floor => {
                let kept = out.strip_suffix(b"/").unwrap_or(out);
                let cut = kept.iter().rposition(|byte| *byte == b'/').map_or(0, |at| at + 1);
                out.truncate(cut.max(floor));
            }
            b".." if absolute => {}
            b".." => {
                out.extend_from_slice(b"../");
                floor = out.len();
            }
            name => {
                out.extend_from_slice(name);
                out.push(b'/');
            }
        }
    }
    if !trailing && out.len() > usize::from(absolute) {
        out.pop();
    }
}

/// A number in decimal.
pub(crate) fn number(number: usize, out: &mut Vec<u8>) {
    let from = out.len();
    let mut rest = number;
    loop {
        out.push(b'0' + (rest % 10) as u8);
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    if let Some(digits) = out.get_mut(from..) {
        digits.reverse();
    }
}
