use super::{Form, bits, read_block};

#[track_caller]
fn check(form: Form, yes: &[&str], no: &[&str]) {
    for text in yes {
        assert!(form.matches(text.as_bytes()), "{form:?} {text}");
    }
    for text in no {
        assert!(!form.matches(text.as_bytes()), "{form:?} {text}");
    }
}

#[test]
fn forms_are_istios() {
    check(Form::read("abc"), &["abc"], &["ABC", "abcd", ""]);
    check(Form::read("abc*"), &["abc", "abcd"], &["xabc"]);
    check(Form::read("*abc"), &["abc", "xabc"], &["abcx"]);
    check(Form::read("*"), &["x"], &[""]);
    check(Form::read("a*c"), &["a*c"], &["abc"]);
    check(Form::read("*abc*"), &["abc*", "xabc*"], &["abc"]);
    check(Form::read_header("*"), &["x", ""], &[]);
    check(Form::read("A*").lower_case(), &["abc"], &["Abc"]);
}

#[test]
fn namespaces_are_globs() {
    check(Form::read_namespace("foo"), &["foo"], &["foo-a"]);
    check(Form::read_namespace("*-suffix"), &["a-suffix"], &["a-suffix-b"]);
    check(Form::read_namespace("a*c"), &["ac", "abc"], &["abcd"]);
    check(Form::read_namespace("*mid*"), &["mid", "amidb"], &["md"]);
    check(Form::read_namespace("a*b*a"), &["aba", "axbxa"], &["aa", "ab"]);
}

#[test]
fn blocks_are_prefixes_of_their_addresses() {
    let inside = |block: &str, address: &str| {
        let block = read_block(block).unwrap();
        bits(address.parse().unwrap(), 128).starts_with(&bits(block.addr(), block.prefix_len()))
    };
    assert!(inside("10.0.0.0/9", "10.127.0.1") && !inside("10.0.0.0/9", "10.128.0.1"));
    assert!(inside("10.1.2.3", "::ffff:10.1.2.3") && !inside("10.1.2.3", "10.1.2.2"));
    assert!(inside("10.1.2.3/8", "10.200.0.1") && inside("0.0.0.0/0", "1.2.3.4"));
    assert!(inside("2001:db8::/33", "2001:db8:7fff::1") && !inside("2001:db8::/33", "2001:db8:8000::1"));
    assert!(!inside("0.0.0.0/0", "::1") && !inside("::/0", "1.2.3.4"));
    assert_eq!(read_block("10.0.0.0/33"), None);
    assert_eq!(read_block("host"), None);
}
