//! Label selectors with expressions, as `metav1.LabelSelector` has them.

use ringwall_model::Labels;

/// All requirements must hold; without any, every label set is selected.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Selector {
    requirements: Vec<Requirement>,
}

/// One requirement.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Requirement {
    /// The key is there, with one of these values.
    In(Box<str>, Vec<Box<str>>),
    /// The key is absent, or has none of these values.
    NotIn(Box<str>, Vec<Box<str>>),
    /// The key is there.
    Exists(Box<str>),
    /// The key is absent.
    DoesNotExist(Box<str>),
}

impl Selector {
    /// A selector of these requirements. Their order and repetition mean nothing, so equal selectors compare equal.
    pub fn of(requirements: impl IntoIterator<Item = Requirement>) -> Self {
        let mut requirements: Vec<Requirement> = requirements.into_iter().map(Requirement::sorted).collect();
        requirements.sort();
        requirements.dedup();
        Self { requirements }
    }

    /// A selector of equalities.
    pub fn of_labels(labels: &Labels) -> Self {
        Self::of(labels.iter().map(|(key, value)| Requirement::In(key.clone(), vec![value.clone()])))
    }

    /// Whether it selects a thing with these labels.
    pub fn matches(&self, labels: &Labels) -> bool {
        self.requirements.iter().all(|requirement| requirement.holds(labels))
    }

    /// Whether it selects everything because it asks for nothing.
    pub fn is_empty(&self) -> bool {
        self.requirements.is_empty()
    }

    /// What it asks for.
    pub fn requirements(&self) -> &[Requirement] {
        &self.requirements
    }
}

impl Requirement {
    fn sorted(mut self) -> Self {
        if let Self::In(_, values) | Self::NotIn(_, values) = &mut self {
            values.sort();
            values.dedup();
        }
        self
    }

    /// Whether it holds for these labels. An absent key satisfies `NotIn`, as in Kubernetes.
    pub fn holds(&self, labels: &Labels) -> bool {
        match self {
            Self::In(key, values) => labels.get(key).is_some_and(|value| values.contains(value)),
            Self::NotIn(key, values) => labels.get(key).is_none_or(|value| !values.contains(value)),
            Self::Exists(key) => labels.contains_key(key),
            Self::DoesNotExist(key) => !labels.contains_key(key),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Requirement, Selector};
    use ringwall_model::Labels;

    #[test]
    fn each_operator_holds_as_in_kubernetes() {
        let labels: Labels = [("app".into(), "web".into()), ("tier".into(), "front".into())].into();
        let values = |list: &[&str]| list.iter().map(|value| (*value).into()).collect::<Vec<Box<str>>>();
        let check = |requirement: Requirement, want| {
            assert_eq!(Selector::of([requirement.clone()]).matches(&labels), want, "{requirement:?}");
        };
        check(Requirement::In("app".into(), values(&["db", "web"])), true);
        check(Requirement::In("app".into(), values(&["db"])), false);
        check(Requirement::In("zone".into(), values(&["a"])), false);
        check(Requirement::NotIn("app".into(), values(&["web"])), false);
        check(Requirement::NotIn("app".into(), values(&["db"])), true);
        check(Requirement::NotIn("zone".into(), values(&["a"])), true);
        check(Requirement::Exists("tier".into()), true);
        check(Requirement::Exists("zone".into()), false);
        check(Requirement::DoesNotExist("zone".into()), true);
        check(Requirement::DoesNotExist("tier".into()), false);
        assert!(Selector::default().matches(&labels) && Selector::default().matches(&Labels::new()));
    }
}
