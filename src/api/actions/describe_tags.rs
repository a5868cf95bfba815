//! DescribeTags: all tags of the caller's resources, one item a tag, in the order of their
//! resources' ids.

use crate::{
    api::{
        action::{Action, Exchange},
        describe::select,
        error::ApiError,
        filters::{FilterParameter, read_filters},
        pagination::{PageRequest, PairKey, RESULTS},
        response::Set,
        shapes::tag::resource_type,
    },
    domain::{
        cloud_state::ScopeState,
        filter::{Described, Filters, tag_facts},
        tag::TagSet,
    },
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::{borrow::Cow, collections::BTreeSet, sync::Arc};

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct DescribeTags {
    #[serde(default)]
    filter: Vec<FilterParameter>,
    max_results: Option<u32>,
    next_token: Option<String>,
}

#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Response {
    tag_set: Set<Item>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_token: Option<String>,
}

#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct Item {
    resource_id: String,
    resource_type: &'static str,
    key: String,
    value: String,
}

impl Described for Item {
    const FILTERS: &'static [&'static str] =
        &["key", "resource-id", "resource-type", "tag:", "value"];

    fn facts(&self, name: &str) -> Option<Vec<Cow<'_, str>>> {
        let fact = match name {
            "key" => &self.key,
            "resource-id" => &self.resource_id,
            "resource-type" => self.resource_type,
            "value" => &self.value,
            _ => return tag_facts(name, std::iter::once((&*self.key, &*self.value))),
        };
        Some(vec![Cow::Borrowed(fact)])
    }
}

/// Where a tag stands among all: its resource's id, which has no space in it, and its key.
type Place = PairKey;

impl Action for DescribeTags {
    const NAME: &'static str = "DescribeTags";
    type Response = Response;

    async fn perform(self, exchange: &Exchange) -> Result<Response, ApiError> {
        let filters = read_filters::<Item>(&self.filter)?;
        let request =
            PageRequest::<Place>::new(self.max_results, self.next_token.as_deref(), RESULTS)?;
        let own = exchange.own();
        let sets = sets(&own, &filters, request.after());
        let page = select(sets.iter().flat_map(|set| items(set)), &filters, &request)?;
        Ok(Response { tag_set: page.results.into(), next_token: page.next_token })
    }
}

/// The resources that may have tags asked for: those named, or all from the page's begin on.
fn sets(own: &ScopeState, filters: &Filters, after: Option<&Place>) -> Vec<Arc<TagSet>> {
    if let Some(named) = resources_named(filters) {
        return named.iter().filter_map(|resource| own.tags.get(resource)).cloned().collect();
    }
    let begin = after.map(|place| place.0.clone()).unwrap_or_default();
    own.tags.range(begin..).map(|(_, set)| set.clone()).collect()
}

fn resources_named(filters: &Filters) -> Option<BTreeSet<String>> {
    let filter = filters.0.iter().find(|filter| filter.name() == "resource-id")?;
    filter.values().iter().map(|pattern| pattern.literal()).collect()
}

fn items(set: &TagSet) -> impl Iterator<Item = (Place, Item)> {
    // Only ids that the cloud gave out itself ever get tags.
    let resource_type = resource_type(&set.resource).unwrap_or_default();
    set.tags.iter().map(move |(key, value)| {
        let place = PairKey(set.resource.clone(), key.clone());
        let item = Item {
            resource_id: set.resource.clone(),
            resource_type,
            key: key.clone(),
            value: value.clone(),
        };
        (place, item)
    })
}

#[cfg(test)]
mod tests {
    use super::super::testing::{BOB, TestCloud};

    /// Two instances, the first with tags `a` and `b c`, the second with `a`; a volume with `disk`.
    async fn with_tags() -> TestCloud {
        let cloud = TestCloud::start().await;
        let mut ids = cloud.launch(2).await;
        ids.sort();
        let volume = cloud.state().instance(&ids[0]).unwrap().root_volume.clone();
        for tags in [
            format!("ResourceId.1={}&Tag.1.Key=a&Tag.1.Value=1&Tag.2.Key=b+c", ids[0]),
            format!("ResourceId.1={}&Tag.1.Key=a&Tag.1.Value=2", ids[1]),
            format!("ResourceId.1={volume}&Tag.1.Key=disk"),
        ] {
            cloud.call("CreateTags", &tags).await.unwrap();
        }
        cloud
    }

    fn filter(name: &str, value: &str) -> String {
        format!("Filter.1.Name={name}&Filter.1.Value.1={value}")
    }

    #[actix_web::test]
    async fn each_tag_is_an_item_with_its_resource() {
        let cloud = with_tags().await;
        let all = cloud.call("DescribeTags", "").await.unwrap();
        assert_eq!(all.matches("<item>").count(), 4);
        cloud
            .check(
                "DescribeTags",
                &filter("resource-type", "volume"),
                "<tagSet><item><resourceId>vol-1</resourceId><resourceType>volume</resourceType>\
                 <key>disk</key><value/></item></tagSet>",
            )
            .await;
        cloud.of(BOB).check("DescribeTags", "", "<tagSet/>").await;
    }

    #[actix_web::test]
    async fn tags_are_found_by_key_value_and_resource() {
        let cloud = with_tags().await;
        let check = |query: String, keys: &'static [&'static str]| {
            let cloud = cloud.clone();
            async move {
                assert_eq!(cloud.values("DescribeTags", &query, "key").await, keys, "{query}");
            }
        };
        cloud.call("DescribeTags", "").await.unwrap();
        check(filter("key", "a"), &["a", "a"]).await;
        check(filter("value", "2"), &["a"]).await;
        check(filter("tag:a", "1"), &["a"]).await;
        check(filter("resource-id", "i-*"), &["a", "b c", "a"]).await;
        check(filter("resource-id", "vol-1"), &["disk"]).await;
        check(filter("resource-id", "vol-12345678"), &[]).await;
        let code = "InvalidParameterValue";
        cloud.check_refused("DescribeTags", &filter("colour", "x"), code, "colour").await;
    }

    #[actix_web::test]
    async fn pages_go_on_within_a_resource() {
        let cloud = TestCloud::start().await;
        let ids = cloud.launch(2).await;
        for id in &ids {
            let tags: String = (0..4).map(|n| format!("&Tag.{n}.Key=key+{n}")).collect();
            cloud.call("CreateTags", &format!("ResourceId={id}{tags}")).await.unwrap();
        }
        let first = cloud.call("DescribeTags", "MaxResults=5").await.unwrap();
        assert_eq!(first.matches("<item>").count(), 5);
        let token = cloud.value("DescribeTags", "MaxResults=5", "nextToken").await;
        let rest = format!("MaxResults=5&NextToken={token}");
        let keys = cloud.values("DescribeTags", &rest, "key").await;
        assert_eq!(keys, ["key 1", "key 2", "key 3"]);
        assert!(!cloud.call("DescribeTags", &rest).await.unwrap().contains("nextToken"));
        cloud.check_refused("DescribeTags", "NextToken=x", "InvalidNextToken", "").await;
        cloud.check_refused("DescribeTags", "MaxResults=4", "InvalidParameterValue", "").await;
    }
}
