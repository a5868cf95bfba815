//! ImportKeyPair: a pair made elsewhere, of which only the public half is sent.

use super::create_key_pair::check_name;
use crate::{
    api::{
        action::{Action, Exchange},
        error::{ApiError, Code},
        key_material::{self, MATERIAL_BYTES_MAX},
        response::Set,
        shapes::tag::{SpecifiedTags, Tag, TagSpecification, tags_shown},
    },
    domain::id::{KeyPairId, PrefixedId},
    messages::cloud::RecordKeyPair,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct ImportKeyPair {
    key_name: String,
    public_key_material: String,
    #[serde(default)]
    tag_specification: Vec<TagSpecification>,
}

#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Response {
    key_name: String,
    key_fingerprint: String,
    key_pair_id: KeyPairId,
    tag_set: Set<Tag>,
}

impl Action for ImportKeyPair {
    const NAME: &'static str = "ImportKeyPair";
    type Response = Response;

    async fn perform(self, exchange: &Exchange) -> Result<Response, ApiError> {
        check_name(&self.key_name, exchange)?;
        let tags = SpecifiedTags::read(&self.tag_specification, &[KeyPairId::KIND])?
            .take(KeyPairId::KIND);
        if self.public_key_material.len() > MATERIAL_BYTES_MAX {
            return Err(ApiError::new(
                Code::InvalidParameterValue,
                format!(
                    "Value for parameter PublicKeyMaterial is invalid. Length exceeds maximum of \
                     {MATERIAL_BYTES_MAX}."
                ),
            ));
        }
        let public = key_material::import(&self.public_key_material, &self.key_name)
            .map_err(|fault| ApiError::new(Code::InvalidKeyFormat, fault.to_string()))?;
        let key_fingerprint = public.fingerprint.clone();
        let tag_set = tags_shown(&tags);
        let key_pair_id = exchange
            .command(RecordKeyPair {
                name: self.key_name.clone(),
                key_type: public.key_type,
                fingerprint: public.fingerprint,
                public_key: public.line,
                tags,
            })
            .await?;
        Ok(Response { key_name: self.key_name, key_fingerprint, key_pair_id, tag_set })
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::TestCloud;
    use base64::{Engine, engine::general_purpose::STANDARD};

    const LINE: &str =
        "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIP3oNSu/Xq+nbsBc9Ry6LN1xUqq3DXdVns8mrrHqiGCH c";

    fn request(name: &str) -> String {
        let material = STANDARD.encode(LINE).replace('+', "%2B");
        format!("KeyName={name}&PublicKeyMaterial={material}")
    }

    #[actix_web::test]
    async fn a_public_key_is_kept_under_its_name() {
        let cloud = TestCloud::start().await;
        cloud
            .check(
                "ImportKeyPair",
                &request("mine"),
                "<keyName>mine</keyName>\
                 <keyFingerprint>E4GPmQnO5/2oKPD5vPeSSOQ2W8W0OCtYHSu7HxsfHl4=</keyFingerprint>\
                 <keyPairId>key-1</keyPairId><tagSet/>",
            )
            .await;
        let own = cloud.exchange().await.own();
        assert_eq!(own.key_pairs.get("mine").unwrap().public_key, LINE.replace(" c", " mine"));
    }

    #[actix_web::test]
    async fn what_is_no_key_and_a_name_that_is_taken_are_refused() {
        let cloud = TestCloud::start().await;
        let key = format!("{}&DryRun=true", request("mine"));
        cloud.check_refused("ImportKeyPair", &key, "DryRunOperation", "").await;
        let nonsense = "KeyName=a&PublicKeyMaterial=nonsense";
        cloud
            .check_refused(
                "ImportKeyPair",
                nonsense,
                "InvalidKey.Format",
                "Key is not in valid OpenSSH public key format",
            )
            .await;
        let long = format!("KeyName=a&PublicKeyMaterial={}", "A".repeat(2049));
        cloud.check_refused("ImportKeyPair", &long, "InvalidParameterValue", "2048").await;
        cloud
            .check_refused(
                "ImportKeyPair",
                "KeyName=a",
                "MissingParameter",
                "The request must contain the parameter PublicKeyMaterial",
            )
            .await;
        assert!(cloud.exchange().await.own().key_pairs.is_empty());
        cloud.call("ImportKeyPair", &request("mine")).await.unwrap();
        let again = request("mine");
        cloud.check_refused("ImportKeyPair", &again, "InvalidKeyPair.Duplicate", "'mine'").await;
    }
}
