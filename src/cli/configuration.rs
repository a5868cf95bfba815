//! Which configuration a command works with.
//!
//! `up` writes the one it started with into the state directory, command line included, so that
//! every other command knows it without being told.

use super::fault::Fault;
use crate::config::{
    Configuration, check,
    state_directory::{StateDirectory, write_private},
};
use std::{fs, io, path::Path};

/// From a file, or the laptop's.
pub fn read(file: Option<&Path>) -> Result<Configuration, Fault> {
    let Some(file) = file else { return Ok(Configuration::default()) };
    let text = fs::read_to_string(file).map_err(Fault::io("read", file))?;
    checked(&text, &file.display().to_string())
}

/// The one the cloud was last started with, or the laptop's if it never was.
pub fn last_used(state: &StateDirectory) -> Result<Configuration, Fault> {
    let path = state.configuration();
    match fs::read_to_string(&path) {
        Ok(text) => checked(&text, &path.display().to_string()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Configuration::default()),
        Err(error) => Err(Fault::io("read", &path)(error)),
    }
}

/// Checks once more what the command line changed, and keeps it for `last_used`.
pub fn keep(configuration: &Configuration, state: &StateDirectory) -> Result<(), Fault> {
    let text = toml::to_string(configuration).map_err(|error| Fault::of(&error))?;
    checked(&text, "the configuration with the command line's options")?;
    let path = state.configuration();
    write_private(&path, text.as_bytes()).map_err(Fault::io("write", &path))
}

/// The first fault in full, the others counted: errors are one line. `check-config` tells all.
fn checked(text: &str, file: &str) -> Result<Configuration, Fault> {
    check(text, file).map_err(|faults| match &faults[..] {
        [only] => Fault::failed(only),
        [first, others @ ..] => Fault::failed(first)
            .remedy(format!("`mallee check-config` tells the {} other faults", others.len())),
        [] => Fault::failed(format!("{file} is refused")),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_is_what_was_used() {
        let directory = tempfile::tempdir().unwrap();
        let state = StateDirectory::at(directory.path().into());
        assert_eq!(last_used(&state).unwrap(), Configuration::default());
        let text = "[cloud]\nlisten = \"127.0.0.1:9000\"\nregion = [\"a\", \"b\"]\n\
                    [[node]]\nhypervisor = \"simulated\"\ndns = [\"192.0.2.1\"]\n\
                    [instance_types.big]\nvcpus = 9\nmemory_mib = 9";
        let used = check(text, "f").unwrap();
        keep(&used, &state).unwrap();
        assert_eq!(last_used(&state).unwrap(), used);
    }

    #[test]
    fn what_the_command_line_makes_inconsistent_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let state = StateDirectory::at(directory.path().into());
        let mut configuration = Configuration::default();
        configuration.cloud.listen = "127.0.0.1:8775".parse().unwrap();
        let fault = keep(&configuration, &state).unwrap_err();
        assert!(fault.to_string().contains("metadata service"), "{fault}");
        assert!(!state.configuration().exists());
    }
}
