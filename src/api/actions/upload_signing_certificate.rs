//! UploadSigningCertificate, of IAM: a certificate that a user made itself is believed from now on.

use crate::{
    api::{
        action::{Action, Exchange},
        certificate,
        error::ApiError,
        service::Service,
        shapes::{credential::Certificate, user::holder},
    },
    messages::cloud::credential::RecordSigningCertificate,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct UploadSigningCertificate {
    user_name: Option<String>,
    certificate_body: String,
}

#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct Response {
    certificate: Certificate,
}

impl Action for UploadSigningCertificate {
    const NAME: &'static str = "UploadSigningCertificate";
    const SERVICE: Service = Service::Iam;
    type Response = Response;

    async fn perform(self, exchange: &Exchange) -> Result<Response, ApiError> {
        let holder = holder(self.user_name.as_deref(), exchange)?;
        let read = certificate::read(&self.certificate_body, exchange.ambient.now())?;
        let recorded = exchange
            .command(RecordSigningCertificate {
                user: self.user_name,
                fingerprint: read.fingerprint,
                key: read.key,
                body: read.body,
            })
            .await?;
        Ok(Response { certificate: Certificate::of(&recorded, &holder.name) })
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{ALICE, TestCloud};
    use crate::api::{certificate::in_pem, signature::escape};

    const ACTION: &str = "UploadSigningCertificate";

    fn body(text: &str) -> String {
        format!("CertificateBody={}", escape(text))
    }

    /// Valid from 1975 to 4096.
    fn certificate() -> String {
        let params = rcgen::CertificateParams::default();
        let key = rcgen::KeyPair::generate().unwrap();
        params.self_signed(&key).unwrap().pem()
    }

    #[actix_web::test]
    async fn an_uploaded_certificate_is_on_record_as_its_users() {
        let cloud = TestCloud::start().await;
        let id = cloud.value(ACTION, &body(&certificate()), "CertificateId").await;
        assert_eq!(id.len(), 32);
        let state = cloud.state();
        let alice = ALICE.parse().unwrap();
        let [recorded] = &state.signing_certificates_of(&alice).collect::<Vec<_>>()[..] else {
            panic!("not one certificate")
        };
        assert_eq!((&recorded.id, recorded.is_active()), (&id, true));
        let known = state.signing_certificates.get(&recorded.fingerprint).unwrap();
        assert_eq!(known, *recorded);
    }

    #[actix_web::test]
    async fn what_cannot_be_believed_or_is_believed_already_is_refused() {
        let cloud = TestCloud::start().await;
        let malformed = "MalformedCertificate";
        cloud.check_refused(ACTION, &body("nonsense"), malformed, "PEM").await;
        cloud.check_refused(ACTION, &body(&in_pem("CERTIFICATE", b"x")), malformed, "").await;
        cloud.check_refused(ACTION, "", "MissingParameter", "CertificateBody").await;
        let one = body(&certificate());
        cloud.call(ACTION, &one).await.unwrap();
        cloud.check_refused(ACTION, &one, "DuplicateCertificate", "").await;
        cloud.administrator().check_refused(ACTION, &one, "DuplicateCertificate", "").await;
        cloud.call(ACTION, &body(&certificate())).await.unwrap();
        let third = body(&certificate());
        cloud.check_refused(ACTION, &third, "LimitExceeded", "SigningCertificatesPerUser: 2").await;
        let others = format!("UserName=bob&{third}");
        cloud.check_refused(ACTION, &others, "AccessDenied", "").await;
        cloud.administrator().call(ACTION, &others).await.unwrap();
    }
}
