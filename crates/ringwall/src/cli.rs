//! The command line: what a person may type. Completion, man page and help all come from these definitions.

use clap::{Args, Parser, Subcommand, ValueEnum};
use std::path::PathBuf;

/// One wall for a platform: DDoS shield, WAF, TLS ingress, API gateway, service mesh, certificates. It enforces the
/// manifests you already have, and proves what they allow.
#[derive(Debug, Parser)]
#[command(name = "ringwall", version, max_term_width = 100, after_help = EXIT_CODES)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
    /// Options of every command.
    #[command(flatten)]
    pub common: Everywhere,
}

/// Options of every command.
#[derive(Clone, Debug, Args)]
pub struct Everywhere {
    /// Form of the output.
    #[arg(long, global = true, value_enum, default_value_t = Format::Human)]
    pub format: Format,
    /// Folder of keys, blocks, history and traces [default: $XDG_STATE_HOME/ringwall or ~/.local/state/ringwall]
    #[arg(long, global = true, value_name = "DIR")]
    pub state_dir: Option<PathBuf>,
    /// A process setting, `key=value`; `ringwall config` lists them. May be given several times.
    #[arg(long = "set", global = true, value_name = "KEY=VALUE")]
    pub set: Vec<String>,
    /// Folder of the OWASP Core Rule Set, or `none`; the same as `--set crs=DIR` [default: see `ringwall crs where`]
    #[arg(long, global = true, value_name = "DIR")]
    pub crs: Option<PathBuf>,
    /// Settings file of `key = value` lines.
    #[arg(long, global = true, value_name = "FILE")]
    pub settings: Option<PathBuf>,
    /// When to use colours.
    #[arg(long, global = true, value_enum, default_value_t = Color::Auto)]
    pub color: Color,
}

/// Form of the output.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people.
    Human,
    /// One JSON document (`demo`: one a line).
    Json,
    /// SARIF 2.1.0 (`check` only).
    Sarif,
    /// JUnit XML (`check` only).
    Junit,
}

/// When to use colours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Color {
    /// On a terminal, unless NO_COLOR is set.
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Bring a platform up behind the wall and keep it up until Ctrl-C.
    Up(Up),
    /// Three acts in under 90 seconds: findings in a flawed set, the right platform, attacks through it.
    Demo(Demo),
    /// Say what manifests do not mean, or will not do.
    Check(Check),
    /// Judge the calls of literate scenarios by their manifests, in memory, with nothing sent.
    Test(Test),
    /// Why a call is let through or refused: a recorded one by its id, or one that you describe. What a finding means.
    Explain(Explain),
    /// What is in force in the running wall.
    Status,
    /// Every World that was in force: time, author, revision, difference.
    History,
    /// Bring an earlier World back.
    Rollback {
        /// Its number, from `ringwall history`.
        generation: u64,
    },
    /// Read the manifests again now.
    Reload,
    /// Make a real call as a workload through the running wall, each layer timed.
    Probe(Probe),
    /// Start a program as a workload of the isolated wall: in its network namespace, intercepted, without capabilities.
    Run(Run),
    /// What the packet filter of the isolated wall enforces, or the end of it.
    Kernel {
        /// What to do.
        #[command(subcommand)]
        what: Kernel,
    },
    /// Keep namespaces for a wall; it starts this itself.
    #[command(hide = true)]
    Keep,
    /// Write what is enforced in the words of another program; nothing is applied.
    Export {
        /// In whose words.
        #[command(subcommand)]
        what: Export,
    },
    /// Refuse an address, user, tenant or identity for a while, also on connections that are open now.
    Block(Block),
    /// End a block.
    Unblock {
        /// Its subject, or its number from `ringwall blocks`.
        subject: String,
    },
    /// List the blocks in force.
    Blocks,
    /// Sign a token with the running wall's development issuer.
    Token(Token),
    /// The OWASP Core Rule Set: where it comes from, its rules, exclusions to be reviewed.
    Crs {
        /// What to do with it.
        #[command(subcommand)]
        what: Crs,
    },
    /// Every process setting with its value and where it came from.
    Config,
    /// Make Kong declarative configuration of curl lines to its Admin API.
    Import {
        /// Scripts with curl lines; `-` for standard input.
        #[arg(required = true)]
        scripts: Vec<String>,
    },
    /// Shell completion, to be sourced.
    Completion {
        /// The shell.
        shell: clap_complete::Shell,
    },
    /// The manual page, in roff.
    Man,
}

