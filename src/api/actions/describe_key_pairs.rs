//! DescribeKeyPairs: the public halves, by name, by id, or by filter.
//!
//! EC2 does not page this answer.

use crate::{
    api::{
        action::{Action, Exchange},
        error::{ApiError, Code, echo},
        filters::{FilterParameter, read_filters},
        response::Set,
        shapes::tag::{Tag, tag_pairs, tag_set},
        time::DateTime,
    },
    domain::{
        cloud_state::ScopeState,
        filter::{Described, tag_facts},
        id::{KeyPairId, PrefixedId},
        key_pair::KeyPair,
    },
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::{borrow::Cow, collections::BTreeSet, sync::Arc};

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct DescribeKeyPairs {
    /// `verbose` shows an administrator every account's.
    #[serde(default)]
    key_name: Vec<String>,
    #[serde(default)]
    key_pair_id: Vec<KeyPairId>,
    #[serde(default)]
    include_public_key: bool,
    #[serde(default)]
    filter: Vec<FilterParameter>,
}

#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Response {
    key_set: Set<Item>,
}

#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct Item {
    key_pair_id: KeyPairId,
    key_fingerprint: String,
    key_name: String,
    key_type: &'static str,
    tag_set: Set<Tag>,
    #[serde(skip_serializing_if = "Option::is_none")]
    public_key: Option<String>,
    create_time: DateTime,
}

impl Described for Item {
    const FILTERS: &'static [&'static str] =
        &["fingerprint", "key-name", "key-pair-id", "tag:", "tag-key", "tag-value"];

    fn facts(&self, name: &str) -> Option<Vec<Cow<'_, str>>> {
        let fact = match name {
            "fingerprint" => &self.key_fingerprint,
            "key-name" => &self.key_name,
            "key-pair-id" => self.key_pair_id.as_str(),
            _ => return tag_facts(name, tag_pairs(&self.tag_set)),
        };
        Some(vec![Cow::Borrowed(fact)])
    }
}

impl Action for DescribeKeyPairs {
    const NAME: &'static str = "DescribeKeyPairs";
    type Response = Response;

    async fn perform(mut self, exchange: &Exchange) -> Result<Response, ApiError> {
        let filters = read_filters::<Item>(&self.filter)?;
        let mut key_set = Set::default();
        for own in self.scopes_shown(exchange) {
            for pair in self.named(&own)? {
                let item = self.item(&pair, &own);
                if filters.admit(&item)? {
                    key_set.item.push(item);
                }
            }
        }
        Ok(Response { key_set })
    }
}

impl DescribeKeyPairs {
    fn scopes_shown(&mut self, exchange: &Exchange) -> Vec<ScopeState> {
        let verbose = exchange.caller.is_administrator()
            && self.key_pair_id.is_empty()
            && self.key_name == ["verbose"];
        if !verbose {
            return vec![exchange.own()];
        }
        self.key_name.clear();
        let scopes = exchange.state.scopes.iter();
        scopes
            .filter(|(scope, _)| scope.region == exchange.scope.region)
            .map(|(_, resources)| resources.clone())
            .collect()
    }

    /// The pairs asked for, in the order of their names; all, if none is named.
    fn named(&self, own: &ScopeState) -> Result<Vec<Arc<KeyPair>>, ApiError> {
        if self.key_name.is_empty() && self.key_pair_id.is_empty() {
            return Ok(own.key_pairs.values().cloned().collect());
        }
        let mut unknown: Vec<&str> = Vec::new();
        let mut names: BTreeSet<&str> = BTreeSet::new();
        for name in &self.key_name {
            match own.key_pairs.get(name) {
                Some(pair) => _ = names.insert(&pair.name),
                None => unknown.push(name),
            }
        }
        for id in &self.key_pair_id {
            match own.key_pairs.values().find(|pair| pair.id == *id) {
                Some(pair) => _ = names.insert(&pair.name),
                None => unknown.push(id.as_str()),
            }
        }
        if !unknown.is_empty() {
            return Err(not_found(&unknown));
        }
        Ok(names.into_iter().filter_map(|name| own.key_pairs.get(name)).cloned().collect())
    }

    fn item(&self, pair: &KeyPair, own: &ScopeState) -> Item {
        Item {
            key_pair_id: pair.id.clone(),
            key_fingerprint: pair.fingerprint.clone(),
            key_name: pair.name.clone(),
            key_type: pair.key_type.as_str(),
            tag_set: tag_set(own, pair.id.as_str()),
            public_key: self.include_public_key.then(|| pair.public_key.clone()),
            create_time: pair.created_at.into(),
        }
    }
}

fn not_found(unknown: &[&str]) -> ApiError {
    let message = match unknown {
        [one] => format!("The key pair '{}' does not exist", echo(one)),
        many => format!("The key pairs '{}' do not exist", echo(&many.join(", "))),
    };
    ApiError::new(Code::InvalidKeyPairNotFound, message)
}

#[cfg(test)]
mod tests {
    use super::super::testing::{BOB, TestCloud};

