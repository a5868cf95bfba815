//! `mallee ssh`: get into an instance.
//!
//! The program is the host's own `ssh`, which replaces this process. Known hosts are kept in the
//! state directory, apart from the user's: guests' addresses are used again by other guests, and
//! an address that was used before by an instance that is gone is forgotten first.

use super::{
    CallerArguments, Context, client::InstanceAnswer, fault::Fault, instance_choice, shell,
};
use crate::config::state_directory::StateDirectory;
use crate::enclosure::forward;
use clap::Args;
use std::{
    fs, io,
    net::Ipv4Addr,
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Command, ExitCode},
};

#[derive(Debug, Args)]
pub struct Ssh {
    /// Its id or name; may be left out if there is only one
    instance: Option<String>,
    /// Whom to log in as
    #[arg(long, short = 'l', value_name = "NAME", default_value = USER)]
    user: String,
    #[command(flatten)]
    caller: CallerArguments,
    /// A command to run there instead of a shell
    #[arg(last = true, value_name = "COMMAND")]
    command: Vec<String>,
}

/// Where a guest's ssh server listens.
const PORT: u16 = 22;

/// Whom cloud images let in.
pub const USER: &str = "ec2-user";

impl Ssh {
    pub fn perform(self, context: &Context<'_>) -> Result<ExitCode, Fault> {
        let client = context.client(&self.caller)?;
        let instance = instance_choice::choose(&client, self.instance.as_deref())?;
        let mut words = command_line(&context.state, &instance, &self.user)?;
        words.extend(self.command);
        let error = Command::new(&words[0]).args(&words[1..]).exec();
        Err(match error.kind() {
            io::ErrorKind::NotFound => Fault::failed("`ssh` is not installed")
                .remedy("install the Debian package `openssh-client`"),
            _ => Fault::failed(format!("cannot start `ssh`: {error}")),
        })
    }
}

/// The words of the ssh command that gets into the instance.
pub fn command_line(
    state: &StateDirectory,
    instance: &InstanceAnswer,
    user: &str,
) -> Result<Vec<String>, Fault> {
    let id = &instance.instance_id;
    let address = instance.address().ok_or_else(|| {
        Fault::failed(format!("instance `{id}` is {} and has no address", instance.state()))
    })?;
    let mut words = vec!["ssh".to_owned()];
    if let Some(name) = &instance.key_name {
        let key = key_file(state, name);
        // A key made elsewhere is the user's own business: ssh finds it, or asks its agent.
        if key.exists() {
            words.extend(["-i".to_owned(), key.display().to_string()]);
        }
    }
    let port = port(address);
    if port != PORT {
        words.extend(["-p".to_owned(), port.to_string()]);
    }
    let known_hosts = format!("UserKnownHostsFile={}", state.known_hosts().display());
    words.extend(["-o".into(), "StrictHostKeyChecking=accept-new".into()]);
    words.extend(["-o".into(), known_hosts, format!("{user}@{address}")]);
    Ok(words)
}

/// Where the ssh server of the instance shown at this address is found: on loopback, where other
/// users' ports begin, it may have had to move.
pub fn port(address: &str) -> u16 {
    match address.parse::<Ipv4Addr>() {
        Ok(address) if address.is_loopback() => forward::offered_port(PORT),
        Ok(_) | Err(_) => PORT,
    }
}

/// As a line to be pasted into a shell.
pub fn shown(words: &[String]) -> String {
    shell::line(words)
}

/// Where the private half of a pair is, if this command line made it.
pub fn key_file(state: &StateDirectory, name: &str) -> PathBuf {
    // A pair's name may be anything; as a file's it must stay inside the directory.
    state.keys().join(name.replace(['/', '\0'], "_"))
}

/// Makes ssh take the next host at this address for a new one.
pub fn forget_host(known_hosts: &Path, address: &str) -> Result<(), Fault> {
    let text = match fs::read_to_string(known_hosts) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(Fault::io("read", known_hosts)(error)),
    };
    // With a port that is not the usual one, an address is written in brackets.
    let elsewhere = format!("[{address}]:");
    let is_it = |name: &str| name == address || name.starts_with(&elsewhere);
    let others: String = text
        .split_inclusive('\n')
        .filter(|line| !line.split_whitespace().next().is_some_and(is_it))
        .collect();
    if others == text {
        return Ok(());
    }
    fs::write(known_hosts, others).map_err(Fault::io("write", known_hosts))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::client::described_for_tests;

    #[test]
    fn the_line_names_the_key_if_it_was_made_here() {
        let directory = tempfile::tempdir().unwrap();
        let state = StateDirectory::at(directory.path().join("with space"));
        let [running, ended] = &described_for_tests()[..] else { panic!("there are two") };
        let root = state.root().display();
        let common = format!(
            "-o StrictHostKeyChecking=accept-new -o 'UserKnownHostsFile={root}/known_hosts' \
             ec2-user@10.213.0.4"
        );
        let line = || shown(&command_line(&state, running, USER).unwrap());
        assert_eq!(line(), format!("ssh {common}"));
        fs::create_dir_all(state.keys()).unwrap();
        fs::write(key_file(&state, "mallee-me"), "").unwrap();
        assert_eq!(line(), format!("ssh -i '{root}/keys/mallee-me' {common}"));
        let refused = command_line(&state, ended, USER).unwrap_err().to_string();
        assert!(refused.contains("`i-22222222` is terminated and has no address"), "{refused}");
    }

    #[test]
    fn a_key_s_file_stays_in_its_directory_whatever_the_key_is_called() {
        let state = StateDirectory::at("/s".into());
        assert_eq!(key_file(&state, "../../etc/passwd"), Path::new("/s/keys/.._.._etc_passwd"));
    }

    #[test]
    fn an_address_used_again_is_forgotten_and_others_are_not() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("known_hosts");
        forget_host(&file, "10.213.0.4").unwrap();
        let text = "10.213.0.4 ssh-ed25519 A\n[10.213.0.4]:20022 ssh-ed25519 C\n\
                    10.213.0.40 ssh-ed25519 B\n";
        fs::write(&file, text).unwrap();
        forget_host(&file, "10.213.0.4").unwrap();
        assert_eq!(fs::read_to_string(&file).unwrap(), "10.213.0.40 ssh-ed25519 B\n");
    }
}
