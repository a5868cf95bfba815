//! The administrator's own key pair and account: the root of a cloud.
//!
//! Kept in the state directory for its owner only, so that the command line can sign its calls.

use super::state_directory::{StateDirectory, write_private};
use crate::domain::{account::SecretKey, chance::Chance, id::AccountId};
use base64::{Engine, engine::general_purpose::STANDARD_NO_PAD};
use serde::{Deserialize, Serialize};
use std::{fs, io};

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RootCredentials {
    pub access_key_id: String,
    pub secret_access_key: SecretKey,
    pub account: AccountId,
}

/// What the administrator asks for instead of chance.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Wanted {
    pub access_key_id: Option<String>,
    pub secret_access_key: Option<SecretKey>,
    pub account: Option<String>,
}

#[derive(Debug, thiserror::Error)]
pub enum CredentialsFault {
    #[error("an access key id was given without a secret access key, or the other way round")]
    HalfAPair,
    #[error("`{0}` is no access key id: 3 to 128 letters, digits and underscores")]
    MalformedKeyId(String),
    #[error("the secret access key must be 8 to 128 printable characters without spaces")]
    MalformedSecret,
    #[error("`{0}` is no account: 12 decimal digits")]
    MalformedAccount(String),
    #[error("this cloud's account is `{there}`, and cannot become `{wanted}`")]
    OtherAccount { there: AccountId, wanted: AccountId },
    #[error("the credentials in `{path}` cannot be read")]
    Unreadable {
        path: String,
        #[source]
        source: io::Error,
    },
    #[error("the credentials in `{path}` are damaged")]
    Damaged {
        path: String,
        #[source]
        source: serde_json::Error,
    },
    #[error("the credentials cannot be kept in `{path}`")]
    Unwritable {
        path: String,
        #[source]
        source: io::Error,
    },
}

const USUAL_ACCOUNT: &str = "123456789012";

