//! AssociateAddress: has an elastic address lead to an instance, taking it from another if need be.

use crate::{
    api::{
        action::{Action, Exchange},
        error::{ApiError, Code},
        shapes::elastic_address::{address_named, public_address},
    },
    domain::{
        elastic_address::AddressDomain,
        id::{AllocationId, AssociationId, InstanceId, InterfaceId},
    },
    messages::cloud::elastic_address::{self as command, AddressTarget, Reassociation},
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct AssociateAddress {
    allocation_id: Option<AllocationId>,
    public_ip: Option<String>,
    instance_id: Option<InstanceId>,
    network_interface_id: Option<InterfaceId>,
    private_ip_address: Option<String>,
    /// EC2 reassociates unless told not to.
    allow_reassociation: Option<bool>,
}

#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Response {
    #[serde(rename = "return")]
    done: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    association_id: Option<AssociationId>,
}

impl Action for AssociateAddress {
    const NAME: &'static str = "AssociateAddress";
    type Response = Response;

    async fn perform(self, exchange: &Exchange) -> Result<Response, ApiError> {
        let address = address_named(self.allocation_id, self.public_ip.as_deref())?;
        let target = match (self.instance_id, self.network_interface_id) {
            (Some(id), None) => AddressTarget::Instance(id),
            (None, Some(id)) => AddressTarget::Interface(id),
            (Some(_), Some(_)) => {
                return Err(ApiError::invalid_combination(
                    "You may specify instance id or network interface id, but not both in the \
                     same call",
                ));
            }
            (None, None) => {
                return Err(ApiError::new(
                    Code::MissingParameter,
                    "Either instance id or network interface id must be specified",
                ));
            }
        };
        let command = command::AssociateAddress {
            address,
            target,
            private_address: self.private_ip_address.as_deref().map(public_address).transpose()?,
            reassociation: match self.allow_reassociation {
                Some(false) => Reassociation::Refused,
                Some(true) | None => Reassociation::Allowed,
            },
        };
        let associated = exchange.command(command).await?;
        let has_id = associated.domain == AddressDomain::Vpc;
        Ok(Response { done: true, association_id: has_id.then_some(associated.id) })
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{BOB, TestCloud};

    const ASSOCIATE: &str = "AssociateAddress";
    const ADDRESS: &str = "198.51.100.242";

    /// Two running instances, `i-1` and `i-2`, and `eipalloc-1`.
    async fn cloud() -> TestCloud {
        let cloud = TestCloud::start().await;
        cloud.launch(2).await;
        cloud.settle().await;
        cloud.call("AllocateAddress", &format!("Address={ADDRESS}")).await.unwrap();
        // Their aliases are in the order in which they are described.
        cloud.call("DescribeInstances", "").await.unwrap();
        cloud
    }

    /// The public address that an instance shows in DescribeInstances.
    async fn shown(cloud: &TestCloud, instance: &str) -> String {
        let query = format!("InstanceId.1={instance}");
        cloud.value("DescribeInstances", &query, "ipAddress").await
    }

    #[actix_web::test]
    async fn the_instance_shows_the_address_and_its_own_when_it_is_gone() {
        let cloud = cloud().await;
        let own = shown(&cloud, "i-1").await;
        let query = "AllocationId=eipalloc-1&InstanceId=i-1";
        let answer = "<return>true</return><associationId>eipassoc-1</associationId>";
        cloud.check(ASSOCIATE, query, answer).await;
        cloud.check(ASSOCIATE, query, answer).await;
        assert_eq!(shown(&cloud, "i-1").await, ADDRESS);
        for (action, filter, element, value) in [
            ("DescribeInstances", "ip-address", "dnsName", ADDRESS),
            ("DescribeInstances", "dns-name", "ipOwnerId", "111111111111"),
            ("DescribeInstances", "network-interface.association.public-ip", "publicIp", ADDRESS),
            ("DescribeNetworkInterfaces", "association.public-ip", "associationId", "eipassoc-1"),
            ("DescribeNetworkInterfaces", "association.public-ip", "allocationId", "eipalloc-1"),
            ("DescribeNetworkInterfaces", "association.public-dns-name", "publicIp", ADDRESS),
        ] {
            let query = format!("Filter.1.Name={filter}&Filter.1.Value.1={ADDRESS}");
            assert_eq!(cloud.value(action, &query, element).await, value, "{action} {filter}");
        }
        let by_id = "Filter.1.Name=network-interface.association.association-id\
                     &Filter.1.Value.1=eipassoc-1";
        assert_eq!(cloud.values("DescribeInstances", by_id, "instanceId").await[0], "i-1");
        cloud.call("DisassociateAddress", "AssociationId=eipassoc-1").await.unwrap();
        assert_eq!(shown(&cloud, "i-1").await, own);
    }

    #[actix_web::test]
    async fn it_moves_unless_that_is_not_allowed_and_displaces_another() {
        let cloud = cloud().await;
        let other = cloud.value("AllocateAddress", "Address=198.51.100.243", "publicIp").await;
        let to = |allocation: &str, instance: &str| {
            format!("AllocationId=eipalloc-{allocation}&InstanceId=i-{instance}")
        };
        cloud.call(ASSOCIATE, &to("1", "1")).await.unwrap();
        cloud.call(ASSOCIATE, &to("2", "2")).await.unwrap();
        let code = "Resource.AlreadyAssociated";
        let text = "resource eipalloc-1 is already associated with associate-id eipassoc-1";
        let refused = format!("{}&AllowReassociation=false", to("1", "2"));
        cloud.check_refused(ASSOCIATE, &refused, code, text).await;
        cloud.call("DisassociateAddress", "AssociationId=eipassoc-1").await.unwrap();
        let text = "is already associated with associate-id eipassoc-2";
        cloud.check_refused(ASSOCIATE, &refused, code, text).await;
        assert_eq!(shown(&cloud, "i-2").await, other);
        cloud.call(ASSOCIATE, &to("1", "1")).await.unwrap();
        cloud.call(ASSOCIATE, &to("1", "2")).await.unwrap();
        assert_eq!(shown(&cloud, "i-2").await, ADDRESS);
        let free = "Filter.1.Name=association-id&Filter.1.Value.1=*";
        let associated = cloud.values("DescribeAddresses", free, "publicIp").await;
        assert_eq!(associated, [ADDRESS], "the other leads nowhere, and is the account's still");
        cloud.call("ReleaseAddress", "AllocationId=eipalloc-2").await.unwrap();
    }

    #[actix_web::test]
    async fn it_leads_to_the_public_interface_however_that_is_named() {
        let cloud = cloud().await;
        let query = "Filter.1.Name=attachment.instance-id&Filter.1.Value.1=i-1\
                     &Filter.2.Name=attachment.device-index&Filter.2.Value.1=";
        let interface = async |device: &str, element: &str| {
            let query = format!("{query}{device}");
            cloud.value("DescribeNetworkInterfaces", &query, element).await
        };
        let (public, address) =
            (interface("0", "networkInterfaceId").await, interface("0", "privateIpAddress").await);
        let to = |what: &str| format!("PublicIp={ADDRESS}&{what}");
        let query = to(&format!("NetworkInterfaceId={public}&PrivateIpAddress={address}"));
        cloud.call(ASSOCIATE, &query).await.unwrap();
        assert_eq!(cloud.value("DescribeAddresses", "", "networkInterfaceId").await, public);
        assert_eq!(cloud.value("DescribeAddresses", "", "privateIpAddress").await, address);
        let private = interface("1", "networkInterfaceId").await;
        let query = to(&format!("NetworkInterfaceId={private}"));
        cloud.check_refused(ASSOCIATE, &query, "UnsupportedOperation", "device index 0").await;
        let private = interface("1", "privateIpAddress").await;
        cloud.call(ASSOCIATE, &to(&format!("InstanceId=i-1&PrivateIpAddress={private}"))).await.unwrap();
        let query = to("InstanceId=i-1&PrivateIpAddress=192.0.2.1");
        cloud.check_refused(ASSOCIATE, &query, "InvalidParameterValue", "192.0.2.1").await;
    }

    #[actix_web::test]
    async fn what_is_not_there_or_not_ones_own_or_not_ready_is_refused() {
        let cloud = cloud().await;
        let bob = cloud.of(BOB);
        bob.call("AllocateAddress", "Address=198.51.100.243").await.unwrap();
        let pending = cloud.launch(1).await.remove(0);
        for (query, code) in [
            ("AllocationId=eipalloc-12345678&InstanceId=i-1".to_owned(), "InvalidAllocationID.NotFound"),
            ("AllocationId=nonsense&InstanceId=i-1".to_owned(), "InvalidAllocationID.NotFound"),
            ("PublicIp=198.51.100.244&InstanceId=i-1".to_owned(), "InvalidAddress.NotFound"),
            ("PublicIp=198.51.100.243&InstanceId=i-1".to_owned(), "AuthFailure"),
            ("AllocationId=eipalloc-1&InstanceId=i-12345678".to_owned(), "InvalidInstanceID.NotFound"),
            (
                "AllocationId=eipalloc-1&NetworkInterfaceId=eni-12345678".to_owned(),
                "InvalidNetworkInterfaceID.NotFound",
            ),
            (format!("AllocationId=eipalloc-1&InstanceId={pending}"), "InvalidInstanceID"),
            ("AllocationId=eipalloc-1".to_owned(), "MissingParameter"),
            ("InstanceId=i-1".to_owned(), "MissingParameter"),
            (
                format!("AllocationId=eipalloc-1&PublicIp={ADDRESS}&InstanceId=i-1"),
                "InvalidParameterCombination",
            ),
            (
                "AllocationId=eipalloc-1&InstanceId=i-1&NetworkInterfaceId=eni-12345678".to_owned(),
                "InvalidParameterCombination",
            ),
            ("AllocationId=eipalloc-1&InstanceId=i-1&DryRun=true".to_owned(), "DryRunOperation"),
        ] {
            cloud.check_refused(ASSOCIATE, &query, code, "").await;
        }
        let query = "PublicIp=198.51.100.243&InstanceId=i-1";
        bob.check_refused(ASSOCIATE, query, "InvalidInstanceID.NotFound", "").await;
        cloud.check("DescribeAddresses", "Filter.1.Name=instance-id&Filter.1.Value.1=i-*", "<addressesSet/>").await;
    }

    #[actix_web::test]
    async fn one_of_the_older_kind_moves_without_asking_and_has_no_ids() {
        let cloud = cloud().await;
        let old = cloud.value("AllocateAddress", "Domain=standard", "publicIp").await;
        for instance in ["i-1", "i-2"] {
            let query = format!("PublicIp={old}&InstanceId={instance}&AllowReassociation=false");
            cloud.check(ASSOCIATE, &query, "<return>true</return>").await;
        }
        assert_eq!(shown(&cloud, "i-2").await, old);
        let release = format!("PublicIp={old}");
        cloud.check("ReleaseAddress", &release, "<return>true</return>").await;
        assert_ne!(shown(&cloud, "i-2").await, old);
    }
}
