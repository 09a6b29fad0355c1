//! Who sends: signs of a program that pretends to be a browser or a crawler, added up to a score that rules can read.
//!
//! In: the fields of a head in their order, the client's address, how much it sent lately; the networks of crawlers that
//! an operator believes. Out: a [`Verdict`] with each [`Sign`], its points and why. Never: a refusal; a request for an
//! address's name; a sign that is not in [`SIGNS`].
//!
//! Rules read `TX:ringwall_bot_score`, `TX:ringwall_bot_signs` (names between blanks) and `TX:ringwall_bot_crawler` (the
//! crawler's name, when its address is one of its networks). Start reading at [`Bots::judge`].

use crate::operator::address::Networks;
use std::net::IpAddr;

/// A sign that a request may show.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sign {
    /// Its name.
    pub name: &'static str,
    /// What it adds to the score.
    pub points: u32,
    /// What it means.
    pub why: &'static str,
}

/// All signs, sorted by name.
pub const SIGNS: &[Sign] = &[
    Sign { name: "accept-missing", points: 20, why: "a browser sends Accept with every request" },
    Sign { name: "agent-missing", points: 30, why: "there is no User-Agent, or it is empty" },
    Sign { name: "agent-repeated", points: 30, why: "there are several User-Agent fields" },
    Sign { name: "crawler-pretended", points: 60, why: "it names a crawler whose networks do not hold its address" },
    Sign { name: "encoding-missing", points: 20, why: "a browser sends Accept-Encoding with every request" },
    Sign { name: "field-order", points: 25, why: "the fields do not stand in the order of the browser that it names" },
    Sign { name: "hints-contradict", points: 30, why: "client hints name another system or browser than User-Agent" },
    Sign { name: "host-late", points: 15, why: "a browser of HTTP/1.1 sends Host first" },
    Sign { name: "language-missing", points: 20, why: "a browser sends Accept-Language with every navigation" },
    Sign { name: "rate-high", points: 20, why: "more than 5 requests a second over the last minute" },
    Sign { name: "rate-very-high", points: 30, why: "more than 20 requests a second over the last minute" },
    Sign { name: "tool", points: 20, why: "User-Agent is that of a program library or command" },
];

/// Programs that say so (`User-Agent` begins with it, lower case). That is honest, so it adds little.
const TOOLS: [&str; 14] = [
    "apache-httpclient/",
    "axios/",
    "curl/",
    "go-http-client/",
    "java/",
    "libwww-perl/",
    "node-fetch/",
    "okhttp/",
    "php/",
    "python-httpx/",
    "python-requests/",
    "python-urllib/",
    "scrapy/",
    "wget/",
];

/// A crawler that an operator believes when it comes from its networks.
#[derive(Clone, Debug)]
struct Crawler {
    name: String,
    agent: String,
    networks: Networks,
}

/// The crawlers of a policy.
#[derive(Clone, Debug, Default)]
pub struct Bots {
    crawlers: Vec<Crawler>,
}

/// What is known of the sender beside the head.
#[derive(Clone, Copy, Debug)]
pub struct Sender {
    /// The client's address, proxies already taken into account.
    pub address: IpAddr,
    /// Requests of this address in the last minute; `None`: nobody counts.
    pub last_minute: Option<u64>,
}

/// What the signs say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Verdict {
    /// Sum of the points.
    pub score: u32,
    /// The signs, in the order of [`SIGNS`].
    pub signs: Vec<Sign>,
    /// A crawler that is what it says: then no sign counts.
    pub crawler: Option<String>,
}

/// The browser that a `User-Agent` names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Browser {
    /// Chrome, Edge, Opera and their kind.
    Chromium,
    Firefox,
    Safari,
}

impl Bots {
    /// Adds a crawler: a word of its `User-Agent`, and networks between commas or blanks.
    ///
    /// # Errors
    /// The word that is neither an address nor a network.
    pub fn believe(&mut self, name: &str, agent: &str, networks: &str) -> Result<(), String> {
        let wrong = |word: String| format!("`{word}` is neither an address nor a network");
        let networks = Networks::read(&networks.replace(char::is_whitespace, ",")).map_err(wrong)?;
        self.crawlers.push(Crawler { name: name.into(), agent: agent.to_ascii_lowercase(), networks });
        Ok(())
    }

