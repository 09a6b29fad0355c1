//! Trust domain aliases: a principal of one of our trust domains means the same account in all of them.
//!
//! In: a principal of a policy, our trust domains. Out: the principals it stands for. Follows Istio's trust domain
//! bundle: only `<domain>/ns/<namespace>/sa/<account>` is widened; `cluster.local` always means our own domains.

use crate::matching::Form;

/// All principals that a policy's principal stands for. `domains` is our own trust domain, then its aliases.
pub fn widen(principal: &str, domains: &[Box<str>]) -> Vec<Form> {
    let Some((domain, path)) = principal.split_once('/').filter(|_| principal.matches('/').count() == 4) else {
        return vec![Form::read(principal)];
    };
    let ours = domain == "cluster.local" || domains.iter().any(|own| Form::read(domain).matches(own.as_bytes()));
    if domain == "*" || !ours {
        return vec![Form::read(principal)];
    }
    let mut forms: Vec<Form> = Vec::new();
    for own in domains {
        let kept = domain.strip_prefix('*').is_some_and(|end| own.ends_with(end));
        let form = if kept { Form::read(principal) } else { Form::read(&format!("{own}/{path}")) };
        if !forms.contains(&form) {
            forms.push(form);
        }
    }
    forms
}

#[cfg(test)]
mod tests {
    use super::widen;
    use crate::matching::Form;

    #[track_caller]
    fn check(principal: &str, domains: &[&str], want: &[&str]) {
        let domains: Vec<Box<str>> = domains.iter().map(|domain| (*domain).into()).collect();
        let want: Vec<Form> = want.iter().map(|text| Form::read(text)).collect();
        assert_eq!(widen(principal, &domains), want, "{principal}");
    }

    #[test]
    fn principals_are_widened_to_our_domains() {
        check("td1/ns/a/sa/b", &["td1", "td2"], &["td1/ns/a/sa/b", "td2/ns/a/sa/b"]);
        check("td2/ns/a/sa/b", &["td1", "td2"], &["td1/ns/a/sa/b", "td2/ns/a/sa/b"]);
        check("cluster.local/ns/a/sa/b", &["td1"], &["td1/ns/a/sa/b"]);
        check("other/ns/a/sa/b", &["td1", "td2"], &["other/ns/a/sa/b"]);
        check("*/ns/a/sa/b", &["td1", "td2"], &["*/ns/a/sa/b"]);
        check("*-td/ns/a/sa/b", &["my-td", "td2"], &["*-td/ns/a/sa/b", "td2/ns/a/sa/b"]);
        check("*/sa/b", &["td1", "td2"], &["*/sa/b"]);
        check("td1/ns/a/sa/*", &["td1", "td2"], &["td1/ns/a/sa/*", "td2/ns/a/sa/*"]);
        check("*", &["td1", "td2"], &["*"]);
    }
}
