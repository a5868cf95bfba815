//! DescribeImages: the images the caller may launch, kernels and ramdisks among them.
//!
//! `amazon` names the owner of the cloud's own images, which are the public ones.

use crate::{
    api::{
        action::{Action, Exchange},
        describe::{Asked, ids_in, select},
        error::{ApiError, Code},
        fault,
        filters::{FilterParameter, read_filters},
        pagination::{PageRequest, RESULTS},
        response::Set,
        shapes::image::ImageElement,
    },
    domain::{
        fault::CloudFault,
        filter::Filters,
        id::{AccountId, ImageId},
        image::Image,
    },
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct DescribeImages {
    #[serde(default)]
    image_id: Vec<String>,
    #[serde(default)]
    owner: Vec<String>,
    #[serde(default)]
    executable_by: Vec<String>,
    #[serde(default)]
    filter: Vec<FilterParameter>,
    max_results: Option<u32>,
    next_token: Option<String>,
    /// No image here is deprecated or disabled, so including those changes nothing.
    #[serde(default, rename = "IncludeDeprecated")]
    _include_deprecated: Option<bool>,
    #[serde(default, rename = "IncludeDisabled")]
    _include_disabled: Option<bool>,
}

#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Response {
    images_set: Set<ImageElement>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_token: Option<String>,
}

impl Action for DescribeImages {
    const NAME: &'static str = "DescribeImages";
    type Response = Response;

    async fn perform(self, exchange: &Exchange) -> Result<Response, ApiError> {
        let filters = read_filters::<ImageElement>(&self.filter)?;
        let asked = Asked::<ImageId>::read(&self.image_id, &exchange.caller)?;
        let owners = self.owner.iter().map(|text| Owner::read(text, exchange));
        let owners = owners.collect::<Result<Vec<_>, _>>()?;
        let executors = self.executable_by.iter().map(|text| Executor::read(text, exchange));
        let executors = executors.collect::<Result<Vec<_>, _>>()?;
        if self.max_results.is_some() && !asked.all() {
            return Err(ApiError::invalid_combination(
                "The parameter imageIdsSet cannot be used with the parameter maxResults",
            ));
        }
        let page = PageRequest::new(self.max_results, self.next_token.as_deref(), RESULTS)?;
        let wanted = |image: &&Arc<Image>| {
            (owners.is_empty() || owners.iter().any(|owner| owner.owns(image)))
                && (executors.is_empty() || executors.iter().any(|who| who.may_launch(image)))
        };
        let element = |image: &Arc<Image>| {
            let (image, state) = (image.clone(), exchange.state.clone());
            (image.id.clone(), ImageElement { image, state, scope: exchange.scope.clone() })
        };
        let images = find(&asked, &filters, exchange)?;
        let page = select(images.into_iter().filter(wanted).map(element), &filters, &page)?;
        Ok(Response { images_set: page.results.into(), next_token: page.next_token })
    }
}

/// What might be shown, in the order of ids. Those named are all there, or it is a refusal.
fn find<'a>(
    asked: &Asked<ImageId>,
    filters: &Filters,
    exchange: &'a Exchange,
) -> Result<Vec<&'a Arc<Image>>, ApiError> {
    let images = &exchange.state.images;
    let account = &exchange.scope.account;
    let visible = |image: &&Arc<Image>| asked.everybodys || image.visible_to(account);
    let known = |id: &ImageId| images.get(id).filter(visible);
    if !asked.all() {
        let missing: Vec<_> = asked.ids.iter().filter(|id| known(id).is_none()).cloned().collect();
        return match missing.is_empty() {
            true => Ok(asked.ids.iter().filter_map(known).collect()),
            false => Err(fault::api_error(CloudFault::ImagesNotFound(missing))),
        };
    }
    if let Some(ids) = ids_in::<ImageId>(filters, "image-id") {
        return Ok(ids.iter().filter_map(known).collect());
    }
    Ok(images.values().filter(visible).collect())
}

/// Whose images are asked for.
enum Owner {
    Account(AccountId),
    /// The cloud's own: `amazon`, and the other names of owners that EC2 knows.
    Cloud,
    Nobody,
}

impl Owner {
    fn read(text: &str, exchange: &Exchange) -> Result<Owner, ApiError> {
        match text {
            "self" => Ok(Owner::Account(exchange.scope.account.clone())),
            "amazon" => Ok(Owner::Cloud),
            // No vendor has images here; scripts that offer several sources name them all.
            "aws-marketplace" | "aws-backup-vault" | "microsoft" => Ok(Owner::Nobody),
            _ => text.parse().map(Owner::Account).map_err(|_| {
                ApiError::new(
                    Code::InvalidParameterValue,
                    format!("Invalid value '{text}' for Owner: not an account, 'self' or 'amazon'"),
                )
            }),
        }
    }

