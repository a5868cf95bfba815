//! DescribeNetworkInterfaces: the two interfaces of each instance.
//!
//! Device 0 is on the host's bridge, where its address is reachable from outside and therefore
//! shown as public too; device 1 is on the owner's private network. Both are told to be in the
//! instance's subnet, since a client looks there for what holds a subnet or a group.

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
            interface_address::{Association, PrivateAddress},
            security_group::GroupIdentifier,
            shown::yes_no,
            tag::{Tag, tag_pairs, tag_set},
        },
        time::DateTime,
    },
    domain::{
        cloud_state::ScopeState,
        dns_name::PrivateDnsName,
        filter::{Described, tag_facts},
        id::InterfaceId,
        instance::{Instance, Interface},
        interface::Wire,
        settings::Reach,
    },
};
use serde::{Deserialize, Serialize};
use std::{borrow::Cow, collections::BTreeMap};

#[derive(Debug, Deserialize)]
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

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Response {
    network_interface_set: Set<NetworkInterface>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_token: Option<String>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct NetworkInterface {
    network_interface_id: String,
    subnet_id: String,
    vpc_id: String,
    availability_zone: String,
    description: &'static str,
    owner_id: String,
    requester_managed: bool,
    status: &'static str,
    mac_address: String,
    private_ip_address: String,
    private_dns_name: String,
    source_dest_check: bool,
    group_set: Set<GroupIdentifier<String>>,
    attachment: Attachment,
    #[serde(skip_serializing_if = "Option::is_none")]
    association: Option<Association<'static>>,
    tag_set: Set<Tag>,
    private_ip_addresses_set: Set<PrivateAddress<'static>>,
    ipv6_addresses_set: Set<String>,
    interface_type: &'static str,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Attachment {
    attachment_id: String,
    instance_id: String,
    instance_owner_id: String,
    device_index: u32,
    network_card_index: u32,
    status: &'static str,
    attach_time: DateTime,
    delete_on_termination: bool,
}

impl NetworkInterface {
    fn of(
        interface: &Interface,
        instance: &Instance,
        own: &ScopeState,
        reach: Reach,
    ) -> NetworkInterface {
        let owner = instance.scope.account.to_string();
        let address = interface.address.to_string();
        let (subnet_id, vpc_id) = network_of(instance);
        let association = Association::of(interface, own, reach).map(Association::into_owned);
        let network_interface_id = interface.id.to_string();
        NetworkInterface {
            subnet_id,
            vpc_id,
            availability_zone: instance.zone.to_string(),
            description: "",
            requester_managed: false,
            status: "in-use",
            mac_address: interface.mac.to_string(),
            source_dest_check: instance.source_dest_check,
            group_set: groups_of(instance, own),
            attachment: Attachment {
                attachment_id: interface.attachment.to_string(),
                instance_id: instance.id.to_string(),
                instance_owner_id: owner.clone(),
                device_index: interface.device_index,
                network_card_index: 0,
                status: "attached",
                attach_time: interface.attached_at.into(),
                delete_on_termination: true,
            },
            owner_id: owner,
            tag_set: tag_set(own, &network_interface_id),
            private_ip_addresses_set: vec![PrivateAddress::primary(
                interface,
                association.clone(),
            )]
            .into(),
            private_ip_address: address,
            private_dns_name: PrivateDnsName(interface.address).to_string(),
            association,
            ipv6_addresses_set: Set::default(),
            interface_type: "interface",
            network_interface_id,
        }
    }
}

/// The instance's subnet and VPC, which its private interface is in.
fn network_of(instance: &Instance) -> (String, String) {
    let private = instance.private_interface();
    let subnet = private.and_then(|interface| interface.subnet.as_ref());
    let vpc = private.and_then(|interface| match &interface.wire {
        Wire::Private(vpc) => Some(vpc),
        Wire::Public => None,
    });
    let text = |id: Option<String>| id.unwrap_or_default();
    (text(subnet.map(ToString::to_string)), text(vpc.map(ToString::to_string)))
}

fn groups_of(instance: &Instance, own: &ScopeState) -> Set<GroupIdentifier<String>> {
    let groups = instance.security_groups.iter().filter_map(|id| own.security_groups.get(id));
    groups
        .map(|group| GroupIdentifier {
            group_id: group.id.to_string(),
            group_name: group.name.clone(),
        })
        .collect()
}

impl Described for NetworkInterface {
    const FILTERS: &'static [&'static str] = &[
        "addresses.association.ip-owner-id",
        "addresses.association.public-ip",
        "addresses.primary",
        "addresses.private-ip-address",
        "association.allocation-id",
        "association.association-id",
        "association.ip-owner-id",
        "association.public-dns-name",
        "association.public-ip",
        "attachment.attachment-id",
        "attachment.delete-on-termination",
        "attachment.device-index",
        "attachment.instance-id",
        "attachment.instance-owner-id",
        "attachment.status",
        "availability-zone",
        "description",
        "group-id",
        "group-name",
        "interface-type",
        "mac-address",
        "network-interface-id",
        "owner-id",
        "private-dns-name",
        "private-ip-address",
        "requester-id",
        "requester-managed",
        "source-dest-check",
        "status",
        "subnet-id",
        "tag:",
        "tag-key",
        "tag-value",
        "vpc-id",
    ];

    fn facts(&self, name: &str) -> Option<Vec<Cow<'_, str>>> {
        let association = |fact: fn(&Association<'_>) -> String| {
            Some(self.association.iter().map(|a| Cow::Owned(fact(a))).collect())
        };
        let id = |id: fn(&Association<'_>) -> Option<String>| {
            Some(self.association.iter().filter_map(id).map(Cow::Owned).collect())
        };
        let groups = self.group_set.item.iter();
        let fact: &str = match name {
            "addresses.association.ip-owner-id" | "association.ip-owner-id" => {
                return association(|a| a.ip_owner_id.to_string());
            }
            "addresses.association.public-ip" | "association.public-ip" => {
                return association(|a| a.public_ip.to_string());
            }
            "association.allocation-id" => return id(|a| a.allocation_id.as_deref().map(str::to_owned)),
            "association.association-id" => return id(|a| a.association_id.as_deref().map(str::to_owned)),
            "association.public-dns-name" => return association(|a| a.public_dns_name.to_string()),
            "addresses.primary" => "true",
            "addresses.private-ip-address" | "private-ip-address" => &self.private_ip_address,
            "attachment.attachment-id" => &self.attachment.attachment_id,
            "attachment.delete-on-termination" => yes_no(self.attachment.delete_on_termination),
            "attachment.device-index" => {
                return Some(vec![Cow::Owned(self.attachment.device_index.to_string())]);
            }
            "attachment.instance-id" => &self.attachment.instance_id,
            "attachment.instance-owner-id" | "owner-id" => &self.owner_id,
            "attachment.status" => self.attachment.status,
            "availability-zone" => &self.availability_zone,
            "description" => self.description,
            "group-id" => return Some(groups.map(|g| Cow::Borrowed(&*g.group_id)).collect()),
            "group-name" => return Some(groups.map(|g| Cow::Borrowed(&*g.group_name)).collect()),
            "interface-type" => self.interface_type,
            "mac-address" => &self.mac_address,
            "network-interface-id" => &self.network_interface_id,
            "private-dns-name" => &self.private_dns_name,
            "requester-id" => return Some(Vec::new()),
            "requester-managed" => yes_no(self.requester_managed),
            "source-dest-check" => yes_no(self.source_dest_check),
            "status" => self.status,
            "subnet-id" => &self.subnet_id,
            "vpc-id" => &self.vpc_id,
            _ => return tag_facts(name, tag_pairs(&self.tag_set)),
        };
        Some(vec![Cow::Borrowed(fact)])
    }
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
            .map(|(interface, instance, own)| {
                let shown = NetworkInterface::of(interface, instance, own, reach);
                (interface.id.clone(), shown)
            })
            .collect();
        let page = select(shown, &filters, &page)?;
        Ok(Response { network_interface_set: page.results.into(), next_token: page.next_token })
    }
}

type Found<'e> = (&'e Interface, &'e Instance, &'e ScopeState);

/// Interfaces go with their instance, so those of terminated ones are not there.
fn selected<'e>(selection: &Selection<'e, InterfaceId>) -> Result<Vec<Found<'e>>, ApiError> {
    let find = |own: &'e ScopeState, id: &InterfaceId| -> Option<Found<'e>> {
        let instance = own.instances.get(own.interfaces.get(id)?)?;
        let interface = instance.interfaces.iter().find(|interface| interface.id == *id)?;
        Some((interface, instance, own))
    };
    if selection.ids.is_empty() {
        let all = selection.scopes.iter().copied();
        return Ok(all
            .flat_map(|own| own.interfaces.keys().filter_map(move |id| find(own, id)))
            .collect());
    }
    let mut found = Vec::new();
    let mut unknown = Vec::new();
    for id in &selection.ids {
        match selection.scopes.iter().find_map(|own| find(own, id)) {
            Some(interface) => found.push(interface),
            None => unknown.push(id.clone()),
        }
    }
    match unknown.is_empty() {
        true => Ok(found),
        false => Err(none_has(
            &unknown,
            "networkInterface",
            Code::InvalidNetworkInterfaceIdNotFound,
        )),
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