    /// Judges a head.
    pub fn judge<'a>(&self, fields: impl Iterator<Item = (&'a [u8], &'a [u8])>, sender: Sender) -> Verdict {
        let fields: Vec<(String, &[u8])> =
            fields.map(|(name, value)| (String::from_utf8_lossy(name).to_ascii_lowercase(), value)).collect();
        let head = Head { fields };
        let agent = head.text("user-agent");
        let mut verdict = Verdict::default();
        for crawler in self.crawlers.iter().filter(|crawler| agent.contains(crawler.agent.as_str())) {
            if crawler.networks.hold(sender.address.to_canonical().to_string().as_bytes()) {
                return Verdict { crawler: Some(crawler.name.clone()), ..Verdict::default() };
            }
            verdict.add("crawler-pretended");
        }
        head.agent(&agent, &mut verdict);
        if let Some(browser) = browser(&agent) {
            head.browser(browser, &agent, &mut verdict);
        }
        match sender.last_minute {
            Some(count) if count > 20 * 60 => verdict.add("rate-very-high"),
            Some(count) if count > 5 * 60 => verdict.add("rate-high"),
            _ => {}
        }
        verdict.signs.sort_by_key(|sign| sign.name);
        verdict
    }
}

impl Verdict {
    /// A sign counts once.
    fn add(&mut self, name: &str) {
        if self.signs.iter().any(|sign| sign.name == name) {
            return;
        }
        if let Some(sign) = SIGNS.iter().find(|sign| sign.name == name) {
            self.signs.push(*sign);
            self.score += sign.points;
        }
    }

    /// Names of the signs between blanks.
    pub fn names(&self) -> String {
        self.signs.iter().map(|sign| sign.name).collect::<Vec<_>>().join(" ")
    }
}

/// A word that only one kind of browser has; those of other kinds stand in `User-Agent` too, so the order matters.
fn browser(agent: &str) -> Option<Browser> {
    if !agent.starts_with("mozilla/5.0 ") {
        return None;
    }
    if agent.contains("firefox/") {
        return Some(Browser::Firefox);
    }
    if agent.contains("chrome/") {
        return Some(Browser::Chromium);
    }
    (agent.contains("safari/") && agent.contains("version/")).then_some(Browser::Safari)
}

struct Head<'a> {
    /// Names in lower case, in order.
    fields: Vec<(String, &'a [u8])>,
}

impl Head<'_> {
    fn place(&self, name: &str) -> Option<usize> {
        self.fields.iter().position(|(known, _)| known == name)
    }

    /// The first value, in lower case.
    fn text(&self, name: &str) -> String {
        let value = self.fields.iter().find(|(known, _)| known == name).map(|(_, value)| *value);
        String::from_utf8_lossy(value.unwrap_or_default()).to_ascii_lowercase()
    }

    fn agent(&self, agent: &str, verdict: &mut Verdict) {
        if agent.trim().is_empty() {
            verdict.add("agent-missing");
        }
        if self.fields.iter().filter(|(name, _)| name == "user-agent").count() > 1 {
            verdict.add("agent-repeated");
        }
        if TOOLS.iter().any(|tool| agent.starts_with(tool)) {
            verdict.add("tool");
        }
    }

    fn browser(&self, browser: Browser, agent: &str, verdict: &mut Verdict) {
        for (name, sign) in [
            ("accept", "accept-missing"),
            ("accept-encoding", "encoding-missing"),
            ("accept-language", "language-missing"),
        ] {
            if self.place(name).is_none() {
                verdict.add(sign);
            }
        }
        // HTTP/2 has no Host field; what stands for it has no place among the fields.
        if self.place("host").is_some_and(|at| at > 0) {
            verdict.add("host-late");
        }
        let order: &[&str] = match browser {
            Browser::Chromium => &["user-agent", "accept", "accept-encoding", "accept-language"],
            Browser::Firefox => &["user-agent", "accept", "accept-language", "accept-encoding"],
            // Its order changed between versions.
            Browser::Safari => &[],
        };
        let places: Vec<usize> = order.iter().filter_map(|name| self.place(name)).collect();
        if !places.is_sorted() {
            verdict.add("field-order");
        }
        if self.contradicts(browser, agent) {
            verdict.add("hints-contradict");
        }
    }

    /// Client hints (`Sec-CH-UA…`) against `User-Agent`. Only Chromium sends them.
    fn contradicts(&self, browser: Browser, agent: &str) -> bool {
        let hint = |name: &str| self.place(name).map(|_| self.text(name));
        let systems = [
            ("windows", "windows"),
            ("android", "android"),
            ("macos", "mac os x"),
            ("linux", "linux"),
            ("chrome os", "cros"),
        ];
        let system = hint("sec-ch-ua-platform").is_some_and(|platform| {
            let named = systems.iter().find(|(name, _)| platform.trim_matches('"') == *name);
            named.is_some_and(|(_, word)| !agent.contains(word))
        });
        let mobile = hint("sec-ch-ua-mobile").is_some_and(|mobile| (mobile.trim() == "?1") != agent.contains("mobile"));
        let brands = hint("sec-ch-ua").is_some_and(|brands| !brands.contains("chrom"));
        let other = browser != Browser::Chromium && self.place("sec-ch-ua").is_some();
        system || mobile || brands || other
    }
}

