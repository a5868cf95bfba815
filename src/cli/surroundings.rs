//! Who runs this process and what the environment says: read once, handed down.

use super::fault::Fault;
use crate::config::{credentials::Wanted, state_directory::StateDirectory};
use crate::domain::account::SecretKey;
use std::{env, path::PathBuf};

#[derive(Debug, Default)]
pub struct Surroundings {
    pub is_root: bool,
    pub data_home: Option<PathBuf>,
    pub home: Option<PathBuf>,
    pub user: Option<String>,
    pub root_credentials: Wanted,
}

impl Surroundings {
    pub fn of_this_process() -> Surroundings {
        // A variable that is set to nothing counts as unset, as the XDG specification has it.
        let path = |name| env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        let text = |name| env::var(name).ok().filter(|value| !value.is_empty());
        Surroundings {
            // SAFETY: the call has no preconditions and cannot fail.
            is_root: unsafe { libc::geteuid() } == 0,
            data_home: path("XDG_DATA_HOME"),
            home: path("HOME"),
            user: text("SUDO_USER").or_else(|| text("USER")).or_else(|| text("LOGNAME")),
            root_credentials: Wanted {
                access_key_id: text("MALLEE_ROOT_ACCESS_KEY_ID"),
                secret_access_key: text("MALLEE_ROOT_SECRET_ACCESS_KEY").map(SecretKey),
                account: text("MALLEE_ROOT_ACCOUNT"),
            },
        }
    }

    pub fn usual_state(&self) -> Result<StateDirectory, Fault> {
        StateDirectory::usual(self.is_root, self.data_home.clone(), self.home.clone()).ok_or_else(
            || {
                Fault::failed("there is no home directory to keep the cloud in")
                    .remedy("name a directory with `--state DIR`, or set `HOME`")
            },
        )
    }
}
