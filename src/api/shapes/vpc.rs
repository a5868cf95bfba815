//! A VPC in answers, and as filters see it.

use super::{
    shown::yes_no,
    tag::{Tag, tag_pairs, tag_set},
};
use crate::{
    api::response::Set,
    domain::{
        cloud_state::CloudState,
        filter::{Described, tag_facts},
        id::{PrefixedId, VpcId},
        vpc,
    },
};
use schemars::JsonSchema;
use serde::Serialize;
use std::borrow::Cow;

#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Vpc {
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

#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct CidrBlockAssociation {
    cidr_block: String,
    association_id: String,
    cidr_block_state: CidrBlockState,
}

#[derive(Debug, Serialize, JsonSchema)]
struct CidrBlockState {
    state: &'static str,
}

const AVAILABLE: &str = "available";
const ASSOCIATED: &str = "associated";

impl Vpc {
    pub fn of(vpc: &vpc::Vpc, state: &CloudState) -> Vpc {
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
