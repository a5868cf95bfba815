//! ListSigningCertificates, of IAM: a user's signing certificates.

use crate::api::{
    action::{Action, Exchange},
    error::ApiError,
    response::Members,
    service::Service,
    shapes::{
        credential::{Certificate, listed},
        user::holder,
    },
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct ListSigningCertificates {
    user_name: Option<String>,
    marker: Option<String>,
    max_items: Option<u32>,
}

#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct Response {
    certificates: Members<Certificate>,
    is_truncated: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    marker: Option<String>,
}

impl Action for ListSigningCertificates {
    const NAME: &'static str = "ListSigningCertificates";
    const SERVICE: Service = Service::Iam;
    type Response = Response;

    async fn perform(self, exchange: &Exchange) -> Result<Response, ApiError> {
        let holder = holder(self.user_name.as_deref(), exchange)?;
        let certificates = exchange.state.signing_certificates_of(&holder.id);
        let shown = certificates.map(|one| (one.id.clone(), Certificate::of(one, &holder.name)));
        let listed = listed(self.marker.as_deref(), self.max_items, shown)?;
        Ok(Response {
            certificates: listed.members,
            is_truncated: listed.is_truncated,
            marker: listed.marker,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::TestCloud;

    const ACTION: &str = "ListSigningCertificates";

    #[actix_web::test]
    async fn a_user_sees_its_own_and_an_administrator_anybodys() {
        let cloud = TestCloud::start().await;
        let none = cloud.call(ACTION, "").await.unwrap();
        assert!(none.contains("<Certificates/><IsTruncated>false</IsTruncated>"), "{none}");
        let id = cloud.value("CreateSigningCertificate", "", "CertificateId").await;
        assert_eq!(cloud.values(ACTION, "", "CertificateId").await, [id.clone()]);
        assert_eq!(cloud.values(ACTION, "", "Status").await, ["Active"]);
        cloud.check_refused(ACTION, "UserName=bob", "AccessDenied", "").await;
        let root = cloud.administrator();
        assert_eq!(root.values(ACTION, "UserName=alice", "CertificateId").await, [id]);
        assert!(root.values(ACTION, "", "CertificateId").await.is_empty());
    }
}
