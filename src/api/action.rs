//! An EC2 action, and the exchange it takes part in.
//!
//! An action is a request struct read from the parameters and one function to its answer. It reads
//! the published snapshot and changes things through `Exchange::command`, `invite` and `evict` alone, so
//! that a dry run cannot do anything.

use super::{
    cloud_certificate::CloudCertificate,
    error::{ApiError, Code},
    fault,
    service::Service,
};
use crate::{
    actors::{
        address::{Address, AskError, Call, Serves},
        cloud::{CloudManager, Published},
    },
    ambient::Ambient,
    blobs::BlobCheck,
    domain::{
        account::Caller,
        cloud_state::{CloudState, ScopeState},
        fault::CloudFault,
        id::{GroupName, NodeName},
        membership::{Invitation, Membership, MembershipFault},
        scope::Scope,
        settings::CloudSettings,
        trace::Cause,
    },
    messages::{
        Ask, CallContext,
        cloud::{Command, Commanded, EvictNode, Evicted, OpenScope},
    },
};
use actix::{Actor, Handler, dev::ToEnvelope};
use schemars::JsonSchema;
use serde::{Serialize, de::DeserializeOwned};
use std::{future::Future, sync::Arc};

pub trait Action: DeserializeOwned + JsonSchema + 'static {
    const NAME: &'static str;
    const SERVICE: Service = Service::Ec2;
    type Response: Serialize + JsonSchema;

    fn perform(self, exchange: &Exchange)
    -> impl Future<Output = Result<Self::Response, ApiError>>;
}

/// How long a client waits at most for the cloud; EC2's own clients give up after a minute.
const PATIENCE_MS: u64 = 30_000;

/// One request being answered: who asks, where, and what there is to answer from.
#[derive(Debug, Clone)]
pub struct Exchange {
    pub caller: Caller,
    pub scope: Scope,
    pub cause: Cause,
    pub dry_run: bool,
    /// The state as of the request's arrival. `latest` has what happened since.
    pub state: Arc<CloudState>,
    pub settings: Arc<CloudSettings>,
    pub ambient: Ambient,
    pub blobs: Arc<dyn BlobCheck>,
    pub certificate: Arc<CloudCertificate>,
    members: Arc<dyn Membership>,
    published: Published,
    cloud: Address<CloudManager>,
}

/// What all exchanges have in common.
#[derive(Debug, Clone)]
pub struct Cloud {
    pub settings: Arc<CloudSettings>,
    pub ambient: Ambient,
    /// Where images' bytes are.
    pub blobs: Arc<dyn BlobCheck>,
    /// Who invites hosts.
    pub members: Arc<dyn Membership>,
    /// What the cloud signs with, and issues users' certificates by.
    pub certificate: Arc<CloudCertificate>,
    pub published: Published,
    pub manager: Address<CloudManager>,
}

impl Exchange {
    /// Begins an exchange; the caller's scope is there when it has begun.
    pub async fn begin(
        cloud: &Cloud,
        caller: Caller,
        scope: Scope,
        cause: Cause,
        dry_run: bool,
    ) -> Result<Exchange, ApiError> {
        let mut exchange = Exchange {
            caller,
            scope,
            cause,
            dry_run,
            state: cloud.published.load_full(),
            settings: cloud.settings.clone(),
            ambient: cloud.ambient.clone(),
            blobs: cloud.blobs.clone(),
            certificate: cloud.certificate.clone(),
            members: cloud.members.clone(),
            published: cloud.published.clone(),
            cloud: cloud.manager.clone(),
        };
        let opened =
            exchange.state.scope(&exchange.scope).is_some_and(|own| own.default_vpc().is_some());
        if !opened {
            let open = Commanded {
                region: exchange.scope.region.clone(),
                dry_run: false,
                command: OpenScope,
            };
            exchange.ask(open).await?;
            exchange.state = exchange.latest();
        }
        Ok(exchange)
    }

    /// The caller's own resources in the region asked for.
    pub fn own(&self) -> ScopeState {
        self.state.scope(&self.scope).cloned().unwrap_or_default()
    }

    /// The state with everything acknowledged so far.
    pub fn latest(&self) -> Arc<CloudState> {
        self.published.load_full()
    }

    /// Has the cloud decide and record; in a dry run, only decide.
    pub async fn command<C>(&self, command: C) -> Result<C::Reply, ApiError>
    where
        C: Command,
        CloudManager: Serves<Commanded<C>> + Handler<Call<Commanded<C>>>,
        <CloudManager as Actor>::Context: ToEnvelope<CloudManager, Call<Commanded<C>>>,
    {
        let region = self.scope.region.clone();
        self.ask(Commanded { region, dry_run: self.dry_run, command }).await
    }

    /// Has a host invited, by an administrator; in a dry run, only says whether that would be.
    pub async fn invite(&self, invitation: Invitation) -> Result<String, ApiError> {
        if !self.caller.is_administrator() {
            let why = "only an administrator may invite hosts".to_owned();
            return Err(fault::api_error(CloudFault::NotAuthorized(why)));
        }
        if self.dry_run {
            return Err(fault::api_error(CloudFault::DryRun));
        }
        let members = self.members.clone();
        let invited = tokio::task::spawn_blocking(move || members.invite(&invitation)).await;
        self.of_members(invited)
    }

    /// Has a node declared gone, by an administrator: fenced first, its instances dealt with then.
    pub async fn evict(&self, group: GroupName, node: NodeName) -> Result<Evicted, ApiError> {
        let mut was_member = false;
        if self.caller.is_administrator() && !self.dry_run {
            let (members, group, node) = (self.members.clone(), group.clone(), node.clone());
            let expelled = tokio::task::spawn_blocking(move || members.expel(&group, &node)).await;
            was_member = self.of_members(expelled)?;
        }
        self.command(EvictNode { group, node, was_member }).await
    }

    fn of_members<T>(
        &self,
        outcome: Result<Result<T, MembershipFault>, tokio::task::JoinError>,
    ) -> Result<T, ApiError> {
        outcome.map_err(|_| ApiError::internal())?.map_err(|fault| match fault {
            MembershipFault::NotRecorded(why) => {
                log::error!("request {}: {why}", self.cause.request_id);
                ApiError::internal()
            }
            refused => ApiError::new(Code::InvalidParameterValue, refused.to_string()),
        })
    }

    /// Asks what the snapshot does not hold.
    pub async fn ask<M>(&self, message: M) -> Result<M::Reply, ApiError>
    where
        M: Ask<Fault = CloudFault>,
        CloudManager: Serves<M> + Handler<Call<M>>,
        <CloudManager as Actor>::Context: ToEnvelope<CloudManager, Call<M>>,
    {
        let context = CallContext {
            request_id: self.cause.request_id.clone(),
            trace_id: self.cause.trace_id,
            time_left_ms: PATIENCE_MS,
            on_behalf_of: self.caller.clone(),
        };
        self.cloud.ask(context, message).await.map_err(|error| match error {
            AskError::Refused(fault) => fault::api_error(fault),
            AskError::NotDelivered | AskError::Unanswered | AskError::Garbled(_) => {
                log::error!("request {}: {error}", self.cause.request_id);
                ApiError::internal()
            }
        })
    }
}
