//! CreateKeyPair: makes a pair, keeps the public half, and tells the private half this once.

use crate::{
    api::{
        action::{Action, Exchange},
        error::ApiError,
        fault,
        key_material::{self, PrivateHalf, PublicHalf},
        response::Set,
        shapes::tag::{SpecifiedTags, Tag, TagSpecification, tags_shown},
    },
    domain::{
        fault::CloudFault,
        id::{KeyPairId, PrefixedId},
        key_pair::{self, KeyType},
    },
    messages::cloud::RecordKeyPair,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct CreateKeyPair {
    key_name: String,
    #[serde(default)]
    key_type: WantedType,
    #[serde(default, rename = "KeyFormat")]
    _key_format: WantedFormat,
    #[serde(default)]
    tag_specification: Vec<TagSpecification>,
}

#[derive(Debug, Clone, Copy, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum WantedType {
    #[default]
    Rsa,
    Ed25519,
}

/// PuTTY's format is not made; `puttygen` converts.
#[derive(Debug, Clone, Copy, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum WantedFormat {
    #[default]
    Pem,
}

#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Response {
    key_name: String,
    key_fingerprint: String,
    key_material: PrivateHalf,
    key_pair_id: KeyPairId,
    tag_set: Set<Tag>,
}

impl Action for CreateKeyPair {
    const NAME: &'static str = "CreateKeyPair";
    type Response = Response;

    async fn perform(self, exchange: &Exchange) -> Result<Response, ApiError> {
        check_name(&self.key_name, exchange)?;
        let tags = SpecifiedTags::read(&self.tag_specification, &[KeyPairId::KIND])?
            .take(KeyPairId::KIND);
        let key_type = match self.key_type {
            WantedType::Rsa => KeyType::Rsa,
            WantedType::Ed25519 => KeyType::Ed25519,
        };
        let (public, private) = generate(key_type, self.key_name.clone(), exchange).await?;
        let key_fingerprint = public.fingerprint.clone();
        let tag_set = tags_shown(&tags);
        let key_pair_id = exchange
            .command(RecordKeyPair {
                name: self.key_name.clone(),
                key_type,
                fingerprint: public.fingerprint,
                public_key: public.line,
                tags,
            })
            .await?;
        Ok(Response {
            key_name: self.key_name,
            key_fingerprint,
            key_material: private,
            key_pair_id,
            tag_set,
        })
    }
}

/// Before the work is done. The cloud checks again when it records, since others may be as quick.
pub(super) fn check_name(name: &str, exchange: &Exchange) -> Result<(), ApiError> {
    key_pair::check_name(name).map_err(fault::api_error)?;
    if exchange.own().key_pairs.contains_key(name) {
        return Err(fault::api_error(CloudFault::KeyPairExists(name.to_owned())));
    }
    Ok(())
}

/// Finding primes takes a good part of a second, in which this thread answers others.
async fn generate(
    key_type: KeyType,
    name: String,
    exchange: &Exchange,
) -> Result<(PublicHalf, PrivateHalf), ApiError> {
    let mut chance = exchange.ambient.chance("keys");
    let work = move || key_material::generate(key_type, &name, &mut *chance);
    let failed = |error: &dyn std::error::Error| {
        log::error!("request {}: {error}", exchange.cause.request_id);
        ApiError::internal()
    };
    match tokio::task::spawn_blocking(work).await {
        Ok(Ok(pair)) => Ok(pair),
        Ok(Err(fault)) => Err(failed(&fault)),
        Err(fault) => Err(failed(&fault)),
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::TestCloud;
    use crate::api::key_material::import;

    #[actix_web::test]
    async fn a_pair_is_told_whole_once_and_only_its_public_half_is_kept() {
        let cloud = TestCloud::start().await;
        let answer = cloud
            .call(
                "CreateKeyPair",
                "KeyName=mine&KeyType=ed25519&TagSpecification.1.ResourceType=key-pair\
                 &TagSpecification.1.Tag.1.Key=Name&TagSpecification.1.Tag.1.Value=x",
            )
            .await
            .unwrap();
        let own = cloud.exchange().await.own();
        let pair = own.key_pairs.get("mine").unwrap();
        let (start, rest) = answer.split_once("<keyMaterial>").unwrap();
        let (material, end) = rest.split_once("</keyMaterial>").unwrap();
        assert_eq!(
            start,
            format!(
                "<keyName>mine</keyName><keyFingerprint>{}</keyFingerprint>",
                pair.fingerprint
            )
        );
        assert_eq!(
            end,
            "<keyPairId>key-1</keyPairId>\
             <tagSet><item><key>Name</key><value>x</value></item></tagSet>"
        );
        let private = ssh_key::PrivateKey::from_openssh(material).unwrap();
        assert_eq!(private.public_key().to_openssh().unwrap(), pair.public_key);
        assert_eq!(import(&pair.public_key, "mine").unwrap().fingerprint, pair.fingerprint);
    }

    #[actix_web::test]
    async fn a_pair_is_rsa_in_pem_unless_something_else_is_asked_for() {
        let cloud = TestCloud::start().await;
        let material = cloud.value("CreateKeyPair", "KeyName=k&KeyFormat=pem", "keyMaterial").await;
        assert!(material.starts_with("-----BEGIN RSA PRIVATE KEY-----\n"));
        assert!(material.trim_end().ends_with("-----END RSA PRIVATE KEY-----"));
        let own = cloud.exchange().await.own();
        assert!(own.key_pairs.get("k").unwrap().public_key.starts_with("ssh-rsa AAAA"));
    }

    #[actix_web::test]
    async fn what_cannot_be_made_is_refused_and_leaves_nothing() {
        let cloud = TestCloud::start().await;
        let refused = |query: &'static str, code: &'static str, part: &'static str| {
            let cloud = cloud.clone();
            async move { cloud.check_refused("CreateKeyPair", query, code, part).await }
        };
        refused("", "MissingParameter", "KeyName").await;
        refused("KeyName=", "InvalidParameterValue", "blank").await;
        refused("KeyName=a%0Ab", "InvalidParameterValue", "ASCII").await;
        refused("KeyName=a&KeyType=dsa", "InvalidParameterValue", "'dsa'").await;
        refused("KeyName=a&KeyFormat=ppk", "InvalidParameterValue", "'ppk'").await;
        refused(
            "KeyName=a&TagSpecification.1.ResourceType=instance&TagSpecification.1.Tag.1.Key=a",
            "InvalidParameterValue",
            "taggable",
        )
        .await;
        refused("KeyName=a&KeyType=ed25519&DryRun=true", "DryRunOperation", "").await;
        assert!(cloud.exchange().await.own().key_pairs.is_empty());
        cloud.call("CreateKeyPair", "KeyName=a&KeyType=ed25519").await.unwrap();
        refused("KeyName=a", "InvalidKeyPair.Duplicate", "The keypair 'a' already exists.").await;
    }
}
