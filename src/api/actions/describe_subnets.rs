//! DescribeSubnets: the caller's subnets; of the default VPC there is one a zone.

use crate::{
    api::{
        action::{Action, Exchange},
        describe::select,
        error::{ApiError, Code},
        filters::{FilterParameter, read_filters},
        pagination::{PageRequest, RESULTS},
        response::Set,
        selection::{Selection, none_has},
        shapes::subnet::Subnet,
    },
    domain::id::SubnetId,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct DescribeSubnets {
    #[serde(default)]
    subnet_id: Vec<String>,
    #[serde(default)]
    filter: Vec<FilterParameter>,
    max_results: Option<u32>,
    next_token: Option<String>,
}

#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Response {
    subnet_set: Set<Subnet>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_token: Option<String>,
}

impl Action for DescribeSubnets {
    const NAME: &'static str = "DescribeSubnets";
    type Response = Response;

    async fn perform(self, exchange: &Exchange) -> Result<Response, ApiError> {
        let filters = read_filters::<Subnet>(&self.filter)?;
        let page = PageRequest::new(self.max_results, self.next_token.as_deref(), RESULTS)?;
        let selection = Selection::<SubnetId>::read(&self.subnet_id, exchange)?;
        let found = selection.find(|scope| &scope.subnets).map_err(not_found)?;
        let shown = found.into_iter().map(|(id, subnet)| (id, Subnet::of(subnet, &exchange.state, exchange)));
        let page = select(shown, &filters, &page)?;
        Ok(Response { subnet_set: page.results.into(), next_token: page.next_token })
    }
}

fn not_found(ids: Vec<SubnetId>) -> ApiError {
    none_has(&ids, "subnet", Code::InvalidSubnetIdNotFound)
}

#[cfg(test)]
mod tests {
    use super::super::testing::TestCloud;

    const DESCRIBE: &str = "DescribeSubnets";

    #[actix_web::test]
    async fn there_is_a_default_subnet_a_zone() {
        let cloud = TestCloud::start().await;
        let of_zone = "Filter.1.Name=availability-zone&Filter.1.Value.1=us-east-1b";
        cloud
            .check(
                DESCRIBE,
                of_zone,
                "<subnetSet><item><subnetId>subnet-1</subnetId><subnetArn>\
                 arn:aws:ec2:us-east-1:111111111111:subnet/subnet-1</subnetArn>\
                 <state>available</state><ownerId>111111111111</ownerId><vpcId>vpc-1</vpcId>\
                 <cidrBlock>172.31.16.0/20</cidrBlock><ipv6CidrBlockAssociationSet/>\
                 <assignIpv6AddressOnCreation>false</assignIpv6AddressOnCreation>\
                 <availableIpAddressCount>4091</availableIpAddressCount>\
                 <availabilityZone>us-east-1b</availabilityZone>\
                 <availabilityZoneId>use1-az2</availabilityZoneId>\
                 <defaultForAz>true</defaultForAz><mapPublicIpOnLaunch>true</mapPublicIpOnLaunch>\
                 <mapCustomerOwnedIpOnLaunch>false</mapCustomerOwnedIpOnLaunch><tagSet/>\
                 <enableDns64>false</enableDns64><ipv6Native>false</ipv6Native>\
                 <privateDnsNameOptionsOnLaunch><hostnameType>ip-name</hostnameType>\
                 <enableResourceNameDnsARecord>false</enableResourceNameDnsARecord>\
                 <enableResourceNameDnsAAAARecord>false</enableResourceNameDnsAAAARecord>\
                 </privateDnsNameOptionsOnLaunch></item></subnetSet>",
            )
            .await;
        let default = "Filter.1.Name=default-for-az&Filter.1.Value.1=true";
        let mut ranges = cloud.values(DESCRIBE, default, "cidrBlock").await;
        ranges.sort();
        assert_eq!(ranges, ["172.31.0.0/20", "172.31.16.0/20"]);
    }

    #[actix_web::test]
    async fn instances_take_their_addresses_from_the_count() {
        let cloud = TestCloud::start().await;
        cloud.launch(3).await;
        let mut counts = cloud.values(DESCRIBE, "", "availableIpAddressCount").await;
        counts.sort();
        assert_eq!(counts, ["4088", "4091"]);
    }

    #[actix_web::test]
    async fn a_subnet_that_is_none_is_refused() {
        let cloud = TestCloud::start().await;
        let unknown = "SubnetId.1=subnet-01234567";
        let code = "InvalidSubnetID.NotFound";
        cloud.check_refused(DESCRIBE, unknown, code, "'subnet-01234567' does not").await;
        cloud.check_refused(DESCRIBE, "SubnetId.1=x", "InvalidSubnetID.Malformed", "x").await;
    }
}
