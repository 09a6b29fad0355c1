//! A release archive of rule files: tar (POSIX.1-1988 `ustar`, with GNU's and pax' extra headers passed over) inside gzip.
//!
//! In: the bytes of `coreruleset-X.Y.Z-minimal.tar.gz`. Out: a [`Bundle`] of its rule files, the leading folder taken
//! away. Never: a path outside the release's own folders, a link, more than [`MOST`] bytes.

use super::Bundle;
use crate::body::coding::{self, Beyond};

/// The most bytes of an archive once it is decompressed; a release needs a twentieth.
const MOST: usize = 64 << 20;
const BLOCK: usize = 512;

/// Why an archive is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ArchiveError {
    /// Not gzip, or too long once it is decompressed.
    #[error("the archive is not gzip, or longer than 64 MiB once it is decompressed")]
    Coding,
    /// A header's checksum is wrong, or a file ends beyond the archive.
    #[error("the archive is not a whole tar file")]
    Tar,
    /// Neither `crs-setup.conf.example` nor `rules/` is in it.
    #[error("the archive holds no crs-setup.conf.example and rules/*.conf: it is no release of the Core Rule Set")]
    NoRelease,
}

impl Bundle {
    /// Reads a release archive.
    ///
    /// # Errors
    /// [`ArchiveError`]; nothing of the archive is taken then.
    pub fn from_archive(bytes: &[u8]) -> Result<Self, ArchiveError> {
        let tar = match coding::decode(b"gzip", bytes, MOST, Beyond::Refuse) {
            Some(Ok(tar)) => tar,
            _ => return Err(ArchiveError::Coding),
        };
        let mut bundle = Self::default();
        let mut rest = tar.as_slice();
        // A block of zeroes ends the archive.
        while let Some((header, after)) =
            rest.split_at_checked(BLOCK).filter(|(header, _)| header.iter().any(|b| *b != 0))
        {
            let entry = Entry::read(header).ok_or(ArchiveError::Tar)?;
            let content = after.get(..entry.size).ok_or(ArchiveError::Tar)?;
            if let Some(path) = entry.path.as_deref().and_then(wanted).filter(|_| entry.is_file) {
                bundle.add(path, content);
            }
            rest = after.get(entry.size.next_multiple_of(BLOCK)..).unwrap_or_default();
        }
        if !rest.is_empty() && rest.len() < BLOCK {
            return Err(ArchiveError::Tar);
        }
        if bundle.released().is_err() {
            return Err(ArchiveError::NoRelease);
        }
        Ok(bundle)
    }
}

/// One header.
struct Entry {
    /// `None`: not UTF-8, so none of ours.
    path: Option<String>,
    size: usize,
    is_file: bool,
}

impl Entry {
    fn read(header: &[u8]) -> Option<Self> {
        let field = |from: usize, length: usize| header.get(from..from + length);
        let stored = octal(field(148, 8)?)?;
        // The checksum is made with its own field as blanks.
        let bytes = header.iter().enumerate();
        let sum: usize = bytes.map(|(at, byte)| usize::from(if (148..156).contains(&at) { b' ' } else { *byte })).sum();
        if sum != stored {
            return None;
        }
        let name = text(field(0, 100)?);
        let prefix = if field(257, 5)? == b"ustar" { text(field(345, 155)?) } else { Some("") };
        let path = name.zip(prefix).map(
            |(name, prefix)| {
                if prefix.is_empty() { name.to_owned() } else { format!("{prefix}/{name}") }
            },
        );
        Some(Self { path, size: octal(field(124, 12)?)?, is_file: matches!(header.get(156), Some(b'0' | 0)) })
    }
}

/// A field up to its first zero byte.
fn text(field: &[u8]) -> Option<&str> {
    let end = field.iter().position(|byte| *byte == 0).unwrap_or(field.len());
    std::str::from_utf8(field.get(..end)?).ok()
}

