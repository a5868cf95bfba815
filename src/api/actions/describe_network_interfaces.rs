//! DescribeNetworkInterfaces: the interfaces of each instance, and those that are nobody's.

use crate::{
    api::{
        action::{Action, Exchange},
        describe::select,
        error::{ApiError, Code},
        filters::{FilterParameter, read_filters},
        pagination::{PageRequest, RESULTS},
        response::Set,
        selection::{Selection, none_has},
        shapes::network_interface::NetworkInterface,
    },
    domain::{cloud_state::ScopeState, id::InterfaceId},
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct DescribeNetworkInterfaces {
    #[serde(default)]
    network_interface_id: Vec<String>,
    #[serde(default)]
    filter: Vec<FilterParameter>,
    max_results: Option<u32>,
    next_token: Option<String>,
    /// None is managed by a service, so asking for those too changes nothing.
    #[serde(default, rename = "IncludeManagedResources")]
    _include_managed_resources: Option<bool>,
}

#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Response {
    network_interface_set: Set<NetworkInterface>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_token: Option<String>,
}

impl Action for DescribeNetworkInterfaces {
    const NAME: &'static str = "DescribeNetworkInterfaces";
    type Response = Response;

    async fn perform(self, exchange: &Exchange) -> Result<Response, ApiError> {
        let filters = read_filters::<NetworkInterface>(&self.filter)?;
        let page = PageRequest::new(self.max_results, self.next_token.as_deref(), RESULTS)?;
        if self.max_results.is_some() && !self.network_interface_id.is_empty() {
            return Err(ApiError::invalid_combination(
                "The parameter networkInterfaceIds cannot be used with the parameter maxResults",
            ));
        }
        let selection = Selection::<InterfaceId>::read(&self.network_interface_id, exchange)?;
        let reach = exchange.settings.reach;
        let shown: BTreeMap<_, _> = selected(&selection)?
            .into_iter()
            .filter_map(|(id, own)| Some((id.clone(), NetworkInterface::find(&id, own, reach)?)))
            .collect();
        let page = select(shown, &filters, &page)?;
        Ok(Response { network_interface_set: page.results.into(), next_token: page.next_token })
    }
}

