//! DescribeRegions: the regions a client may sign for.
//!
//! Where any region is accepted there is no end to them: the list is the one asked from, and with
//! `AllRegions` also those where the caller (for an administrator: anybody) has instances.

use crate::{
    api::{
        action::{Action, Exchange},
        error::{ApiError, Code},
        filters::{FilterParameter, read_filters},
        response::Set,
    },
    domain::{filter::Described, id::RegionName, settings::Regions},
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::{borrow::Cow, collections::BTreeSet};

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct DescribeRegions {
    #[serde(default)]
    region_name: Vec<String>,
    all_regions: Option<bool>,
    #[serde(default)]
    filter: Vec<FilterParameter>,
}

#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Response {
    region_info: Set<Region>,
}

#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct Region {
    region_name: String,
    region_endpoint: String,
    opt_in_status: &'static str,
}

impl Described for Region {
    const FILTERS: &'static [&'static str] = &["endpoint", "opt-in-status", "region-name"];

    fn facts(&self, name: &str) -> Option<Vec<Cow<'_, str>>> {
        let fact = match name {
            "endpoint" => &self.region_endpoint,
            "opt-in-status" => self.opt_in_status,
            "region-name" => &self.region_name,
            _ => return None,
        };
        Some(vec![Cow::Borrowed(fact)])
    }
}

impl Action for DescribeRegions {
    const NAME: &'static str = "DescribeRegions";
    type Response = Response;

    async fn perform(self, exchange: &Exchange) -> Result<Response, ApiError> {
        let filters = read_filters::<Region>(&self.filter)?;
        let mut names: Vec<String> = match &exchange.settings.regions {
            Regions::Any { .. } if self.region_name.is_empty() => {
                let all = self.all_regions == Some(true);
                let used = if all { used_regions(exchange) } else { BTreeSet::new() };
                let here = exchange.scope.region.clone();
                let known: BTreeSet<RegionName> = used.into_iter().chain([here]).collect();
                known.into_iter().map(|region| region.to_string()).collect()
            }
            Regions::Any { .. } => self.region_name.clone(),
            Regions::Named(names) => names.iter().map(ToString::to_string).collect(),
        };
        for asked in &self.region_name {
            if !names.contains(asked) {
                return Err(ApiError::new(
                    Code::InvalidParameterValue,
                    format!("Invalid region name: {asked}"),
                ));
            }
        }
        if !self.region_name.is_empty() {
            names.retain(|name| self.region_name.contains(name));
        }
        let mut regions = Set::default();
        for region_name in names {
            let region = Region {
                region_endpoint: format!("ec2.{region_name}.mallee.internal"),
                region_name,
                opt_in_status: "opt-in-not-required",
            };
            if filters.admit(&region)? {
                regions.item.push(region);
            }
        }
        Ok(Response { region_info: regions })
    }
}

fn used_regions(exchange: &Exchange) -> BTreeSet<RegionName> {
    let seen = exchange.state.scopes.iter().filter(|(scope, resources)| {
        exchange.caller.may_control(&scope.account) && !resources.instances.is_empty()
    });
    seen.map(|(scope, _)| scope.region.clone()).collect()
}

#[cfg(test)]
mod tests {
    use super::super::testing::{BOB, TestCloud};

    async fn check(cloud: &TestCloud, query: &str, regions: &[&str]) {
        assert_eq!(cloud.values("DescribeRegions", query, "regionName").await, regions, "{query}");
    }

    #[actix_web::test]
    async fn any_region_is_the_one_asked_from_and_all_are_those_with_instances_besides() {
        let alice = TestCloud::start().await;
        alice.in_region("eu-west-1").launch(1).await;
        check(&alice, "", &["us-east-1"]).await;
        check(&alice, "AllRegions=true", &["eu-west-1", "us-east-1"]).await;
        check(&alice.administrator(), "AllRegions=true", &["eu-west-1", "us-east-1"]).await;
        check(&alice.of(BOB), "AllRegions=true", &["us-east-1"]).await;
    }

    #[actix_web::test]
    async fn a_region_asked_for_by_name_is_there() {
        let alice = TestCloud::start().await;
        check(&alice, "RegionName.1=ap-south-1", &["ap-south-1"]).await;
        let filter = "Filter.1.Name=region-name&Filter.1.Value.1=eu-*";
        check(&alice, filter, &[]).await;
    }
}