fn octal(field: &[u8]) -> Option<usize> {
    let digits = text(field)?.trim_matches(' ');
    usize::from_str_radix(digits, 8).ok().filter(|size| *size <= MOST)
}

/// The path of a rule file in the bundle; `None`: not one of them.
fn wanted(path: &str) -> Option<&str> {
    let path = path.strip_prefix("./").unwrap_or(path);
    let (_, inside) = path.split_once('/')?;
    if matches!(inside, "crs-setup.conf.example" | "crs-setup.conf" | "LICENSE") {
        return Some(inside);
    }
    let (folder, name) = inside.split_once('/')?;
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
    let is_rules = [".conf", ".data", ".example"].iter().any(|end| name.ends_with(end));
    let fits = matches!(folder, "rules" | "plugins") && is_rules && name.chars().all(plain) && !name.starts_with('.');
    fits.then_some(inside)
}

#[cfg(test)]
mod tests {
    use super::{ArchiveError, Bundle, wanted};
    use miniz_oxide::deflate::compress_to_vec;

    fn entry(path: &str, kind: u8, content: &[u8]) -> Vec<u8> {
        let mut header = vec![0; 512];
        header[..path.len()].copy_from_slice(path.as_bytes());
        header[124..136].copy_from_slice(format!("{:011o}\0", content.len()).as_bytes());
        header[156] = kind;
        header[257..263].copy_from_slice(b"ustar\0");
        header[148..156].fill(b' ');
        let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
        header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        header.extend_from_slice(content);
        header.resize(header.len().next_multiple_of(512), 0);
        header
    }

    fn packed(tar: &[u8]) -> Vec<u8> {
        [&[0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3][..], &compress_to_vec(tar, 6), &[0; 8]].concat()
    }

    #[test]
    fn a_release_is_read_and_nothing_beside_it() {
        let tar = [
            entry("crs-9/", b'5', b""),
            entry("crs-9/crs-setup.conf.example", b'0', b"# set-up\n"),
            entry("crs-9/rules/a.conf", b'0', b"SecMarker A\n"),
            entry("crs-9/rules/a.data", 0, b"x\n"),
            entry("crs-9/rules/evil.conf", b'2', b""),
            entry("crs-9/rules/../../evil.conf", b'0', b"SecMarker B\n"),
            entry("crs-9/util/x.sh", b'0', b"x"),
            vec![0; 1024],
        ]
        .concat();
        let bundle = Bundle::from_archive(&packed(&tar)).unwrap();
        assert_eq!(bundle.paths().collect::<Vec<_>>(), ["crs-setup.conf.example", "rules/a.conf", "rules/a.data"]);
        assert_eq!(bundle.released().unwrap(), ["crs-setup.conf.example", "rules/a.conf"]);
        let cut = packed(&tar[..1600]);
        assert_eq!(Bundle::from_archive(&cut).unwrap_err(), ArchiveError::Tar);
        let mut broken = tar.clone();
        broken[0] ^= 1;
        assert_eq!(Bundle::from_archive(&packed(&broken)).unwrap_err(), ArchiveError::Tar);
        assert_eq!(Bundle::from_archive(&packed(&[0; 1024])).unwrap_err(), ArchiveError::NoRelease);
        assert_eq!(Bundle::from_archive(b"PK").unwrap_err(), ArchiveError::Coding);
        assert_eq!(Bundle::from_archive(&packed(&vec![0; 65 << 20])).unwrap_err(), ArchiveError::Coding);
    }

    #[test]
    fn paths() {
        let check = |path: &str, want: Option<&str>| assert_eq!(wanted(path), want, "{path}");
        check("./crs/rules/a.conf", Some("rules/a.conf"));
        check("crs/rules/a.conf", Some("rules/a.conf"));
        check("crs/plugins/p-before.conf", Some("plugins/p-before.conf"));
        check("crs/rules/.a.conf", None);
        check("crs/rules/b/a.conf", None);
        check("/rules/a.conf", Some("rules/a.conf"));
        check("crs/rules/a.lua", None);
    }
}
