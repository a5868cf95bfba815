//! Accounts and their keys, made by administrators.

use super::command::Decide;
use crate::domain::{
    account::{self, AccessKey, Account, Role, SecretKey},
    chance::Chance,
    cloud_state::Entry,
    credential::CredentialStatus,
    draft::Draft,
    fault::CloudFault,
    id::AccountId,
};
use crate::messages::cloud::{AccountCreated, CreateAccount};
use std::sync::Arc;

impl Decide for CreateAccount {
    fn decide(self, draft: &mut Draft<'_>) -> Result<AccountCreated, CloudFault> {
        draft.require_administrator("create accounts")?;
        account::check_name(&self.name)?;
        if draft.state.accounts.values().any(|account| account.name == self.name) {
            return Err(CloudFault::AccountExists(self.name));
        }
        let id = free_account_id(draft);
        let key = new_access_key(id.clone(), Role::User, draft);
        draft.put(Entry::Account(Arc::new(Account {
            id: id.clone(),
            name: self.name,
            created_at: draft.now,
        })));
        let created = AccountCreated {
            account: id,
            access_key_id: key.id.clone(),
            secret_access_key: key.secret.0.clone(),
        };
        draft.put(Entry::AccessKey(Arc::new(key)));
        Ok(created)
    }
}

fn free_account_id(draft: &mut Draft<'_>) -> AccountId {
    loop {
        let mut bytes = [0; 8];
        draft.chance.fill(&mut bytes);
        let number = u64::from_be_bytes(bytes) % 1_000_000_000_000;
        let id: AccountId = format!("{number:012}").parse().expect("twelve digits are an account");
        if !draft.state.accounts.contains_key(&id) {
            return id;
        }
    }
}

/// The key that comes with an account.
pub(super) fn new_access_key(account: AccountId, role: Role, draft: &mut Draft<'_>) -> AccessKey {
    AccessKey {
        id: random_access_key_id(draft.chance),
        secret: random_secret(draft.chance),
        account,
        role,
        created_at: draft.now,
        status: CredentialStatus::Active,
        issued: false,
    }
}

/// `AKIA` and 16 characters of base 32, as AWS' own look; tools check the shape.
pub fn random_access_key_id(chance: &mut dyn Chance) -> String {
    format!("AKIA{}", base32(&mut [0; 16], chance))
}

/// So many random characters of base 32.
pub(super) fn base32(bytes: &mut [u8], chance: &mut dyn Chance) -> String {
    const BASE32: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
    chance.fill(bytes);
    bytes.iter().map(|byte| char::from(BASE32[usize::from(byte % 32)])).collect()
}

/// 40 characters of base 64: 30 random bytes.
pub fn random_secret(chance: &mut dyn Chance) -> SecretKey {
    use base64::Engine;
    let mut bytes = [0; 30];
    chance.fill(&mut bytes);
    SecretKey(base64::engine::general_purpose::STANDARD.encode(bytes))
}