impl RootCredentials {
    /// Those kept, or `None` if this cloud was never started.
    pub fn load(state: &StateDirectory) -> Result<Option<RootCredentials>, CredentialsFault> {
        let path = state.credentials();
        let shown = path.display().to_string();
        match fs::read(&path) {
            Ok(json) => serde_json::from_slice(&json)
                .map(Some)
                .map_err(|source| CredentialsFault::Damaged { path: shown, source }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(source) => Err(CredentialsFault::Unreadable { path: shown, source }),
        }
    }

    /// What is wanted goes before what is kept, and that before chance; the outcome is kept.
    pub fn establish(
        state: &StateDirectory,
        wanted: &Wanted,
        chance: &mut dyn Chance,
    ) -> Result<RootCredentials, CredentialsFault> {
        let kept = Self::load(state)?;
        let credentials = decide(kept.clone(), wanted, chance)?;
        if kept.as_ref() != Some(&credentials) {
            let path = state.credentials();
            let json = serde_json::to_vec_pretty(&credentials)
                .expect("three strings can always be written as JSON");
            write_private(&path, &json).map_err(|source| CredentialsFault::Unwritable {
                path: path.display().to_string(),
                source,
            })?;
        }
        Ok(credentials)
    }
}

fn decide(
    kept: Option<RootCredentials>,
    wanted: &Wanted,
    chance: &mut dyn Chance,
) -> Result<RootCredentials, CredentialsFault> {
    let pair = match (&wanted.access_key_id, &wanted.secret_access_key) {
        (Some(id), Some(secret)) => Some(well_formed(id, secret)?),
        (None, None) => None,
        (Some(_), None) | (None, Some(_)) => return Err(CredentialsFault::HalfAPair),
    };
    let malformed = |text: &String| CredentialsFault::MalformedAccount(text.clone());
    let account = wanted.account.as_ref();
    let account = account.map(|text| text.parse().map_err(|_| malformed(text))).transpose()?;
    let account: AccountId = match (account, &kept) {
        // Everything there belongs to the account there.
        (Some(wanted), Some(kept)) if wanted != kept.account => {
            return Err(CredentialsFault::OtherAccount { there: kept.account.clone(), wanted });
        }
        (Some(account), _) => account,
        (None, Some(kept)) => kept.account.clone(),
        (None, None) => USUAL_ACCOUNT.parse().expect("twelve digits are an account"),
    };
    let kept = kept.map(|kept| (kept.access_key_id, kept.secret_access_key));
    let (access_key_id, secret_access_key) = pair.or(kept).unwrap_or_else(|| random_pair(chance));
    Ok(RootCredentials { access_key_id, secret_access_key, account })
}

fn well_formed(id: &str, secret: &SecretKey) -> Result<(String, SecretKey), CredentialsFault> {
    let proper = id.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
    if !proper || !(3..=128).contains(&id.len()) {
        return Err(CredentialsFault::MalformedKeyId(id.to_owned()));
    }
    let proper = secret.0.bytes().all(|b| b.is_ascii_graphic());
    if !proper || !(8..=128).contains(&secret.0.len()) {
        return Err(CredentialsFault::MalformedSecret);
    }
    Ok((id.to_owned(), secret.clone()))
}

/// In the form of AWS's, which some tools check.
fn random_pair(chance: &mut dyn Chance) -> (String, SecretKey) {
    const BASE32: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
    let (mut id, mut secret) = ([0; 16], [0; 30]);
    chance.fill(&mut id);
    chance.fill(&mut secret);
    let letters = id.iter().map(|byte| char::from(BASE32[usize::from(byte % 32)]));
    let id = "AKIA".chars().chain(letters).collect();
    (id, SecretKey(STANDARD_NO_PAD.encode(secret)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::chance::Counting;

    fn wanted(id: Option<&str>, secret: Option<&str>, account: Option<&str>) -> Wanted {
        Wanted {
            access_key_id: id.map(str::to_owned),
            secret_access_key: secret.map(|secret| SecretKey(secret.to_owned())),
            account: account.map(str::to_owned),
        }
    }

    fn establish(
        state: &StateDirectory,
        wanted: &Wanted,
    ) -> Result<RootCredentials, CredentialsFault> {
        RootCredentials::establish(state, wanted, &mut Counting::default())
    }

    #[test]
    fn keys_made_by_chance_look_like_aws_s_and_are_the_same_the_next_time() {
        let directory = tempfile::tempdir().unwrap();
        let state = StateDirectory::at(directory.path().into());
        assert!(RootCredentials::load(&state).unwrap().is_none());
        let made = establish(&state, &Wanted::default()).unwrap();
        assert!(made.access_key_id.starts_with("AKIA") && made.access_key_id.len() == 20);
        assert_eq!(made.secret_access_key.0.len(), 40);
        assert_eq!(made.account.as_str(), "123456789012");
        assert_eq!(establish(&state, &Wanted::default()).unwrap(), made);
        assert_eq!(RootCredentials::load(&state).unwrap(), Some(made));
    }

    #[test]
    fn keys_that_are_given_replace_those_kept_and_the_account_never_changes() {
        let directory = tempfile::tempdir().unwrap();
        let state = StateDirectory::at(directory.path().into());
        let first = establish(&state, &wanted(None, None, Some("000000000001"))).unwrap();
        let given = wanted(Some("AKIDEXAMPLE"), Some("wJalrXUtnFEMI"), None);
        let second = establish(&state, &given).unwrap();
        assert_eq!(second.access_key_id, "AKIDEXAMPLE");
        assert_eq!(second.account, first.account);
        let refused = establish(&state, &wanted(None, None, Some("000000000002"))).unwrap_err();
        assert!(matches!(refused, CredentialsFault::OtherAccount { .. }), "{refused}");
        assert_eq!(RootCredentials::load(&state).unwrap(), Some(second));
    }

    #[test]
    fn half_a_pair_and_malformed_values_are_refused_and_the_secret_is_not_repeated() {
        let directory = tempfile::tempdir().unwrap();
        let state = StateDirectory::at(directory.path().into());
        let refused = |wanted| establish(&state, &wanted).unwrap_err().to_string();
        assert!(refused(wanted(Some("AKID"), None, None)).contains("without a secret"));
        assert!(refused(wanted(Some("a b"), Some("12345678"), None)).contains("`a b`"));
        let text = refused(wanted(Some("AKID"), Some("se cret"), None));
        assert!(text.contains("8 to 128") && !text.contains("se cret"), "{text}");
        assert!(refused(wanted(None, None, Some("12"))).contains("12 decimal digits"));
        assert!(!state.credentials().exists());
    }
}
