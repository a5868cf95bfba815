//! What EC2 says when it agrees: a document named after the action, in the namespace of the
//! version the client speaks.
//!
//! An action's answer is a struct; [`render`] puts EC2's envelope around its fields in one pass.
//! Lists are [`Set`]s, which stay present when empty, since clients loop over them without asking.

use super::{
    error::ApiError,
    xml::{self, NoElement},
};
use schemars::JsonSchema;
use serde::Serialize;

/// STS has one version only.
pub const STS_VERSION: &str = "2011-06-15";
pub(super) const STS_NAMESPACE: &str = "https://sts.amazonaws.com/doc/2011-06-15/";

/// What EC2's namespaces begin with; the version and a slash follow.
pub(super) const NAMESPACE: &str = "http://ec2.amazonaws.com/doc/";
/// So has IAM.
pub const IAM_VERSION: &str = "2010-05-08";
pub(super) const IAM_NAMESPACE: &str = "https://iam.amazonaws.com/doc/2010-05-08/";

/// The version assumed for clients that name none, or nonsense.
pub const DEFAULT_VERSION: &str = "2016-11-15";

/// Renders the answer of an EC2 action. The body's fields become children of the root element.
pub fn render<R: Serialize>(
    action: &str,
    version: &str,
    request_id: &str,
    body: &R,
) -> Result<String, ApiError> {
    let xmlns = namespace(version);
    document(action, &xmlns, |out| {
        xml::element(out, "requestId", request_id)?;
        xml::fields(out, body)
    })
}

/// Renders the answer of an STS action: the body's fields become children of `<XResult>`.
pub fn render_sts<R: Serialize>(
    action: &str,
    request_id: &str,
    body: &R,
) -> Result<String, ApiError> {
    wrapped(action, STS_NAMESPACE, request_id, body)
}

/// The same of an IAM action.
pub fn render_iam<R: Serialize>(
    action: &str,
    request_id: &str,
    body: &R,
) -> Result<String, ApiError> {
    wrapped(action, IAM_NAMESPACE, request_id, body)
}

/// An action that has nothing to say has no result.
fn wrapped<R: Serialize>(
    action: &str,
    xmlns: &str,
    request_id: &str,
    body: &R,
) -> Result<String, ApiError> {
    document(action, xmlns, |out| {
        let mut result = String::new();
        xml::fields(&mut result, body)?;
        if !result.is_empty() {
            out.push_str(&format!("<{action}Result>{result}</{action}Result>"));
        }
        xml::element(out, "ResponseMetadata", &Metadata { request_id })
    })
}

/// The namespace that a version of EC2 is answered in.
pub fn namespace(version: &str) -> String {
    format!("{NAMESPACE}{}/", namespace_version(version))
}

/// The version to answer in: the one asked for if it looks like one, so that clients of any age
/// find the namespace they expect, and nothing a client invents gets into the namespace.
pub fn namespace_version(asked: &str) -> &str {
    let dashed = |(position, byte): (usize, u8)| match position {
        4 | 7 => byte == b'-',
        _ => byte.is_ascii_digit(),
    };
    if asked.len() == DEFAULT_VERSION.len() && asked.bytes().enumerate().all(dashed) {
        asked
    } else {
        DEFAULT_VERSION
    }
}

/// A list in an answer: `<item>` elements, or an empty element.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Set<T> {
    pub item: Vec<T>,
}

impl<T> Default for Set<T> {
    fn default() -> Self {
        Self { item: Vec::new() }
    }
}

impl<T> FromIterator<T> for Set<T> {
    fn from_iter<I: IntoIterator<Item = T>>(items: I) -> Self {
        Self { item: items.into_iter().collect() }
    }
}

impl<T> From<Vec<T>> for Set<T> {
    fn from(item: Vec<T>) -> Self {
        Self { item }
    }
}

/// A list in an answer of IAM: `<member>` elements, or an empty element.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Members<T> {
    pub member: Vec<T>,
}

impl<T> From<Vec<T>> for Members<T> {
    fn from(member: Vec<T>) -> Self {
        Self { member }
    }
}

/// The answer of an IAM action that was done, which says nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Nothing {}

/// The answer of an action that has nothing to say but that it was done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Return {
    #[serde(rename = "return")]
    done: bool,
}

impl Return {
    pub const TRUE: Return = Return { done: true };
}

