//! What a server of HTTP/2 says of itself in its first frame.
//!
//! In: the first bytes that it sends. Out: whether it takes extended `CONNECT`. Never: more than the first frame, which is
//! where servers say it. Follows RFC 9113 sections 3.4 and 6.5, RFC 8441 section 3.

/// The longest first frame that is read, with its head, in bytes: 128 settings.
pub const LONGEST: usize = 9 + 6 * 128;

/// Whether a server takes extended `CONNECT`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExtendedConnect {
    /// It does.
    Taken,
    /// It does not.
    NotTaken,
}

/// What the first frame says; `None`: it is not whole yet. What is no SETTINGS frame, or a longer one, says that nothing is
/// taken.
pub fn extended_connect(input: &[u8]) -> Option<ExtendedConnect> {
    let ([a, b, c, kind, _, s @ ..], rest) = input.split_first_chunk::<9>()?;
    let length = usize::try_from(u32::from_be_bytes([0, *a, *b, *c])).ok()?;
    let is_settings = *kind == 4 && matches!(s, [0 | 0x80, 0, 0, 0]) && length.is_multiple_of(6);
    if !is_settings || length > LONGEST - 9 {
        return Some(ExtendedConnect::NotTaken);
    }
    let mut said = ExtendedConnect::NotTaken;
    for setting in rest.get(..length)?.chunks_exact(6) {
        // The last one counts.
        if let [0, 8, value @ ..] = setting {
            said = if *value == [0, 0, 0, 1] { ExtendedConnect::Taken } else { ExtendedConnect::NotTaken };
        }
    }
    Some(said)
}

#[cfg(test)]
mod tests {
    use super::ExtendedConnect::{NotTaken, Taken};
    use super::{LONGEST, extended_connect};

    fn frame(kind: u8, settings: &[[u8; 6]]) -> Vec<u8> {
        let length = u32::try_from(settings.len() * 6).unwrap().to_be_bytes();
        let head = [length[1], length[2], length[3], kind, 0, 0, 0, 0, 0];
        head.into_iter().chain(settings.iter().flatten().copied()).collect()
    }

    #[test]
    fn the_first_frame_says_it() {
        let (streams, on, off) = ([0, 3, 0, 0, 0, 100], [0, 8, 0, 0, 0, 1], [0, 8, 0, 0, 0, 0]);
        for (settings, said) in [
            (&[streams, on][..], Taken),
            (&[streams], NotTaken),
            (&[], NotTaken),
            (&[on, off], NotTaken),
            (&[off, on], Taken),
            (&[[0, 8, 0, 0, 1, 1]], NotTaken),
        ] {
            let whole = frame(4, settings);
            assert_eq!(extended_connect(&whole), Some(said), "{settings:?}");
            assert_eq!(extended_connect(&[&whole[..], b"more"].concat()), Some(said));
            (0..whole.len()).for_each(|at| assert_eq!(extended_connect(&whole[..at]), None, "{at}"));
        }
    }

    #[test]
    fn what_is_no_settings_frame_takes_nothing() {
        assert_eq!(extended_connect(b"HTTP/1.1 400 Bad Request"), Some(NotTaken));
        assert_eq!(extended_connect(&frame(7, &[[0, 8, 0, 0, 0, 1]])), Some(NotTaken));
        let mut of_stream = frame(4, &[[0, 8, 0, 0, 0, 1]]);
        of_stream[8] = 1;
        assert_eq!(extended_connect(&of_stream), Some(NotTaken));
        let long = frame(4, &vec![[0, 8, 0, 0, 0, 1]; LONGEST / 6 + 1]);
        assert_eq!(extended_connect(&long[..9]), Some(NotTaken), "it is not waited for");
    }
}
