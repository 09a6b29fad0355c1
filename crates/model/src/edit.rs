//! Changes to a message, as data. Only the page applies them.

use crate::{Field, Fields};
use bytes::Bytes;

/// One change to a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Edit {
    /// A change to its fields.
    Field(FieldEdit),
    /// A new method.
    Method(Bytes),
    /// A new path (without query), already in the form that goes upstream. Routing that comes after selects again.
    Path(Bytes),
    /// A new query, or none.
    Query(Option<Bytes>),
    /// A new `Host` / `:authority`.
    Authority(Bytes),
}

/// One change to the fields of a request or a response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FieldEdit {
    /// Takes out every field of that name.
    Remove(Bytes),
    /// Takes out every field of that name, where `_` and `-` count as the same character: what many application
    /// servers make of a field name, and so what a security-relevant removal must cover.
    RemoveFolded(Bytes),
    /// Makes the value the only one of that name.
    Set(Bytes, Bytes),
    /// Adds a line, whatever else is there.
    Append(Bytes, Bytes),
    /// Adds a line if there is none of that name.
    AddIfAbsent(Bytes, Bytes),
    /// Makes the value the only one, if there is a field of that name.
    Replace(Bytes, Bytes),
    /// Gives every field of the first name the second one.
    Rename(Bytes, Bytes),
}

impl FieldEdit {
    /// Carries the change out.
    pub fn apply(&self, fields: &mut Fields) {
        let named = |field: &Field, name: &Bytes| field.name.eq_ignore_ascii_case(name);
        match self {
            Self::Remove(name) => fields.0.retain(|field| !named(field, name)),
            Self::RemoveFolded(name) => fields.0.retain(|field| !same_when_folded(&field.name, name)),
            Self::Set(name, value) => fields.set(name.clone(), value.clone()),
            Self::Append(name, value) => fields.push(name.clone(), value.clone()),
            Self::AddIfAbsent(name, value) => {
                if !fields.iter().any(|field| named(field, name)) {
                    fields.push(name.clone(), value.clone());
                }
            }
            Self::Replace(name, value) => {
                if fields.iter().any(|field| named(field, name)) {
                    fields.set(name.clone(), value.clone());
                }
            }
            Self::Rename(from, to) => {
                for field in fields.0.iter_mut().filter(|field| field.name.eq_ignore_ascii_case(from)) {
                    field.name = to.clone();
                }
            }
        }
    }
}

/// Whether two field names are the same to a server that makes `_` of `-` (CGI, WSGI, Rack).
pub fn same_when_folded(a: &[u8], b: &[u8]) -> bool {
    let fold = |byte: &u8| if *byte == b'_' { b'-' } else { byte.to_ascii_lowercase() };
    a.len() == b.len() && a.iter().map(fold).eq(b.iter().map(fold))
}

#[cfg(test)]
mod tests {
    use super::FieldEdit;
    use crate::Fields;

    fn fields(lines: &[(&'static str, &'static str)]) -> Fields {
        let mut fields = Fields::default();
        lines.iter().for_each(|(name, value)| fields.push(*name, *value));
        fields
    }

    #[track_caller]
    fn check(edit: FieldEdit, before: &[(&'static str, &'static str)], after: &[(&'static str, &'static str)]) {
        let mut subject = fields(before);
        edit.apply(&mut subject);
        assert_eq!(subject, fields(after));
    }

    #[test]
    fn edits_do_what_they_say() {
        check(FieldEdit::Remove("A".into()), &[("a", "1"), ("b", "2"), ("A", "3")], &[("b", "2")]);
        check(FieldEdit::Remove("x-i".into()), &[("X_I", "1")], &[("X_I", "1")]);
        check(FieldEdit::RemoveFolded("x-i".into()), &[("X_I", "1"), ("X-i", "2"), ("XI", "3")], &[("XI", "3")]);
        check(FieldEdit::Set("a".into(), "9".into()), &[("A", "1"), ("a", "2")], &[("a", "9")]);
        check(FieldEdit::AddIfAbsent("a".into(), "9".into()), &[("A", "1")], &[("A", "1")]);
        check(FieldEdit::AddIfAbsent("b".into(), "9".into()), &[("A", "1")], &[("A", "1"), ("b", "9")]);
        check(FieldEdit::Replace("b".into(), "9".into()), &[("A", "1")], &[("A", "1")]);
        check(FieldEdit::Rename("a".into(), "b".into()), &[("A", "1")], &[("b", "1")]);
    }
}
