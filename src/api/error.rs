//! What EC2 says when it refuses: a code, a text, an HTTP status.
//!
//! Every code this endpoint can utter stands in one list, with its status. Texts are the ones AWS
//! uses wherever clients are known to look at them. Which fault of the cloud becomes which code is
//! decided in exhaustive matches by those who know the fault; here are the words.

use super::{response, service::Service};
use crate::domain::filter::InvalidFilter;
use crate::domain::id::MalformedId;
use actix_web::http::StatusCode;
use serde::Serialize;

macro_rules! codes {
    ($($name:ident $text:literal $status:literal)+) => {
        /// An error code of EC2 (or of STS and IAM, for the calls of them that are answered here).
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Code { $($name),+ }

        impl Code {
            pub const ALL: &'static [Code] = &[$(Code::$name),+];

            pub fn as_str(self) -> &'static str {
                match self { $(Code::$name => $text),+ }
            }

            fn status_number(self) -> u16 {
                match self { $(Code::$name => $status),+ }
            }
        }
    };
}

codes! {
    // The request as such.
    AuthFailure "AuthFailure" 401
    InvalidClientTokenId "InvalidClientTokenId" 403
    SignatureDoesNotMatch "SignatureDoesNotMatch" 403
    IncompleteSignature "IncompleteSignature" 400
    MissingAuthenticationToken "MissingAuthenticationToken" 403
    RequestExpired "RequestExpired" 400
    UnauthorizedOperation "UnauthorizedOperation" 403
    OperationNotPermitted "OperationNotPermitted" 400
    DryRunOperation "DryRunOperation" 412
    InvalidAction "InvalidAction" 400
    UnsupportedOperation "UnsupportedOperation" 400
    UnsupportedProtocol "UnsupportedProtocol" 400
    Unsupported "Unsupported" 400
    MalformedQueryString "MalformedQueryString" 400
    InvalidSoapRequest "InvalidSOAPRequest" 400
    InvalidSecurity "InvalidSecurity" 403
    InvalidSecurityRequestHasExpired "InvalidSecurity.RequestHasExpired" 403
    VersionMismatch "VersionMismatch" 400
    MustUnderstand "MustUnderstand" 400
    MissingAction "MissingAction" 400
    MissingParameter "MissingParameter" 400
    UnknownParameter "UnknownParameter" 400
    InvalidParameterCombination "InvalidParameterCombination" 400
    InvalidParameterValue "InvalidParameterValue" 400
    InvalidParameter "InvalidParameter" 400
    InvalidNextToken "InvalidNextToken" 400
    IdempotentParameterMismatch "IdempotentParameterMismatch" 400
    NotFound "NotFound" 404
    MethodNotAllowed "MethodNotAllowed" 405
    RequestTimeout "RequestTimeout" 408
    RequestEntityTooLarge "RequestEntityTooLarge" 413

    // The cloud's own condition.
    InternalError "InternalError" 500
    InsufficientInstanceCapacity "InsufficientInstanceCapacity" 500
    InsufficientFreeAddressesInSubnet "InsufficientFreeAddressesInSubnet" 400
    InsufficientAddressCapacity "InsufficientAddressCapacity" 503
    RequestLimitExceeded "RequestLimitExceeded" 503
    ServiceUnavailable "ServiceUnavailable" 503
    Unavailable "Unavailable" 503

    // Instances.
    InvalidInstanceId "InvalidInstanceID" 400
    InvalidInstanceIdMalformed "InvalidInstanceID.Malformed" 400
    InvalidInstanceIdNotFound "InvalidInstanceID.NotFound" 400
    IncorrectInstanceState "IncorrectInstanceState" 400
    IncorrectState "IncorrectState" 400
    InstanceLimitExceeded "InstanceLimitExceeded" 400
    InvalidInstanceType "InvalidInstanceType" 400
    InvalidInstanceAttributeValue "InvalidInstanceAttributeValue" 400
    InvalidReservationIdMalformed "InvalidReservationID.Malformed" 400
    InvalidReservationIdNotFound "InvalidReservationID.NotFound" 400
    InvalidUserDataMalformed "InvalidUserData.Malformed" 400
    InvalidZoneNotFound "InvalidZone.NotFound" 400
    MaxConfigLimitExceeded "MaxConfigLimitExceeded" 400
    VcpuLimitExceeded "VcpuLimitExceeded" 400

    // Images and block devices.
    InvalidAmiIdMalformed "InvalidAMIID.Malformed" 400
    InvalidAmiIdNotFound "InvalidAMIID.NotFound" 400
    InvalidAmiIdUnavailable "InvalidAMIID.Unavailable" 400
    InvalidAmiNameDuplicate "InvalidAMIName.Duplicate" 400
    InvalidAmiNameMalformed "InvalidAMIName.Malformed" 400
    InvalidBlockDeviceMapping "InvalidBlockDeviceMapping" 400
    InvalidManifest "InvalidManifest" 400
    InvalidVolumeIdMalformed "InvalidVolumeID.Malformed" 400
    InvalidVolumeNotFound "InvalidVolume.NotFound" 400
    InvalidSnapshotIdMalformed "InvalidSnapshotID.Malformed" 400
    InvalidSnapshotNotFound "InvalidSnapshot.NotFound" 400

    // Keys, security groups, tags.
    InvalidKeyFormat "InvalidKey.Format" 400
    InvalidKeyPairDuplicate "InvalidKeyPair.Duplicate" 400
    InvalidKeyPairFormat "InvalidKeyPair.Format" 400
    InvalidKeyPairIdMalformed "InvalidKeyPairID.Malformed" 400
    InvalidKeyPairNotFound "InvalidKeyPair.NotFound" 400
    KeyPairLimitExceeded "KeyPairLimitExceeded" 400
    CannotDelete "CannotDelete" 400
    DependencyViolation "DependencyViolation" 400
    InvalidGroupDuplicate "InvalidGroup.Duplicate" 400
    InvalidGroupIdMalformed "InvalidGroupId.Malformed" 400
    InvalidGroupInUse "InvalidGroup.InUse" 400
    InvalidGroupNotFound "InvalidGroup.NotFound" 400
    InvalidGroupReserved "InvalidGroup.Reserved" 400
    InvalidPermissionDuplicate "InvalidPermission.Duplicate" 400
    InvalidPermissionMalformed "InvalidPermission.Malformed" 400
    InvalidPermissionNotFound "InvalidPermission.NotFound" 400
    InvalidPrefixListIdNotFound "InvalidPrefixListID.NotFound" 400
    InvalidSecurityGroupIdNotFound "InvalidSecurityGroupID.NotFound" 400
    InvalidSecurityGroupRuleIdMalformed "InvalidSecurityGroupRuleId.Malformed" 400
    InvalidSecurityGroupRuleIdNotFound "InvalidSecurityGroupRuleId.NotFound" 400
    RulesPerSecurityGroupLimitExceeded "RulesPerSecurityGroupLimitExceeded" 400
    SecurityGroupLimitExceeded "SecurityGroupLimitExceeded" 400
    InvalidId "InvalidID" 400
    InvalidTagKeyMalformed "InvalidTagKey.Malformed" 400
    TagLimitExceeded "TagLimitExceeded" 400

    // Networks and addresses.
    InvalidAddressNotFound "InvalidAddress.NotFound" 400
    InvalidAddressIdNotFound "InvalidAddressID.NotFound" 400
    InvalidAllocationIdNotFound "InvalidAllocationID.NotFound" 400
    InvalidAssociationIdNotFound "InvalidAssociationID.NotFound" 400
    AddressLimitExceeded "AddressLimitExceeded" 400
    InvalidIpAddressInUse "InvalidIPAddress.InUse" 400
    InvalidPublicIpv4PoolIdNotFound "InvalidPublicIpv4PoolID.NotFound" 400
    ResourceAlreadyAssociated "Resource.AlreadyAssociated" 400
    InvalidAttachmentIdMalformed "InvalidAttachmentID.Malformed" 400
    InvalidAttachmentIdNotFound "InvalidAttachmentID.NotFound" 400
    InvalidNetworkInterfaceIdMalformed "InvalidNetworkInterfaceId.Malformed" 400
    InvalidNetworkInterfaceIdNotFound "InvalidNetworkInterfaceID.NotFound" 400
    InvalidNetworkInterfaceInUse "InvalidNetworkInterface.InUse" 400
    PrivateIpAddressLimitExceeded "PrivateIpAddressLimitExceeded" 400
    AttachmentLimitExceeded "AttachmentLimitExceeded" 400
    InvalidSubnetConflict "InvalidSubnet.Conflict" 400
    InvalidSubnetRange "InvalidSubnet.Range" 400
    InvalidSubnetIdMalformed "InvalidSubnetID.Malformed" 400
    InvalidSubnetIdNotFound "InvalidSubnetID.NotFound" 400
    InvalidVpcRange "InvalidVpc.Range" 400
    InvalidVpcIdMalformed "InvalidVpcID.Malformed" 400
    InvalidVpcIdNotFound "InvalidVpcID.NotFound" 400
    VpcLimitExceeded "VpcLimitExceeded" 400
    VpcIdNotSpecified "VPCIdNotSpecified" 400

    // Credentials, in IAM's words.
    AccessDenied "AccessDenied" 403
    ValidationError "ValidationError" 400
    NoSuchEntity "NoSuchEntity" 404
    LimitExceeded "LimitExceeded" 409
    UnmodifiableEntity "UnmodifiableEntity" 400
    DuplicateCertificate "DuplicateCertificate" 409
    InvalidCertificate "InvalidCertificate" 400
    MalformedCertificate "MalformedCertificate" 400
}

