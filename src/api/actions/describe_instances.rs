//! DescribeInstances: the caller's instances under their reservations, terminated ones for a while
//! after their end.
//!
//! Instances come in the order of their ids, which is stable and lets a page begin where the last
//! one ended without looking at what came before. `MaxResults` counts instances, so a reservation
//! may go on in the next page.

use crate::{
    api::{
        action::{Action, Exchange},
        describe::{Asked, ids_in, select},
        error::ApiError,
        fault,
        filters::{FilterParameter, read_filters},
        pagination::{PageRequest, RESULTS},
        response::Set,
        shapes::{
            instance::InstanceElement,
            reservation::{Reservation, by_reservation},
        },
    },
    domain::{
        cloud_state::ScopeState,
        fault::CloudFault,
        filter::Filters,
        id::InstanceId,
        instance::Instance,
    },
};
use serde::{Deserialize, Serialize};
use std::{ops::Bound, sync::Arc};

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct DescribeInstances {
    #[serde(default)]
    instance_id: Vec<String>,
    #[serde(default)]
    filter: Vec<FilterParameter>,
    max_results: Option<u32>,
    next_token: Option<String>,
    /// No service of ours manages instances of its own.
    #[serde(default, rename = "IncludeManagedResources")]
    _include_managed_resources: Option<bool>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Response {
    reservation_set: Set<Reservation>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_token: Option<String>,
}

impl Action for DescribeInstances {
    const NAME: &'static str = "DescribeInstances";
    type Response = Response;

    async fn perform(self, exchange: &Exchange) -> Result<Response, ApiError> {
        let filters = read_filters::<InstanceElement>(&self.filter)?;
        let asked = Asked::read(&self.instance_id, &exchange.caller)?;
        if self.max_results.is_some() && !asked.all() {
            return Err(ApiError::invalid_combination(
                "The parameter instancesSet cannot be used with the parameter maxResults",
            ));
        }
        let page = PageRequest::new(self.max_results, self.next_token.as_deref(), RESULTS)?;
        let found = find(&asked, &filters, page.after(), exchange)?;
        let element = |instance: Arc<Instance>| {
            let key = instance.id.clone();
            let reach = exchange.settings.reach;
            (key, InstanceElement { instance, state: exchange.state.clone(), reach })
        };
        let page = select(found.map(element), &filters, &page)?;
        Ok(Response {
            reservation_set: by_reservation(page.results),
            next_token: page.next_token,
        })
    }
}

type Found<'a> = Box<dyn Iterator<Item = Arc<Instance>> + 'a>;

/// What might be shown, in the order of ids. Those named are all there, or it is a refusal.
pub fn find<'a>(
    asked: &Asked<InstanceId>,
    filters: &Filters,
    after: Option<&'a InstanceId>,
    exchange: &'a Exchange,
) -> Result<Found<'a>, ApiError> {
    let visible = |id: &InstanceId| {
        let instance = exchange.state.instance(id)?;
        let scope = &instance.scope;
        let reachable = match asked.everybodys {
            true => scope.region == exchange.scope.region,
            false => *scope == exchange.scope,
        };
        reachable.then(|| instance.clone())
    };
    if !asked.all() {
        let found: Vec<_> = asked.ids.iter().filter_map(visible).collect();
        let missing = || asked.ids.iter().filter(|id| visible(id).is_none()).cloned().collect();
        return match found.len() == asked.ids.len() {
            true => Ok(Box::new(found.into_iter())),
            false => Err(fault::api_error(CloudFault::InstancesNotFound(missing()))),
        };
    }
    if let Some(ids) = ids_in::<InstanceId>(filters, "instance-id") {
        let found: Vec<_> = ids.iter().filter_map(visible).collect();
        return Ok(Box::new(found.into_iter()));
    }
    if !asked.everybodys {
        let own = exchange.state.scope(&exchange.scope);
        return Ok(Box::new(own.into_iter().flat_map(move |own| from(own, after))));
    }
    let region = &exchange.scope.region;
    let mut all: Vec<_> = exchange
        .state
        .scopes
        .iter()
        .filter(|(scope, _)| scope.region == *region)
        .flat_map(|(_, scope)| from(scope, after))
        .collect();
    all.sort_by(|one, other| one.id.cmp(&other.id));
    Ok(Box::new(all.into_iter()))
}

fn from<'a>(
    scope: &'a ScopeState,
    after: Option<&'a InstanceId>,
) -> impl Iterator<Item = Arc<Instance>> + 'a {
    let begin = after.map_or(Bound::Unbounded, Bound::Excluded);
    scope.instances.range((begin, Bound::Unbounded)).map(|(_, instance)| instance.clone())
}
