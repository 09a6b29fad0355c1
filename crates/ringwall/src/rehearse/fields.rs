//! Which fields the scenarios hang on: each field of their manifests is taken out, everywhere it stands, and the
//! scenario judged again. A field names the first scenario that then no longer holds.
//!
//! In: scenarios. Out: a line a field: kind, path (`*` for a list's index or a free key), scenario.

use super::judge::rehearse;
use super::scenario::Scenario;
use crate::cli::{Everywhere, Format};
use crate::exit::Exit;
use ringwall_control::source::Input;
use ringwall_manifest::node::FieldUse;
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// Kind and path of a field.
type Field = (String, String);

/// Finds out, and prints.
pub fn run(scenarios: &[Scenario], common: &Everywhere) -> Exit {
    let mut hangs: BTreeMap<Field, Option<String>> = BTreeMap::new();
    for scenario in scenarios {
        match rehearse(scenario, &scenario.inputs) {
            Ok(differences) if differences.is_empty() => {}
            _ => return Exit::input(format!("{} does not hold as it is: run `ringwall test` first", scenario.name)),
        }
        for field in enforced(&scenario.inputs) {
            let known = hangs.entry(field.clone()).or_default();
            if known.is_none() {
                *known = fails_without(scenario, &field).then(|| scenario.title.clone());
            }
        }
    }
    let named = hangs.values().flatten().count();
    for ((kind, path), scenario) in &hangs {
        let scenario = scenario.as_deref();
        match common.format {
            Format::Human => println!("{kind:<60} {path:<70} {}", scenario.unwrap_or("-")),
            _ => println!("{}", json!({ "kind": kind, "path": path, "scenario": scenario })),
        }
    }
    if common.format == Format::Human {
        println!("{named} of {} enforced fields named by a scenario that fails without them", hangs.len());
    }
    Exit::HELD
}

/// The enforced fields of manifests.
fn enforced(inputs: &[Input]) -> Vec<Field> {
    let inputs: Vec<_> =
        inputs.iter().map(|it| ringwall_manifest::Input { name: &it.name, bytes: &it.bytes }).collect();
    let kinds = ringwall_manifest::world::field_coverage(&inputs);
    let of = |kind: ringwall_manifest::world::KindFields| {
        let name = kind.kind.to_string();
        let enforced = kind.fields.into_iter().filter(|field| field.treated == FieldUse::Enforced);
        enforced.map(|field| (name.clone(), field.path)).collect::<Vec<_>>()
    };
    kinds.into_iter().flat_map(of).collect()
}

fn fails_without(scenario: &Scenario, field: &Field) -> bool {
    let Some(inputs) = without(&scenario.inputs, field) else { return false };
    !rehearse(scenario, &inputs).is_ok_and(|differences| differences.is_empty())
}

/// The same documents without a field; `None` when it stands nowhere that can be written again (a script).
fn without(inputs: &[Input], (kind, path): &Field) -> Option<Vec<Input>> {
    let given: Vec<_> = inputs.iter().map(|it| ringwall_manifest::Input { name: &it.name, bytes: &it.bytes }).collect();
    let (sources, _) = ringwall_manifest::read(&given);
    let steps: Vec<&str> = path.split('/').skip(1).collect();
    let mut taken = 0;
    let mut changed = Vec::new();
    for document in &sources.documents {
        let mut value = document.root.to_json();
        if is_kind(&value, kind) {
            taken += take(&mut value, &steps);
        }
        let name = sources.files.get(document.file).map(|file| file.name.to_string()).unwrap_or_default();
        if name.ends_with(".sh") {
            continue;
        }
        changed.push(Input { name: format!("{name}#{}.json", changed.len()), bytes: value.to_string().into_bytes() });
    }
    changed.extend(inputs.iter().filter(|it| it.name.ends_with(".sh")).cloned());
    (taken > 0).then_some(changed)
}

fn is_kind(document: &Value, kind: &str) -> bool {
    let text = |name: &str| document.get(name).and_then(Value::as_str).unwrap_or_default();
    if kind == "kong" {
        return document.get("_format_version").is_some();
    }
    let name = kind.rsplit('/').next().unwrap_or(kind);
    !text("kind").is_empty() && text("kind") == name
}

/// Takes out every field at the path; returns how many there were.
fn take(value: &mut Value, steps: &[&str]) -> usize {
    let Some((first, rest)) = steps.split_first() else { return 0 };
    match value {
        Value::Object(fields) if rest.is_empty() => {
            if *first == "*" {
                let all = fields.len();
                fields.clear();
                return all;
            }
            usize::from(fields.shift_remove(*first).is_some())
        }
        Value::Array(items) if rest.is_empty() => {
            let all = items.len();
            items.clear();
            all
        }
        Value::Object(fields) => fields
            .iter_mut()
            .filter(|(name, _)| *first == "*" || name.as_str() == *first)
            .map(|(_, it)| take(it, rest))
            .sum(),
        Value::Array(items) => items.iter_mut().map(|item| take(item, rest)).sum(),
        _ => 0,
    }
}
