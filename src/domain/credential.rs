//! What a user proves itself with, seen from whoever manages it: access keys and signing
//! certificates, which are made, put out of use, taken back into use, and deleted.
//!
//! A user is an account here, and has the account's name. One sees to one's own credentials, an
//! administrator to everybody's. The access key that the cloud's own configuration gives its
//! administrator can be neither deleted nor made inactive, so nobody can lock the last administrator
//! out.

use super::{
    account::{Account, Caller},
    cloud_state::CloudState,
};
use serde::{Deserialize, Serialize};
use std::{fmt, sync::Arc};

/// A user's own count of each, as AWS has it: one in use, and the one that replaces it.
pub const ACCESS_KEYS_MAX: usize = 2;
pub const SIGNING_CERTIFICATES_MAX: usize = 2;

/// Only active credentials are believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum CredentialStatus {
    #[default]
    Active,
    Inactive,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum CredentialFault {
    #[error("no user `{0}`")]
    UserNotFound(String),
    #[error("only an administrator may see to the credentials of others")]
    Others,
    #[error("user `{user}` has no {kind} `{id}`")]
    NotFound { kind: CredentialKind, id: String, user: String },
    #[error("user `{user}` has as many {kind}s as it may")]
    LimitExceeded { kind: CredentialKind, user: String },
    #[error("the certificate is on record already")]
    DuplicateCertificate,
    /// Of the administrator, and changed where it is from.
    #[error("the access key `{0}` is of the cloud's own configuration")]
    Configured(String),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum CredentialKind {
    AccessKey,
    SigningCertificate,
}

impl CredentialKind {
    pub fn max(self) -> usize {
        match self {
            CredentialKind::AccessKey => ACCESS_KEYS_MAX,
            CredentialKind::SigningCertificate => SIGNING_CERTIFICATES_MAX,
        }
    }
}

impl fmt::Display for CredentialKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            CredentialKind::AccessKey => "access key",
            CredentialKind::SigningCertificate => "signing certificate",
        })
    }
}

/// Whose credentials are meant: the caller's own, unless another user is named.
pub fn holder(
    state: &CloudState,
    caller: &Caller,
    user: Option<&str>,
) -> Result<Arc<Account>, CredentialFault> {
    let own = || state.accounts.get(&caller.account);
    let Some(user) = user else {
        return own().cloned().ok_or_else(|| {
            // A caller's account is on record; were it not, its number is all there is to say.
            CredentialFault::UserNotFound(caller.account.to_string())
        });
    };
    if let Some(own) = own().filter(|own| own.name == user) {
        return Ok(own.clone());
    }
    // Whether there is such a user is not for everybody to know.
    if !caller.is_administrator() {
        return Err(CredentialFault::Others);
    }
    let named = state.accounts.values().find(|account| account.name == user);
    named.cloned().ok_or_else(|| CredentialFault::UserNotFound(user.to_owned()))
}

/// Whether a user may have one more.
pub fn check_room(
    kind: CredentialKind,
    held: usize,
    holder: &Account,
) -> Result<(), CredentialFault> {
    if held < kind.max() {
        return Ok(());
    }
    Err(CredentialFault::LimitExceeded { kind, user: holder.name.clone() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{
        account::Role,
        cloud_state::{Change, Entry},
        time::Timestamp,
    };

    fn state() -> CloudState {
        let mut state = CloudState::default();
        for (id, name) in [("000000000001", "root"), ("000000000002", "alice")] {
            let (id, created_at) = (id.parse().unwrap(), Timestamp::EPOCH);
            let account = Account { id, name: name.to_owned(), created_at };
            state.apply(&Change::Put(Entry::Account(Arc::new(account))));
        }
        state
    }

    fn check(account: &str, role: Role, user: Option<&str>) -> Result<String, CredentialFault> {
        let caller = Caller { account: account.parse().unwrap(), role };
        holder(&state(), &caller, user).map(|account| account.name.clone())
    }

    #[test]
    fn a_user_is_itself_named_or_not_and_only_an_administrator_is_told_of_others() {
        let alice = |user| check("000000000002", Role::User, user);
        assert_eq!(alice(None), Ok("alice".to_owned()));
        assert_eq!(alice(Some("alice")), Ok("alice".to_owned()));
        assert_eq!(alice(Some("root")), Err(CredentialFault::Others));
        assert_eq!(alice(Some("nobody")), Err(CredentialFault::Others));
        let root = |user| check("000000000001", Role::Administrator, user);
        assert_eq!(root(None), Ok("root".to_owned()));
        assert_eq!(root(Some("alice")), Ok("alice".to_owned()));
        assert_eq!(root(Some("nobody")), Err(CredentialFault::UserNotFound("nobody".to_owned())));
    }

    #[test]
    fn a_caller_that_is_not_on_record_is_nobody() {
        let fault = check("000000000009", Role::User, None).unwrap_err();
        assert_eq!(fault, CredentialFault::UserNotFound("000000000009".to_owned()));
    }
}
