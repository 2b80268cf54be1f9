//! What was typed. Nothing here is checked against the world; [`crate::settings`] and the commands do that.

use clap::{Args, Parser, Subcommand, ValueEnum};
use proto::roster::Address;
use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

/// Collects, keeps and searches the logs of a fleet, without a master.
#[derive(Debug, Parser)]
#[command(name = "tailbuck", version, max_term_width = 100)]
pub struct Typed {
    #[command(subcommand)]
    pub command: Command,

    /// What to log on stderr: error, warn, info, debug, trace, or a filter such as `buck=debug`
    #[arg(long, global = true, value_name = "FILTER", env = "TAILBUCK_LOG")]
    pub log: Option<String>,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Start a whole cluster in this process: a tailer, bucks, a porter and the web page
    Up(Up),
    /// Find events: exit 0 when something was found, 1 when there is nothing, 2 on an error or when that is not known
    Search(Search),
    /// Say how every node is: exit 0 when all are heard, 1 when not, 2 on an error
    Status(Status),
    /// Write keys, a roster and a settings file for every node of a fleet
    Init(Init),
    /// Make a node's key file; an existing one is never touched
    Keygen(Keygen),
    /// Run a tailer
    Tailer(Node),
    /// Run a buck
    Buck(Node),
    /// Port buckets, and look after what was ported
    Porter(Porter),
    /// Run the web page and HTTP API
    Web(Node),
}

#[derive(Debug, Args)]
pub struct Up {
    /// Files, folders or globs to follow instead of the logs below /var/log
    #[arg(value_name = "PATH")]
    pub paths: Vec<String>,

    /// Where everything is kept; started again it goes on where it was
    #[arg(long, value_name = "DIR", default_value = "tailbuck-data")]
    pub data: PathBuf,

    /// How many bucks, 1 to 16; there can be more later, not fewer [default: 3]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u8).range(1..=16))]
    pub bucks: Option<u8>,

    /// How long a bucket lasts, such as 10s or 5m; fixed when the data folder is made [default: 1m]
    #[arg(long, value_name = "SPAN", value_parser = span)]
    pub bucket: Option<Duration>,

    /// Where the page is served; port 0 picks a free one
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:7700")]
    pub web: SocketAddr,

    /// Add a lively made-up service to look at
    #[arg(long)]
    pub demo: bool,
}

#[derive(Debug, Args)]
pub struct Search {
    /// What to find, such as 'error "connection reset" -healthz host:web*'
    #[arg(value_name = "QUERY", allow_hyphen_values = true, value_parser = query)]
    pub query: String,

    /// From when: now-15m, -15m, RFC 3339, a date or unix time
    #[arg(long, value_name = "TIME", default_value = "-1h", allow_hyphen_values = true)]
    pub from: String,

    /// To when, not included
    #[arg(long, value_name = "TIME", default_value = "now", allow_hyphen_values = true)]
    pub to: String,

    /// At most this many events [default: 1000; with --order file, all]
    #[arg(long, value_name = "N")]
    pub limit: Option<u64>,

    /// In which order events are printed
    #[arg(long, value_enum, default_value_t = Order::Oldest)]
    pub order: Order,

    /// What is printed of each event
    #[arg(long, value_enum, default_value_t = Format::Raw)]
    pub format: Format,

    /// Go on with what arrives from now
    #[arg(long, conflicts_with_all = ["count", "order", "from", "to"])]
    pub follow: bool,

    /// Print only how many there are
    #[arg(long)]
    pub count: bool,

    /// Print so many lines after each that was found, file by file; `--` stands between groups
    #[arg(long, short = 'A', value_name = "N", conflicts_with_all = ["count", "order", "follow"])]
    pub after_context: Option<u32>,

    /// Print so many lines before each
    #[arg(long, short = 'B', value_name = "N", conflicts_with_all = ["count", "order", "follow"])]
    pub before_context: Option<u32>,

    /// Print so many lines before and after each
    #[arg(long, short = 'C', value_name = "N", conflicts_with_all = ["count", "order", "follow"])]
    pub context: Option<u32>,