    fn owns(&self, image: &Image) -> bool {
        match self {
            Owner::Account(account) => image.owner == *account,
            Owner::Cloud => image.public,
            Owner::Nobody => false,
        }
    }
}

/// Who must have been permitted to launch an image, by name or as one of everybody.
enum Executor {
    Everybody,
    Account(AccountId),
}

impl Executor {
    fn read(text: &str, exchange: &Exchange) -> Result<Executor, ApiError> {
        match text {
            "all" => Ok(Executor::Everybody),
            "self" => Ok(Executor::Account(exchange.scope.account.clone())),
            _ => Ok(Executor::Account(text.parse()?)),
        }
    }

    fn may_launch(&self, image: &Image) -> bool {
        match self {
            Executor::Everybody => image.public,
            Executor::Account(account) => image.launch_permissions.contains(account),
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::api::actions::testing::TestCloud;

    #[actix_web::test]
    async fn a_machine_image_is_described_with_its_root_disk() {
        let cloud = TestCloud::start().await;
        let image = "<imagesSet><item><imageId>ami-0000000a</imageId>\
             <imageLocation>123456789012/demo</imageLocation><imageState>available</imageState>\
             <imageOwnerId>123456789012</imageOwnerId>\
             <creationDate>2026-01-02T03:04:05.000Z</creationDate><isPublic>true</isPublic>\
             <productCodes/><architecture>x86_64</architecture><imageType>machine</imageType>\
             <platformDetails>Linux/UNIX</platformDetails>\
             <usageOperation>RunInstances</usageOperation><imageOwnerAlias>amazon</imageOwnerAlias>\
             <name>demo</name><description>A small Linux</description>\
             <rootDeviceType>ebs</rootDeviceType><rootDeviceName>/dev/sda1</rootDeviceName>\
             <blockDeviceMapping><item><deviceName>/dev/sda1</deviceName><ebs>\
             <volumeSize>1</volumeSize><volumeType>gp2</volumeType>\
             <deleteOnTermination>true</deleteOnTermination><encrypted>false</encrypted></ebs>\
             </item></blockDeviceMapping><virtualizationType>hvm</virtualizationType><tagSet/>\
             <hypervisor>xen</hypervisor><enaSupport>false</enaSupport></item></imagesSet>";
        cloud.check("DescribeImages", "", image).await;
        cloud.check("DescribeImages", "ImageId.1=ami-0000000a", image).await;
    }

    #[actix_web::test]
    async fn images_are_chosen_by_owner_executor_and_filter() {
        let cloud = TestCloud::start().await;
        for (query, count) in [
            ("Owner.1=amazon", 1),
            ("Owner.1=123456789012", 1),
            ("Owner.1=self", 0),
            ("Owner.1=self&Owner.2=amazon", 1),
            ("Owner.1=aws-marketplace", 0),
            ("ExecutableBy.1=all", 1),
            ("ExecutableBy.1=self", 0),
            ("Filter.1.Name=name&Filter.1.Value.1=de*", 1),
            ("Filter.1.Name=image-id&Filter.1.Value.1=ami-0000000a", 1),
            ("Filter.1.Name=image-id&Filter.1.Value.1=ami-0000000b", 0),
            ("Filter.1.Name=state&Filter.1.Value.1=available", 1),
            ("Filter.1.Name=image-type&Filter.1.Value.1=kernel", 0),
            ("Filter.1.Name=owner-alias&Filter.1.Value.1=amazon", 1),
            ("Filter.1.Name=tag:Name&Filter.1.Value.1=*", 0),
            ("MaxResults=5", 1),
        ] {
            let ids = cloud.values("DescribeImages", query, "imageId").await;
            assert_eq!(ids.len(), count, "{query}");
        }
        assert_eq!(cloud.administrator().values("DescribeImages", "Owner.1=self", "name").await, [
            "demo"
        ]);
    }

    #[actix_web::test]
    async fn what_is_not_there_or_not_understood_is_refused() {
        let cloud = TestCloud::start().await;
        for (query, code) in [
            ("ImageId.1=ami-00000000", "InvalidAMIID.NotFound"),
            ("ImageId.1=nonsense", "InvalidAMIID.Malformed"),
            ("Owner.1=somebody", "InvalidParameterValue"),
            ("ExecutableBy.1=somebody", "InvalidParameterValue"),
            ("Filter.1.Name=colour&Filter.1.Value.1=red", "InvalidParameterValue"),
            ("MaxResults=5&ImageId.1=ami-0000000a", "InvalidParameterCombination"),
        ] {
            cloud.check_refused("DescribeImages", query, code, "").await;
        }
    }
}