/// What to do with the rule set.
#[derive(Debug, Subcommand)]
pub enum Crs {
    /// Where the rules in force come from, and what was looked for, in that order.
    Where,
    /// Have a rule set: an official release by its hash, or Debian's package. Nothing is installed.
    Fetch(FetchRules),
    /// List rules: id, phase, paranoia level, severity, message.
    List(ListRules),
    /// One rule as written, with its place, what it became and what leaves it out.
    Show {
        /// Its id.
        rule: u64,
    },
    /// Propose exclusions from an audit log of good traffic, as SecLang to be reviewed.
    Tune {
        /// The log, one JSON record a line; `-` for standard input.
        log: PathBuf,
    },
    /// Print a preset as SecLang to be reviewed: `prompts`, `graphql`, `json-api`, `strict`.
    Preset {
        /// Its name.
        name: String,
    },
}

/// Options of `crs fetch`.
#[derive(Clone, Debug, Args)]
pub struct FetchRules {
    /// Version of the official release [default: 4.28.0]
    #[arg(long, value_name = "VERSION")]
    pub version: Option<String>,
    /// SHA-256 of its archive, 64 hexadecimal digits; nothing else is taken [default: the one known of the version]
    #[arg(long, value_name = "HASH", requires = "version", conflicts_with = "package")]
    pub sha256: Option<String>,
    /// Where the archive lies [default: the project's release page]
    #[arg(long, value_name = "URL", conflicts_with = "package")]
    pub from: Option<String>,
    /// Debian's package instead, by this machine's own apt, unpacked into the cache.
    #[arg(long, conflicts_with = "version")]
    pub package: bool,
    /// Move what is in the own folder to `crs.old`.
    #[arg(long)]
    pub replace: bool,
}

/// Options of `crs list`.
#[derive(Clone, Debug, Args)]
pub struct ListRules {
    /// Only rules whose id, message or a tag holds this.
    pub word: Option<String>,
    /// Only rules of this phase, 1 to 5.
    #[arg(long, value_name = "N")]
    pub phase: Option<u8>,
    /// Only rules of this paranoia level, 1 to 4.
    #[arg(long, value_name = "N")]
    pub paranoia: Option<u8>,
    /// Only rules of this severity, such as `critical` or 2.
    #[arg(long, value_name = "LEVEL")]
    pub severity: Option<String>,
    /// Only rules with this tag.
    #[arg(long, value_name = "TAG")]
    pub tag: Option<String>,
}

/// Options of `up`.
#[derive(Clone, Debug, Args)]
pub struct Up {
    /// Folder or file of manifests; `-` reads standard input, for example from `kubectl get … -o yaml`.
    pub manifests: String,
    /// Give every workload, Service or selected label without an address an echo stand-in with its service account.
    #[arg(long)]
    pub stand_in: bool,
    /// Give every workload a network namespace of its own, so that no program can go around the wall. Needs root, or
    /// unprivileged user namespaces.
    #[arg(long)]
    pub isolate: bool,
    /// Come up, print the table, and end at once: exit 0 when everything came up.
    #[arg(long)]
    pub once: bool,
}

/// Options of `demo`.
#[derive(Clone, Debug, Args)]
pub struct Demo {
    /// End after the tour even on a terminal.
    #[arg(long)]
    pub once: bool,
    /// Take each scenario's named rule out, reload and send again: a refusal must become a pass or name another rule.
    #[arg(long)]
    pub prove: bool,
    /// Play the scenarios under the mesh, with real packets: each workload has a network namespace of its own.
    #[arg(long)]
    pub isolate: bool,
    /// Folder of the platform's manifests [default: the ones built in].
    #[arg(long, value_name = "DIR")]
    pub platform: Option<PathBuf>,
    /// Run only scenarios whose name contains this.
    #[arg(long, value_name = "WORD")]
    pub only: Option<String>,
}

/// Options of `check`.
#[derive(Clone, Debug, Args)]
pub struct Check {
    /// Folders or files of manifests; `-` for standard input.
    #[arg(required = true)]
    pub manifests: Vec<String>,
    /// Read the set as `up --stand-in` would.
    #[arg(long)]
    pub stand_in: bool,
    /// Leave notes out: only errors and warnings.
    #[arg(long, short)]
    pub quiet: bool,
}

/// Options of `test`.
#[derive(Clone, Debug, Args)]
pub struct Test {
    /// Markdown files, or folders of them; docs/scenarios.md tells the format.
    #[arg(required = true)]
    pub scenarios: Vec<PathBuf>,
    /// Say which enforced field of the manifests each scenario hangs on: it fails when that field is taken out.
    #[arg(long)]
    pub fields: bool,
}

