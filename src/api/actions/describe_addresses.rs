//! DescribeAddresses: the account's elastic addresses, and what they lead to.
//!
//! The addresses that instances have anyway are no elastic ones, here as on EC2.

use crate::{
    api::{
        action::{Action, Exchange},
        error::{ApiError, Code},
        fault,
        filters::{FilterParameter, read_filters},
        response::Set,
        selection::{Selection, none_has},
        shapes::elastic_address::{AddressElement, public_address},
    },
    domain::{
        cloud_state::ScopeState,
        elastic_address::{AddressFault, ElasticAddress},
        id::AllocationId,
    },
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::{net::Ipv4Addr, sync::Arc};

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct DescribeAddresses {
    #[serde(default)]
    public_ip: Vec<String>,
    #[serde(default)]
    allocation_id: Vec<String>,
    #[serde(default)]
    filter: Vec<FilterParameter>,
}

#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Response {
    addresses_set: Set<AddressElement>,
}

impl Action for DescribeAddresses {
    const NAME: &'static str = "DescribeAddresses";
    type Response = Response;

    async fn perform(self, exchange: &Exchange) -> Result<Response, ApiError> {
        let filters = read_filters::<AddressElement>(&self.filter)?;
        let selection = Selection::<AllocationId>::read(&self.allocation_id, exchange)?;
        let wanted = self.public_ip.iter().map(|text| public_address(text));
        let wanted = wanted.collect::<Result<Vec<Ipv4Addr>, _>>()?;
        let reach = exchange.settings.reach;
        let mut shown = Vec::new();
        for address in selected(&selection)? {
            let own = exchange.state.scope(&address.scope);
            let named = wanted.is_empty() || wanted.contains(&reach.shown(address.address));
            let Some(own) = own.filter(|_| named) else { continue };
            let element = AddressElement::of(address, own, reach);
            if filters.admit(&element)? {
                shown.push(element);
            }
        }
        let is_there = |wanted: &&Ipv4Addr| {
            let mut own = selection.scopes.iter().flat_map(|own| own.elastic_addresses.values());
            own.any(|own| reach.shown(own.address) == **wanted)
        };
        match wanted.iter().find(|wanted| !is_there(wanted)) {
            Some(absent) => {
                Err(fault::api_error(AddressFault::AddressNotFound(*absent).into()))
            }
            None => Ok(Response { addresses_set: shown.into() }),
        }
    }
}

/// Those that the ids name, or all of them.
pub(super) fn selected<'e>(
    selection: &Selection<'e, AllocationId>,
) -> Result<Vec<&'e Arc<ElasticAddress>>, ApiError> {
    let found = selection.find(|own: &ScopeState| &own.elastic_addresses);
    let found = found.map_err(|ids| none_has(&ids, "allocation", Code::InvalidAllocationIdNotFound))?;
    Ok(found.into_iter().map(|(_, address)| address).collect())
}

#[cfg(test)]
mod tests {
    use super::super::testing::{BOB, TestCloud};

    const DESCRIBE: &str = "DescribeAddresses";

    /// `eipalloc-1` leads to `i-1`, `eipalloc-2` nowhere, and Bob has another.
    async fn cloud() -> TestCloud {
        let cloud = TestCloud::start().await;
        let instance = cloud.launch(1).await.remove(0);
        cloud.settle().await;
        let tags = "TagSpecification.1.ResourceType=elastic-ip\
                    &TagSpecification.1.Tag.1.Key=team&TagSpecification.1.Tag.1.Value=a";
        for (cloud, query) in [
            (&cloud, format!("Address=198.51.100.242&{tags}")),
            (&cloud, "Address=198.51.100.243".to_owned()),
            (&cloud.of(BOB), "Address=198.51.100.244".to_owned()),
        ] {
            cloud.call("AllocateAddress", &query).await.unwrap();
        }
        let query = format!("AllocationId=eipalloc-1&InstanceId={instance}");
        cloud.call("AssociateAddress", &query).await.unwrap();
        cloud
    }

