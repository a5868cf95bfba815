//! DescribeInstanceTypes: the types the cloud offers, with everything EC2 tells of one.

use crate::{
    api::{
        action::{Action, Exchange},
        describe::select,
        error::{ApiError, Code, echo},
        filters::{FilterParameter, read_filters},
        pagination::PageRequest,
        response::Set,
        shapes::instance_type::InstanceTypeInfo,
    },
    domain::instance_type::InstanceTypes,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::{collections::BTreeSet, ops::RangeInclusive};

/// EC2's limits: to a page, and to the types named in a request.
const RESULTS: RangeInclusive<u32> = 5..=100;
const NAMED_MAX: usize = 100;

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct DescribeInstanceTypes {
    #[serde(default)]
    instance_type: Vec<String>,
    #[serde(default)]
    filter: Vec<FilterParameter>,
    /// Every type there is can be had in every region.
    #[serde(default, rename = "IncludeUnsupportedInRegion")]
    _include_unsupported_in_region: Option<bool>,
    max_results: Option<u32>,
    next_token: Option<String>,
}

#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Response {
    instance_type_set: Set<InstanceTypeInfo>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_token: Option<String>,
}

impl Action for DescribeInstanceTypes {
    const NAME: &'static str = "DescribeInstanceTypes";
    type Response = Response;

    async fn perform(self, exchange: &Exchange) -> Result<Response, ApiError> {
        let filters = read_filters::<InstanceTypeInfo>(&self.filter)?;
        let types = &exchange.settings.instance_types;
        self.check_named(types)?;
        let page = PageRequest::new(self.max_results, self.next_token.as_deref(), RESULTS)?;
        let named: BTreeSet<&String> = self.instance_type.iter().collect();
        let wanted = types.0.iter().filter(|(name, _)| named.is_empty() || named.contains(name));
        let infos =
            wanted.map(|(name, amounts)| (name.clone(), InstanceTypeInfo::new(name, *amounts)));
        let page = select(infos, &filters, &page)?;
        Ok(Response { instance_type_set: page.results.into(), next_token: page.next_token })
    }
}