    /// An environment; more than one may be given [default: all that may be seen]
    #[arg(long = "env", value_name = "NAME")]
    pub environments: Vec<String>,

    #[command(flatten)]
    pub cluster: Cluster,
}

impl Search {
    /// Lines before and after each that was found, when any were asked for.
    pub fn lines_around(&self) -> Option<(u32, u32)> {
        let before = self.before_context.or(self.context);
        let after = self.after_context.or(self.context);
        (before.is_some() || after.is_some()).then_some((before.unwrap_or(0), after.unwrap_or(0)))
    }
}

#[derive(Debug, Args)]
pub struct Status {
    /// How it is printed
    #[arg(long, value_enum, default_value_t = StatusFormat::Table)]
    pub format: StatusFormat,

    #[command(flatten)]
    pub cluster: Cluster,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum StatusFormat {
    /// A line a node, for people
    Table,
    /// The web's whole answer, one JSON object
    Json,
}

/// Which cluster is asked.
#[derive(Clone, Debug, Args)]
pub struct Cluster {
    /// The data folder of a running `up`
    #[arg(long, value_name = "DIR", conflicts_with_all = ["web", "config"])]
    pub data: Option<PathBuf>,

    /// The address of a web, such as http://127.0.0.1:7700
    #[arg(long, value_name = "URL", conflicts_with = "config")]
    pub web: Option<String>,

    /// A node's settings file that names a web
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Order {
    /// The newest first
    Newest,
    /// The oldest first
    Oldest,
    /// File by file, each in its own order
    File,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// The lines: their exact bytes when piped, escaped on a terminal
    Raw,
    /// One JSON object a line
    Json,
    /// The events' ids
    Id,
}

#[derive(Debug, Args)]
pub struct Init {
    /// Where the bucks are reached: addresses or host names, with ports; a name is looked up at each connection
    #[arg(long, value_name = "HOST:PORT,...", value_delimiter = ',', required = true, value_parser = place)]
    pub bucks: Vec<Address>,

    /// Names of the hosts that run a tailer
    #[arg(long, value_name = "HOST,...", value_delimiter = ',', default_value = "host-1")]
    pub tailers: Vec<String>,

    /// Where porters are reached, likewise; more than one may run
    #[arg(long, value_name = "HOST:PORT,...", value_delimiter = ',', default_value = "127.0.0.1:7720", value_parser = place)]
    pub porters: Vec<Address>,

    /// Where the page is served
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:7700")]
    pub web: SocketAddr,

    /// What tailers follow until their settings say otherwise
    #[arg(
        long,
        value_name = "GLOB,...",
        value_delimiter = ',',
        default_value = "/var/log/**/*.log,/var/log/syslog,/var/log/messages"
    )]
    pub paths: Vec<String>,

    /// The environment of all of them
    #[arg(long, value_name = "NAME", default_value = "main")]
    pub environment: String,

    /// How long a bucket lasts
    #[arg(long, value_name = "SPAN", value_parser = span, default_value = "5m")]
    pub bucket: Duration,

    /// A new folder; one folder a node is made in it
    #[arg(long, value_name = "DIR")]
    pub out: PathBuf,
}

#[derive(Debug, Args)]
pub struct Keygen {
    /// The key file to make
    #[arg(long, value_name = "FILE")]
    pub out: PathBuf,
}

#[derive(Debug, Args)]
pub struct Node {
    /// The node's settings
    #[arg(long, value_name = "FILE")]
    pub config: PathBuf,
}

#[derive(Debug, Args)]
pub struct Porter {
    #[command(subcommand)]
    pub command: PorterCommand,
}

#[derive(Debug, Subcommand)]
pub enum PorterCommand {
    /// Port buckets until told to stop
    Run(Node),
    /// Make, read and check block files without a cluster
    Block(Block),
}

#[derive(Debug, Args)]
pub struct Block {
    #[command(subcommand)]
    pub command: BlockCommand,
}

