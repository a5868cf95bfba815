//! Commands about what users prove themselves with.
//!
//! Each names its user, or means the caller's own. The secret of an access key is told once, in the
//! answer to its making; the private half of a certificate never comes here.

use super::Command;
use crate::domain::{
    account::AccessKey, credential::CredentialStatus, signing_certificate::CertificateFingerprint,
    signing_certificate::SigningCertificate,
};
use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CreateAccessKey {
    pub user: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UpdateAccessKey {
    pub user: Option<String>,
    pub id: String,
    pub status: CredentialStatus,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeleteAccessKey {
    pub user: Option<String>,
    pub id: String,
}

/// A certificate that was read and found fit to be believed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecordSigningCertificate {
    pub user: Option<String>,
    pub fingerprint: CertificateFingerprint,
    /// The digest of its public key.
    pub key: CertificateFingerprint,
    /// In PEM.
    pub body: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UpdateSigningCertificate {
    pub user: Option<String>,
    pub id: String,
    pub status: CredentialStatus,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeleteSigningCertificate {
    pub user: Option<String>,
    pub id: String,
}

commands! {
    CreateAccessKey => AccessKey, "cloud.create_access_key";
    UpdateAccessKey => (), "cloud.update_access_key";
    DeleteAccessKey => (), "cloud.delete_access_key";
    RecordSigningCertificate => SigningCertificate, "cloud.record_signing_certificate";
    UpdateSigningCertificate => (), "cloud.update_signing_certificate";
    DeleteSigningCertificate => (), "cloud.delete_signing_certificate";
}
