//! From a signed request to an action's answer: what `server` is given to answer with.

use super::{
    action::{Cloud, Exchange},
    actions::{self, ActionCall},
    error::{ApiError, Code},
    server::{Endpoint, SignedRequest},
    service::Service,
    signature::{Credential, Credentials},
};
use crate::{
    domain::{
        account::{Caller, Role},
        scope::Scope,
        signing_certificate::CertificateFingerprint,
    },
    soap::Certificates,
};

/// The whole EC2 interface of one cloud. Cheap to clone: one for each worker.
#[derive(Debug, Clone)]
pub struct Ec2(pub Cloud);

impl Credentials for Ec2 {
    fn find(&self, access_key_id: &str) -> Option<Credential> {
        let state = self.0.published.load();
        let key = state.access_keys.get(access_key_id).filter(|key| key.is_active())?;
        Some(Credential {
            secret: key.secret.0.clone(),
            account: key.account.clone(),
            administrator: key.role == Role::Administrator,
            session_token: None,
        })
    }
}

impl Certificates for Ec2 {
    type Holder = Caller;

    fn find(&self, fingerprint: &[u8; 32]) -> Option<Caller> {
        let state = self.0.published.load();
        let fingerprint = CertificateFingerprint::of_digest(*fingerprint);
        let certificate = state.signing_certificates.get(&fingerprint)?;
        certificate.is_active().then(|| {
            let account = certificate.account.clone();
            Caller { role: state.role_of(&account), account }
        })
    }
}

impl Endpoint for Ec2 {
    async fn answer(&self, request: SignedRequest) -> Result<String, ApiError> {
        let regions = &self.0.settings.regions;
        let region = match request.asked.service {
            // Is in no region: its clients sign for whichever they think it has.
            Service::Iam => None,
            Service::Ec2 | Service::Sts => request.sender.region(),
        };
        let region = region.unwrap_or_else(|| regions.default_region()).clone();
        if !regions.admits(&region) {
            return Err(ApiError::new(
                Code::AuthFailure,
                format!("Credential should be scoped to a valid Region, not '{region}'."),
            ));
        }
        let role = match request.sender.is_administrator() {
            true => Role::Administrator,
            false => Role::User,
        };
        let account = request.sender.account().clone();
        let caller = Caller { account: account.clone(), role };
        let scope = Scope { account, region };
        let call = ActionCall {
            service: request.asked.service,
            name: &request.asked.action,
            version: &request.asked.version,
            parameters: &request.asked.parameters,
        };
        let exchange =
            Exchange::begin(&self.0, caller, scope, request.cause.clone(), request.asked.dry_run)
                .await?;
        actions::perform(&call, &exchange).await
    }
}