impl Code {
    pub fn status(self) -> StatusCode {
        StatusCode::from_u16(self.status_number())
            .expect("every status in the list is a three-digit number")
    }
}

/// A refusal as the client sees it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}: {message}", code.as_str())]
pub struct ApiError {
    pub code: Code,
    pub message: String,
}

impl ApiError {
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        Self { code, message: message.into() }
    }

    pub fn status(&self) -> StatusCode {
        self.code.status()
    }

    /// Terraform tells "this cloud does not have that" from a failure by this very text.
    pub fn invalid_action(action: &str) -> Self {
        let action = echo(action);
        Self::new(
            Code::InvalidAction,
            format!("The action {action} is not valid for this web service."),
        )
    }

    pub fn missing_action() -> Self {
        Self::new(Code::MissingAction, "The request must contain the parameter Action")
    }

    pub fn missing_parameter(name: &str) -> Self {
        let name = echo(name);
        Self::new(Code::MissingParameter, format!("The request must contain the parameter {name}"))
    }

    pub fn unknown_parameter(name: &str) -> Self {
        let name = echo(name);
        Self::new(Code::UnknownParameter, format!("The parameter {name} is not recognized"))
    }

    /// `reason` is a sentence saying what would have been valid.
    pub fn invalid_value(name: &str, value: &str, reason: &str) -> Self {
        let (name, value) = (echo(name), echo(value));
        let message = format!("Invalid value '{value}' for {name}. {reason}");
        Self::new(Code::InvalidParameterValue, message.trim_end())
    }

    pub fn invalid_combination(message: impl Into<String>) -> Self {
        Self::new(Code::InvalidParameterCombination, message)
    }

    pub fn malformed_query(reason: impl Into<String>) -> Self {
        Self::new(Code::MalformedQueryString, reason)
    }

    pub fn dry_run() -> Self {
        Self::new(Code::DryRunOperation, "Request would have succeeded, but DryRun flag is set.")
    }

    pub fn unauthorized() -> Self {
        Self::new(Code::UnauthorizedOperation, "You are not authorized to perform this operation.")
    }

    pub fn request_limit_exceeded() -> Self {
        Self::new(Code::RequestLimitExceeded, "Request limit exceeded.")
    }

    /// Says nothing of the cause, which belongs in the log beside the request id.
    pub fn internal() -> Self {
        Self::new(Code::InternalError, "An internal error has occurred")
    }

    /// The error document of the service that was asked.
    pub fn render_for(&self, service: Service, request_id: &str) -> String {
        match service {
            Service::Ec2 => self.render(request_id),
            Service::Sts => self.render_sts(request_id),
            Service::Iam => self.render_wrapped(response::IAM_NAMESPACE, request_id),
        }
    }

    /// EC2's error document: no namespace, and `RequestID` with a capital `ID`.
    pub fn render(&self, request_id: &str) -> String {
        let error = ErrorElement { code: self.code.as_str(), message: &self.message };
        document(&Response { errors: Errors { error }, request_id })
    }

    /// The same in STS's shape.
    pub fn render_sts(&self, request_id: &str) -> String {
        self.render_wrapped(response::STS_NAMESPACE, request_id)
    }

    fn render_wrapped(&self, xmlns: &str, request_id: &str) -> String {
        let kind = if self.status().is_server_error() { "Receiver" } else { "Sender" };
        let error = StsErrorElement { kind, code: self.code.as_str(), message: &self.message };
        document(&ErrorResponse { xmlns, error, request_id })
    }
}

