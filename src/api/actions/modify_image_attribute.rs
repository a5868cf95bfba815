//! ModifyImageAttribute: an image's description, or who may launch it, in either of EC2's forms:
//! `Attribute` with `Value` or with `OperationType` and `UserId`/`UserGroup`, or the attribute's own
//! parameter (`LaunchPermission.Add.1.Group=all`).

use super::register_image::check_description;
use crate::{
    api::{
        action::{Action, Exchange},
        error::ApiError,
        response::Return,
        shapes::not_honoured::{NotHonoured, refuse_given},
    },
    domain::id::{AccountId, ImageId},
    messages::cloud::{ImageChange, ModifyImage},
};
use schemars::JsonSchema;
use serde::Deserialize;

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct ModifyImageAttribute {
    image_id: ImageId,
    attribute: Option<AttributeName>,
    value: Option<String>,
    operation_type: Option<OperationType>,
    #[serde(default)]
    user_id: Vec<AccountId>,
    #[serde(default)]
    user_group: Vec<Everybody>,
    description: Option<Value>,
    launch_permission: Option<LaunchPermissions>,
    product_code: Option<NotHonoured>,
    organization_arn: Option<NotHonoured>,
    organizational_unit_arn: Option<NotHonoured>,
    imds_support: Option<NotHonoured>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
enum AttributeName {
    Description,
    LaunchPermission,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum OperationType {
    Add,
    Remove,
}

/// The one group of accounts there is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
enum Everybody {
    #[serde(rename = "all")]
    All,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
struct Value {
    value: Option<String>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
struct LaunchPermissions {
    #[serde(default)]
    add: Vec<Permitted>,
    #[serde(default)]
    remove: Vec<Permitted>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
struct Permitted {
    group: Option<Everybody>,
    user_id: Option<AccountId>,
    organization_arn: Option<NotHonoured>,
    organizational_unit_arn: Option<NotHonoured>,
}

impl Action for ModifyImageAttribute {
    const NAME: &'static str = "ModifyImageAttribute";
    type Response = Return;

    async fn perform(self, exchange: &Exchange) -> Result<Return, ApiError> {
        let image = self.image_id.clone();
        let change = self.change()?;
        exchange.command(ModifyImage { image, change }).await?;
        Ok(Return::TRUE)
    }
}

impl ModifyImageAttribute {
    fn change(self) -> Result<ImageChange, ApiError> {
        refuse_given(&[
            ("ProductCode", self.product_code),
            ("OrganizationArn", self.organization_arn),
            ("OrganizationalUnitArn", self.organizational_unit_arn),
            ("ImdsSupport", self.imds_support),
        ])?;
        let named = match self.attribute {
            Some(AttributeName::Description) => {
                let text = self.value.ok_or_else(|| ApiError::missing_parameter("Value"))?;
                Some(description(text)?)
            }
            Some(AttributeName::LaunchPermission) => {
                Some(operation(self.operation_type, self.user_id, &self.user_group)?)
            }
            None if self.value.is_some() || self.operation_type.is_some() => {
                return Err(ApiError::missing_parameter("Attribute"));
            }
            None => None,
        };
        let described = match self.description {
            Some(Value { value: Some(text) }) => Some(description(text)?),
            Some(Value { value: None }) => {
                return Err(ApiError::missing_parameter("Description.Value"));
            }
            None => None,
        };
        let permitted = self.launch_permission.map(permissions).transpose()?;
        let mut changes = [named, described, permitted].into_iter().flatten();
        match (changes.next(), changes.next()) {
            (Some(change), None) => Ok(change),
            (None, _) => Err(ApiError::invalid_combination("No attributes specified.")),
            (Some(_), Some(_)) => Err(ApiError::invalid_combination(
                "Fields for multiple attribute types specified: one attribute can be modified at \
                 a time.",
            )),
        }
    }
}

fn description(text: String) -> Result<ImageChange, ApiError> {
    check_description(&text)?;
    Ok(ImageChange::Description(text))
}

fn operation(
    operation: Option<OperationType>,
    users: Vec<AccountId>,
    groups: &[Everybody],
) -> Result<ImageChange, ApiError> {
    let mut who: Vec<_> = groups.iter().map(|Everybody::All| None).collect();
    who.extend(users.into_iter().map(Some));
    if who.is_empty() {
        return Err(ApiError::missing_parameter("UserId"));
    }
    match operation {
        Some(OperationType::Add) => Ok(ImageChange::Launch { add: who, remove: vec![] }),
        Some(OperationType::Remove) => Ok(ImageChange::Launch { add: vec![], remove: who }),
        None => Err(ApiError::missing_parameter("OperationType")),
    }
}

fn permissions(given: LaunchPermissions) -> Result<ImageChange, ApiError> {
    if given.add.is_empty() && given.remove.is_empty() {
        return Err(ApiError::missing_parameter("LaunchPermission.Add"));
    }
    let who = |permitted: Permitted| {
        refuse_given(&[
            ("OrganizationArn", permitted.organization_arn),
            ("OrganizationalUnitArn", permitted.organizational_unit_arn),
        ])?;
        match (permitted.group, permitted.user_id) {
            (Some(Everybody::All), None) => Ok(None),
            (None, Some(account)) => Ok(Some(account)),
            _ => Err(ApiError::invalid_combination(
                "A launch permission names either a Group or a UserId.",
            )),
        }
    };
    Ok(ImageChange::Launch {
        add: given.add.into_iter().map(who).collect::<Result<_, _>>()?,
        remove: given.remove.into_iter().map(who).collect::<Result<_, _>>()?,
    })
}

#[cfg(test)]
mod tests {
    use crate::api::actions::testing::{ALICE, BOB, IMAGE, TestCloud};

    async fn modify(cloud: &TestCloud, change: &str) {
        let request = format!("ImageId={IMAGE}&{change}");
        let root = cloud.administrator();
        root.check("ModifyImageAttribute", &request, "<return>true</return>").await;
    }

    async fn permissions(cloud: &TestCloud) -> String {
        let request = format!("ImageId={IMAGE}&Attribute=launchPermission");
        cloud.administrator().call("DescribeImageAttribute", &request).await.unwrap()
    }

    #[actix_web::test]
    async fn who_may_launch_is_changed_in_either_form() {
        let cloud = TestCloud::start().await;
        modify(&cloud, &format!("LaunchPermission.Add.1.UserId={ALICE}")).await;
        modify(&cloud, "Attribute=launchPermission&OperationType=remove&UserGroup.1=all").await;
        assert_eq!(
            permissions(&cloud).await,
            format!(
                "<imageId>{IMAGE}</imageId><launchPermission><item><userId>{ALICE}</userId></item>\
                 </launchPermission>"
            )
        );
        let seen = |cloud: TestCloud| async move {
            cloud.values("DescribeImages", "", "imageId").await.len()
        };
        assert_eq!((seen(cloud.of(ALICE)).await, seen(cloud.of(BOB)).await), (1, 0));
        modify(&cloud, "LaunchPermission.Add.1.Group=all").await;
        modify(&cloud, &format!("LaunchPermission.Remove.1.UserId={ALICE}")).await;
        assert_eq!(
            permissions(&cloud).await,
            format!(
                "<imageId>{IMAGE}</imageId><launchPermission><item><group>all</group></item>\
                 </launchPermission>"
            )
        );
    }

    #[actix_web::test]
    async fn a_description_is_changed_in_either_form() {
        let cloud = TestCloud::start().await;
        modify(&cloud, "Description.Value=one").await;
        assert_eq!(cloud.value("DescribeImages", "", "description").await, "one");
        modify(&cloud, "Attribute=description&Value=two").await;
        assert_eq!(cloud.value("DescribeImages", "", "description").await, "two");
    }

    #[actix_web::test]
    async fn what_cannot_be_meant_and_who_may_not_are_refused() {
        let cloud = TestCloud::start().await;
        let long = format!("Description.Value={}", "x".repeat(256));
        for (change, code) in [
            ("", "InvalidParameterCombination"),
            ("Description.Value=a&LaunchPermission.Add.1.Group=all", "InvalidParameterCombination"),
            ("LaunchPermission.Add.1.Group=everyone", "InvalidParameterValue"),
            ("LaunchPermission.Add.1.UserId=1", "InvalidParameterValue"),
            ("LaunchPermission.Add.1.UserId=999999999999", "InvalidParameterValue"),
            ("Attribute=launchPermission&UserGroup.1=all", "MissingParameter"),
            ("Attribute=launchPermission&OperationType=add", "MissingParameter"),
            (&long, "InvalidParameterValue"),
        ] {
            let request = format!("ImageId={IMAGE}&{change}");
            let root = cloud.administrator();
            root.check_refused("ModifyImageAttribute", &request, code, "").await;
        }
        let request = format!("ImageId={IMAGE}&Description.Value=mine");
        cloud.check_refused("ModifyImageAttribute", &request, "UnauthorizedOperation", "").await;
        let request = "ImageId=ami-00000000&Description.Value=mine";
        cloud.check_refused("ModifyImageAttribute", request, "InvalidAMIID.NotFound", "").await;
    }
}
