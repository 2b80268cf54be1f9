//! The page's files, built into the program: bytes, content types, and names that change when the bytes do.
//!
//! Every file stands under `/assets/BUILD/`, where BUILD is a hash of them all; so they may be kept for ever,
//! and the one file that may not, the page itself, is asked about by its `ETag`. A page of an older build asks
//! for names that are not here any more and gets nothing, rather than half of another build.

use bytes::Bytes;
use std::collections::BTreeMap;
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
        [$(($name, include_bytes!(concat!("../assets/", $name)).as_slice())),*]
    };
}

const PAGE: &str = include_str!("../assets/index.html");

const FILES: [(&str, &[u8]); 24] = files![
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
    "prefs.js",
    "query.js",
    "querybox.js",
    "range.js",
    "results.js",
    "row.js",
    "rows.js",
    "run.js",
    "search.js",
    "style.css",
    "theme.js",
    "time.js",
    "url.js",
    "vlist.js",
];

static BUILD: LazyLock<String> = LazyLock::new(|| {
    let all = FILES.iter().flat_map(|(name, bytes)| [name.as_bytes(), bytes]).chain([PAGE.as_bytes()]);
    format!("{:016x}", all.fold(FNV_START, fnv))
});

static ASSETS: LazyLock<BTreeMap<String, Asset>> = LazyLock::new(|| {
    let mut assets = BTreeMap::new();
    for (name, bytes) in FILES {
        let path = format!("{PREFIX}{}/{name}", build());
        assets.insert(path, asset(Bytes::from_static(bytes), content_type(name), KEEP));
    }
    let page = PAGE.replace(PREFIX, &format!("{PREFIX}{}/", build()));
    assets.insert("/".to_owned(), asset(Bytes::from(page), "text/html; charset=utf-8", ASK));
    assets
});

fn asset(bytes: Bytes, content_type: &'static str, cache_control: &'static str) -> Asset {
    let etag = format!("\"{:016x}\"", fnv(FNV_START, &bytes));
    Asset { bytes, content_type, cache_control, etag }
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
