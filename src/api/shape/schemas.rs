//! The schemas of types that cannot derive theirs: the domain's, which know nothing of schemas,
//! and those that write themselves.

use crate::{
    api::{
        shapes::{not_honoured::NotHonoured, shown::Shown},
        time::DateTime,
    },
    domain::{
        account::SecretKey,
        credential::CredentialStatus,
        dns_name::{PrivateDnsName, PublicDnsName},
        elastic_address::AddressDomain,
        id::{
            AccountId, AllocationId, AssociationId, AttachmentId, ImageId, InstanceId, InterfaceId,
            KeyPairId, RegionName, SecurityGroupId, SecurityGroupRuleId, SubnetId, VpcId, ZoneName,
        },
    },
};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use std::borrow::Cow;

/// What a schema holds that says nothing else.
pub(super) const NOT_HONOURED: &str = "notHonoured";

macro_rules! schemas {
    ($($type:ty $([$parameter:ident])? => $schema:tt),+ $(,)?) => {$(
        impl$(<$parameter>)? JsonSchema for $type {
            fn inline_schema() -> bool {
                true
            }

            fn schema_name() -> Cow<'static, str> {
                stringify!($type).into()
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!($schema)
            }
        }
    )+};
}

schemas! {
    AccountId => { "type": "string" },
    AddressDomain => { "type": "string" },
    AllocationId => { "type": "string" },
    AssociationId => { "type": "string" },
    AttachmentId => { "type": "string" },
    CredentialStatus => { "type": "string" },
    DateTime => { "type": "string", "format": "date-time" },
    ImageId => { "type": "string" },
    InstanceId => { "type": "string" },
    InterfaceId => { "type": "string" },
    KeyPairId => { "type": "string" },
    NotHonoured => { "notHonoured": true },
    PrivateDnsName => { "type": "string" },
    PublicDnsName => { "type": "string" },
    RegionName => { "type": "string" },
    SecretKey => { "type": "string" },
    SecurityGroupId => { "type": "string" },
    SecurityGroupRuleId => { "type": "string" },
    Shown<T> [T] => { "type": "string" },
    SubnetId => { "type": "string" },
    VpcId => { "type": "string" },
    ZoneName => { "type": "string" },
}

/// The schema of a type that is written as another one is.
macro_rules! written_as {
    ($type:ty => $written:ty) => {
        impl schemars::JsonSchema for $type {
            fn inline_schema() -> bool {
                true
            }

            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($type).into()
            }

            fn json_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
                <$written>::json_schema(generator)
            }
        }
    };
}
pub(in crate::api) use written_as;