/// The kinds of id that a client can get wrong, and how EC2 says so: the code, and the word for
/// the thing in the text.
const MALFORMED_IDS: [(&str, Code); 13] = [
    ("instance", Code::InvalidInstanceIdMalformed),
    ("image", Code::InvalidAmiIdMalformed),
    ("reservation", Code::InvalidReservationIdMalformed),
    ("volume", Code::InvalidVolumeIdMalformed),
    ("security-group", Code::InvalidGroupIdMalformed),
    ("security-group-rule", Code::InvalidSecurityGroupRuleIdMalformed),
    ("key-pair", Code::InvalidKeyPairIdMalformed),
    ("vpc", Code::InvalidVpcIdMalformed),
    ("subnet", Code::InvalidSubnetIdMalformed),
    ("network-interface", Code::InvalidNetworkInterfaceIdMalformed),
    ("network-interface-attachment", Code::InvalidAttachmentIdMalformed),
    // EC2 has no other code for these.
    ("elastic-ip", Code::InvalidAllocationIdNotFound),
    ("elastic-ip-association", Code::InvalidAssociationIdNotFound),
];

impl From<MalformedId> for ApiError {
    fn from(malformed: MalformedId) -> Self {
        let text = echo(&malformed.text);
        match MALFORMED_IDS.iter().find(|(kind, _)| *kind == malformed.kind) {
            Some((_, code)) => Self::new(*code, format!("Invalid id: \"{text}\"")),
            // Names (of zones, regions, accounts) have no `.Malformed` code in EC2.
            None => Self::new(
                Code::InvalidParameterValue,
                format!("Invalid value '{text}' for {}.", malformed.kind),
            ),
        }
    }
}

