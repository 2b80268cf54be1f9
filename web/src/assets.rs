//! The page's files, built into the program: bytes, content types, and names that change when the bytes do.
//!
//! Every file stands under `/assets/BUILD/`, where BUILD is a hash of them all; so they may be kept for ever,
//! and the one file that may not, the page itself, is asked about by its `ETag`. A page of an older build asks
//! for names that are not here any more and gets nothing, rather than half of another build. Comments and indents are
//! for who reads the source: they are left out on the way, their lines stay, so that an error names the right one.

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use std::collections::BTreeMap;
use std::io::Write;
use std::sync::LazyLock;

/// What the page may do. It needs no more than its own files and its own server; a script made from text is
/// refused by the browser before it is one.
pub const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; \
     connect-src 'self'; img-src 'self' data:; frame-ancestors 'none'; base-uri 'none'; form-action 'none'; \
     require-trusted-types-for 'script'";

const KEEP: &str = "public, max-age=31536000, immutable";
const ASK: &str = "no-cache";
const PREFIX: &str = "/assets/";

/// One file as it is sent.
#[derive(Clone, Debug)]
pub struct Asset {
    pub bytes: Bytes,
    /// The same, for who accepts the encoding `gzip`.
    pub gzip: Bytes,
    pub content_type: &'static str,
    pub cache_control: &'static str,
    /// Quoted, as it stands in the header.
    pub etag: String,
}

/// The file at a request's path: `/` is the page. `None` for every other path.
#[must_use]
pub fn find(path: &str) -> Option<&'static Asset> {
    ASSETS.get(path)
}

/// Names this build of the page; another build, another name.
#[must_use]
pub fn build() -> &'static str {
    &BUILD
}

macro_rules! files {
    ($($name:literal),* $(,)?) => {
        [$(($name, include_str!(concat!("../assets/", $name)))),*]
    };
}

const PAGE: &str = include_str!("../assets/index.html");

const FILES: [(&str, &str); 23] = files![
    "api.js",
    "app.js",
    "clean.js",
    "cluster.js",
    "dom.js",
    "event.js",
    "facets.js",
    "hist.js",
    "keys.js",
    "live.js",
    "query.js",
    "querybox.js",
    "range.js",
    "results.js",
    "row.js",
    "rows.js",
    "run.js",
    "search.js",
    "state.js",
    "style.css",
    "theme.js",
    "time.js",
    "vlist.js",
];

static BUILD: LazyLock<String> = LazyLock::new(|| {
    let all = FILES.into_iter().flat_map(|(name, text)| [name, text]).chain([PAGE]);
    format!("{:016x}", all.fold(FNV_START, |hash, text| fnv(hash, text.as_bytes())))
});

static ASSETS: LazyLock<BTreeMap<String, Asset>> = LazyLock::new(|| {
    let mut assets = BTreeMap::new();
    for (name, text) in FILES {
        let path = format!("{PREFIX}{}/{name}", build());
        assets.insert(path, asset(sent(name, text), content_type(name), KEEP));
    }
    let page = PAGE.replace(PREFIX, &format!("{PREFIX}{}/", build()));
    assets.insert("/".to_owned(), asset(page.into_bytes(), "text/html; charset=utf-8", ASK));
    assets
});

fn sent(name: &str, text: &str) -> Vec<u8> {
    if name.ends_with(".js") { bare(text).into_bytes() } else { text.as_bytes().to_vec() }
}

fn asset(bytes: Vec<u8>, content_type: &'static str, cache_control: &'static str) -> Asset {
    let etag = format!("\"{:016x}\"", fnv(FNV_START, &bytes));
    Asset { gzip: gzip(&bytes), bytes: Bytes::from(bytes), content_type, cache_control, etag }
}

fn gzip(bytes: &[u8]) -> Bytes {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    let packed = encoder.write_all(bytes).and_then(|()| encoder.finish());
    Bytes::from(packed.expect("writing into memory cannot fail"))
}

/// Lines without their indents; those that are nothing but a comment come out empty. Our scripts write comments no
/// other way, and no text of theirs goes on over a line's end.
fn bare(script: &str) -> String {
    let mut in_comment = false;
    let mut kept = Vec::new();
    for line in script.split('\n') {
        let text = line.trim_start();
        let is_comment = in_comment || text.starts_with("//") || text.starts_with("/**");
        in_comment = (in_comment || text.starts_with("/**")) && !text.contains("*/");
        kept.push(if is_comment { "" } else { text });
    }
    kept.join("\n")
}

