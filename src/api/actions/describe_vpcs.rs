//! DescribeVpcs: the caller's VPCs; the default one every account has in every region.

use crate::{
    api::{
        action::{Action, Exchange},
        describe::select,
        error::{ApiError, Code},
        filters::{FilterParameter, read_filters},
        pagination::{PageRequest, RESULTS},
        response::Set,
        selection::{Selection, none_has},
        shapes::vpc::Vpc,
    },
    domain::id::VpcId,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct DescribeVpcs {
    #[serde(default)]
    vpc_id: Vec<String>,
    #[serde(default)]
    filter: Vec<FilterParameter>,
    max_results: Option<u32>,
    next_token: Option<String>,
}

#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Response {
    vpc_set: Set<Vpc>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_token: Option<String>,
}

impl Action for DescribeVpcs {
    const NAME: &'static str = "DescribeVpcs";
    type Response = Response;

    async fn perform(self, exchange: &Exchange) -> Result<Response, ApiError> {
        let filters = read_filters::<Vpc>(&self.filter)?;
        let page = PageRequest::new(self.max_results, self.next_token.as_deref(), RESULTS)?;
        let selection = Selection::<VpcId>::read(&self.vpc_id, exchange)?;
        let found = selection.find(|scope| &scope.vpcs).map_err(not_found)?;
        let shown = found.into_iter().map(|(id, vpc)| (id, Vpc::of(vpc, &exchange.state)));
        let page = select(shown, &filters, &page)?;
        Ok(Response { vpc_set: page.results.into(), next_token: page.next_token })
    }
}

fn not_found(ids: Vec<VpcId>) -> ApiError {
    none_has(&ids, "vpc", Code::InvalidVpcIdNotFound)
}

#[cfg(test)]
mod tests {
    use super::super::testing::{BOB, TestCloud};

    const DESCRIBE: &str = "DescribeVpcs";

    #[actix_web::test]
    async fn everybody_has_a_default_vpc_of_their_own() {
        let cloud = TestCloud::start().await;
        let answer = "<vpcSet><item><vpcId>vpc-1</vpcId><ownerId>111111111111</ownerId>\
            <state>available</state><cidrBlock>172.31.0.0/16</cidrBlock>\
            <cidrBlockAssociationSet><item><cidrBlock>172.31.0.0/16</cidrBlock>\
            <associationId>vpc-cidr-assoc-1</associationId>\
            <cidrBlockState><state>associated</state></cidrBlockState></item>\
            </cidrBlockAssociationSet><ipv6CidrBlockAssociationSet/>\
            <dhcpOptionsId>default</dhcpOptionsId><tagSet/>\
            <instanceTenancy>default</instanceTenancy><isDefault>true</isDefault></item></vpcSet>";
        cloud.check(DESCRIBE, "", answer).await;
        cloud.check(DESCRIBE, "VpcId.1=vpc-1", answer).await;
        for filter in ["is-default", "isDefault"] {
            let query = format!("Filter.1.Name={filter}&Filter.1.Value.1=true");
            cloud.check(DESCRIBE, &query, answer).await;
            let query = format!("Filter.1.Name={filter}&Filter.1.Value.1=false");
            cloud.check(DESCRIBE, &query, "<vpcSet/>").await;
        }
        cloud.of(BOB).check_refused(DESCRIBE, "VpcId.1=vpc-1", "InvalidVpcID.NotFound", "").await;
        assert_eq!(cloud.of(BOB).values(DESCRIBE, "", "vpcId").await, ["vpc-2"]);
    }

    #[actix_web::test]
    async fn a_vpc_that_is_none_is_refused() {
        let cloud = TestCloud::start().await;
        let check = async |query: &str, code: &str, part: &str| {
            cloud.check_refused(DESCRIBE, query, code, part).await;
        };
        check("VpcId.1=vpc-01234567", "InvalidVpcID.NotFound", "'vpc-01234567' does not").await;
        check("VpcId.1=x", "InvalidVpcID.Malformed", "x").await;
        check("MaxResults=1", "InvalidParameterValue", "maxResults").await;
        check("Filter.1.Name=x&Filter.1.Value.1=y", "InvalidParameterValue", "'x'").await;
    }
}