#[derive(Debug, Subcommand)]
pub enum BlockCommand {
    /// Write log files into one block, each as a stream
    Pack(Pack),
    /// Print every line of a block, stream after stream
    Cat(OneBlock),
    /// Print the lines that fit: exit 0 when there are some, 1 when none, 2 on an error
    Search(BlockSearch),
    /// Say where a block's bytes went
    Stat(OneBlock),
    /// Read every byte and name what is damaged: exit 1 when something is
    Verify(OneBlock),
}

#[derive(Debug, Args)]
pub struct Pack {
    /// The log files
    #[arg(value_name = "FILE", required = true)]
    pub files: Vec<PathBuf>,

    /// The block to write; one that is there is replaced
    #[arg(long, short, value_name = "BLOCK")]
    pub out: PathBuf,

    /// Large pages, squeezed hard: smaller and slower
    #[arg(long)]
    pub archive: bool,
}

#[derive(Debug, Args)]
pub struct OneBlock {
    /// The block, a .tbk file
    #[arg(value_name = "BLOCK")]
    pub block: PathBuf,
}

#[derive(Debug, Args)]
pub struct BlockSearch {
    /// The block, a .tbk file
    #[arg(value_name = "BLOCK")]
    pub block: PathBuf,

    /// What to find, as in `tailbuck search`
    #[arg(value_name = "QUERY", allow_hyphen_values = true, value_parser = query)]
    pub query: String,

    /// Print only how many lines there are
    #[arg(long)]
    pub count: bool,

    /// At most this many lines
    #[arg(long, value_name = "N")]
    pub limit: Option<usize>,
}

/// A query may begin with a minus, `-healthz`; with two it is a misspelt option.
fn query(text: &str) -> Result<String, String> {
    match text.strip_prefix("--") {
        Some(_) => Err(format!("no such option; as text to find it is written '\"{text}\"'")),
        None => Ok(text.to_owned()),
    }
}

/// What was typed, with `-C3` of a search as `-C 3`: a query may begin with a minus, and would be taken for one.
pub fn words(typed: impl Iterator<Item = OsString>) -> Vec<OsString> {
    let (mut words, mut is_search) = (Vec::new(), false);
    for word in typed {
        is_search |= word == "search" && words.last().is_none_or(|before| before != "block");
        match word.to_str().filter(|_| is_search).and_then(glued) {
            Some((name, count)) => words.extend([name.into(), count.into()]),
            None => words.push(word),
        }
    }
    words
}

fn glued(word: &str) -> Option<(&str, &str)> {
    let count = word.strip_prefix('-')?.strip_prefix(['A', 'B', 'C'])?;
    let is_count = !count.is_empty() && count.bytes().all(|byte| byte.is_ascii_digit());
    word.split_at_checked(2).filter(|_| is_count)
}

/// `10.0.0.1:4100`, `[fd00::1]:4100` or `buck-1.example.org:4100`, as a roster writes it.
fn place(text: &str) -> Result<Address, String> {
    let address = text.parse::<SocketAddr>().map(|address| address.to_string());
    let place = address.unwrap_or_else(|_| text.to_ascii_lowercase()).parse();
    place.map_err(|()| {
        "it is no address and no host name with a port; 10.0.0.1:4100 and buck-1.example.org:4100 are".to_owned()
    })
}

