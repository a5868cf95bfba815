//! CreateSigningCertificate, of IAM in its first years and of Eucalyptus: makes a user a key and a
//! certificate by which it is believed, and tells the private half this once.
//!
//! The answer's `CertificateChain` is the cloud's own certificate, which issued it and with which
//! the cloud signs.

use crate::{
    api::{
        action::{Action, Exchange},
        cloud_certificate::Issued,
        error::ApiError,
        fault,
        key_material::PrivateHalf,
        service::Service,
        shapes::user::holder,
        time::DateTime,
    },
    domain::credential::{CredentialKind, CredentialStatus, check_room},
    messages::cloud::credential::RecordSigningCertificate,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct CreateSigningCertificate {
    user_name: Option<String>,
}

#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct Response {
    certificate: CreatedCertificate,
}

#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
struct CreatedCertificate {
    user_name: String,
    certificate_id: String,
    certificate_body: String,
    certificate_chain: String,
    private_key: PrivateHalf,
    status: CredentialStatus,
    upload_date: DateTime,
}

impl Action for CreateSigningCertificate {
    const NAME: &'static str = "CreateSigningCertificate";
    const SERVICE: Service = Service::Iam;
    type Response = Response;

    async fn perform(self, exchange: &Exchange) -> Result<Response, ApiError> {
        let holder = holder(self.user_name.as_deref(), exchange)?;
        // Before the work, and again when it is recorded.
        let held = exchange.latest().signing_certificates_of(&holder.id).count();
        check_room(CredentialKind::SigningCertificate, held, &holder)
            .map_err(|fault| fault::api_error(fault.into()))?;
        let Issued { certificate, private } = issue(&holder.name, exchange).await?;
        let recorded = exchange
            .command(RecordSigningCertificate {
                user: self.user_name,
                fingerprint: certificate.fingerprint,
                key: certificate.key,
                body: certificate.body,
            })
            .await?;
        Ok(Response {
            certificate: CreatedCertificate {
                user_name: holder.name.clone(),
                certificate_id: recorded.id,
                certificate_body: recorded.body,
                certificate_chain: exchange.certificate.pem(),
                private_key: private,
                status: recorded.status,
                upload_date: recorded.uploaded_at.into(),
            },
        })
    }
}

/// Finding primes takes a good part of a second, in which this thread answers others.
async fn issue(user: &str, exchange: &Exchange) -> Result<Issued, ApiError> {
    let mut chance = exchange.ambient.chance("certificates");
    let (cloud, user, now) =
        (exchange.certificate.clone(), user.to_owned(), exchange.ambient.now());
    let work = move || cloud.issue(&user, now, &mut *chance);
    let failed = |error: &dyn std::error::Error| {
        log::error!("request {}: {error}", exchange.cause.request_id);
        ApiError::internal()
    };
    match tokio::task::spawn_blocking(work).await {
        Ok(Ok(issued)) => Ok(issued),
        Ok(Err(fault)) => Err(failed(&fault)),
        Err(fault) => Err(failed(&fault)),
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{ALICE, TestCloud};
    use crate::api::certificate;

    const ACTION: &str = "CreateSigningCertificate";

    #[actix_web::test]
    async fn a_certificate_is_told_with_its_key_once_and_is_on_record() {
        let cloud = TestCloud::start().await;
        let answer = cloud.call(ACTION, "").await.unwrap();
        let part = |name: &str| {
            let (_, rest) = answer.split_once(&format!("<{name}>")).unwrap();
            rest.split_once(&format!("</{name}>")).unwrap().0.to_owned()
        };
        assert!(part("PrivateKey").starts_with("-----BEGIN RSA PRIVATE KEY-----\n"));
        assert_eq!(part("CertificateChain"), cloud.cloud.certificate.pem());
        let now = cloud.cloud.ambient.now();
        let read = certificate::read(&part("CertificateBody"), now).unwrap();
        let state = cloud.state();
        let recorded = state.signing_certificates.get(&read.fingerprint).unwrap();
        assert_eq!((recorded.account.as_str(), &recorded.id), (ALICE, &part("CertificateId")));
        let listed = cloud.call("ListSigningCertificates", "").await.unwrap();
        assert!(listed.contains(&part("CertificateId")) && !listed.contains("PRIVATE"));
    }

    #[actix_web::test]
    async fn nobody_but_an_administrator_makes_one_for_somebody_else() {
        let cloud = TestCloud::start().await;
        cloud.check_refused(ACTION, "UserName=bob", "AccessDenied", "").await;
        let root = cloud.administrator();
        root.check_refused(ACTION, "UserName=nobody", "NoSuchEntity", "nobody").await;
        assert_eq!(root.value(ACTION, "UserName=bob", "UserName").await, "bob");
        assert_eq!(cloud.state().signing_certificates.size(), 1);
    }
}
