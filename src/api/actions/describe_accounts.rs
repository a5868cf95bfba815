//! DescribeAccounts: who there is, for an administrator.
//!
//! Mallee's own: EC2 has no such action. Keys and secrets are not shown.

use crate::{
    api::{
        action::{Action, Exchange},
        describe::select,
        error::{ApiError, Code},
        filters::{FilterParameter, read_filters},
        pagination::{PageRequest, RESULTS},
        response::Set,
        time::DateTime,
    },
    domain::{
        account::Account,
        filter::Described,
        id::AccountId,
    },
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::{borrow::Cow, sync::Arc};

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct DescribeAccounts {
    #[serde(default)]
    account_id: Vec<AccountId>,
    #[serde(default)]
    filter: Vec<FilterParameter>,
    max_results: Option<u32>,
    next_token: Option<String>,
}

#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Response {
    account_set: Set<Item>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_token: Option<String>,
}

#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct Item {
    account_id: AccountId,
    account_name: String,
    create_time: DateTime,
}

impl Described for Item {
    const FILTERS: &'static [&'static str] = &["account-id", "account-name"];

    fn facts(&self, name: &str) -> Option<Vec<Cow<'_, str>>> {
        let fact = match name {
            "account-id" => self.account_id.as_str(),
            "account-name" => &self.account_name,
            _ => return None,
        };
        Some(vec![Cow::Borrowed(fact)])
    }
}

impl Action for DescribeAccounts {
    const NAME: &'static str = "DescribeAccounts";
    type Response = Response;

    async fn perform(self, exchange: &Exchange) -> Result<Response, ApiError> {
        if !exchange.caller.is_administrator() {
            return Err(ApiError::unauthorized());
        }
        let filters = read_filters::<Item>(&self.filter)?;
        let request = PageRequest::new(self.max_results, self.next_token.as_deref(), RESULTS)?;
        let items = self.named(exchange)?.into_iter().map(|account| {
            let item = Item {
                account_id: account.id.clone(),
                account_name: account.name.clone(),
                create_time: account.created_at.into(),
            };
            (account.id.clone(), item)
        });
        let page = select(items, &filters, &request)?;
        Ok(Response { account_set: page.results.into(), next_token: page.next_token })
    }
}

impl DescribeAccounts {
    fn named(&self, exchange: &Exchange) -> Result<Vec<Arc<Account>>, ApiError> {
        let accounts = &exchange.state.accounts;
        if self.account_id.is_empty() {
            return Ok(accounts.values().cloned().collect());
        }
        let mut ids = self.account_id.clone();
        ids.sort();
        ids.dedup();
        ids.iter().map(|id| accounts.get(id).cloned().ok_or_else(|| not_found(id))).collect()
    }
}

fn not_found(id: &AccountId) -> ApiError {
    ApiError::new(Code::InvalidParameterValue, format!("There is no account '{id}'"))
}

#[cfg(test)]
mod tests {
    use super::super::testing::TestCloud;

    const ACTION: &str = "DescribeAccounts";

    #[actix_web::test]
    async fn an_administrator_sees_accounts_without_their_keys() {
        let cloud = TestCloud::start().await.administrator();
        cloud
            .check(
                ACTION,
                "AccountId.1=111111111111",
                "<accountSet><item><accountId>111111111111</accountId>\
                 <accountName>alice</accountName>\
                 <createTime>2026-01-02T03:04:05.000Z</createTime></item></accountSet>",
            )
            .await;
        let names = cloud.values(ACTION, "", "accountName").await;
        assert_eq!(names, ["alice", "root", "bob"], "in the order of their numbers");
        let query = "Filter.1.Name=account-name&Filter.1.Value.1=b*";
        assert_eq!(cloud.values(ACTION, query, "accountName").await, ["bob"]);
    }

    #[actix_web::test]
    async fn nobody_else_sees_them() {
        let cloud = TestCloud::start().await;
        cloud.check_refused(ACTION, "", "UnauthorizedOperation", "").await;
        let root = cloud.administrator();
        let code = "InvalidParameterValue";
        root.check_refused(ACTION, "AccountId.1=000000000009", code, "'000000000009'").await;
        root.check_refused(ACTION, "AccountId.1=9", code, "'9'").await;
        root.check_refused(ACTION, "DryRun=true", "DryRunOperation", "").await;
    }
}
