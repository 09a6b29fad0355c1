//! The `curl` commands of a script, as far as they call an Admin API.
//!
//! Follows POSIX shell quoting (XCU section 2.2). Variables stay as written.

use std::net::IpAddr;

/// One call.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Request {
    /// Method.
    pub method: String,
    /// Scheme of the address, `http` if it has none.
    pub scheme: String,
    /// Host, without port.
    pub host: String,
    /// Path, without query.
    pub path: String,
    /// `--data` arguments, in order.
    pub arguments: Vec<String>,
}

impl Request {
    /// Whether it goes out without TLS to another host than this one.
    pub fn is_clear_text(&self) -> bool {
        let is_here = self.host == "localhost" || self.host.parse().is_ok_and(|it: IpAddr| it.is_loopback());
        self.scheme == "http" && !is_here
    }
}

/// The call of a command that is `curl`.
pub fn request(command: &str) -> Option<Request> {
    let words = words(command);
    let mut words = words.iter().skip_while(|word| *word != "curl").skip(1).peekable();
    words.peek()?;
    let mut request = Request { scheme: "http".into(), ..Request::default() };
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
                let (authority, path) = rest.find('/').and_then(|at| rest.split_at_checked(at)).unwrap_or((rest, "/"));
                let host = authority.strip_prefix('[').and_then(|rest| rest.split_once(']')).map(|(host, _)| host);
                let host = host.or_else(|| authority.split(':').next()).unwrap_or_default();
                request.host = host.to_ascii_lowercase();
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

/// What a command schedules that will not happen.
pub fn schedules(command: &str) -> Vec<&'static str> {
    let mut found = Vec::new();
    if command.contains("at now +") && command.contains("second") {
        found.push("`at` knows no seconds: the removal is never scheduled");
    }
    if command.contains("remove") && command.contains("/-") {
        found.push("`-` names no element of a list that could be removed (RFC 6902 section 4.2)");
    }
    found
}
