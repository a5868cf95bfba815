//! What IAM says when something cannot be done with a user's credentials.

use crate::{
    api::error::{ApiError, Code, echo},
    domain::credential::{CredentialFault, CredentialKind},
};

/// What the caller named is repeated to it, and nothing else.
pub fn api_error(fault: CredentialFault) -> ApiError {
    let (code, message) = match fault {
        CredentialFault::UserNotFound(user) => {
            (Code::NoSuchEntity, format!("The user with name {} cannot be found.", echo(&user)))
        }
        CredentialFault::Others => (
            Code::AccessDenied,
            "Only an administrator may see to the credentials of other users.".to_owned(),
        ),
        CredentialFault::NotFound { kind, id, .. } => {
            let what = match kind {
                CredentialKind::AccessKey => "Access Key",
                CredentialKind::SigningCertificate => "Certificate",
            };
            (Code::NoSuchEntity, format!("The {what} with id {} cannot be found.", echo(&id)))
        }
        CredentialFault::LimitExceeded { kind, .. } => {
            let quota = match kind {
                CredentialKind::AccessKey => "AccessKeysPerUser",
                CredentialKind::SigningCertificate => "SigningCertificatesPerUser",
            };
            (Code::LimitExceeded, format!("Cannot exceed quota for {quota}: {}", kind.max()))
        }
        CredentialFault::DuplicateCertificate => (
            Code::DuplicateCertificate,
            "The same certificate is associated with a user already.".to_owned(),
        ),
        CredentialFault::Configured(id) => (
            Code::UnmodifiableEntity,
            format!(
                "The Access Key with id {id} is the administrator's of the cloud's configuration. \
                 It is changed there, so that the cloud always has an administrator."
            ),
        ),
    };
    ApiError::new(code, message)
}
