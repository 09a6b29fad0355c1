//! Holds the pages about findings to the code that makes the findings.
//!
//! A page shows a set of files that gives its finding (`bad`), and one that gives none (`good`). A line of the bad set that
//! a finding is about ends with a comment of its codes, `# RW1234` or `# RW1234, RW0022`. The info string of a fence
//! carries what else is needed: `file=NAME` a name other than `manifests.yaml` (`.json`, `.sh`); `RW1234@3` a mark for
//! line 3 where the form has no comments; `kong` for a Pod beside it that runs Kong; `stand-in` for `check --stand-in`;
//! `import` for `ringwall import` in the place of `check`; `latin-1` for bytes of that encoding. The rule set in force is our
//! own few rules (`--set crs=none`).

use super::{Page, all, list, read_code};
use crate::kong::import::import;
use crate::source::Input;
use crate::world::firewall::RuleSet;
use crate::world::{self, Options, StandIn};
use ringwall_model::{Code, DocumentId, Finding, Severity};
use ringwall_pki::plan::Reach;
use ringwall_waf::Bundle;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// What `kong` puts beside the example.
const KONG: &str = "{apiVersion: v1, kind: Pod, metadata: {name: kong, namespace: gateway}, spec: {containers: \
    [{name: kong, image: \"kong:3.9\", env: [{name: KONG_NGINX_HTTP_CLIENT_MAX_BODY_SIZE, value: 1m}]}]}}\n";

/// A finding as a page marks it: file, line, code.
type Mark = (String, usize, Code);

/// One fenced block.
struct Block<'p> {
    name: &'p str,
    words: Vec<&'p str>,
    text: String,
}

impl Block<'_> {
    fn has(&self, word: &str) -> bool {
        self.words.contains(&word)
    }

    fn bytes(&self) -> Vec<u8> {
        if self.has("latin-1") {
            return self.text.chars().map(|c| u8::try_from(c).expect("a character of Latin-1")).collect();
        }
        self.text.as_bytes().to_vec()
    }

    fn marks(&self) -> BTreeSet<Mark> {
        let mut marks = BTreeSet::new();
        for word in &self.words {
            if let Some((code, line)) = word.split_once('@') {
                let code = read_code(code).unwrap_or_else(|| panic!("`{word}` names no code"));
                marks.insert((self.name.to_owned(), line.parse().expect("a line"), code));
            }
        }
        for (index, line) in self.text.lines().enumerate() {
            let codes = line.rsplit_once("# ").map(|(_, comment)| comment.split(", ").map(read_code));
            let codes = codes.and_then(Iterator::collect::<Option<Vec<Code>>>);
            marks.extend(codes.into_iter().flatten().map(|code| (self.name.to_owned(), index + 1, code)));
        }
        marks
    }
}

/// The blocks of one kind, `bad` or `good`.
fn blocks<'p>(page: &Page, kind: &str) -> Vec<Block<'p>>
where
    Page: 'p,
{
    let text: &'static str = page.text;
    let mut blocks = Vec::new();
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        let Some(info) = line.strip_prefix("```") else { continue };
        let body: String = lines.by_ref().take_while(|line| *line != "```").map(|line| format!("{line}\n")).collect();
        let mut words = info.split(' ');
        let language = words.next().unwrap_or_default();
        if words.next() != Some(kind) {
            continue;
        }
        let words: Vec<&str> = words.collect();
        let named = words.iter().find_map(|word| word.strip_prefix("file="));
        let name = named.unwrap_or(match language {
            "json" => "manifests.json",
            "sh" => "manifests.sh",
            _ => "manifests.yaml",
        });
        blocks.push(Block { name, words, text: body });
    }
    assert!(!blocks.is_empty(), "{} has no `{kind}` block", page.code);
    blocks
}

