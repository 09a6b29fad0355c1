use super::{Normalization, is_plain, kong, normalize};
use proptest::prelude::{ProptestConfig, any, proptest};

#[track_caller]
fn check(mode: Normalization, path: &str, want: &str) {
    let got = normalize(path.as_bytes(), mode).map(|path| String::from_utf8_lossy(&path).into_owned());
    assert_eq!(got.as_deref(), Ok(want), "{path}");
}

#[test]
fn dot_segments_with_parameters_are_dot_segments() {
    let base = |path, want| check(Normalization::Base, path, want);
    base("/..;/admin", "/admin");
    base("/ok/..;x=1/admin", "/admin");
    base("/ok/.;/admin", "/ok/admin");
    base("/ok/%2e%2E;x/admin", "/admin");
    base("/ok/..%3b/admin", "/ok/..%3b/admin");
    base("/ok/a;x=../admin", "/ok/a;x=../admin");
    base("/ok/...;/admin", "/ok/...;/admin");
    check(Normalization::None, "/ok/..;/admin", "/ok/..;/admin");
}

#[test]
fn the_end_of_a_path_keeps_its_slash() {
    let base = |path, want| check(Normalization::Base, path, want);
    base("/a/.", "/a/");
    base("/a/b/..", "/a/");
    base("/..", "/");
    base("/", "/");
    base("/a/%", "/a/%");
    base("/a/%4", "/a/%4");
    base("/a/%zz%41", "/a/%zzA");
    base("/a#b", "/a");
    base("/%7Eu%2D", "/~u-");
    check(Normalization::DecodeAndMergeSlashes, "/api/v1/agents/..%2f..%2fadmin", "/api/admin");
    check(Normalization::Base, "/api/v1/agents/..%2f..%2fadmin", "/api/v1/agents/..%2f..%2fadmin");
}

#[test]
fn an_encoded_nul_is_refused_in_every_mode() {
    use Normalization::{Base, DecodeAndMergeSlashes, MergeSlashes, None};
    for mode in [None, Base, MergeSlashes, DecodeAndMergeSlashes] {
        assert_eq!(normalize(b"/a%00b", mode), Err(crate::fault::PATH_NUL));
    }
}

#[test]
fn kong_merges_slashes_while_it_removes_dots() {
    let check = |path: &str, want: &str| assert_eq!(kong(path.as_bytes()), want, "{path}");
    check("/", "/");
    check("/a/./b/../c", "/a/c");
    check("/app//../admin", "/admin");
    check("//a///b", "/a/b");
    check("/a/", "/a/");
    check("/a/..", "/");
    check("/a/b/..", "/a/");
    check("/a/b/.", "/a/b/");
    check("/%41%7e%2f%3a", "/A~%2F%3A");
    check("/%c3%a4%20x", "/\u{e4} x");
    check("/%2e%2E/x", "/x");
    check("/..;/x", "/..;/x");
    check("/a%zz", "/a%zz");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]
    #[test]
    fn a_normal_form_is_normal(segments in proptest::collection::vec("[ab.;/%2ef5c]{0,6}", 0..6), _seed in any::<u8>()) {
        let path = format!("/{}", segments.join("/"));
        for mode in [Normalization::Base, Normalization::MergeSlashes] {
            let Ok(once) = normalize(path.as_bytes(), mode) else { continue };
            // No dot segment is left, whichever parameters it carries.
            for segment in once.split(|octet| *octet == b'/') {
                let name = segment.split(|octet| *octet == b';').next().unwrap();
                assert!(name != b".." && name != b".", "{path}");
            }
        }
        if is_plain(path.as_bytes()) {
            assert_eq!(normalize(path.as_bytes(), Normalization::DecodeAndMergeSlashes).unwrap(), path);
            assert_eq!(kong(path.as_bytes()), path);
        }
    }
}