impl ApiError {
    /// Recovers, from the text of a serde error about the value given, the malformed id it was
    /// made from: serde carries errors of `try_from` as text only.
    pub(super) fn malformed_id_behind(error_text: &str, value: &str) -> Option<Self> {
        MALFORMED_IDS
            .iter()
            .map(|(kind, _)| MalformedId { kind, text: value.to_owned() })
            .find(|malformed| malformed.to_string() == error_text)
            .map(Self::from)
    }
}

impl From<InvalidFilter> for ApiError {
    fn from(invalid: InvalidFilter) -> Self {
        let message = match invalid {
            InvalidFilter::Unknown(name) => format!("The filter '{}' is invalid", echo(&name)),
            InvalidFilter::WithoutValue(name) => {
                format!("The filter '{}' must have at least one value", echo(&name))
            }
            InvalidFilter::TooManyValues(name) => {
                format!("The filter '{}' has too many values", echo(&name))
            }
            InvalidFilter::ValueTooLong(name) => {
                format!("A value of the filter '{}' is too long", echo(&name))
            }
        };
        Self::new(Code::InvalidParameterValue, message)
    }
}

/// What of a client's text is repeated to it: enough to recognise, never a megabyte.
pub(in crate::api) fn echo(text: &str) -> &str {
    const CHARACTERS_MAX: usize = 200;
    match text.char_indices().nth(CHARACTERS_MAX) {
        Some((end, _)) => &text[..end],
        None => text,
    }
}

