//! Transformations: what is done to a value before an operator sees it.
//!
//! In: bytes. Out: bytes, or "the same". Reference manual v3, "Transformation functions"; where the manual is silent,
//! ModSecurity's behaviour. Start reading at [`Transformation::apply`].

mod decode;
mod digest;
pub(crate) mod shape;

use crate::alphabet::{self, ANY, BLANK, HIGH, Mask, NUL, SPACE, UPPER};

/// A transformation function.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[rustfmt::skip]
pub(crate) enum Transformation {
    Base64Decode, Base64DecodeExt, Base64Encode, CmdLine, CompressWhitespace, CssDecode, EscapeSeqDecode, HexDecode,
    HexEncode, HtmlEntityDecode, JsDecode, Length, Lowercase, Md5, NormalizePath, NormalizePathWin, ParityEven,
    ParityOdd, ParityZero, RemoveComments, RemoveCommentsChar, RemoveNulls, RemoveWhitespace, ReplaceComments,
    ReplaceNulls, Sha1, SqlHexDecode, Trim, TrimLeft, TrimRight, Uppercase, UrlDecode, UrlDecodeUni, UrlEncode,
    Utf8ToUnicode,
}

/// Names, sorted, with what they mean. `none` is not here: it clears the list.
pub(crate) const TABLE: [(&str, Transformation); 37] = {
    use Transformation as T;
    [
        ("base64Decode", T::Base64Decode),
        ("base64DecodeExt", T::Base64DecodeExt),
        ("base64Encode", T::Base64Encode),
        ("cmdLine", T::CmdLine),
        ("compressWhitespace", T::CompressWhitespace),
        ("cssDecode", T::CssDecode),
        ("escapeSeqDecode", T::EscapeSeqDecode),
        ("hexDecode", T::HexDecode),
        ("hexEncode", T::HexEncode),
        ("htmlEntityDecode", T::HtmlEntityDecode),
        ("jsDecode", T::JsDecode),
        ("length", T::Length),
        ("lowercase", T::Lowercase),
        ("md5", T::Md5),
        ("normalisePath", T::NormalizePath),
        ("normalisePathWin", T::NormalizePathWin),
        ("normalizePath", T::NormalizePath),
        ("normalizePathWin", T::NormalizePathWin),
        ("parityEven7bit", T::ParityEven),
        ("parityOdd7bit", T::ParityOdd),
        ("parityZero7bit", T::ParityZero),
        ("removeComments", T::RemoveComments),
        ("removeCommentsChar", T::RemoveCommentsChar),
        ("removeNulls", T::RemoveNulls),
        ("removeWhitespace", T::RemoveWhitespace),
        ("replaceComments", T::ReplaceComments),
        ("replaceNulls", T::ReplaceNulls),
        ("sha1", T::Sha1),
        ("sqlHexDecode", T::SqlHexDecode),
        ("trim", T::Trim),
        ("trimLeft", T::TrimLeft),
        ("trimRight", T::TrimRight),
        ("uppercase", T::Uppercase),
        ("urlDecode", T::UrlDecode),
        ("urlDecodeUni", T::UrlDecodeUni),
        ("urlEncode", T::UrlEncode),
        ("utf8toUnicode", T::Utf8ToUnicode),
    ]
};

/// Whether a transformation changed its input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    /// The output is the input; the buffer's content means nothing.
    Same,
    /// The output is in the buffer.
    Made,
}

