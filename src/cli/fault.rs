//! What a person is told when a command fails: one line, and one more with what to do about it.

use super::client::ClientFault;
use std::{error::Error, fmt, io, path::Path, process::ExitCode};

#[derive(Debug)]
pub struct Fault {
    exit: Exit,
    message: String,
    remedy: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Exit {
    Failed = 1,
    Usage = 2,
    NotRunning = 3,
}

impl Fault {
    pub fn failed(message: impl fmt::Display) -> Fault {
        Fault { exit: Exit::Failed, message: message.to_string(), remedy: None }
    }

    /// The whole chain of causes in one line.
    pub fn of(error: &dyn Error) -> Fault {
        let mut message = error.to_string();
        let mut cause = error.source();
        while let Some(error) = cause {
            // Some errors quote their cause themselves.
            let text = error.to_string();
            if !message.ends_with(&text) {
                message.push_str(": ");
                message.push_str(&text);
            }
            cause = error.source();
        }
        Fault::failed(message)
    }

    /// What was asked for makes no sense.
    pub fn usage(message: impl fmt::Display) -> Fault {
        Fault { exit: Exit::Usage, ..Fault::failed(message) }
    }

    pub fn not_running(message: impl fmt::Display) -> Fault {
        let fault = Fault { exit: Exit::NotRunning, ..Fault::failed(message) };
        fault.remedy("start it with `mallee up --detach`")
    }

    /// No cloud runs, or not yet.
    pub fn is_not_running(&self) -> bool {
        self.exit == Exit::NotRunning
    }

    pub fn remedy(self, remedy: impl fmt::Display) -> Fault {
        Fault { remedy: Some(remedy.to_string()), ..self }
    }

    /// For `map_err` around a file operation: "cannot `doing` `path`".
    pub fn io(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Fault {
        let path = path.display().to_string();
        move |error| Fault::failed(format!("cannot {doing} `{path}`: {error}"))
    }

    pub fn message(&self) -> &str {
        &self.message
    }

    pub fn tell(&self) {
        eprintln!("{self}");
    }

    pub fn exit_code(&self) -> ExitCode {
        ExitCode::from(self.exit as u8)
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "mallee: {}", self.message.replace('\n', " "))?;
        match &self.remedy {
            Some(remedy) => write!(f, "\nmallee: {remedy}"),
            None => Ok(()),
        }
    }
}

impl From<ClientFault> for Fault {
    fn from(fault: ClientFault) -> Fault {
        match &fault {
            ClientFault::Unreachable { .. } => Fault::not_running(&fault),
            ClientFault::Refused { .. } | ClientFault::Unreadable { .. } => Fault::of(&fault),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_is_one_line_and_its_remedy_another() {
        let fault = Fault::failed("a\nb").remedy("do c");
        assert_eq!(fault.to_string(), "mallee: a b\nmallee: do c");
    }

    #[derive(Debug, thiserror::Error)]
    enum Failure {
        #[error("cannot do it")]
        Plain(#[source] io::Error),
        #[error("cannot do it: {0}")]
        Quoting(#[source] io::Error),
    }

    #[test]
    fn a_chain_of_causes_is_told_once_each() {
        let cause = || io::Error::other("no room");
        for failure in [Failure::Plain(cause()), Failure::Quoting(cause())] {
            assert_eq!(Fault::of(&failure).to_string(), "mallee: cannot do it: no room");
        }
    }

    #[test]
    fn a_cloud_that_is_not_there_has_an_exit_code_of_its_own() {
        let unreachable =
            ClientFault::Unreachable { endpoint: "http://127.0.0.1:1".into(), why: "x".into() };
        let refused = ClientFault::Refused { code: "AuthFailure".into(), message: "no".into() };
        let told = Fault::from(refused);
        assert_eq!((told.exit, told.to_string()), (Exit::Failed, "mallee: AuthFailure: no".into()));
        let told = Fault::from(unreachable);
        assert_eq!(told.exit, Exit::NotRunning);
        assert!(told.to_string().contains("`mallee up --detach`"));
        assert_eq!((Exit::Failed as u8, Exit::Usage as u8, Exit::NotRunning as u8), (1, 2, 3));
    }
}