/// Options of `explain`.
#[derive(Clone, Debug, Args)]
pub struct Explain {
    /// Id of a refused call (`x-request-id`), or its first characters; or a finding's code, such as RW2001.
    #[arg(required_unless_present = "url")]
    pub id: Option<String>,
    /// Describe a call instead: its URL.
    #[arg(long)]
    pub url: Option<String>,
    /// Manifests to judge it by [default: those of the running wall].
    #[arg(long, value_name = "DIR", requires = "url")]
    pub manifests: Option<String>,
    /// Method of the described call.
    #[arg(long, short = 'X', default_value = "GET")]
    pub method: String,
    /// A header of the described call, `Name: value`.
    #[arg(long = "header", short = 'H')]
    pub headers: Vec<String>,
    /// Body of the described call; its media type is a header.
    #[arg(long, value_name = "TEXT")]
    pub data: Option<String>,
    /// Workload at whose listener it arrives, `namespace/name` [default: the ingress gateway].
    #[arg(long, value_name = "WORKLOAD")]
    pub at: Option<String>,
    /// It is what that workload itself calls: it arrives at its outbound listener.
    #[arg(long, requires = "at")]
    pub outbound: bool,
    /// Workload that sends it, by verified identity: `namespace/service-account` or a whole SPIFFE ID.
    #[arg(long, value_name = "IDENTITY")]
    pub from: Option<String>,
    /// Address that sends it.
    #[arg(long, default_value = "203.0.113.7")]
    pub address: std::net::IpAddr,
    /// Claims of its token, as JSON; assumed to be verified.
    #[arg(long, value_name = "JSON")]
    pub claims: Option<String>,
}

/// Options of `probe`.
#[derive(Clone, Debug, Args)]
pub struct Probe {
    /// Workload that calls: `namespace/name`.
    #[arg(long = "as", value_name = "WORKLOAD")]
    pub workload: String,
    /// What it calls.
    pub url: String,
    /// Method.
    #[arg(long, short = 'X', default_value = "GET")]
    pub method: String,
    /// A header, `Name: value`.
    #[arg(long = "header", short = 'H')]
    pub headers: Vec<String>,
}

/// Options of `run`.
#[derive(Clone, Debug, Args)]
pub struct Run {
    /// Workload that it runs as: `namespace/name`.
    #[arg(long = "as", value_name = "WORKLOAD")]
    pub workload: String,
    /// User and group number that it gets where the wall runs as root [default: 65534, nobody]
    #[arg(long, value_name = "NUMBER")]
    pub user: Option<u32>,
    /// End with the process that started this.
    #[arg(long, hide = true)]
    pub follow: bool,
    /// The program and its arguments.
    #[arg(required = true, last = true)]
    pub command: Vec<String>,
}

/// In whose words.
#[derive(Debug, Subcommand)]
pub enum Export {
    /// Network policies as a file for `nft -f`, with whose rules are where as comments.
    Nft(Nft),
}

/// Whose network policies.
#[derive(Debug, Args)]
pub struct Nft {
    /// Folders or files of manifests; `-` for standard input.
    #[arg(required = true)]
    pub manifests: Vec<String>,
    /// Only what this workload has: `namespace/name`.
    #[arg(long, value_name = "WORKLOAD")]
    pub workload: Option<String>,
    /// Only what the workloads of this node have.
    #[arg(long, value_name = "NODE")]
    pub node: Option<String>,
    /// Make up the workloads that policies name and nothing declares.
    #[arg(long)]
    pub stand_in: bool,
}

/// What to do with the packet filter.
#[derive(Clone, Copy, Debug, Subcommand)]
pub enum Kernel {
    /// Say what is in force, and whether it is what was asked for.
    Status,
    /// Take the packet filter away: from then on the mesh alone decides.
    Detach,
}

/// Options of `block`.
#[derive(Clone, Debug, Args)]
pub struct Block {
    /// An address, a CIDR, `user:NAME`, `tenant:NAME`, `identity:SPIFFE-ID` or `token:JTI`.
    pub subject: String,
    /// For how long: `90s`, `10m`, `1h`, `7d`.
    #[arg(long = "for", default_value = "1h", value_name = "SPAN")]
    pub span: String,
    /// Why; it is kept with the block.
    #[arg(long, default_value = "")]
    pub reason: String,
}

/// Options of `token`.
#[derive(Clone, Debug, Args)]
pub struct Token {
    /// Subject (the user).
    #[arg(long, default_value = "alice")]
    pub sub: String,
    /// Tenant claim.
    #[arg(long, default_value = "acme")]
    pub tenant: String,
    /// A role; may be given several times.
    #[arg(long = "role")]
    pub roles: Vec<String>,
    /// Audience.
    #[arg(long, default_value = "platform-api")]
    pub aud: String,
    /// Lifetime; a leading `-` makes an expired token.
    #[arg(long = "for", default_value = "1h", value_name = "SPAN", allow_hyphen_values = true)]
    pub span: String,
}

/// What the exit codes mean; printed by `--help` and in the manual page.
pub const EXIT_CODES: &str = "Exit codes:
  0  all held: no error among the findings, every scenario as expected, the call passed
  1  something did not hold: an error finding, a scenario that failed, a call that is refused
  2  the command line is wrong
  3  manifests, settings or state could not be read, or the World was not taken
  4  no running wall answers
  5  the wall itself failed
141 nobody reads the output any more (`… | head`)";