#[cfg(test)]
mod tests {
    use super::{Bots, SIGNS, Sender};

    const CHROME: &str = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36";
    const FIREFOX: &str = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0";

    #[track_caller]
    fn check(fields: &[(&str, &str)], address: &str, last_minute: Option<u64>, want: &[&str]) {
        let mut bots = Bots::default();
        bots.believe("Examplebot", "examplebot", "192.0.2.0/24, 2001:db8::/32").unwrap();
        let list = fields.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes()));
        let verdict = bots.judge(list, Sender { address: address.parse().unwrap(), last_minute });
        let names: Vec<_> = verdict.signs.iter().map(|sign| sign.name).collect();
        assert_eq!(names, want, "{fields:?}");
        assert_eq!(verdict.score, verdict.signs.iter().map(|sign| sign.points).sum::<u32>());
    }

    fn chrome<'a>(agent: &'a str, platform: &'a str) -> Vec<(&'a str, &'a str)> {
        vec![
            ("Host", "a"),
            ("sec-ch-ua", "\"Chromium\";v=\"140\""),
            ("sec-ch-ua-mobile", "?0"),
            ("sec-ch-ua-platform", platform),
            ("User-Agent", agent),
            ("Accept", "text/html"),
            ("Accept-Encoding", "gzip"),
            ("Accept-Language", "en"),
        ]
    }

    #[test]
    fn browsers_are_what_they_say() {
        check(&chrome(CHROME, "\"Windows\""), "198.51.100.1", Some(10), &[]);
        check(&chrome(CHROME, "\"macOS\""), "198.51.100.1", None, &["hints-contradict"]);
        let firefox = [
            ("Host", "a"),
            ("User-Agent", FIREFOX),
            ("Accept", "*/*"),
            ("Accept-Language", "en"),
            ("Accept-Encoding", "gzip"),
        ];
        check(&firefox, "198.51.100.1", None, &[]);
        check(&chrome(FIREFOX, "\"Linux\""), "198.51.100.1", None, &["field-order", "hints-contradict"]);
        check(
            &[("User-Agent", CHROME), ("Host", "a")],
            "198.51.100.1",
            None,
            &["accept-missing", "encoding-missing", "host-late", "language-missing"],
        );
    }

    #[test]
    fn crawlers_are_believed_by_their_networks() {
        let fields = [("Host", "a"), ("User-Agent", "Mozilla/5.0 (compatible; ExampleBot/2.1)")];
        check(&fields, "192.0.2.9", Some(100_000), &[]);
        check(&fields, "2001:db8::1", None, &[]);
        check(&fields, "::ffff:192.0.2.9", None, &[]);
        check(&fields, "198.51.100.1", None, &["crawler-pretended"]);
        assert!(Bots::default().believe("a", "a", "192.0.2.0/24 nonsense").is_err());
    }

    #[test]
    fn programs_and_rates() {
        check(&[("Host", "a")], "198.51.100.1", Some(301), &["agent-missing", "rate-high"]);
        check(
            &[("User-Agent", "curl/8"), ("user-agent", "x")],
            "198.51.100.1",
            Some(1201),
            &["agent-repeated", "rate-very-high", "tool"],
        );
        assert!(SIGNS.is_sorted_by_key(|sign| sign.name));
    }
}