impl Transformation {
    /// The transformation of that name, whatever its case.
    pub fn named(name: &str) -> Option<Self> {
        TABLE.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, found)| *found)
    }

    /// Kinds of bytes without which the output is the input. `None`: it changes everything, the empty text too.
    pub fn touches(self) -> Option<Mask> {
        use Transformation as T;
        let of = |bytes: &[u8]| alphabet::of_set(bytes.iter().copied());
        let white = SPACE | BLANK;
        Some(match self {
            T::Base64Decode | T::Base64DecodeExt | T::Base64Encode | T::HexEncode | T::HexDecode => return None,
            T::Length | T::Md5 | T::Sha1 => return None,
            T::ParityEven | T::ParityOdd => ANY,
            T::ParityZero => HIGH,
            // `/` and `(` only take away a space before them.
            T::CmdLine => of(b"\"'\\^,;") | white | UPPER,
            T::CompressWhitespace | T::Trim | T::TrimLeft | T::TrimRight => white,
            T::RemoveWhitespace => white | HIGH,
            T::CssDecode | T::EscapeSeqDecode | T::JsDecode => of(b"\\"),
            T::HtmlEntityDecode => of(b"&"),
            T::Lowercase => UPPER,
            T::Uppercase | T::UrlEncode => ANY,
            // `.` alone has the kinds of separators, see `alphabet::of`.
            T::NormalizePath => of(b"/"),
            T::NormalizePathWin => of(b"/\\"),
            T::RemoveComments | T::RemoveCommentsChar => of(b"*-#"),
            T::ReplaceComments => of(b"*"),
            T::RemoveNulls | T::ReplaceNulls => NUL,
            T::SqlHexDecode => of(b"x"),
            T::UrlDecode | T::UrlDecodeUni => of(b"%+"),
            T::Utf8ToUnicode => HIGH,
        })
    }

    /// Transforms `input` into `out`, whose content before does not matter. Linear in the input.
    pub fn apply(self, input: &[u8], out: &mut Vec<u8>) -> Change {
        use Transformation as T;
        out.clear();
        match self {
            T::Base64Decode => decode::base64(input, decode::Foreign::Stop, out),
            T::Base64DecodeExt => decode::base64(input, decode::Foreign::Skip, out),
            T::Base64Encode => digest::base64(input, out),
            T::CmdLine => shape::command_line(input, out),
            T::CompressWhitespace => shape::compress_white(input, out),
            T::CssDecode => decode::css(input, out),
            T::EscapeSeqDecode => decode::escapes(input, out),
            T::HexDecode => decode::hex(input, out),
            T::HexEncode => digest::hex(input, out),
            T::HtmlEntityDecode => decode::html(input, out),
            T::JsDecode => decode::javascript(input, out),
            T::Length => shape::number(input.len(), out),
            T::Lowercase => {
                out.extend_from_slice(input);
                out.make_ascii_lowercase();
            }
            T::Uppercase => {
                out.extend_from_slice(input);
                out.make_ascii_uppercase();
            }
            T::Md5 => out.extend_from_slice(&digest::md5(input)),
            T::Sha1 => out.extend_from_slice(&digest::sha1(input)),
            T::NormalizePath => shape::path(input, shape::Separator::Slash, out),
            T::NormalizePathWin => shape::path(input, shape::Separator::Both, out),
            T::ParityEven => out.extend(input.iter().map(|byte| parity(*byte, 0))),
            T::ParityOdd => out.extend(input.iter().map(|byte| parity(*byte, 1))),
            T::ParityZero => out.extend(input.iter().map(|byte| byte & 0x7f)),
            T::RemoveComments => shape::remove_comments(input, out),
            T::RemoveCommentsChar => shape::remove_comment_marks(input, out),
            T::RemoveNulls => shape::without(input, |byte| byte == 0, out),
            T::RemoveWhitespace => shape::without(input, shape::is_white_or_nbsp, out),
            T::ReplaceComments => shape::replace_comments(input, out),
            T::ReplaceNulls => out.extend(input.iter().map(|byte| if *byte == 0 { b' ' } else { *byte })),
            T::SqlHexDecode => decode::sql_hex(input, out),
            T::Trim => out.extend_from_slice(trim_right(trim_left(input))),
            T::TrimLeft => out.extend_from_slice(trim_left(input)),
            T::TrimRight => out.extend_from_slice(trim_right(input)),
            T::UrlDecode => decode::url(input, decode::Unicode::Keep, out),
            T::UrlDecodeUni => decode::url(input, decode::Unicode::Decode, out),
            T::UrlEncode => digest::url(input, out),
            T::Utf8ToUnicode => decode::utf8_to_unicode(input, out),
        }
        if out.as_slice() == input { Change::Same } else { Change::Made }
    }
}

impl Transformation {
    /// Transforms `input` and adds the result to `out`.
    pub fn apply_onto(self, input: &[u8], out: &mut Vec<u8>) {
        let mut made = Vec::new();
        self.apply(input, &mut made);
        out.extend_from_slice(&made);
    }
}

fn parity(byte: u8, odd: u32) -> u8 {
    let low = byte & 0x7f;
    if low.count_ones() % 2 == odd { low } else { low | 0x80 }
}

fn trim_left(input: &[u8]) -> &[u8] {
    let start = input.iter().position(|byte| !shape::is_white(*byte)).unwrap_or(input.len());
    input.get(start..).unwrap_or_default()
}

fn trim_right(input: &[u8]) -> &[u8] {
    let end = input.iter().rposition(|byte| !shape::is_white(*byte)).map_or(0, |at| at + 1);
    input.get(..end).unwrap_or_default()
}

#[cfg(test)]
mod tests;
