//! DescribeRegions: the regions a client may sign for.
//!
//! Where any region is accepted, the list is the one asked from: there is no end to the others.

use crate::{
    api::{
        action::{Action, Exchange},
        error::{ApiError, Code},
        filters::{FilterParameter, read_filters},
        response::Set,
    },
    domain::{filter::Described, settings::Regions},
};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct DescribeRegions {
    #[serde(default)]
    region_name: Vec<String>,
    /// Every region is opted in; asking for the others too changes nothing.
    #[serde(default, rename = "AllRegions")]
    _all_regions: Option<bool>,
    #[serde(default)]
    filter: Vec<FilterParameter>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Response {
    region_info: Set<Region>,
}

#[derive(Debug, Serialize)]
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
                vec![exchange.scope.region.to_string()]
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
