//! Path templates: `{*}` is one segment, `{**}` is the rest.
//!
//! In: text of a policy. Out: [`Template`]. Never: a regular expression. Follows Istio's `paths` templates as Envoy's
//! URI template matcher reads them: a segment is one or more characters of RFC 3986 `pchar` without `*`, and the rest
//! is any number of those and of `/`. Where a wider reading is the safe one (what a rule refuses), any byte counts.

/// A template over a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template {
    pieces: Vec<Piece>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece {
    /// This text.
    Literal(Box<str>),
    /// `{*}`
    Segment,
    /// `{**}`
    Rest,
}

/// Which bytes stand for a wildcard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// Those that Envoy's matcher takes: what a rule allows is not more than there.
    Envoy,
    /// Any but `/`: what a rule refuses is not less than there.
    Wide,
}

impl Template {
    /// Whether a path of a policy is a template at all.
    pub fn is_template(path: &str) -> bool {
        path.contains(['{', '}'])
    }

    /// Reads a template: whole segments only, nothing but `{*}` and `{**}`, `{**}` once and last of the wildcards, no
    /// other star or brace. `None` when it is anything else.
    pub fn read(path: &str) -> Option<Self> {
        if !path.starts_with('/') {
            return None;
        }
        let mut pieces: Vec<Piece> = Vec::new();
        let mut literal = String::new();
        for segment in path.split_inclusive('/') {
            let name = segment.strip_suffix('/').unwrap_or(segment);
            let wildcard = match name {
                "{*}" => Piece::Segment,
                "{**}" => Piece::Rest,
                _ if name.contains(['{', '}', '*']) => return None,
                _ => {
                    literal.push_str(segment);
                    continue;
                }
            };
            if pieces.contains(&Piece::Rest) {
                return None;
            }
            pieces.push(Piece::Literal(std::mem::take(&mut literal).into()));
            pieces.push(wildcard);
            literal.push_str(segment.strip_prefix(name).unwrap_or_default());
        }
        pieces.push(Piece::Literal(literal.into()));
        Some(Self { pieces })
    }

    /// The text before the first wildcard: every path that matches begins so.
    pub fn start(&self) -> &str {
        match self.pieces.first() {
            Some(Piece::Literal(text)) => text,
            _ => "",
        }
    }

    /// Whether a path (without query) matches.
    pub fn matches(&self, path: &[u8], reach: Reach) -> bool {
        let fits = |byte: &u8| match reach {
            Reach::Wide => true,
            Reach::Envoy => byte.is_ascii_alphanumeric() || b"-._~%!$&'()+,;:@=".contains(byte),
        };
        let mut left = path;
        for (at, piece) in self.pieces.iter().enumerate() {
            let taken = match piece {
                Piece::Literal(text) => Some(text.len()).filter(|_| left.starts_with(text.as_bytes())),
                Piece::Segment => {
                    let end = left.iter().position(|byte| *byte == b'/').unwrap_or(left.len());
                    Some(end).filter(|end| *end > 0 && left.iter().take(*end).all(fits))
                }
                Piece::Rest => {
                    let Some(Piece::Literal(tail)) = self.pieces.get(at + 1) else { return false };
                    let Some(middle) = left.strip_suffix(tail.as_bytes()) else { return false };
                    return middle.iter().all(|byte| *byte == b'/' || fits(byte));
                }
            };
            match taken.and_then(|taken| left.get(taken..)) {
                Some(rest) => left = rest,
                None => return false,
            }
        }
        left.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::{Reach, Template};

    #[track_caller]
    fn check(template: &str, path: &str, want: bool) {
        let read = Template::read(template).unwrap();
        assert_eq!(read.matches(path.as_bytes(), Reach::Envoy), want, "{template} {path}");
    }

    #[test]
    fn templates_match_whole_segments() {
        check("/foo/{*}", "/foo/bar", true);
        check("/foo/{*}", "/foo/", false);
        check("/foo/{*}", "/foo/bar/", false);
        check("/foo/{*}", "/foo/bar/baz", false);
        check("/foo/{*}/bar", "/foo/x/bar", true);
        check("/foo/{*}/bar", "/foo/bar", false);
        check("/{*}/bar/{*}", "/a/bar/b", true);
        check("/foo/{**}", "/foo/a/b/", true);
        check("/foo/{**}", "/foo/", true);
        check("/foo/{**}", "/foo", false);
        check("/foo/{**}/end", "/foo/a/b/end", true);
        check("/foo/{**}/end", "/foo/a/b", false);
        check("/{*}/x/{**}", "/a/x/b/c", true);
    }

    #[test]
    fn refusals_reach_further_than_permissions() {
        let read = Template::read("/admin/{*}").unwrap();
        assert!(!read.matches(b"/admin/a*b", Reach::Envoy) && read.matches(b"/admin/a*b", Reach::Wide));
    }

    #[test]
    fn what_is_no_template_is_refused() {
        for text in ["/foo/{*", "/foo/x{*}", "/foo/{x}", "/{**}/{*}", "/{**}/{**}", "/a*/{*}", "foo/{*}", "/foo/{***}"]
        {
            assert_eq!(Template::read(text), None, "{text}");
        }
    }
}
