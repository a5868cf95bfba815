//! The options of an instance's metadata service: as asked for, and as they stand.

use super::not_honoured::require_one_of;
use crate::{
    api::error::{ApiError, Code},
    domain::metadata::{Availability, MetadataOptions, TokenDemand},
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

const HOPS: std::ops::RangeInclusive<i64> = 1..=64;

/// `MetadataOptions.HttpTokens` and its siblings; what is not given stays as it is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase", default)]
pub struct MetadataOptionsParameter {
    pub http_tokens: Option<String>,
    pub http_put_response_hop_limit: Option<i64>,
    pub http_endpoint: Option<String>,
    pub http_protocol_ipv6: Option<String>,
    pub instance_metadata_tags: Option<String>,
}

impl MetadataOptionsParameter {
    pub fn applied_to(&self, mut options: MetadataOptions) -> Result<MetadataOptions, ApiError> {
        if let Some(text) = &self.http_tokens {
            options.http_tokens = match text.as_str() {
                "optional" => TokenDemand::Optional,
                "required" => TokenDemand::Required,
                _ => return Err(invalid("HttpTokens", text, "optional, required")),
            };
        }
        if let Some(text) = &self.http_endpoint {
            options.http_endpoint = availability("HttpEndpoint", text)?;
        }
        if let Some(text) = &self.instance_metadata_tags {
            options.instance_metadata_tags = availability("InstanceMetadataTags", text)?;
        }
        if let Some(text) = &self.http_protocol_ipv6 {
            availability("HttpProtocolIpv6", text)?;
            require_one_of("HttpProtocolIpv6", Some(text), &["disabled"])?;
        }
        if let Some(hops) = self.http_put_response_hop_limit {
            options.hop_limit = u8::try_from(hops)
                .ok()
                .filter(|_| HOPS.contains(&hops))
                .ok_or_else(|| invalid("HttpPutResponseHopLimit", &hops.to_string(), "1 to 64"))?;
        }
        Ok(options)
    }
}

fn availability(name: &str, text: &str) -> Result<Availability, ApiError> {
    match text {
        "enabled" => Ok(Availability::Enabled),
        "disabled" => Ok(Availability::Disabled),
        _ => Err(invalid(name, text, "enabled, disabled")),
    }
}

fn invalid(name: &str, value: &str, expected: &str) -> ApiError {
    ApiError::new(
        Code::InvalidParameterValue,
        format!("Value ( {value} ) for parameter {name} is invalid. Valid values: {expected}."),
    )
}

#[derive(Debug, Clone, Copy, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct MetadataOptionsElement {
    /// A change is handed to the node with its record; there is no waiting to be seen.
    state: &'static str,
    http_tokens: &'static str,
    http_put_response_hop_limit: u8,
    http_endpoint: &'static str,
    http_protocol_ipv6: &'static str,
    instance_metadata_tags: &'static str,
}

impl From<MetadataOptions> for MetadataOptionsElement {
    fn from(options: MetadataOptions) -> Self {
        Self {
            state: "applied",
            http_tokens: match options.http_tokens {
                TokenDemand::Optional => "optional",
                TokenDemand::Required => "required",
            },
            http_put_response_hop_limit: options.hop_limit,
            http_endpoint: word(options.http_endpoint),
            http_protocol_ipv6: "disabled",
            instance_metadata_tags: word(options.instance_metadata_tags),
        }
    }
}

/// EC2's word.
pub fn word(availability: Availability) -> &'static str {
    match availability {
        Availability::Enabled => "enabled",
        Availability::Disabled => "disabled",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_given_stays_as_it_is() {
        let given = MetadataOptionsParameter {
            http_tokens: Some("required".into()),
            http_put_response_hop_limit: Some(2),
            ..MetadataOptionsParameter::default()
        };
        let options = given.applied_to(MetadataOptions::default()).unwrap();
        let want = MetadataOptions {
            http_tokens: TokenDemand::Required,
            hop_limit: 2,
            ..MetadataOptions::default()
        };
        assert_eq!(options, want);
    }

    #[test]
    fn values_outside_ec2s_are_refused() {
        let refused = |given: MetadataOptionsParameter| {
            given.applied_to(MetadataOptions::default()).unwrap_err().code
        };
        for hops in [0, 65, -1, 300] {
            let given = MetadataOptionsParameter {
                http_put_response_hop_limit: Some(hops),
                ..MetadataOptionsParameter::default()
            };
            assert_eq!(refused(given), Code::InvalidParameterValue, "{hops}");
        }
        let ipv6 = |text: &str| MetadataOptionsParameter {
            http_protocol_ipv6: Some(text.into()),
            ..MetadataOptionsParameter::default()
        };
        assert_eq!(refused(ipv6("enabled")), Code::UnsupportedOperation);
        assert_eq!(refused(ipv6("maybe")), Code::InvalidParameterValue);
    }
}
