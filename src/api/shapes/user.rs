//! A user as IAM shows one. An account is its own only user here, and an administrator is its
//! account's root.

use crate::{
    api::{action::Exchange, error::ApiError, fault, time::DateTime},
    domain::{
        account::{Account, Role},
        credential,
        fault::CloudFault,
        id::AccountId,
    },
};
use schemars::JsonSchema;
use serde::Serialize;
use std::sync::Arc;

#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct User {
    path: &'static str,
    user_name: String,
    user_id: String,
    arn: String,
    create_date: DateTime,
}

impl User {
    pub fn of(account: &Account, role: Role) -> User {
        User {
            path: "/",
            user_name: account.name.clone(),
            user_id: user_id(&account.id, role),
            arn: arn(account, role),
            create_date: account.created_at.into(),
        }
    }
}

/// Who is meant by a `UserName`, or by none, if the caller may see to that one. The cloud decides
/// again when something is to be changed.
pub fn holder(named: Option<&str>, exchange: &Exchange) -> Result<Arc<Account>, ApiError> {
    credential::holder(&exchange.state, &exchange.caller, named)
        .map_err(|fault| fault::api_error(CloudFault::Credential(fault)))
}

pub fn arn(account: &Account, role: Role) -> String {
    let Account { id, name, .. } = account;
    match role {
        Role::Administrator => format!("arn:aws:iam::{id}:root"),
        Role::User => format!("arn:aws:iam::{id}:user/{name}"),
    }
}

pub fn user_id(account: &AccountId, role: Role) -> String {
    match role {
        Role::Administrator => account.to_string(),
        // The shape of AWS' user ids, always the same for an account.
        Role::User => format!("AIDA{account:0>17}", account = account.as_str()),
    }
}