/// What `check` (or `import`) says of the blocks.
fn findings(blocks: &[Block<'_>], set: &RuleSet) -> Vec<(Mark, Finding)> {
    let mut files: Vec<(&str, Vec<u8>)> = blocks.iter().map(|block| (block.name, block.bytes())).collect();
    if blocks.iter().any(|block| block.has("kong")) {
        files.push(("kong-pod.yaml", KONG.into()));
    }
    let inputs: Vec<Input<'_>> = files.iter().map(|(name, bytes)| Input { name, bytes }).collect();
    let (sources, findings) = if blocks.iter().any(|block| block.has("import")) {
        let (sources, mut findings) = crate::read(&inputs);
        let scripts: Vec<(DocumentId, &str)> =
            sources.documents.iter().map(|document| (document.id, &*sources.files[document.file].text)).collect();
        findings.extend(import(&scripts).findings);
        (sources, findings)
    } else {
        let (stand_in, reach) = match blocks.iter().any(|block| block.has("stand-in")) {
            true => (StandIn::Workloads, Reach::StandIn),
            false => (StandIn::Nothing, Reach::Real),
        };
        let (mut world, mut findings) = world::lower(&inputs, &Options { stand_in, reach, ..Options::default() });
        findings.extend(world.arm(set));
        (world.sources, findings)
    };
    let mark = |finding: Finding| {
        let (file, at) = sources.position(&finding.primary).expect("every finding has a place");
        ((file.name.to_string(), at.line, finding.code), finding)
    };
    findings.into_iter().map(mark).collect()
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/findings")
}

#[expect(clippy::disallowed_methods, reason = "a test reads the sources of the house from disk")]
fn text_of(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The rules that are in force with `--set crs=none`.
fn own_rules() -> RuleSet {
    let mut bundle = Bundle::default();
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../ringwall/src/platform/basic.conf");
    bundle.add("basic.conf", text_of(&path));
    RuleSet::load(bundle, vec!["basic.conf".into()], |_| "our own rules".into()).expect("our own rules are sound")
}

/// Fails with everything that is wrong, not only the first.
fn none_wrong(wrong: &[String]) {
    assert!(wrong.is_empty(), "{} wrong:\n{}", wrong.len(), wrong.join("\n"));
}

fn shown(name: &str, marks: &[&Mark]) -> String {
    let list = marks.iter().map(|(file, line, code)| format!("{code} at {file}:{line}"));
    format!("{name}: {}", list.collect::<Vec<_>>().join(", "))
}

#[test]
fn bad_blocks_give_exactly_what_they_mark() {
    let set = own_rules();
    let mut wrong = Vec::new();
    for page in all() {
        let blocks = blocks(&page, "bad");
        let wanted: BTreeSet<Mark> = blocks.iter().flat_map(Block::marks).collect();
        let found = findings(&blocks, &set);
        let got: BTreeSet<Mark> = found.iter().map(|(mark, _)| mark.clone()).collect();
        if wanted != got {
            let extra = shown("not marked", &got.difference(&wanted).collect::<Vec<_>>());
            let missing = shown("not found", &wanted.difference(&got).collect::<Vec<_>>());
            wrong.push(format!("{}: {extra}; {missing}", page.code));
        }
        let severities: BTreeSet<Severity> = found
            .iter()
            .filter(|(_, finding)| finding.code == page.code)
            .map(|(_, finding)| finding.severity)
            .collect();
        let usual = page.severities().split(", ").next().and_then(severity);
        if severities != usual.into_iter().collect() {
            wrong.push(format!("{}: says `{}` and gives {severities:?}", page.code, page.severities()));
        }
    }
    none_wrong(&wrong);
}

#[test]
fn good_blocks_give_nothing() {
    let set = own_rules();
    let mut wrong = Vec::new();
    for page in all() {
        let blocks = blocks(&page, "good");
        wrong.extend(blocks.iter().filter(|block| !block.marks().is_empty()).map(|_| format!("{}: marks", page.code)));
        for ((file, line, code), finding) in findings(&blocks, &set) {
            wrong.push(format!("{}: {code} at {file}:{line}: {}", page.code, finding.title));
        }
    }
    none_wrong(&wrong);
}

#[test]
fn pages_have_one_form() {
    let mut wrong = Vec::new();
    for page in all() {
        let mut lines = page.text.lines();
        let head = lines.next().unwrap_or_default();
        let titled = head.strip_prefix(&format!("# {} · ", page.code)).is_some_and(|title| {
            title.len() <= 90 && !title.ends_with('.') && title.trim() == title && !title.is_empty()
        });
        let spaced = lines.next() == Some("");
        let sound = !page.severities().is_empty() && page.severities().split(", ").all(|word| severity(word).is_some());
        if !titled || !spaced || !sound {
            wrong.push(format!("{}: the head is not `# CODE · title`, a blank line, `Severity: word`", page.code));
        }
        if page.body().split("\n\n").count() != 2 {
            wrong.push(format!("{}: one paragraph says what is so, one what to do", page.code));
        }
    }
    none_wrong(&wrong);
}

fn severity(word: &str) -> Option<Severity> {
    match word {
        "error" => Some(Severity::Error),
        "warning" => Some(Severity::Warning),
        "note" => Some(Severity::Note),
        _ => None,
    }
}

/// Each code that the sources define has a page, and each page a code.
#[test]
fn every_code_has_a_page() {
    let mut defined = BTreeSet::new();
    codes(&Path::new(env!("CARGO_MANIFEST_DIR")).join(".."), &mut defined);
    let listed: BTreeSet<u16> = list::PAGES.iter().map(|(number, _)| *number).collect();
    assert!(list::PAGES.is_sorted_by(|one, other| one.0 < other.0));
    let without: BTreeSet<u16> = defined.difference(&listed).copied().collect();
    assert!(without.is_empty(), "codes without a page: {without:?}");
    let unknown: Vec<&u16> = listed.difference(&defined).collect();
    assert!(unknown.is_empty(), "pages of codes that nothing defines: {unknown:?}");
    let on_disk = std::fs::read_dir(folder()).expect("the folder of pages");
    let on_disk = on_disk.filter_map(|entry| {
        let name = entry.expect("an entry").file_name();
        Some(read_code(name.to_string_lossy().strip_suffix(".md")?)?.0)
    });
    assert_eq!(on_disk.collect::<BTreeSet<u16>>(), listed, "`cargo xtask gen` makes the list");
}

/// The numbers of the codes that are defined below a folder.
fn codes(folder: &Path, defined: &mut BTreeSet<u16>) {
    for entry in std::fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            codes(&path, defined);
        } else if path.extension().is_some_and(|end| end == "rs") {
            let text = text_of(&path);
            for rest in text.split(": Code = Code(").skip(1) {
                let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
                let known = digits.parse().is_ok_and(|number| defined.insert(number));
                assert!(known || digits.is_empty(), "{}: code {digits} is defined twice", path.display());
            }
        }
    }
}

#[test]
fn codes_are_read_as_they_are_written() {
    assert_eq!(read_code("RW0021"), Some(Code(21)));
    assert_eq!(read_code("rw2001"), Some(Code(2001)));
    for wrong in ["RW21", "RW02001", "RW+001", "2001", "30f036b2", ""] {
        assert_eq!(read_code(wrong), None, "{wrong}");
    }
}