impl DescribeInstanceTypes {
    fn check_named(&self, types: &InstanceTypes) -> Result<(), ApiError> {
        if self.instance_type.is_empty() {
            return Ok(());
        }
        if self.max_results.is_some() {
            return Err(ApiError::invalid_combination(
                "The parameter instanceTypes cannot be used with the parameter maxResults",
            ));
        }
        if self.instance_type.len() > NAMED_MAX {
            return Err(ApiError::new(
                Code::InvalidParameterValue,
                format!("No more than {NAMED_MAX} instance types can be named in one request."),
            ));
        }
        let unknown: Vec<&str> = self
            .instance_type
            .iter()
            .filter(|name| types.get(name).is_none())
            .map(String::as_str)
            .collect();
        if unknown.is_empty() {
            return Ok(());
        }
        let list = unknown.join(", ");
        Err(ApiError::new(
            Code::InvalidInstanceType,
            format!("The following supplied instance types do not exist: [{}]", echo(&list)),
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::TestCloud;

    const ACTION: &str = "DescribeInstanceTypes";

    async fn check_types(query: &str, types: &[&str]) {
        let cloud = TestCloud::start().await;
        assert_eq!(cloud.values(ACTION, query, "instanceType").await, types, "{query}");
    }

    #[actix_web::test]
    async fn a_type_is_described_in_full() {
        let cloud = TestCloud::start().await;
        cloud
            .check(
                ACTION,
                "InstanceType.1=t3.micro",
                "<instanceTypeSet><item><instanceType>t3.micro</instanceType>\
                 <currentGeneration>true</currentGeneration>\
                 <freeTierEligible>true</freeTierEligible>\
                 <supportedUsageClasses><item>on-demand</item></supportedUsageClasses>\
                 <supportedRootDeviceTypes><item>ebs</item></supportedRootDeviceTypes>\
                 <supportedVirtualizationTypes><item>hvm</item></supportedVirtualizationTypes>\
                 <bareMetal>false</bareMetal><hypervisor>nitro</hypervisor>\
                 <processorInfo><supportedArchitectures><item>x86_64</item>\
                 </supportedArchitectures></processorInfo>\
                 <vCpuInfo><defaultVCpus>2</defaultVCpus><defaultCores>2</defaultCores>\
                 <defaultThreadsPerCore>1</defaultThreadsPerCore>\
                 <validCores><item>2</item></validCores>\
                 <validThreadsPerCore><item>1</item></validThreadsPerCore></vCpuInfo>\
                 <memoryInfo><sizeInMiB>1024</sizeInMiB></memoryInfo>\
                 <instanceStorageSupported>false</instanceStorageSupported>\
                 <ebsInfo><ebsOptimizedSupport>unsupported</ebsOptimizedSupport>\
                 <encryptionSupport>unsupported</encryptionSupport>\
                 <nvmeSupport>unsupported</nvmeSupport></ebsInfo>\
                 <networkInfo><networkPerformance>Best effort</networkPerformance>\
                 <maximumNetworkInterfaces>8</maximumNetworkInterfaces>\
                 <maximumNetworkCards>1</maximumNetworkCards>\
                 <defaultNetworkCardIndex>0</defaultNetworkCardIndex>\
                 <networkCards><item><networkCardIndex>0</networkCardIndex>\
                 <networkPerformance>Best effort</networkPerformance>\
                 <maximumNetworkInterfaces>8</maximumNetworkInterfaces></item></networkCards>\
                 <ipv4AddressesPerInterface>16</ipv4AddressesPerInterface>\
                 <ipv6AddressesPerInterface>0</ipv6AddressesPerInterface>\
                 <ipv6Supported>false</ipv6Supported><enaSupport>unsupported</enaSupport>\
                 <efaSupported>false</efaSupported>\
                 <encryptionInTransitSupported>false</encryptionInTransitSupported>\
                 </networkInfo>\
                 <placementGroupInfo><supportedStrategies/></placementGroupInfo>\
                 <hibernationSupported>false</hibernationSupported>\
                 <burstablePerformanceSupported>true</burstablePerformanceSupported>\
                 <dedicatedHostsSupported>false</dedicatedHostsSupported>\
                 <autoRecoverySupported>false</autoRecoverySupported>\
                 <supportedBootModes><item>legacy-bios</item></supportedBootModes>\
                 <nitroEnclavesSupport>unsupported</nitroEnclavesSupport>\
                 <nitroTpmSupport>unsupported</nitroTpmSupport></item></instanceTypeSet>",
            )
            .await;
    }

    #[actix_web::test]
    async fn types_are_chosen_by_name_and_by_what_they_have() {
        check_types("", &["m1.small", "m5.large", "t3.micro"]).await;
        check_types("InstanceType.1=t3.micro&InstanceType.2=m1.small", &["m1.small", "t3.micro"])
            .await;
        let filter = |name: &str, value: &str| {
            format!("Filter.1.Name={name}&Filter.1.Value.1={value}")
        };
        check_types(&filter("instance-type", "m*"), &["m1.small", "m5.large"]).await;
        check_types(&filter("current-generation", "false"), &["m1.small"]).await;
        check_types(&filter("memory-info.size-in-mib", "8192"), &["m5.large"]).await;
        check_types(&filter("vcpu-info.valid-cores", "1"), &["m1.small"]).await;
        check_types(&filter("free-tier-eligible", "true"), &["t3.micro"]).await;
        check_types(&filter("processor-info.supported-architecture", "arm64"), &[]).await;
        check_types("MaxResults=100&NextToken=", &["m1.small", "m5.large", "t3.micro"]).await;
    }

    #[actix_web::test]
    async fn types_that_are_not_there_and_odd_requests_are_refused() {
        let cloud = TestCloud::start().await;
        cloud
            .check_refused(
                ACTION,
                "InstanceType.1=x&InstanceType.2=m1.small&InstanceType.3=y",
                "InvalidInstanceType",
                "The following supplied instance types do not exist: [x, y]",
            )
            .await;
        let query = "InstanceType.1=m1.small&MaxResults=5";
        cloud.check_refused(ACTION, query, "InvalidParameterCombination", "maxResults").await;
        cloud.check_refused(ACTION, "MaxResults=101", "InvalidParameterValue", "101").await;
        let query = "Filter.1.Name=x&Filter.1.Value.1=x";
        cloud.check_refused(ACTION, query, "InvalidParameterValue", "'x'").await;
        cloud.check_refused(ACTION, "DryRun=true", "DryRunOperation", "").await;
    }
}
