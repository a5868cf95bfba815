//! The EC2 actions there are: one file each, one line each in the list below.
//!
//! The list makes the dispatch and the list of names; what is not in it is `InvalidAction`.

use super::{
    action::{Action, Exchange},
    error::ApiError,
    parameters::Parameters,
    query, response,
    service::Service,
    shape::ActionShape,
};

macro_rules! actions {
    ($($module:ident :: $action:ident),+ $(,)?) => {
        $(pub mod $module;)+

        /// Every action by name, in the order of the list.
        pub const NAMES: &[&str] = &[$(<$module::$action as Action>::NAME),+];

        /// Performs the action named and renders its answer.
        pub async fn perform(call: &ActionCall<'_>, exchange: &Exchange) -> Result<String, ApiError> {
            $(if call.is_for::<$module::$action>() {
                return run::<$module::$action>(call, exchange).await;
            })+
            Err(ApiError::invalid_action(call.name))
        }

        /// What every action reads and answers, in the order of the list.
        pub fn shapes() -> Vec<ActionShape> {
            vec![$(ActionShape::of::<$module::$action>()),+]
        }

        /// Whether an action takes the parameters, without performing it.
        #[cfg(test)]
        pub fn check(service: Service, name: &str, given: &Parameters) -> Result<(), ApiError> {
            let call = ActionCall { service, name, version: "", parameters: given };
            $(if call.is_for::<$module::$action>() {
                return query::read::<$module::$action>(given).map(drop);
            })+
            Err(ApiError::invalid_action(name))
        }
    };
}

#[cfg(test)]
mod rules_reach_ports;
#[cfg(test)]
pub mod testing;

actions! {
    // Addresses.
    allocate_address::AllocateAddress,
    associate_address::AssociateAddress,
    describe_addresses::DescribeAddresses,
    describe_addresses_attribute::DescribeAddressesAttribute,
    disassociate_address::DisassociateAddress,
    release_address::ReleaseAddress,

    // Accounts, hosts, and who is asking.
    create_account::CreateAccount,
    create_join_token::CreateJoinToken,
    evict_node::EvictNode,
    describe_account_attributes::DescribeAccountAttributes,
    describe_accounts::DescribeAccounts,
    get_caller_identity::GetCallerIdentity,

    // Users' credentials, in IAM.
    create_access_key::CreateAccessKey,
    create_signing_certificate::CreateSigningCertificate,
    delete_access_key::DeleteAccessKey,
    delete_signing_certificate::DeleteSigningCertificate,
    get_user::GetUser,
    list_access_keys::ListAccessKeys,
    list_signing_certificates::ListSigningCertificates,
    update_access_key::UpdateAccessKey,
    update_signing_certificate::UpdateSigningCertificate,
    upload_signing_certificate::UploadSigningCertificate,

    // Images.
    deregister_image::DeregisterImage,
    describe_image_attribute::DescribeImageAttribute,
    describe_images::DescribeImages,
    modify_image_attribute::ModifyImageAttribute,
    register_image::RegisterImage,

    // Instance types.
    describe_instance_type_offerings::DescribeInstanceTypeOfferings,
    describe_instance_types::DescribeInstanceTypes,

    // Instances.
    describe_instance_attribute::DescribeInstanceAttribute,
    describe_instance_status::DescribeInstanceStatus,
    describe_instances::DescribeInstances,
    get_console_output::GetConsoleOutput,
    modify_instance_attribute::ModifyInstanceAttribute,
    modify_instance_metadata_options::ModifyInstanceMetadataOptions,
    reboot_instances::RebootInstances,
    run_instances::RunInstances,
    start_instances::StartInstances,
    stop_instances::StopInstances,
    terminate_instances::TerminateInstances,

    // Key pairs.
    create_key_pair::CreateKeyPair,
    delete_key_pair::DeleteKeyPair,
    describe_key_pairs::DescribeKeyPairs,
    import_key_pair::ImportKeyPair,

    // Regions and zones.
    describe_availability_zones::DescribeAvailabilityZones,
    describe_capacity::DescribeCapacity,
    describe_regions::DescribeRegions,

    // Security groups.
    create_security_group::CreateSecurityGroup,
    delete_security_group::DeleteSecurityGroup,
    describe_security_groups::DescribeSecurityGroups,
    authorize_security_group_egress::AuthorizeSecurityGroupEgress,
    authorize_security_group_ingress::AuthorizeSecurityGroupIngress,
    revoke_security_group_egress::RevokeSecurityGroupEgress,
    revoke_security_group_ingress::RevokeSecurityGroupIngress,
    describe_security_group_rules::DescribeSecurityGroupRules,
    modify_security_group_rules::ModifySecurityGroupRules,
    update_security_group_rule_descriptions_egress::UpdateSecurityGroupRuleDescriptionsEgress,
    update_security_group_rule_descriptions_ingress::UpdateSecurityGroupRuleDescriptionsIngress,

    // Networks.
    assign_private_ip_addresses::AssignPrivateIpAddresses,
    attach_network_interface::AttachNetworkInterface,
    create_network_interface::CreateNetworkInterface,
    create_subnet::CreateSubnet,
    create_vpc::CreateVpc,
    delete_network_interface::DeleteNetworkInterface,
    delete_subnet::DeleteSubnet,
    delete_vpc::DeleteVpc,
    describe_network_interface_attribute::DescribeNetworkInterfaceAttribute,
    describe_network_interfaces::DescribeNetworkInterfaces,
    describe_subnets::DescribeSubnets,
    describe_vpc_attribute::DescribeVpcAttribute,
    describe_vpcs::DescribeVpcs,
    detach_network_interface::DetachNetworkInterface,
    modify_network_interface_attribute::ModifyNetworkInterfaceAttribute,
    modify_subnet_attribute::ModifySubnetAttribute,
    modify_vpc_attribute::ModifyVpcAttribute,
    unassign_private_ip_addresses::UnassignPrivateIpAddresses,

    // Tags.
    create_tags::CreateTags,
    delete_tags::DeleteTags,
    describe_tags::DescribeTags,
}

/// An action as it was called.
#[derive(Debug)]
pub struct ActionCall<'a> {
    pub service: Service,
    pub name: &'a str,
    pub version: &'a str,
    pub parameters: &'a Parameters,
}

impl ActionCall<'_> {
    fn is_for<A: Action>(&self) -> bool {
        self.service == A::SERVICE && self.name == A::NAME
    }
}

async fn run<A: Action>(call: &ActionCall<'_>, exchange: &Exchange) -> Result<String, ApiError> {
    // IAM has no dry runs: whoever asks for one is not to believe that it was done.
    if exchange.dry_run && A::SERVICE == Service::Iam {
        return Err(ApiError::unknown_parameter("DryRun"));
    }
    let action: A = query::read(call.parameters)?;
    let answer = action.perform(exchange).await?;
    // Reads have been rehearsed by doing them; commands have been refused by the cloud already.
    if exchange.dry_run {
        return Err(ApiError::dry_run());
    }
    match call.service {
        Service::Ec2 => {
            response::render(A::NAME, call.version, &exchange.cause.request_id, &answer)
        }
        Service::Sts => response::render_sts(A::NAME, &exchange.cause.request_id, &answer),
        Service::Iam => response::render_iam(A::NAME, &exchange.cause.request_id, &answer),
    }
}
