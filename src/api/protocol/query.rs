//! EC2's Query protocol: parameters in the URL or in a form, proved by an HMAC of an access key.
//!
//! Every request that no other protocol claims is taken for one, so it is also what speaks to those
//! whose request is nothing at all. STS is spoken in it too, told apart by its version.

use super::{Asked, Conversation, Protocol, Trust, Written, media_type};
use crate::api::{
    error::{ApiError, Code},
    parameters::Parameters,
    response::DEFAULT_VERSION,
    service::Service,
    signature::{self, Received, Signed},
};
use actix_web::http::{StatusCode, header::HeaderMap};

const MEDIA_TYPE: &str = "text/xml;charset=UTF-8";
const FORM: &str = "application/x-www-form-urlencoded";

pub struct Query;

impl Protocol for Query {
    fn speaks(&self, _: &HeaderMap) -> bool {
        true
    }

    fn begin(&self, _: &HeaderMap) -> Box<dyn Conversation> {
        Box::new(QueryConversation::default())
    }
}

pub(super) struct QueryConversation {
    parameters: Parameters,
    service: Service,
}

impl Default for QueryConversation {
    fn default() -> Self {
        Self { parameters: Parameters::default(), service: Service::Ec2 }
    }
}

impl Conversation for QueryConversation {
    fn sender(&mut self, received: &Received<'_>, trust: &Trust<'_>) -> Result<Signed, ApiError> {
        check_media_type(received)?;
        self.parameters = Parameters::parse(received.query, received.body)?;
        self.service = Service::of_version(self.parameters.get_once("Version")?);
        let (service, credentials) = (self.service, trust.credentials);
        signature::verify(received, &self.parameters, service, credentials, trust.now)
            .map_err(|refused| refused.into_api_error(service))
    }

    fn asked(&mut self) -> Result<Asked, ApiError> {
        let version = self.parameters.get_once("Version")?.unwrap_or(DEFAULT_VERSION);
        Ok(Asked {
            service: self.service,
            action: action(&self.parameters)?.to_owned(),
            version: version.to_owned(),
            dry_run: is_dry_run(&self.parameters)?,
            parameters: std::mem::take(&mut self.parameters),
        })
    }

    fn write(&self, answered: Result<String, ApiError>, request_id: &str) -> Written {
        let (status, body) = match answered {
            Ok(document) => (StatusCode::OK, document),
            Err(error) => (error.status(), error.render_for(self.service, request_id)),
        };
        Written { status, media_type: MEDIA_TYPE, body }
    }
}

/// A body is read as a form; one that says it is something else would be misread.
fn check_media_type(received: &Received<'_>) -> Result<(), ApiError> {
    match media_type(received.headers) {
        Some(other) if !received.body.is_empty() && !other.eq_ignore_ascii_case(FORM) => Err(
            ApiError::new(Code::UnsupportedProtocol, format!("The request body must be {FORM}.")),
        ),
        Some(_) | None => Ok(()),
    }
}

/// `Operation` is what the first tools called it.
fn action(parameters: &Parameters) -> Result<&str, ApiError> {
    let action = parameters.get_once("Action")?;
    let operation = parameters.get_once("Operation")?;
    match (action, operation) {
        (Some(action), None) | (None, Some(action)) if !action.is_empty() => Ok(action),
        (Some(_), Some(_)) => Err(ApiError::invalid_combination(
            "The parameter Action may not be used with the parameter Operation",
        )),
        (Some(_), None) | (None, Some(_)) | (None, None) => Err(ApiError::missing_action()),
    }
}

/// Whether the client asks only whether it might.
pub(super) fn is_dry_run(parameters: &Parameters) -> Result<bool, ApiError> {
    match parameters.get_once("DryRun")? {
        None => Ok(false),
        Some(text) if text.eq_ignore_ascii_case("true") => Ok(true),
        Some(text) if text.eq_ignore_ascii_case("false") => Ok(false),
        Some(text) => Err(ApiError::invalid_value("DryRun", text, "It must be true or false.")),
    }
}
