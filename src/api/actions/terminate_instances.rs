//! TerminateInstances: ends instances, all of those named or none.

use crate::{
    api::{
        action::{Action, Exchange},
        error::ApiError,
        shapes::state_change::StateChanges,
    },
    domain::id::InstanceId,
    messages::cloud,
};
use schemars::JsonSchema;
use serde::Deserialize;

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct TerminateInstances {
    instance_id: Vec<InstanceId>,
    /// An ending guest is switched off in any case, and nothing of it is kept.
    #[serde(default, rename = "Force")]
    _force: Option<bool>,
    #[serde(default, rename = "SkipOsShutdown")]
    _skip_os_shutdown: Option<bool>,
}

impl Action for TerminateInstances {
    const NAME: &'static str = "TerminateInstances";
    type Response = StateChanges;

    async fn perform(self, exchange: &Exchange) -> Result<StateChanges, ApiError> {
        let terminate = cloud::TerminateInstances { instances: self.instance_id };
        Ok(exchange.command(terminate).await?.into())
    }
}

#[cfg(test)]
mod tests {
    use crate::api::actions::testing::{BOB, TestCloud};

    async fn two_running() -> TestCloud {
        let cloud = TestCloud::start().await;
        cloud.call("RunInstances", "ImageId=ami-0000000a&MinCount=2&MaxCount=2").await.unwrap();
        cloud.settle().await;
        cloud
    }

    fn change(id: &str, before: &str, after: &str) -> String {
        let code = |name| match name {
            "pending" => 0,
            "running" => 16,
            "shutting-down" => 32,
            "terminated" => 48,
            "stopping" => 64,
            _ => 80,
        };
        format!(
            "<item><instanceId>{id}</instanceId>\
             <currentState><code>{}</code><name>{after}</name></currentState>\
             <previousState><code>{}</code><name>{before}</name></previousState></item>",
            code(after),
            code(before)
        )
    }

    fn changes(changes: &[(&str, &str, &str)]) -> String {
        let changes: String = changes.iter().map(|(id, a, b)| change(id, a, b)).collect();
        format!("<instancesSet>{changes}</instancesSet>")
    }

    #[actix_web::test]
    async fn an_end_is_asked_for_once_and_repeating_it_changes_nothing() {
        let cloud = two_running().await;
        let ending = changes(&[("i-2", "running", "shutting-down")]);
        cloud.check("TerminateInstances", "InstanceId.1=i-2&InstanceId.2=i-2", &ending).await;
        let again = changes(&[("i-2", "shutting-down", "shutting-down")]);
        cloud.check("TerminateInstances", "InstanceId.1=i-2", &again).await;
        cloud.settle().await;
        let over = changes(&[("i-2", "terminated", "terminated")]);
        cloud.check("TerminateInstances", "InstanceId.1=i-2", &over).await;
    }

    #[actix_web::test]
    async fn instances_stop_and_start_again() {
        let cloud = two_running().await;
        let stop = "InstanceId.1=i-1&Force=true";
        cloud.check("StopInstances", stop, &changes(&[("i-1", "running", "stopping")])).await;
        let both = "InstanceId.1=i-1&InstanceId.2=i-2";
        let part = "from which it can be started";
        cloud.check_refused("StartInstances", both, "IncorrectInstanceState", part).await;
        let part = "from which it can be rebooted";
        cloud.check_refused("RebootInstances", both, "IncorrectInstanceState", part).await;
        cloud.settle().await;
        let started = changes(&[("i-1", "stopped", "pending"), ("i-2", "running", "running")]);
        cloud.check("StartInstances", both, &started).await;
        let part = "from which it can be stopped";
        cloud.check_refused("StopInstances", both, "IncorrectInstanceState", part).await;
        cloud.settle().await;
        cloud.check("RebootInstances", both, "<return>true</return>").await;
    }

    #[actix_web::test]
    async fn one_that_may_not_be_changed_protects_all_that_are_named_with_it() {
        let cloud = two_running().await;
        for attribute in ["DisableApiTermination", "DisableApiStop"] {
            let protect = format!("InstanceId=i-2&{attribute}.Value=true");
            cloud.call("ModifyInstanceAttribute", &protect).await.unwrap();
        }
        let both = "InstanceId.1=i-1&InstanceId.2=i-2";
        let code = "OperationNotPermitted";
        cloud.check_refused("TerminateInstances", both, code, "disableApiTermination").await;
        cloud.check_refused("StopInstances", both, code, "disableApiStop").await;
        let missing = "InstanceId.1=i-1&InstanceId.2=i-00000000";
        let code = "InvalidInstanceID.NotFound";
        for action in ["TerminateInstances", "StopInstances", "StartInstances", "RebootInstances"] {
            cloud.check_refused(action, missing, code, "'i-00000000' does not exist").await;
            cloud.check_refused(action, "", "MissingParameter", "InstanceId").await;
            cloud.of(BOB).check_refused(action, "InstanceId.1=i-1", code, "").await;
        }
        cloud.check_refused("StopInstances", "InstanceId.1=i-1&Hibernate=true",
            "UnsupportedOperation", "Hibernate").await;
        cloud.check_refused("TerminateInstances", "InstanceId.1=i-1&DryRun=true",
            "DryRunOperation", "").await;
        let states = cloud.values("DescribeInstances", "", "code").await;
        assert_eq!(states, ["16", "16"]);
    }

    #[actix_web::test]
    async fn an_administrator_ends_an_instance_of_anybody() {
        let cloud = two_running().await;
        let ending = changes(&[("i-1", "running", "shutting-down")]);
        cloud.administrator().check("TerminateInstances", "InstanceId.1=i-1", &ending).await;
    }
}
