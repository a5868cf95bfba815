//! Users' credentials, which IAM sees to.

use super::{Client, ClientFault, Done, Request};
use serde::Deserialize;

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct UserAnswer {
    pub user_name: String,
    arn: String,
}

impl UserAnswer {
    /// The number of its account, which is in its ARN.
    pub fn account(&self) -> &str {
        self.arn.split(':').nth(4).unwrap_or_default()
    }
}

/// Not printed: it holds a secret.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct AccessKeyAnswer {
    pub access_key_id: String,
    pub secret_access_key: String,
}

/// A certificate made by the cloud, and the cloud's own. Not printed: it holds a private key.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct CertificateAnswer {
    pub certificate_id: String,
    pub certificate_body: String,
    pub certificate_chain: String,
    pub private_key: String,
}

impl Client {
    /// `None` is the caller itself.
    pub fn user(&self, name: Option<&str>) -> Result<UserAnswer, ClientFault> {
        #[derive(Deserialize)]
        struct Answer {
            #[serde(rename = "GetUserResult")]
            result: Result,
        }
        #[derive(Deserialize)]
        #[serde(rename_all = "PascalCase")]
        struct Result {
            user: UserAnswer,
        }
        let answer: Answer = self.call(&of_user("GetUser", name))?;
        Ok(answer.result.user)
    }

    pub fn create_access_key(&self, user: &str) -> Result<AccessKeyAnswer, ClientFault> {
        #[derive(Deserialize)]
        struct Answer {
            #[serde(rename = "CreateAccessKeyResult")]
            result: Result,
        }
        #[derive(Deserialize)]
        #[serde(rename_all = "PascalCase")]
        struct Result {
            access_key: AccessKeyAnswer,
        }
        let answer: Answer = self.call(&of_user("CreateAccessKey", Some(user)))?;
        Ok(answer.result.access_key)
    }

    pub fn create_certificate(&self, user: &str) -> Result<CertificateAnswer, ClientFault> {
        #[derive(Deserialize)]
        struct Answer {
            #[serde(rename = "CreateSigningCertificateResult")]
            result: Result,
        }
        #[derive(Deserialize)]
        #[serde(rename_all = "PascalCase")]
        struct Result {
            certificate: CertificateAnswer,
        }
        let answer: Answer = self.call(&of_user("CreateSigningCertificate", Some(user)))?;
        Ok(answer.result.certificate)
    }

    pub fn delete_access_key(&self, user: &str, id: &str) -> Result<(), ClientFault> {
        let request = of_user("DeleteAccessKey", Some(user)).with("AccessKeyId", id);
        self.call::<Done>(&request).map(|_| ())
    }

    pub fn delete_certificate(&self, user: &str, id: &str) -> Result<(), ClientFault> {
        let request = of_user("DeleteSigningCertificate", Some(user)).with("CertificateId", id);
        self.call::<Done>(&request).map(|_| ())
    }
}

fn of_user(action: &'static str, user: Option<&str>) -> Request {
    Request::of_iam(action).with_some("UserName", user)
}
