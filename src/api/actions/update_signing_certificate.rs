//! UpdateSigningCertificate, of IAM: puts a user's certificate out of use, or back into it.

use crate::{
    api::{
        action::{Action, Exchange},
        error::ApiError,
        response::Nothing,
        service::Service,
    },
    domain::credential::CredentialStatus,
    messages::cloud::credential as cloud,
};
use schemars::JsonSchema;
use serde::Deserialize;

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct UpdateSigningCertificate {
    user_name: Option<String>,
    certificate_id: String,
    status: CredentialStatus,
}

impl Action for UpdateSigningCertificate {
    const NAME: &'static str = "UpdateSigningCertificate";
    const SERVICE: Service = Service::Iam;
    type Response = Nothing;

    async fn perform(self, exchange: &Exchange) -> Result<Nothing, ApiError> {
        let UpdateSigningCertificate { user_name: user, certificate_id: id, status } = self;
        exchange.command(cloud::UpdateSigningCertificate { user, id, status }).await?;
        Ok(Nothing {})
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::TestCloud;

    const ACTION: &str = "UpdateSigningCertificate";

    #[actix_web::test]
    async fn a_certificate_is_put_out_of_use_and_back_by_its_user() {
        let cloud = TestCloud::start().await;
        let id = cloud.value("CreateSigningCertificate", "", "CertificateId").await;
        for status in ["Inactive", "Active"] {
            let query = format!("CertificateId={id}&Status={status}");
            cloud.call(ACTION, &query).await.unwrap();
            assert_eq!(cloud.values("ListSigningCertificates", "", "Status").await, [status]);
        }
        let query = format!("CertificateId={id}&Status=Inactive");
        cloud.administrator().check_refused(ACTION, &query, "NoSuchEntity", &id).await;
        let query = format!("UserName=alice&{query}");
        cloud.administrator().call(ACTION, &query).await.unwrap();
        let query = format!("CertificateId={id}&Status=Gone");
        cloud.check_refused(ACTION, &query, "InvalidParameterValue", "Gone").await;
    }
}