/// `90`, `90s`, `5m`, `2h`, `1d`.
fn span(text: &str) -> Result<Duration, String> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit = match &text[digits.len()..] {
        "" | "s" => 1,
        "m" => 60,
        "h" => 3600,
        "d" => 86_400,
        _ => return Err(format!("{text:?} is no span of time; 10s, 5m and 1h are")),
    };
    let count: u64 = digits.parse().map_err(|_| format!("{text:?} is no span of time; 10s, 5m and 1h are"))?;
    Ok(Duration::from_secs(count.saturating_mul(unit)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_whole_command_line_holds_together() {
        Typed::command().debug_assert();
    }

    #[test]
    fn a_span_has_a_unit_or_is_seconds() {
        for (text, seconds) in [("90", 90), ("10s", 10), ("5m", 300), ("2h", 7200), ("1d", 86_400)] {
            assert_eq!(span(text), Ok(Duration::from_secs(seconds)));
        }
        for bad in ["", "m", "5w", "-5s", "1.5h", "5 m"] {
            assert!(span(bad).is_err(), "{bad:?}");
        }
    }

    fn query_of(words: &[&str]) -> Result<String, clap::error::ErrorKind> {
        let typed = Typed::try_parse_from([&["tailbuck", "search"], words].concat()).map_err(|error| error.kind())?;
        let Command::Search(search) = typed.command else { panic!("{typed:?}") };
        Ok(search.query)
    }

    #[test]
    fn a_query_may_begin_with_a_minus_and_a_misspelt_option_is_none() {
        for words in [vec!["-healthz"], vec!["-healthz", "--count"], vec!["--count", "-healthz"], vec!["-h x"]] {
            let expected = words.iter().find(|word| !word.starts_with("--")).expect("one");
            assert_eq!(query_of(&words).as_deref(), Ok(*expected), "{words:?}");
        }
        assert_eq!(query_of(&["--cuont"]), Err(clap::error::ErrorKind::ValueValidation));
        let in_block = |query| Typed::try_parse_from(["tailbuck", "porter", "block", "search", "a.tbk", query]);
        assert!(in_block("-healthz").is_ok());
        assert_eq!(
            in_block("--limt").map_err(|error| error.kind()).err(),
            Some(clap::error::ErrorKind::ValueValidation)
        );
        assert!(query_of(&["x", "--cuont"]).is_err());
        assert_eq!(query_of(&["--help"]), Err(clap::error::ErrorKind::DisplayHelp));
        assert!(query_of(&["x", "--follow", "--from", "-1h"]).is_err(), "what is followed begins now");
        assert!(query_of(&["x", "--follow"]).is_ok());
    }

    #[test]
    fn lines_around_are_asked_for_as_of_grep() {
        let around = |words: &[&str]| {
            let typed = super::words([&["tailbuck", "search"], words].concat().into_iter().map(OsString::from));
            let typed = Typed::try_parse_from(typed).map_err(|error| error.kind())?;
            let Command::Search(search) = typed.command else { panic!("{typed:?}") };
            Ok((search.query.clone(), search.lines_around()))
        };
        let x = || "x".to_owned();
        assert_eq!(around(&["x"]), Ok((x(), None)));
        assert_eq!(around(&["x", "-C2"]), Ok((x(), Some((2, 2)))));
        assert_eq!(around(&["-C", "2", "x"]), Ok((x(), Some((2, 2)))));
        assert_eq!(around(&["-A", "1", "-C", "3", "x"]), Ok((x(), Some((3, 1)))));
        assert_eq!(around(&["x", "-B0"]), Ok((x(), Some((0, 0)))));
        assert_eq!(around(&["-C2", "x"]), Ok((x(), Some((2, 2)))));
        assert_eq!(around(&["-Dump2"]), Ok(("-Dump2".to_owned(), None)));
        assert_eq!(around(&["x", "-C2", "--count"]), Err(clap::error::ErrorKind::ArgumentConflict));
    }

    #[test]
    fn a_node_is_reached_by_address_or_name() {
        for (text, written) in [
            ("10.0.0.1:4100", "10.0.0.1:4100"),
            ("[FD00::0:1]:4100", "[fd00::1]:4100"),
            ("Buck-1.Example.org:4100", "buck-1.example.org:4100"),
        ] {
            assert_eq!(place(text).map(|place| place.to_string()).as_deref(), Ok(written), "{text}");
        }
        for bad in ["buck-1", "buck-1:", "10.0.0.300:1", "10.0.0.1", "a:0", "a b:1", ":1", "10.0.0.1:0"] {
            assert!(place(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_time_may_begin_with_a_minus() {
        let typed = Typed::try_parse_from(["tailbuck", "search", "x", "--from", "-15m", "--to", "-1m"]);
        let Ok(Typed { command: Command::Search(search), .. }) = typed else { panic!("{typed:?}") };
        assert_eq!((search.from.as_str(), search.to.as_str()), ("-15m", "-1m"));
    }
}
