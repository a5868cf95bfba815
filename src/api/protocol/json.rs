//! EC2's actions as JSON over HTTP: what AWS calls JSON 1.1, in the shapes of the AWS CLI's
//! `--cli-input-json` and of its output; proved by Signature Version 4.
//!
//! EC2 itself does not speak it: it stands here to show that another protocol is one module. A request
//! is a POST whose `X-Amz-Target` ends in the action's name. Its document becomes the parameters of a
//! Query request, and EC2's XML answer a document, both along the action's shape, so that nothing of
//! the actions is said here again.

mod document;
mod unambiguous;

use super::{Asked, Conversation, Protocol, Trust, Written, media_type};
use crate::api::{
    error::{ApiError, Code},
    parameters::Parameters,
    response::DEFAULT_VERSION,
    service::Service,
    shape::{self, ActionShape},
    signature::{self, Received, Signed},
};
use actix_web::http::{StatusCode, header::HeaderMap};
use serde_json::json;

const MEDIA_TYPE: &str = "application/x-amz-json-1.1";
const TARGET: &str = "x-amz-target";

pub struct Json;

impl Protocol for Json {
    fn speaks(&self, headers: &HeaderMap) -> bool {
        media_type(headers).is_some_and(|media_type| media_type.eq_ignore_ascii_case(MEDIA_TYPE))
    }

    fn begin(&self, _: &HeaderMap) -> Box<dyn Conversation> {
        Box::new(JsonConversation::default())
    }
}

#[derive(Default)]
struct JsonConversation {
    target: String,
    body: Vec<u8>,
    action: Option<&'static ActionShape>,
}

impl Conversation for JsonConversation {
    fn sender(&mut self, received: &Received<'_>, trust: &Trust<'_>) -> Result<Signed, ApiError> {
        // A claim in the URL would be Query's.
        if received.method != "POST" || !received.query.is_empty() {
            let reason = "A request in JSON is a POST without a query string.";
            return Err(ApiError::new(Code::UnsupportedProtocol, reason));
        }
        self.target = target(received.headers)?;
        self.body = received.body.to_vec();
        let no_parameters = Parameters::default();
        let sender =
            signature::verify(received, &no_parameters, Service::Ec2, trust.credentials, trust.now)
                .map_err(|refused| refused.into_api_error(Service::Ec2))?;
        // Elsewhere the action stands in what is always signed.
        if !signature::v4::covers(received, TARGET) {
            let reason = format!("The signature must cover the header {TARGET}");
            return Err(ApiError::new(Code::IncompleteSignature, reason));
        }
        Ok(sender)
    }

    fn asked(&mut self) -> Result<Asked, ApiError> {
        let action = shape::find(Service::Ec2, &self.target)
            .ok_or_else(|| ApiError::invalid_action(&self.target))?;
        self.action = Some(action);
        let (parameters, dry_run) = document::read(&self.body, &action.request)?;
        Ok(Asked {
            service: Service::Ec2,
            action: action.name.to_owned(),
            version: DEFAULT_VERSION.to_owned(),
            dry_run,
            parameters,
        })
    }

    fn write(&self, answered: Result<String, ApiError>, request_id: &str) -> Written {
        let written = answered.and_then(|xml| {
            let members = self.action.map_or(&[][..], |action| &action.answer);
            document::write(&xml, members).map_err(|why| {
                log::error!("request {request_id}: the answer cannot be written as JSON: {why}");
                ApiError::internal()
            })
        });
        let (status, document) = match written {
            Ok(document) => (StatusCode::OK, document),
            Err(error) => {
                let refusal = json!({"__type": error.code.as_str(), "message": error.message});
                (error.status(), refusal)
            }
        };
        Written { status, media_type: MEDIA_TYPE, body: document.to_string() }
    }
}

/// What follows the dot: `AmazonEC2.DescribeInstances`.
fn target(headers: &HeaderMap) -> Result<String, ApiError> {
    let mut values = headers.get_all(TARGET);
    let only = values.next().filter(|_| values.next().is_none());
    let text = only.and_then(|value| value.to_str().ok());
    let action = text.and_then(|text| text.rsplit_once('.')).map(|(_, action)| action);
    action.map(str::to_owned).ok_or_else(ApiError::missing_action)
}
