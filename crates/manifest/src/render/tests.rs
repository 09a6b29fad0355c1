use super::*;
use crate::source::Input;

#[test]
fn findings_are_shown_with_their_lines() {
    let text = "apiVersion: v1\nkind: Service\nmetadata: {name: a}\nspec: {prots: []}\n";
    let (world, findings) =
        crate::lower(&[Input { name: "a.yaml", bytes: text.as_bytes() }], &crate::Options::default());
    let human = human(&findings, &world.sources, Colour::Plain);
    assert!(human.contains("error[RW0020]: unknown field `prots`"), "{human}");
    assert!(human.contains("--> a.yaml:4:8") && human.contains("did you mean `ports`?"), "{human}");
    assert!(human.ends_with("1 error, 0 warnings, 0 notes\n"), "{human}");
    let json: serde_json::Value = serde_json::from_str(&json(&findings, &world.sources)).unwrap();
    assert_eq!((&json["findings"][0]["place"]["line"], &json["findings"][0]["fix"]), (&4.into(), &"ports".into()));
    let sarif: serde_json::Value = serde_json::from_str(&sarif(&findings, &world.sources)).unwrap();
    let rule = &sarif["runs"][0]["tool"]["driver"]["rules"][0];
    assert_eq!((&rule["id"], &rule["shortDescription"]["text"]), (&"RW0020".into(), &"an unknown field".into()));
    assert!(rule["help"]["markdown"].as_str().unwrap().starts_with("# RW0020 · "));
    let region = &sarif["runs"][0]["results"][0]["locations"][0]["physicalLocation"]["region"];
    assert_eq!(
        (&region["startLine"], &region["startColumn"], &region["endColumn"]),
        (&4.into(), &8.into(), &13.into())
    );
    let junit = junit(&findings, &world.sources);
    assert!(junit.contains("failures=\"1\"") && junit.contains("a.yaml:4:8: RW0020 unknown field `prots`"), "{junit}");
}

#[test]
fn control_characters_of_two_bytes_keep_the_places_right() {
    // U+0080, then a byte that is no UTF-8.
    let input = Input { name: "x.yaml", bytes: &[194, 128, 128] };
    let (world, findings) = crate::lower(&[input], &crate::Options::default());
    assert!(human(&findings, &world.sources, Colour::Plain).contains("x.yaml:1:"));
}
