//! Namespace and ServiceAccount.

use super::Declared;
use crate::resource::Resource;
use ringwall_model::Namespace;

/// Lowers a `Namespace`.
pub fn lower(resource: &Resource<'_>, declared: &mut Declared) {
    resource.root.descriptive(&["spec"]);
    let mut labels = resource.labels.clone();
    // The API server sets this one itself.
    labels.insert("kubernetes.io/metadata.name".into(), resource.name.into());
    declared.namespaces.insert(resource.name.into(), Namespace { labels, place: Some(resource.place()) });
}

/// Lowers a `ServiceAccount`.
pub fn lower_account(resource: &Resource<'_>, declared: &mut Declared) {
    resource.root.descriptive(&["automountServiceAccountToken", "imagePullSecrets", "secrets"]);
    declared.accounts.insert((resource.namespace.into(), resource.name.into()));
}