/// A failure here is a mistake in an action's answer (a map with a key that is no element name,
/// say), found by that action's tests; the client can only be told that something went wrong.
fn document(
    action: &str,
    xmlns: &str,
    children: impl FnOnce(&mut String) -> Result<(), NoElement>,
) -> Result<String, ApiError> {
    let mut out = format!("<{action}Response xmlns=\"{xmlns}\">");
    children(&mut out).map_err(|error| {
        log::error!("the answer of `{action}` cannot be written as XML: {error}");
        ApiError::internal()
    })?;
    out.push_str("</");
    out.push_str(action);
    out.push_str("Response>");
    Ok(out)
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Metadata<'a> {
    request_id: &'a str,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::effort;
    use crate::api::time::DateTime;
    use crate::domain::time::Timestamp;

    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    struct Body {
        reservation_set: Set<Reservation>,
        #[serde(skip_serializing_if = "Option::is_none")]
        next_token: Option<String>,
    }

    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    struct Reservation {
        group_set: Set<String>,
        instances_set: Set<Instance>,
    }

    #[derive(Clone, Serialize)]
    #[serde(rename_all = "camelCase")]
    struct Instance {
        instance_id: String,
        instance_state: State,
        launch_time: DateTime,
        ebs_optimized: bool,
        tag_set: Set<Tag>,
    }

    #[derive(Clone, Serialize)]
    struct State {
        code: u16,
        name: &'static str,
    }

    #[derive(Clone, Serialize)]
    struct Tag {
        key: String,
        value: String,
    }

    fn instance() -> Instance {
        Instance {
            instance_id: "i-1".into(),
            instance_state: State { code: 16, name: "running" },
            launch_time: Timestamp(0).into(),
            ebs_optimized: false,
            tag_set: Set::from(vec![Tag { key: "<k>".into(), value: " a & b ".into() }]),
        }
    }

    fn body(instances: usize) -> Body {
        let instances_set = std::iter::repeat_n(instance(), instances).collect();
        let reservation = Reservation { group_set: Set::default(), instances_set };
        Body { reservation_set: vec![reservation].into(), next_token: None }
    }

    #[test]
    fn an_answer_stands_in_its_envelope_with_empty_sets_present_and_absent_options_absent() {
        assert_eq!(
            render("DescribeInstances", "2016-11-15", "r-1", &body(1)).unwrap(),
            "<DescribeInstancesResponse xmlns=\"http://ec2.amazonaws.com/doc/2016-11-15/\">\
             <requestId>r-1</requestId><reservationSet><item><groupSet/><instancesSet><item>\
             <instanceId>i-1</instanceId>\
             <instanceState><code>16</code><name>running</name></instanceState>\
             <launchTime>1970-01-01T00:00:00.000Z</launchTime>\
             <ebsOptimized>false</ebsOptimized>\
             <tagSet><item><key>&lt;k&gt;</key><value> a &amp; b </value></item></tagSet>\
             </item></instancesSet></item></reservationSet></DescribeInstancesResponse>"
        );
    }

    #[test]
    fn an_action_with_nothing_to_say_returns_true() {
        assert_eq!(
            render("DeleteKeyPair", "2016-11-15", "r-1", &Return::TRUE).unwrap(),
            "<DeleteKeyPairResponse xmlns=\"http://ec2.amazonaws.com/doc/2016-11-15/\">\
             <requestId>r-1</requestId><return>true</return></DeleteKeyPairResponse>"
        );
    }

    #[test]
    fn sts_wraps_the_answer_in_a_result_and_puts_the_request_id_last() {
        #[derive(Serialize)]
        #[serde(rename_all = "PascalCase")]
        struct Identity {
            account: &'static str,
        }
        assert_eq!(
            render_sts("GetCallerIdentity", "r-1", &Identity { account: "000000000001" }).unwrap(),
            "<GetCallerIdentityResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\">\
             <GetCallerIdentityResult><Account>000000000001</Account></GetCallerIdentityResult>\
             <ResponseMetadata><RequestId>r-1</RequestId></ResponseMetadata>\
             </GetCallerIdentityResponse>"
        );
    }

    #[test]
    fn iam_wraps_lists_of_members_and_has_no_result_where_there_is_nothing_to_say() {
        #[derive(Serialize)]
        #[serde(rename_all = "PascalCase")]
        struct Keys {
            access_key_metadata: Members<&'static str>,
            is_truncated: bool,
        }
        let keys = Keys { access_key_metadata: vec!["a", "b"].into(), is_truncated: false };
        assert_eq!(
            render_iam("ListAccessKeys", "r-1", &keys).unwrap(),
            "<ListAccessKeysResponse xmlns=\"https://iam.amazonaws.com/doc/2010-05-08/\">\
             <ListAccessKeysResult><AccessKeyMetadata><member>a</member><member>b</member>\
             </AccessKeyMetadata><IsTruncated>false</IsTruncated></ListAccessKeysResult>\
             <ResponseMetadata><RequestId>r-1</RequestId></ResponseMetadata>\
             </ListAccessKeysResponse>"
        );
        assert_eq!(
            render_iam("DeleteAccessKey", "r-1", &Nothing {}).unwrap(),
            "<DeleteAccessKeyResponse xmlns=\"https://iam.amazonaws.com/doc/2010-05-08/\">\
             <ResponseMetadata><RequestId>r-1</RequestId></ResponseMetadata>\
             </DeleteAccessKeyResponse>"
        );
    }

    #[test]
    fn any_date_is_answered_in_its_own_namespace_and_anything_else_in_the_default() {
        assert_eq!(namespace_version("2008-02-01"), "2008-02-01");
        for odd in ["", "latest", "2016-11-1", "2016-11-155", "2016x11-15", "\"><x>2016-", "２０1"]
        {
            assert_eq!(namespace_version(odd), DEFAULT_VERSION, "{odd}");
        }
    }

    #[test]
    fn an_answer_that_cannot_be_written_is_an_internal_error() {
        let map = std::collections::BTreeMap::from([("no element name", 1)]);
        assert_eq!(render("X", "", "r", &map), Err(ApiError::internal()));
    }

    #[test]
    fn a_long_answer_costs_in_proportion_to_its_length() {
        fn cost(instances: usize) -> f64 {
            let body = body(instances);
            effort::of(|| {
                assert!(render("X", "", "r", &body).unwrap().len() > 200 * instances);
            })
        }
        effort::assert_proportional(cost(500), cost(8_000));
    }
}