    #[actix_web::test]
    async fn an_address_shows_what_it_leads_to() {
        let cloud = cloud().await;
        let interfaces = "Filter.1.Name=attachment.device-index&Filter.1.Value.1=0";
        let private =
            cloud.value("DescribeNetworkInterfaces", interfaces, "privateIpAddress").await;
        let answer = format!(
            "<addressesSet><item><instanceId>i-1</instanceId><publicIp>198.51.100.242</publicIp>\
             <allocationId>eipalloc-1</allocationId><associationId>eipassoc-1</associationId>\
             <domain>vpc</domain><networkInterfaceId>eni-1</networkInterfaceId>\
             <networkInterfaceOwnerId>111111111111</networkInterfaceOwnerId>\
             <privateIpAddress>{private}</privateIpAddress>\
             <tagSet><item><key>team</key><value>a</value></item></tagSet>\
             <publicIpv4Pool>amazon</publicIpv4Pool>\
             <networkBorderGroup>us-east-1</networkBorderGroup></item></addressesSet>"
        );
        cloud.check(DESCRIBE, "AllocationId.1=eipalloc-1", &answer).await;
        let answer = "<addressesSet><item><instanceId/><publicIp>198.51.100.243</publicIp>\
                      <allocationId>eipalloc-2</allocationId><domain>vpc</domain><tagSet/>\
                      <publicIpv4Pool>amazon</publicIpv4Pool>\
                      <networkBorderGroup>us-east-1</networkBorderGroup></item></addressesSet>";
        cloud.check(DESCRIBE, "PublicIp.1=198.51.100.243", answer).await;
    }

    #[actix_web::test]
    async fn addresses_are_found_by_what_they_are_and_lead_to() {
        let cloud = cloud().await;
        let found = async |name: &str, value: &str| {
            let query = format!("Filter.1.Name={name}&Filter.1.Value.1={value}");
            cloud.values(DESCRIBE, &query, "publicIp").await
        };
        let (one, two) = ("198.51.100.242", "198.51.100.243");
        for (name, value) in [
            ("allocation-id", "eipalloc-1"),
            ("association-id", "eipassoc-*"),
            ("instance-id", "i-*"),
            ("network-interface-id", "eni-*"),
            ("network-interface-owner-id", "111111111111"),
            ("private-ip-address", "198.51.100.*"),
            ("public-ip", one),
            ("tag:team", "a"),
            ("tag-key", "team"),
        ] {
            assert_eq!(found(name, value).await, [one], "{name}");
        }
        assert_eq!(found("allocation-id", "eipalloc-2").await, [two]);
        assert_eq!(found("domain", "vpc").await.len(), 2);
        assert_eq!(found("domain", "standard").await.len(), 0);
        assert_eq!(found("network-border-group", "us-east-1").await.len(), 2);
    }

    #[actix_web::test]
    async fn everybody_sees_their_own_and_an_administrator_everybodys_who_asks() {
        let cloud = cloud().await;
        assert_eq!(cloud.of(BOB).values(DESCRIBE, "", "publicIp").await, ["198.51.100.244"]);
        let all = "AllocationId.1=verbose";
        assert_eq!(cloud.administrator().values(DESCRIBE, all, "publicIp").await.len(), 3);
        cloud.in_region("eu-west-1").check(DESCRIBE, "", "<addressesSet/>").await;
    }

    #[actix_web::test]
    async fn one_asked_for_by_name_that_is_not_there_is_refused() {
        let cloud = cloud().await;
        for (query, code) in [
            ("PublicIp.1=10.0.0.1", "InvalidAddress.NotFound"),
            ("PublicIp.1=198.51.100.242&PublicIp.2=198.51.100.244", "InvalidAddress.NotFound"),
            ("PublicIp.1=10.0.0", "InvalidParameterValue"),
            ("AllocationId.1=eipalloc-12345678", "InvalidAllocationID.NotFound"),
            ("AllocationId.1=nonsense", "InvalidAllocationID.NotFound"),
            ("Filter.1.Name=colour&Filter.1.Value.1=x", "InvalidParameterValue"),
        ] {
            cloud.check_refused(DESCRIBE, query, code, "").await;
        }
    }
}
