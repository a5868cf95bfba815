//! DescribeVpcs: the default VPC, which every account has in every region.

use crate::{
    api::{
        action::{Action, Exchange},
        describe::select,
        error::{ApiError, Code},
        filters::{FilterParameter, read_filters},
        pagination::{PageRequest, RESULTS},
        response::Set,
        selection::{Selection, none_has},
        shapes::{
            shown::yes_no,
            tag::{Tag, tag_pairs, tag_set},
        },
    },
    domain::{
        cloud_state::CloudState,
        filter::{Described, tag_facts},
        id::{PrefixedId, VpcId},
        vpc,
    },
};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct DescribeVpcs {
    #[serde(default)]
    vpc_id: Vec<String>,
    #[serde(default)]
    filter: Vec<FilterParameter>,
    max_results: Option<u32>,
    next_token: Option<String>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Response {
    vpc_set: Set<Vpc>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_token: Option<String>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Vpc {
    vpc_id: String,
    owner_id: String,
    state: &'static str,
    cidr_block: String,
    cidr_block_association_set: Set<CidrBlockAssociation>,
    ipv6_cidr_block_association_set: Set<String>,
    /// `default` is EC2's word for having none of one's own.
    dhcp_options_id: &'static str,
    tag_set: Set<Tag>,
    instance_tenancy: &'static str,
    is_default: bool,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct CidrBlockAssociation {
    cidr_block: String,
    association_id: String,
    cidr_block_state: CidrBlockState,
}

#[derive(Debug, Serialize)]
struct CidrBlockState {
    state: &'static str,
}

const AVAILABLE: &str = "available";
const ASSOCIATED: &str = "associated";

impl Vpc {
    fn of(vpc: &vpc::Vpc, state: &CloudState) -> Vpc {
        let id = vpc.id.as_str();
        let digits = id.trim_start_matches(VpcId::PREFIX);
        let association = CidrBlockAssociation {
            cidr_block: vpc.cidr.to_string(),
            // A VPC has one range for good, so its own digits name the association.
            association_id: format!("vpc-cidr-assoc-{digits}"),
            cidr_block_state: CidrBlockState { state: ASSOCIATED },
        };
        Vpc {
            vpc_id: id.to_owned(),
            owner_id: vpc.scope.account.to_string(),
            state: AVAILABLE,
            cidr_block: vpc.cidr.to_string(),
            cidr_block_association_set: vec![association].into(),
            ipv6_cidr_block_association_set: Set::default(),
            dhcp_options_id: "default",
            tag_set: state.scope(&vpc.scope).map(|own| tag_set(own, id)).unwrap_or_default(),
            instance_tenancy: "default",
            is_default: vpc.is_default,
        }
    }
}

impl Described for Vpc {
    const FILTERS: &'static [&'static str] = &[
        "cidr",
        "cidr-block-association.association-id",
        "cidr-block-association.cidr-block",
        "cidr-block-association.state",
        "dhcp-options-id",
        "is-default",
        "isDefault",
        "ipv6-cidr-block-association.association-id",
        "ipv6-cidr-block-association.ipv6-cidr-block",
        "ipv6-cidr-block-association.state",
        "owner-id",
        "state",
        "tag:",
        "tag-key",
        "tag-value",
        "vpc-id",
    ];

    fn facts(&self, name: &str) -> Option<Vec<Cow<'_, str>>> {
        let fact: &str = match name {
            "cidr" | "cidr-block-association.cidr-block" => &self.cidr_block,
            "cidr-block-association.association-id" => {
                &self.cidr_block_association_set.item[0].association_id
            }
            "cidr-block-association.state" => ASSOCIATED,
            "dhcp-options-id" => self.dhcp_options_id,
            "is-default" | "isDefault" => yes_no(self.is_default),
            "owner-id" => &self.owner_id,
            "state" => self.state,
            "vpc-id" => &self.vpc_id,
            _ if name.starts_with("ipv6-cidr-block-association.") => return Some(Vec::new()),
            _ => return tag_facts(name, tag_pairs(&self.tag_set)),
        };
        Some(vec![Cow::Borrowed(fact)])
    }
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
