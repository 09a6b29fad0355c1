//! The `curl` commands of a script, as far as they call an Admin API.
//!
//! Follows POSIX shell quoting (XCU section 2.2). Variables stay as written.

/// One call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// Method.
    pub method: String,
    /// Scheme of the address, `http` if it has none.
    pub scheme: String,
    /// Path, without query.
    pub path: String,
    /// `--data` arguments, in order.
    pub arguments: Vec<String>,
}

impl Request {
    /// Whether it goes out without TLS to another host than this one.
    pub fn is_clear_text(&self) -> bool {
        self.scheme == "http"
    }
}

/// The `curl` calls of a script.
pub fn requests(text: &str) -> Vec<Request> {
    let commands = text.replace("\\\n", " ");
    commands.lines().filter_map(|line| request(&words(line))).collect()
}

fn request(words: &[String]) -> Option<Request> {
    let mut words = words.iter().skip_while(|word| *word != "curl").skip(1).peekable();
    words.peek()?;
    let mut request =
        Request { method: String::new(), scheme: "http".into(), path: String::new(), arguments: Vec::new() };
    let mut has_address = false;
    while let Some(word) = words.next() {
        match word.as_str() {
            "-X" | "--request" => request.method = words.next()?.clone(),
            "-d" | "--data" | "--data-urlencode" | "--data-raw" | "-F" | "--form" => {
                request.arguments.extend(words.next()?.split('&').map(str::to_owned));
            }
            "-H" | "--header" | "-u" | "--user" | "-o" | "--output" => drop(words.next()),
            option if option.starts_with('-') => {}
            address if !has_address => {
                has_address = true;
                let (scheme, rest) = address.split_once("://").unwrap_or(("http", address));
                request.scheme = scheme.to_owned();
                let path = rest.find('/').and_then(|slash| rest.get(slash..)).unwrap_or("/");
                request.path = path.split('?').next().unwrap_or_default().to_owned();
            }
            _ => {}
        }
    }
    if request.method.is_empty() {
        request.method = if request.arguments.is_empty() { "GET" } else { "POST" }.to_owned();
    }
    // Kong's API is known by its collections; other curl calls are not ours.
    let first = request.path.split('/').find(|segment| !segment.is_empty()).unwrap_or_default();
    (has_address && super::is_collection(first)).then_some(request)
}

/// Words of a line, with quotes and backslashes taken away; a comment ends it.
fn words(line: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quote = None;
    let mut letters = line.chars();
    while let Some(letter) = letters.next() {
        match (quote, letter) {
            (Some('\''), '\'') | (Some('"'), '"') => quote = None,
            (Some('"'), '\\') => word.get_or_insert_default().extend(letters.next()),
            (Some(_), other) => word.get_or_insert_default().push(other),
            (None, '\'' | '"') => {
                quote = Some(letter);
                word.get_or_insert_default();
            }
            (None, '\\') => word.get_or_insert_default().extend(letters.next()),
            (None, '#') if word.is_none() => break,
            (None, space) if space.is_whitespace() => words.extend(word.take()),
            (None, other) => word.get_or_insert_default().push(other),
        }
    }
    words.extend(word);
    words
}

/// What a script schedules that will not happen.
pub fn schedules(text: &str) -> Vec<&'static str> {
    let mut found = Vec::new();
    for line in text.lines().filter(|line| !line.trim_start().starts_with('#')) {
        if line.contains("at now +") && line.contains("second") {
            found.push("`at` knows no seconds: the removal is never scheduled");
        }
        let removes = line.contains("remove") && line.contains("/-");
        if removes {
            found.push("`-` names no element of a list that could be removed (RFC 6902 section 4.2)");
        }
    }
    found
}
