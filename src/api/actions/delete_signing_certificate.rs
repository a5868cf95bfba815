//! DeleteSigningCertificate, of IAM: a user's certificate is not believed any more, for good.

use crate::{
    api::{
        action::{Action, Exchange},
        error::ApiError,
        response::Nothing,
        service::Service,
    },
    messages::cloud::credential as cloud,
};
use schemars::JsonSchema;
use serde::Deserialize;

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct DeleteSigningCertificate {
    user_name: Option<String>,
    certificate_id: String,
}

impl Action for DeleteSigningCertificate {
    const NAME: &'static str = "DeleteSigningCertificate";
    const SERVICE: Service = Service::Iam;
    type Response = Nothing;

    async fn perform(self, exchange: &Exchange) -> Result<Nothing, ApiError> {
        let DeleteSigningCertificate { user_name: user, certificate_id: id } = self;
        exchange.command(cloud::DeleteSigningCertificate { user, id }).await?;
        Ok(Nothing {})
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::TestCloud;

    const ACTION: &str = "DeleteSigningCertificate";

    #[actix_web::test]
    async fn a_deleted_certificate_is_gone_and_nobody_deletes_that_of_another() {
        let cloud = TestCloud::start().await;
        let id = cloud.value("CreateSigningCertificate", "", "CertificateId").await;
        let query = format!("CertificateId={id}");
        cloud.of("222222222222").check_refused(ACTION, &query, "NoSuchEntity", &id).await;
        cloud.call(ACTION, &query).await.unwrap();
        assert!(cloud.state().signing_certificates.is_empty());
        cloud.check_refused(ACTION, &query, "NoSuchEntity", &id).await;
        cloud.check_refused(ACTION, "", "MissingParameter", "CertificateId").await;
    }
}