/// Interfaces and whose they are. Those that go with their instance are not there when it has ended.
fn selected<'e>(
    selection: &Selection<'e, InterfaceId>,
) -> Result<Vec<(InterfaceId, &'e ScopeState)>, ApiError> {
    if selection.ids.is_empty() {
        let ids = |own: &'e ScopeState| {
            let attached = own.interfaces.keys().chain(own.detached_interfaces.keys());
            attached.map(move |id| (id.clone(), own))
        };
        return Ok(selection.scopes.iter().copied().flat_map(ids).collect());
    }
    let mut found = Vec::new();
    let mut unknown = Vec::new();
    for id in &selection.ids {
        let has_it = |own: &&&'e ScopeState| {
            own.interfaces.contains_key(id) || own.detached_interfaces.contains_key(id)
        };
        match selection.scopes.iter().find(has_it) {
            Some(own) => found.push((id.clone(), *own)),
            None => unknown.push(id.clone()),
        }
    }
    match unknown.is_empty() {
        true => Ok(found),
        false => {
            let kind = "networkInterface";
            Err(none_has(&unknown, kind, Code::InvalidNetworkInterfaceIdNotFound))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{BOB, TestCloud};
    use crate::domain::dns_name::{PrivateDnsName, PublicDnsName};
    use crate::messages::cloud::TerminateInstances;

    const DESCRIBE: &str = "DescribeNetworkInterfaces";
    const PUBLIC: &str = "Filter.1.Name=attachment.device-index&Filter.1.Value.1=0";
    const PRIVATE: &str = "Filter.1.Name=attachment.device-index&Filter.1.Value.1=1";

    #[actix_web::test]
    async fn an_instance_has_a_public_and_a_private_interface() {
        let cloud = TestCloud::start().await;
        let id = cloud.launch(1).await.remove(0);
        let instance = cloud.state().instance(&id).unwrap().clone();
        let item = |number: u32, dns: &str, mac: &str, address: &str, place: &str| {
            let nth = number + 1;
            let (direct, nested) = match place {
                "" => (String::new(), String::new()),
                name => {
                    let association = format!(
                        "<association><publicIp>{address}</publicIp>\
                         <publicDnsName>{name}</publicDnsName>\
                         <ipOwnerId>amazon</ipOwnerId></association>"
                    );
                    (association.clone(), association)
                }
            };
            format!(
                "<networkInterfaceSet><item><networkInterfaceId>eni-{nth}</networkInterfaceId>\
                 <subnetId>subnet-1</subnetId><vpcId>vpc-1</vpcId>\
                 <availabilityZone>us-east-1a</availabilityZone>\
                 <description/><ownerId>111111111111</ownerId>\
                 <requesterManaged>false</requesterManaged><status>in-use</status>\
                 <macAddress>{mac}</macAddress><privateIpAddress>{address}</privateIpAddress>\
                 <privateDnsName>{dns}</privateDnsName><sourceDestCheck>true</sourceDestCheck>\
                 <groupSet><item><groupId>sg-1</groupId><groupName>default</groupName></item>\
                 </groupSet><attachment><attachmentId>eni-attach-{nth}</attachmentId>\
                 <instanceId>i-1</instanceId><instanceOwnerId>111111111111</instanceOwnerId>\
                 <deviceIndex>{number}</deviceIndex><networkCardIndex>0</networkCardIndex>\
                 <status>attached</status><attachTime>2026-01-02T03:04:05.000Z</attachTime>\
                 <deleteOnTermination>true</deleteOnTermination></attachment>{direct}<tagSet/>\
                 <privateIpAddressesSet><item><privateIpAddress>{address}</privateIpAddress>\
                 <privateDnsName>{dns}</privateDnsName><primary>true</primary>{nested}</item>\
                 </privateIpAddressesSet><ipv6AddressesSet/>\
                 <interfaceType>interface</interfaceType></item></networkInterfaceSet>"
            )
        };
        for (query, number) in [(PUBLIC, 0), (PRIVATE, 1)] {
            let interface = &instance.interfaces[number as usize];
            let dns = PrivateDnsName(interface.address).to_string();
            let public = match number {
                0 => PublicDnsName(interface.address).to_string(),
                _ => String::new(),
            };
            let mac = interface.mac.to_string();
            let address = interface.address.to_string();
            cloud.check(DESCRIBE, query, &item(number, &dns, &mac, &address, &public)).await;
        }
        let by_id = "NetworkInterfaceId.1=eni-2";
        assert_eq!(cloud.values(DESCRIBE, by_id, "deviceIndex").await, ["1"]);
    }

    #[actix_web::test]
    async fn interfaces_are_found_by_group_instance_and_address_and_go_with_the_instance() {
        let cloud = TestCloud::start().await;
        let ids = cloud.launch(2).await;
        let address = cloud.state().instance(&ids[0]).unwrap().interfaces[1].address;
        let count = async |name: &str, value: &str| {
            let query = format!("Filter.1.Name={name}&Filter.1.Value.1={value}");
            cloud.values(DESCRIBE, &query, "networkInterfaceId").await.len()
        };
        assert_eq!(count("group-name", "default").await, 4);
        assert_eq!(count("attachment.instance-id", ids[0].to_string().as_str()).await, 2);
        assert_eq!(count("addresses.private-ip-address", &address.to_string()).await, 1);
        assert_eq!(count("association.public-ip", "198.51.100.*").await, 2);
        assert_eq!(count("status", "available").await, 0);
        let first = cloud.values(DESCRIBE, "", "networkInterfaceId").await.remove(0);
        let query = format!("NetworkInterfaceId.1={first}");
        let code = "InvalidNetworkInterfaceID.NotFound";
        cloud.of(BOB).check_refused(DESCRIBE, &query, code, &first).await;
        let terminate = TerminateInstances { instances: ids };
        cloud.exchange().await.command(terminate).await.unwrap();
        cloud.settle().await;
        cloud.check(DESCRIBE, "", "<networkInterfaceSet/>").await;
        cloud.check_refused(DESCRIBE, &query, code, "does not exist").await;
    }

    #[actix_web::test]
    async fn ids_and_pages_exclude_each_other() {
        let cloud = TestCloud::start().await;
        let query = "NetworkInterfaceId.1=eni-01234567&MaxResults=5";
        cloud.check_refused(DESCRIBE, query, "InvalidParameterCombination", "maxResults").await;
        let malformed = "NetworkInterfaceId.1=x";
        let code = "InvalidNetworkInterfaceId.Malformed";
        cloud.check_refused(DESCRIBE, malformed, code, "x").await;
    }
}
