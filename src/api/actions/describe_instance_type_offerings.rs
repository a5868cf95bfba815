//! DescribeInstanceTypeOfferings: which type can be had where. Here it is every type everywhere,
//! as far as there is room.

use crate::{
    api::{
        action::{Action, Exchange},
        describe::select,
        error::ApiError,
        filters::{FilterParameter, read_filters},
        pagination::{PageRequest, PairKey, RESULTS},
        response::Set,
        shapes::zone,
    },
    domain::filter::Described,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::borrow::Cow;

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct DescribeInstanceTypeOfferings {
    #[serde(default)]
    location_type: LocationType,
    #[serde(default)]
    filter: Vec<FilterParameter>,
    max_results: Option<u32>,
    next_token: Option<String>,
}

#[derive(Debug, Clone, Copy, Default, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
enum LocationType {
    #[default]
    Region,
    AvailabilityZone,
    AvailabilityZoneId,
    Outpost,
}

#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Response {
    instance_type_offering_set: Set<Offering>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_token: Option<String>,
}

#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct Offering {
    instance_type: String,
    location_type: LocationType,
    location: String,
}

impl Described for Offering {
    const FILTERS: &'static [&'static str] = &["instance-type", "location"];

    fn facts(&self, name: &str) -> Option<Vec<Cow<'_, str>>> {
        let fact = match name {
            "instance-type" => &self.instance_type,
            "location" => &self.location,
            _ => return None,
        };
        Some(vec![Cow::Borrowed(fact)])
    }
}

impl Action for DescribeInstanceTypeOfferings {
    const NAME: &'static str = "DescribeInstanceTypeOfferings";
    type Response = Response;

    async fn perform(self, exchange: &Exchange) -> Result<Response, ApiError> {
        let filters = read_filters::<Offering>(&self.filter)?;
        let request = PageRequest::new(self.max_results, self.next_token.as_deref(), RESULTS)?;
        let mut offerings = Vec::new();
        for location in self.locations(exchange) {
            for instance_type in exchange.settings.instance_types.0.keys() {
                let offering = Offering {
                    instance_type: instance_type.clone(),
                    location_type: self.location_type,
                    location: location.clone(),
                };
                // No location has a space in it.
                offerings.push((PairKey(location.clone(), instance_type.clone()), offering));
            }
        }
        let page = select(offerings, &filters, &request)?;
        let instance_type_offering_set = page.results.into();
        Ok(Response { instance_type_offering_set, next_token: page.next_token })
    }
}

impl DescribeInstanceTypeOfferings {
    fn locations(&self, exchange: &Exchange) -> Vec<String> {
        let zones = zone::zones(exchange).into_iter();
        let mut locations: Vec<String> = match self.location_type {
            LocationType::Region => vec![exchange.scope.region.to_string()],
            LocationType::AvailabilityZone => zones.map(|zone| zone.name.to_string()).collect(),
            LocationType::AvailabilityZoneId => zones.map(|zone| zone.id).collect(),
            // There are none.
            LocationType::Outpost => Vec::new(),
        };
        locations.sort();
        locations
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::TestCloud;

    const ACTION: &str = "DescribeInstanceTypeOfferings";

    #[actix_web::test]
    async fn an_offering_is_a_type_in_a_place() {
        let cloud = TestCloud::start().await;
        cloud
            .check(
                ACTION,
                "LocationType=availability-zone&Filter.1.Name=location\
                 &Filter.1.Value.1=us-east-1b&Filter.2.Name=instance-type&Filter.2.Value.1=m1.*",
                "<instanceTypeOfferingSet><item><instanceType>m1.small</instanceType>\
                 <locationType>availability-zone</locationType><location>us-east-1b</location>\
                 </item></instanceTypeOfferingSet>",
            )
            .await;
    }

    #[actix_web::test]
    async fn places_are_the_region_its_zones_or_their_ids() {
        let cloud = TestCloud::start().await;
        let locations = |query: &'static str| {
            let cloud = cloud.clone();
            async move {
                let mut locations = cloud.values(ACTION, query, "location").await;
                locations.dedup();
                locations
            }
        };
        assert_eq!(locations("").await, ["us-east-1"]);
        assert_eq!(locations("LocationType=region").await, ["us-east-1"]);
        let zones = locations("LocationType=availability-zone").await;
        assert_eq!(zones, ["us-east-1a", "us-east-1b"]);
        let ids = locations("LocationType=availability-zone-id").await;
        assert_eq!(ids, ["use1-az1", "use1-az2"]);
        let none = "<instanceTypeOfferingSet/>";
        cloud.check(ACTION, "LocationType=outpost", none).await;
    }

    #[actix_web::test]
    async fn offerings_come_in_pages() {
        let cloud = TestCloud::start().await;
        let query = "LocationType=availability-zone&MaxResults=5";
        assert_eq!(cloud.values(ACTION, query, "location").await.len(), 5);
        let token = cloud.value(ACTION, query, "nextToken").await;
        let rest = format!("{query}&NextToken={token}");
        assert_eq!(cloud.values(ACTION, &rest, "instanceType").await, ["t3.micro"]);
        let code = "InvalidParameterValue";
        cloud.check_refused(ACTION, "LocationType=moon", code, "'moon'").await;
        cloud.check_refused(ACTION, "NextToken=x", "InvalidNextToken", "").await;
        cloud.check_refused(ACTION, "DryRun=true", "DryRunOperation", "").await;
    }
}