fn document<T: Serialize>(error: &T) -> String {
    quick_xml::se::to_string(error)
        .expect("the error documents are structs of text fields, which always serialize")
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Response<'a> {
    errors: Errors<'a>,
    #[serde(rename = "RequestID")]
    request_id: &'a str,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Errors<'a> {
    error: ErrorElement<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct ErrorElement<'a> {
    code: &'a str,
    message: &'a str,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct ErrorResponse<'a> {
    #[serde(rename = "@xmlns")]
    xmlns: &'a str,
    error: StsErrorElement<'a>,
    request_id: &'a str,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct StsErrorElement<'a> {
    #[serde(rename = "Type")]
    kind: &'a str,
    code: &'a str,
    message: &'a str,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::id::{AttachmentId, ImageId, InstanceId, PrefixedId, SecurityGroupId};
    use std::collections::HashSet;

    #[test]
    fn an_error_is_rendered_as_ec2_does_without_a_namespace_and_with_a_capital_id() {
        let error = ApiError::invalid_value("Count", "<&>", "It must be an integer.");
        assert_eq!(
            error.render("r-1"),
            "<Response><Errors><Error><Code>InvalidParameterValue</Code>\
             <Message>Invalid value '&lt;&amp;&gt;' for Count. It must be an integer.</Message>\
             </Error></Errors><RequestID>r-1</RequestID></Response>"
        );
    }

    #[test]
    fn sts_has_its_own_shape() {
        assert_eq!(
            ApiError::internal().render_sts("r-1"),
            "<ErrorResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><Error>\
             <Type>Receiver</Type><Code>InternalError</Code>\
             <Message>An internal error has occurred</Message></Error>\
             <RequestId>r-1</RequestId></ErrorResponse>"
        );
        assert!(ApiError::unauthorized().render_sts("r").contains("<Type>Sender</Type>"));
    }

    #[test]
    fn each_service_has_its_error_document() {
        let error = ApiError::new(Code::NoSuchEntity, "gone");
        assert_eq!(
            error.render_for(Service::Iam, "r-1"),
            "<ErrorResponse xmlns=\"https://iam.amazonaws.com/doc/2010-05-08/\"><Error>\
             <Type>Sender</Type><Code>NoSuchEntity</Code><Message>gone</Message></Error>\
             <RequestId>r-1</RequestId></ErrorResponse>"
        );
        assert_eq!(error.render_for(Service::Sts, "r-1"), error.render_sts("r-1"));
        assert_eq!(error.render_for(Service::Ec2, "r-1"), error.render("r-1"));
    }

    #[test]
    fn codes_are_distinct_and_have_error_statuses() {
        let texts: HashSet<_> = Code::ALL.iter().map(|code| code.as_str()).collect();
        assert_eq!(texts.len(), Code::ALL.len());
        for code in Code::ALL {
            assert!(code.status().is_client_error() || code.status().is_server_error());
        }
    }

    #[test]
    fn a_malformed_id_has_the_code_of_its_kind() {
        fn check(malformed: MalformedId, code: &str) {
            let error = ApiError::from(malformed.clone());
            assert_eq!(error.code.as_str(), code);
            assert_eq!(error.message, "Invalid id: \"nonsense\"");
            let recovered = ApiError::malformed_id_behind(&malformed.to_string(), "nonsense");
            assert_eq!(recovered, Some(error));
        }
        check("nonsense".parse::<InstanceId>().unwrap_err(), "InvalidInstanceID.Malformed");
        check("nonsense".parse::<ImageId>().unwrap_err(), "InvalidAMIID.Malformed");
        check("nonsense".parse::<SecurityGroupId>().unwrap_err(), "InvalidGroupId.Malformed");
        check("nonsense".parse::<AttachmentId>().unwrap_err(), "InvalidAttachmentID.Malformed");
        assert!(MALFORMED_IDS.iter().any(|(kind, _)| *kind == InstanceId::KIND));
    }

    #[test]
    fn a_long_text_of_the_client_is_not_repeated_in_full() {
        let error = ApiError::unknown_parameter(&"ß".repeat(100_000));
        assert!(error.message.chars().count() < 300);
    }
}