fn content_type(name: &str) -> &'static str {
    if name.ends_with(".css") { "text/css; charset=utf-8" } else { "text/javascript; charset=utf-8" }
}

const FNV_START: u64 = 0xcbf2_9ce4_8422_2325;

/// FNV-1a: names builds of our own files; nobody gains by making two alike.
fn fnv(start: u64, bytes: &[u8]) -> u64 {
    bytes.iter().fold(start, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(path: &str) -> &'static str {
        std::str::from_utf8(&find(path).unwrap().bytes).unwrap()
    }

    /// What an HTML or JavaScript file asks for, as paths.
    fn asked_for(path: &str) -> Vec<String> {
        let folder = format!("{PREFIX}{}/", build());
        let text = text(path);
        let own = text.split('"').filter(|part| part.starts_with(PREFIX)).map(str::to_owned);
        let imported = text.lines().filter_map(|line| line.split_once("from './")?.1.split_once('\''));
        own.chain(imported.map(|(name, _)| format!("{folder}{name}"))).collect()
    }

    #[test]
    fn everything_the_page_asks_for_is_here_and_nothing_else() {
        let mut wanted = vec!["/".to_owned()];
        let mut at = 0;
        while let Some(path) = wanted.get(at).cloned() {
            for next in asked_for(&path) {
                assert!(find(&next).is_some(), "{path} asks for {next}");
                if !wanted.contains(&next) {
                    wanted.push(next);
                }
            }
            at += 1;
        }
        wanted.sort();
        assert_eq!(wanted, ASSETS.keys().cloned().collect::<Vec<_>>());
    }

    #[test]
    fn names_outside_of_the_build_are_nothing() {
        for path in ["", "/index.html", "/assets/app.js", "/assets/0000000000000000/app.js", "/assets/../app.js"] {
            assert!(find(path).is_none(), "{path}");
        }
    }

    #[test]
    fn only_the_page_itself_is_asked_about_again() {
        assert_eq!(find("/").unwrap().cache_control, ASK);
        let others = ASSETS.iter().filter(|(path, _)| path.as_str() != "/");
        assert!(others.clone().count() > 10);
        assert!(others.into_iter().all(|(_, asset)| asset.cache_control == KEEP));
    }

    /// What is sent must stay small, since a page is often opened over a bad line in a bad hour.
    #[test]
    fn the_page_stays_within_its_budget() {
        let packed = |ending: &str| {
            ASSETS.iter().filter(|(path, _)| path.ends_with(ending)).map(|(_, asset)| asset.gzip.len()).sum()
        };
        let (scripts, styles, page): (usize, usize, usize) = (packed(".js"), packed(".css"), packed("/"));
        assert!(scripts <= 40_000, "{scripts} bytes of scripts");
        assert!(styles <= 8_000, "{styles} bytes of styles");
        assert!(page <= 3_000, "{page} bytes of page");
        assert!(ASSETS.len() <= 24, "{} requests", ASSETS.len());
    }

    #[test]
    fn comments_and_indents_are_left_out_and_lines_stay() {
        for (name, written) in FILES {
            let sent = text(&format!("{PREFIX}{}/{name}", build()));
            assert_eq!(sent.split('\n').count(), written.split('\n').count(), "{name}");
            assert!(!sent.contains("/**") && !sent.contains("//!"), "{name}");
            let open = |line: &&str| name.ends_with(".js") && line.matches('`').count() % 2 == 1;
            assert_eq!(sent.lines().find(open), None, "{name}: a text that goes on over a line's end");
        }
        let check = |written: &str, sent: &str| assert_eq!(bare(written), sent);
        check("a\n// b\n  /** c\n   * d */\ne // f\n", "a\n\n\n\ne // f\n");
        check("x = 1\n  * 2\n/** one */\ny\n", "x = 1\n* 2\n\ny\n");
    }

    /// The browser enforces it too; this names the line.
    #[test]
    fn no_file_makes_markup_or_code_from_text() {
        for (path, _) in ASSETS.iter() {
            for (number, line) in text(path).lines().enumerate() {
                for word in ["innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "new Function"]
                {
                    assert!(!line.contains(word), "{path}:{}: {word}", number + 1);
                }
                assert!(!line.contains(" style=\"") && !line.contains(" onclick="), "{path}:{}", number + 1);
            }
        }
    }
}
