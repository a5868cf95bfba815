//! ModifyInstanceMetadataOptions: how an instance's metadata service answers; what is not given
//! stays as it is.

use crate::{
    api::{
        action::{Action, Exchange},
        error::ApiError,
        shapes::{
            instance::own_instance,
            metadata_options::{MetadataOptionsElement, MetadataOptionsParameter},
        },
    },
    domain::id::InstanceId,
    messages::cloud::{InstanceAttribute, ModifyInstance},
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct ModifyInstanceMetadataOptions {
    instance_id: InstanceId,
    http_tokens: Option<String>,
    http_put_response_hop_limit: Option<i64>,
    http_endpoint: Option<String>,
    http_protocol_ipv6: Option<String>,
    instance_metadata_tags: Option<String>,
}

#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Response {
    instance_id: String,
    instance_metadata_options: MetadataOptionsElement,
}

impl Action for ModifyInstanceMetadataOptions {
    const NAME: &'static str = "ModifyInstanceMetadataOptions";
    type Response = Response;

    async fn perform(self, exchange: &Exchange) -> Result<Response, ApiError> {
        let given = MetadataOptionsParameter {
            http_tokens: self.http_tokens,
            http_put_response_hop_limit: self.http_put_response_hop_limit,
            http_endpoint: self.http_endpoint,
            http_protocol_ipv6: self.http_protocol_ipv6,
            instance_metadata_tags: self.instance_metadata_tags,
        };
        if given == MetadataOptionsParameter::default() {
            return Err(ApiError::invalid_combination(
                "At least one of the metadata options must be specified.",
            ));
        }
        let before = own_instance(&self.instance_id, exchange)?.metadata_options;
        let options = given.applied_to(before)?;
        let instance = self.instance_id.clone();
        let attribute = InstanceAttribute::MetadataOptions(options);
        exchange.command(ModifyInstance { instance, attribute }).await?;
        Ok(Response {
            instance_id: self.instance_id.to_string(),
            instance_metadata_options: options.into(),
        })
    }
}

#[cfg(test)]
mod tests {
    use crate::api::actions::testing::TestCloud;

    #[actix_web::test]
    async fn options_given_are_changed_and_the_others_stay() {
        let cloud = TestCloud::start().await;
        cloud.launch(1).await;
        cloud.call("DescribeInstances", "").await.unwrap();
        let action = "ModifyInstanceMetadataOptions";
        cloud.call(action, "InstanceId=i-1&HttpPutResponseHopLimit=3").await.unwrap();
        cloud
            .check(
                action,
                "InstanceId=i-1&HttpTokens=required",
                "<instanceId>i-1</instanceId><instanceMetadataOptions><state>applied</state>\
                 <httpTokens>required</httpTokens>\
                 <httpPutResponseHopLimit>3</httpPutResponseHopLimit>\
                 <httpEndpoint>enabled</httpEndpoint><httpProtocolIpv6>disabled</httpProtocolIpv6>\
                 <instanceMetadataTags>disabled</instanceMetadataTags></instanceMetadataOptions>",
            )
            .await;
        for (query, code) in [
            ("InstanceId=i-1", "InvalidParameterCombination"),
            ("InstanceId=i-1&HttpTokens=maybe", "InvalidParameterValue"),
            ("InstanceId=i-00000000&HttpTokens=required", "InvalidInstanceID.NotFound"),
            ("HttpTokens=required", "MissingParameter"),
        ] {
            cloud.check_refused(action, query, code, "").await;
        }
    }
}