    const IMPORT: &str = "PublicKeyMaterial=ssh-ed25519+\
                          AAAAC3NzaC1lZDI1NTE5AAAAIP3oNSu/Xq%2BnbsBc9Ry6LN1xUqq3DXdVns8mrrHqiGCH";

    async fn with_pairs(names: &[&str]) -> TestCloud {
        let cloud = TestCloud::start().await;
        for name in names {
            let import = format!("KeyName={name}&{IMPORT}");
            cloud.call("ImportKeyPair", &import).await.unwrap();
        }
        cloud
    }

    async fn check_names(cloud: &TestCloud, query: &str, names: &[&str]) {
        let given = cloud.values("DescribeKeyPairs", query, "keyName").await;
        assert_eq!(given, names, "{query}");
    }

    #[actix_web::test]
    async fn a_pair_is_described_with_its_public_key_if_asked_for() {
        let cloud = with_pairs(&["mine"]).await;
        let start = "<keySet><item><keyPairId>key-1</keyPairId>\
             <keyFingerprint>E4GPmQnO5/2oKPD5vPeSSOQ2W8W0OCtYHSu7HxsfHl4=</keyFingerprint>\
             <keyName>mine</keyName><keyType>ed25519</keyType><tagSet/>";
        let end = "<createTime>2026-01-02T03:04:05.000Z</createTime></item></keySet>";
        cloud.check("DescribeKeyPairs", "", &format!("{start}{end}")).await;
        let key = "<publicKey>ssh-ed25519 \
             AAAAC3NzaC1lZDI1NTE5AAAAIP3oNSu/Xq+nbsBc9Ry6LN1xUqq3DXdVns8mrrHqiGCH mine</publicKey>";
        let query = "IncludePublicKey=true&KeyName.1=mine";
        cloud.check("DescribeKeyPairs", query, &format!("{start}{key}{end}")).await;
    }

    #[actix_web::test]
    async fn pairs_are_chosen_by_name_id_and_filter() {
        let cloud = with_pairs(&["c", "a", "b"]).await;
        cloud.call("CreateTags", "ResourceId=key-2&Tag.1.Key=use&Tag.1.Value=x").await.unwrap();
        check_names(&cloud, "", &["a", "b", "c"]).await;
        check_names(&cloud, "KeyName.1=c&KeyPairId.1=key-2", &["a", "c"]).await;
        check_names(&cloud, "Filter.1.Name=key-name&Filter.1.Value.1=?", &["a", "b", "c"]).await;
        check_names(&cloud, "Filter.1.Name=key-pair-id&Filter.1.Value.1=key-3", &["b"]).await;
        check_names(&cloud, "Filter.1.Name=tag:use&Filter.1.Value.1=x", &["a"]).await;
        check_names(&cloud, "Filter.1.Name=fingerprint&Filter.1.Value.1=E4*", &["a", "b", "c"])
            .await;
        check_names(&cloud, "Filter.1.Name=fingerprint&Filter.1.Value.1=F*", &[]).await;
    }

    #[actix_web::test]
    async fn pairs_that_are_not_there_or_another_s_are_named_in_the_refusal() {
        let cloud = with_pairs(&["a"]).await;
        let refused = |cloud: TestCloud, query: &'static str, text: &'static str| async move {
            let code = "InvalidKeyPair.NotFound";
            cloud.check_refused("DescribeKeyPairs", query, code, text).await;
        };
        refused(cloud.clone(), "KeyName.1=x", "The key pair 'x' does not exist").await;
        refused(cloud.clone(), "KeyName.1=x&KeyName.2=a&KeyName.3=y", "'x, y' do not exist").await;
        refused(cloud.of(BOB), "KeyName.1=a", "The key pair 'a' does not exist").await;
        refused(cloud.of(BOB), "KeyPairId.1=key-1", "The key pair 'key-1' does not exist").await;
        let malformed = "KeyPairId.1=x";
        cloud.check_refused("DescribeKeyPairs", malformed, "InvalidKeyPairID.Malformed", "").await;
        let filter = "Filter.1.Name=colour&Filter.1.Value.1=x";
        cloud.check_refused("DescribeKeyPairs", filter, "InvalidParameterValue", "colour").await;
    }

    #[actix_web::test]
    async fn verbose_shows_everything_to_administrators_only() {
        let cloud = with_pairs(&["a"]).await;
        let bob = format!("KeyName=b&{IMPORT}");
        cloud.of(BOB).call("ImportKeyPair", &bob).await.unwrap();
        check_names(&cloud.administrator(), "KeyName=verbose", &["a", "b"]).await;
        check_names(&cloud.administrator(), "", &[]).await;
        let elsewhere = cloud.administrator().in_region("eu-west-1");
        check_names(&elsewhere, "KeyName=verbose", &[]).await;
        let code = "InvalidKeyPair.NotFound";
        cloud.check_refused("DescribeKeyPairs", "KeyName=verbose", code, "").await;
    }
}
