//! What a run comes to: found, nothing, or an error, as exit codes 0, 1 and 2.

use std::process::ExitCode;

/// How a command that did what it was told came out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    Done,
    /// A search that found nothing, a status of which not all were heard.
    Nothing,
}

/// The exit code; an error is said on stderr in one line. A reader that went away is no error.
pub fn code(result: anyhow::Result<Outcome>) -> ExitCode {
    match result {
        Ok(Outcome::Done) => ExitCode::SUCCESS,
        Ok(Outcome::Nothing) => ExitCode::from(1),
        Err(error) if is_broken_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            complain(&error);
            ExitCode::from(2)
        }
    }
}

#[expect(clippy::print_stderr, reason = "the one place where a run says why it failed")]
fn complain(error: &anyhow::Error) {
    eprintln!("tailbuck: {}", in_one_line(error));
}

/// The error and its causes; a cause that the one before it already told is not told again.
fn in_one_line(error: &anyhow::Error) -> String {
    let mut line = String::new();
    for cause in error.chain().map(ToString::to_string) {
        if line.is_empty() {
            line = cause;
        } else if !line.contains(&cause) {
            line = format!("{line}: {cause}");
        }
    }
    line
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    let is_pipe = |cause: &std::io::Error| cause.kind() == std::io::ErrorKind::BrokenPipe;
    error.chain().any(|cause| cause.downcast_ref().is_some_and(is_pipe))
}

#[cfg(test)]
mod tests {
    use super::*;
    use anyhow::anyhow;

    #[test]
    fn no_cause_is_told_twice() {
        let taken = anyhow!("address in use");
        assert_eq!(
            in_one_line(&taken.context("can't listen on x: address in use")),
            "can't listen on x: address in use"
        );
        let nested = anyhow!("no such file").context("/a/b").context("settings");
        assert_eq!(in_one_line(&nested), "settings: /a/b: no such file");
    }
}
