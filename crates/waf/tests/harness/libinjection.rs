//! What the current C library says, case by case.

use super::corpus;
use base64::Engine;
use ringwall_waf::libinjection;
use std::path::Path;

/// Compares every verdict and every case; `None` when the corpus is absent. Passed, and failed with the reason.
pub fn run(corpus: &Path) -> Option<(usize, Vec<(String, String)>)> {
    let folder = corpus.join("libinjection");
    let verdicts = corpus::bytes(&folder.join("verdicts.jsonl"))?;
    let mut score = (0, Vec::new());
    let mut note = |id: String, result: Result<(), String>| match result {
        Ok(()) => score.0 += 1,
        Err(why) => score.1.push((id, why)),
    };
    for (number, line) in verdicts.split(|byte| *byte == b'\n').enumerate().filter(|(_, line)| !line.is_empty()) {
        note(format!("verdicts.jsonl:{}", number + 1), verdict(line));
    }
    for path in corpus::files(&folder.join("tests")) {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        note(name.clone(), case(&name, &corpus::bytes(&path).unwrap_or_default()));
    }
    Some(score)
}

fn verdict(line: &[u8]) -> Result<(), String> {
    let json: serde_json::Value = serde_json::from_slice(line).map_err(|error| error.to_string())?;
    let encoded = json["input"].as_str().unwrap_or_default();
    let input = base64::engine::general_purpose::STANDARD.decode(encoded).map_err(|error| error.to_string())?;
    let print = libinjection::sqli(&input);
    let print = print.map_or_else(String::new, |print| String::from_utf8_lossy(print.as_bytes()).into_owned());
    let want = json["fingerprint"].as_str().unwrap_or_default();
    let (sqli, xss) = (json["sqli"] == true, json["xss"] == true);
    if print.is_empty() == sqli || (sqli && print != want) {
        return Err(format!("sqli {print:?}, not {want:?}: {}", input.escape_ascii()));
    }
    if libinjection::xss(&input) != xss {
        return Err(format!("xss {}, not {xss}: {}", !xss, input.escape_ascii()));
    }
    Ok(())
}

fn case(name: &str, text: &[u8]) -> Result<(), String> {
    let text = text.iter().map(|byte| char::from(*byte)).collect::<String>();
    let (_, rest) = text.split_once("--INPUT--").ok_or("no input")?;
    let (input, want) = rest.split_once("--EXPECTED--").ok_or("nothing expected")?;
    let bytes = |text: &str| text.chars().map(|c| c as u8).collect::<Vec<u8>>();
    let input = bytes(input.strip_prefix('\n').unwrap_or(input).trim_end());
    let got = match name {
        name if name.starts_with("test-tokens") => libinjection::tokens(&input),
        name if name.starts_with("test-folding") => libinjection::folded(&input),
        name if name.starts_with("test-html5") => libinjection::html(&input),
        _ => libinjection::sqli(&input).map(|print| print.as_bytes().to_vec()).unwrap_or_default(),
    };
    let (got, want) = (got.trim_ascii().to_vec(), bytes(want.trim()));
    if got == want { Ok(()) } else { Err(format!("{}, not {}", got.escape_ascii(), want.escape_ascii())) }
}
