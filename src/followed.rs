//! What `up` follows: what was typed as the globs a tailer takes, and how many files they name right now.

use crate::layout::Layout;
use anyhow::Context;
use std::collections::BTreeSet;
use std::io::{self, ErrorKind, Write};
use std::path::Path;
use tailer::action::Seen;
use tailer::globs::Globs;
use tailer::watch::Walker;

/// What was typed is meant from here, not from a node's folder. A path that is there is that path, whatever letters it
/// has, and a folder means all that is below it. Of a glob, the part that is there is no glob.
pub fn as_glob(path: &str) -> anyhow::Result<String> {
    let absolute = std::path::absolute(path).with_context(|| path.to_owned())?;
    match absolute.metadata() {
        Ok(metadata) if metadata.is_dir() => Ok(format!("{}/**", literal(&absolute).trim_end_matches('/'))),
        Ok(_) => {
            std::fs::File::open(&absolute).with_context(|| path.to_owned())?;
            Ok(literal(&absolute))
        }
        Err(error) => {
            let glob = glob_below_what_is_there(&absolute).filter(|_| error.kind() == ErrorKind::NotFound);
            glob.ok_or(error).with_context(|| path.to_owned())
        }
    }
}

fn glob_below_what_is_there(path: &Path) -> Option<String> {
    let there = path.ancestors().find(|part| part.is_dir())?;
    let rest = path.strip_prefix(there).ok()?.display().to_string();
    let is_glob = rest.contains(['*', '?', '[', '{']);
    is_glob.then(|| format!("{}/{rest}", literal(there).trim_end_matches('/')))
}

/// The path as a glob that names it alone.
fn literal(path: &Path) -> String {
    let mut glob = String::new();
    for letter in path.display().to_string().chars() {
        if matches!(letter, '*' | '?' | '[' | ']' | '{' | '}' | '\\') {
            glob.push('\\');
        }
        glob.push(letter);
    }
    glob
}

/// Says how many files are followed, and which of the paths that were typed name none.
pub fn tell(out: &mut impl Write, typed: &[String], layout: &Layout, data: &Path) -> anyhow::Result<()> {
    // The tailer's own files are not followed.
    let own = data.join(layout.tailers.first().map_or("", String::as_str)).join("data");
    let seen = walk(&layout.paths, &layout.exclude, &own)?;
    match files(&seen) {
        0 => writeln!(out, "no file is there to follow yet; those that come are")?,
        1 => writeln!(out, "1 file is followed")?,
        files => writeln!(out, "{files} files are followed")?,
    }
    for (input, typed) in typed.iter().enumerate() {
        if !seen.iter().any(|seen| seen.input == input) {
            writeln!(out, "nothing is at {typed} yet")?;
        }
    }
    Ok(out.flush()?)
}

/// What the globs name, each an input of its own, in one walk.
fn walk(paths: &[String], exclude: &[String], own: &Path) -> io::Result<Vec<Seen>> {
    let inputs = paths.iter().map(|path| (std::slice::from_ref(path), exclude));
    let globs = Globs::new(inputs).map_err(io::Error::other)?;
    Ok(Walker::new(globs, &[own.to_owned()]).walk().seen)
}

/// How many files, each once, however many globs name it.
fn files(seen: &[Seen]) -> usize {
    seen.iter().map(|seen| &seen.path).collect::<BTreeSet<_>>().len()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    /// A folder that goes with the test.
    struct Folder(std::path::PathBuf);

    impl Drop for Folder {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn a_path_that_is_there_is_that_path() {
        let folder = Folder(std::env::temp_dir().join(format!("tailbuck-followed-{}", std::process::id())));
        let odd = folder.0.join("a[1]{x}*?");
        fs::create_dir_all(&odd).expect("a folder");
        for name in ["b[1].log", "b1.log", "c.txt"] {
            fs::write(odd.join(name), "x\n").expect("room");
        }
        let text = |name: &str| odd.join(name).display().to_string();
        let names =
            |typed: &str| files(&walk(&[as_glob(typed).expect("a path")], &[], Path::new("/nowhere")).expect("a glob"));
        assert_eq!(names(&text("b[1].log")), 1);
        assert_eq!(names(&text("b[12].log")), 1, "what is not there is a glob: b1.log");
        assert_eq!(names(&text("*.log")), 2, "below a folder of any name");
        assert_eq!(names(&odd.display().to_string()), 3, "all that is below");
        assert_eq!(names(&text("*.none")), 0);
        assert!(as_glob(&text("none.log")).is_err());
        let two = [as_glob(&text("*.log")).expect("a glob"), as_glob(&text("*.none")).expect("a glob")];
        let all = [&two[..], &[literal(&odd.join("b1.log"))]].concat();
        let seen = walk(&all, &[], Path::new("/nowhere")).expect("globs");
        assert_eq!(files(&seen), 2, "named twice and counted once");
        let of = |input: usize| seen.iter().filter(|seen| seen.input == input).count();
        assert_eq!([of(0), of(1), of(2)], [2, 0, 1], "of each what it names");
    }
}
