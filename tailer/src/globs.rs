//! Which paths the inputs name: globs, and what they leave out.
//!
//! Pure: whether a path fits, and where a walk has to begin and how deep it goes. Walking is for `watch`.

use globset::{GlobBuilder, GlobMatcher};
use std::path::{Component, Path, PathBuf};

#[derive(Debug)]
pub struct Globs {
    inputs: Vec<Patterns>,
}

#[derive(Debug)]
struct Patterns {
    paths: Vec<Pattern>,
    excludes: Vec<GlobMatcher>,
}

/// One path or glob of an input.
#[derive(Debug)]
pub struct Pattern {
    /// The deepest folder all its matches lie in; the path itself where it is no glob.
    pub base: PathBuf,
    /// How many names below the base a match has; any number with `**`.
    pub depth: Option<usize>,
    matcher: GlobMatcher,
}

impl Pattern {
    /// It names one file, by its name.
    #[must_use]
    pub fn is_plain(&self) -> bool {
        self.depth == Some(0)
    }

    #[must_use]
    pub fn fits(&self, path: &Path) -> bool {
        self.matcher.is_match(path)
    }
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{glob:?} is not a glob: {why}")]
pub struct BadGlob {
    pub glob: String,
    pub why: String,
}

impl Globs {
    /// For each input its paths and its excludes.
    pub fn new<'a>(inputs: impl IntoIterator<Item = (&'a [String], &'a [String])>) -> Result<Self, BadGlob> {
        let compiled = |(paths, excludes): (&[String], &[String])| {
            let paths = paths.iter().map(|glob| pattern(glob)).collect::<Result<_, _>>()?;
            let excludes = excludes.iter().map(|glob| matcher(glob)).collect::<Result<_, _>>()?;
            Ok(Patterns { paths, excludes })
        };
        Ok(Self { inputs: inputs.into_iter().map(compiled).collect::<Result<_, _>>()? })
    }

    /// Every pattern, with the input it is of.
    pub fn patterns(&self) -> impl Iterator<Item = (usize, &Pattern)> {
        self.inputs.iter().enumerate().flat_map(|(input, patterns)| patterns.paths.iter().map(move |p| (input, p)))
    }

    /// The first input that names this path.
    #[must_use]
    pub fn input_of(&self, path: &Path) -> Option<usize> {
        let names = |patterns: &Patterns| patterns.paths.iter().any(|pattern| pattern.fits(path));
        let within = |input: usize| path.ancestors().any(|part| self.excludes(input, part));
        (0..self.inputs.len()).find(|input| self.inputs.get(*input).is_some_and(names) && !within(*input))
    }

    /// Whether an input leaves out this file, or this folder with all that is in it.
    #[must_use]
    pub fn excludes(&self, input: usize, path: &Path) -> bool {
        let excludes = self.inputs.get(input).map(|patterns| patterns.excludes.as_slice()).unwrap_or_default();
        excludes.iter().any(|glob| glob.is_match(path))
    }
}

fn matcher(glob: &str) -> Result<GlobMatcher, BadGlob> {
    let built = GlobBuilder::new(glob).literal_separator(true).backslash_escape(true).build();
    let bad = |error: globset::Error| BadGlob { glob: glob.to_owned(), why: error.kind().to_string() };
    built.map(|glob| glob.compile_matcher()).map_err(bad)
}

fn pattern(glob: &str) -> Result<Pattern, BadGlob> {
    let is_plain = |part: &Component<'_>| !part.as_os_str().to_string_lossy().contains(['*', '?', '[', '{', '\\']);
    let path = Path::new(glob);
    let base: PathBuf = path.components().take_while(is_plain).collect();
    let below = path.components().count() - base.components().count();
    // An alternative may hold a slash, and then a match may be deeper than the glob looks.
    let endless = glob.contains("**")
        || glob.split('{').skip(1).any(|part| part.split('}').next().is_some_and(|p| p.contains('/')));
    Ok(Pattern { base, depth: (!endless).then_some(below), matcher: matcher(glob)? })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn globs(paths: &[&str], excludes: &[&str]) -> Globs {
        let own = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>();
        Globs::new([(own(paths).as_slice(), own(excludes).as_slice())]).expect("good globs")
    }

    fn check(paths: &[&str], excludes: &[&str], path: &str, expected: bool) {
        let found = globs(paths, excludes).input_of(Path::new(path));
        assert_eq!(found.is_some(), expected, "{path} of {paths:?} without {excludes:?}");
    }

    #[test]
    fn globs_name_paths() {
        check(&["/l/*.log"], &[], "/l/a.log", true);
        check(&["/l/*.log"], &[], "/l/d/a.log", false);
        check(&["/l/**/*.log"], &[], "/l/a.log", true);
        check(&["/l/**/*.log"], &[], "/l/d/e/a.log", true);
        check(&["/l/{a,b}.log"], &[], "/l/b.log", true);
        check(&["/l/app-[0-9].log"], &[], "/l/app-x.log", false);
        check(&["/l/a.log"], &[], "/l/a.log", true);
        check(&["/l/**"], &["/l/old"], "/l/old/d/a.log", false);
        check(&["/l/**"], &["/l/**/*.gz"], "/l/d/a.gz", false);
        check(&["/l/**"], &["/l/**/*.gz"], "/l/d/a.log", true);
    }

    #[test]
    fn a_walk_begins_as_deep_and_goes_as_far_as_it_must() {
        for (glob, base, depth) in [
            ("/l/a.log", "/l/a.log", Some(0)),
            ("/l/*.log", "/l", Some(1)),
            ("/l/*/x/*.log", "/l", Some(3)),
            ("/l/d/**/*.log", "/l/d", None),
            ("/l/{a/b,c}.log", "/l", None),
            ("/l/{a,b}/c.log", "/l", Some(2)),
        ] {
            let globs = globs(&[glob], &[]);
            let (_, pattern) = globs.patterns().next().expect("one");
            assert_eq!((pattern.base.to_str(), pattern.depth), (Some(base), depth), "{glob}");
        }
    }

    #[test]
    fn a_bad_glob_is_named() {
        let bad = Globs::new([(["/l/[a".to_owned()].as_slice(), [].as_slice())]).expect_err("bad");
        assert!(bad.to_string().starts_with("\"/l/[a\" is not a glob: "), "{bad}");
    }
}
