//! Signed calls to the running cloud, over the same door every EC2 client uses.
//!
//! One call after another, each with a deadline. No retries: a cloud on this machine answers or is
//! not there.

mod capacity;
mod credential;
mod image;
mod instance;
mod request;
mod zone;

pub use capacity::{CapacityAnswer, Figures, MetaZone, ZoneCapacity};
pub use credential::CertificateAnswer;
pub use image::{ImageAnswer, Location, register_image};
pub use instance::InstanceAnswer;
pub use request::Request;
pub use zone::{RoomAnswer, ZoneAnswer};

#[cfg(test)]
pub use capacity::tests::described as capacity_for_tests;
#[cfg(test)]
pub use instance::tests::described as described_for_tests;

use super::{fault::Fault, process};
use crate::api::service::Service;
use crate::api::signature::{Received, v4};
use crate::config::{credentials::RootCredentials, state_directory::StateDirectory};
use crate::domain::id::RegionName;
use actix_web::http::header::{CONTENT_TYPE, HOST, HeaderMap, HeaderName, HeaderValue};
use serde::{Deserialize, de::DeserializeOwned};
use std::{fs, io, time::Duration};

const DEADLINE: Duration = Duration::from_secs(60);
/// Ten thousand instances fit.
const ANSWER_BYTES_MAX: usize = 64 << 20;
const SIGNED_HEADERS: &str = "host;x-amz-date";
const DATE: HeaderName = HeaderName::from_static("x-amz-date");

#[derive(Debug, thiserror::Error)]
pub enum ClientFault {
    #[error("the cloud at `{endpoint}` does not answer: {why}")]
    Unreachable { endpoint: String, why: String },
    #[error("{code}: {message}")]
    Refused { code: String, message: String },
    #[error("the answer to `{action}` cannot be understood: {why}")]
    Unreadable { action: &'static str, why: String },
}

impl ClientFault {
    /// Whether the cloud refused with this EC2 error code.
    pub fn is(&self, wanted: &str) -> bool {
        matches!(self, ClientFault::Refused { code, .. } if code == wanted)
    }
}

pub struct Client {
    endpoint: String,
    credentials: RootCredentials,
    region: RegionName,
    http: awc::Client,
    system: actix_rt::SystemRunner,
}

impl Client {
    /// For the cloud that runs from this state directory. It is not asked anything yet.
    pub fn connect(state: &StateDirectory, region: Option<&RegionName>) -> Result<Client, Fault> {
        let absent = || {
            let place = state.root().display();
            Fault::not_running(format!("the cloud of `{place}` is not running"))
        };
        if process::find(state)?.is_none() {
            return Err(absent());
        }
        let endpoint = read_endpoint(state)?.ok_or_else(absent)?;
        let credentials = RootCredentials::load(state).map_err(|e| Fault::of(&e))?;
        let region = match region {
            Some(region) => region.clone(),
            None => running_region(state)?,
        };
        Ok(Client::new(endpoint, credentials.ok_or_else(absent)?, region))
    }

    pub fn new(endpoint: String, credentials: RootCredentials, region: RegionName) -> Client {
        let system = actix_rt::System::new();
        let http = system.block_on(async {
            awc::Client::builder().timeout(DEADLINE).disable_redirects().finish()
        });
        Client { endpoint, credentials, region, http, system }
    }

    pub fn endpoint(&self) -> &str {
        &self.endpoint
    }

    pub fn region(&self) -> &RegionName {
        &self.region
    }

    pub fn credentials(&self) -> &RootCredentials {
        &self.credentials
    }

    /// The same client, acting in another region.
    pub fn in_region(self, region: RegionName) -> Client {
        Client { region, ..self }
    }

    /// Asks, and reads the answer into `R`, whose fields are the children of the root element.
    pub fn call<R: DeserializeOwned>(&self, request: &Request) -> Result<R, ClientFault> {
        let action = request.action();
        let (status, text) = self.system.block_on(self.exchange(request))?;
        if status != 200 {
            return Err(refusal(action, status, &text));
        }
        read_answer(action, &text)
    }

    async fn exchange(&self, request: &Request) -> Result<(u16, String), ClientFault> {
        let body = request.body();
        let unreachable =
            |why: String| ClientFault::Unreachable { endpoint: self.endpoint.clone(), why };
        let headers = self.signed_headers(request.service(), &body);
        let mut request = self.http.post(format!("{}/", self.endpoint));
        for (name, value) in headers {
            request = request.insert_header((name, value));
        }
        let mut response =
            request.send_body(body).await.map_err(|error| unreachable(error.to_string()))?;
        let bytes = response.body().limit(ANSWER_BYTES_MAX).await;
        let bytes = bytes.map_err(|error| unreachable(error.to_string()))?;
        Ok((response.status().as_u16(), String::from_utf8_lossy(&bytes).into_owned()))
    }

    fn signed_headers(&self, service: Service, body: &str) -> HeaderMap {
        let time = jiff::Timestamp::now().strftime(v4::TIME_FORMAT).to_string();
        let host = self.endpoint.trim_start_matches("http://");
        let text = |value: &str| {
            HeaderValue::from_str(value).expect("hosts, times and signatures are plain ASCII")
        };
        let mut headers = HeaderMap::new();
        headers.insert(HOST, text(host));
        headers.insert(DATE, text(&time));
        let received = Received {
            method: "POST",
            path: "/",
            query: "",
            headers: &headers,
            body: body.as_bytes(),
        };
        let scope = v4::Scope {
            date: time[..8].to_owned(),
            region: self.region.to_string(),
            service: service.scope_name().to_owned(),
        };
        let RootCredentials { access_key_id, secret_access_key, .. } = &self.credentials;
        let authorization =
            v4::sign(&received, access_key_id, &secret_access_key.0, &scope, &time, SIGNED_HEADERS)
                .expect("both headers to be signed are there");
        headers.insert(actix_web::http::header::AUTHORIZATION, text(&authorization));
        let form = HeaderValue::from_static("application/x-www-form-urlencoded; charset=utf-8");
        headers.insert(CONTENT_TYPE, form);
        headers
    }
}

/// Where the running cloud answers, if it has come so far.
pub fn read_endpoint(state: &StateDirectory) -> Result<Option<String>, Fault> {
    let path = state.endpoint();
    match fs::read_to_string(&path) {
        Ok(text) => Ok(Some(text.trim_end().to_owned())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Fault::io("read", &path)(error)),
    }
}

/// The default region of the configuration the cloud was started with.
fn running_region(state: &StateDirectory) -> Result<RegionName, Fault> {
    Ok(super::configuration::last_used(state)?.cloud.default_region())
}

fn read_answer<R: DeserializeOwned>(action: &'static str, text: &str) -> Result<R, ClientFault> {
    quick_xml::de::from_str(text)
        .map_err(|error| ClientFault::Unreadable { action, why: error.to_string() })
}

fn refusal(action: &'static str, status: u16, text: &str) -> ClientFault {
    /// EC2's error stands among others, IAM's by itself.
    #[derive(Deserialize)]
    struct Envelope {
        #[serde(rename = "Errors")]
        errors: Option<Errors>,
        #[serde(rename = "Error")]
        error: Option<Error>,
    }
    #[derive(Deserialize)]
    struct Errors {
        #[serde(rename = "Error")]
        error: Error,
    }
    #[derive(Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct Error {
        code: String,
        message: String,
    }
    let envelope: Option<Envelope> = quick_xml::de::from_str(text).ok();
    let error =
        envelope.and_then(|envelope| envelope.errors.map(|errors| errors.error).or(envelope.error));
    match error {
        Some(Error { code, message }) => ClientFault::Refused { code, message },
        None => ClientFault::Unreadable { action, why: format!("HTTP status {status}") },
    }
}

/// The lists of EC2's XML.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Items<T> {
    #[serde(default = "Vec::new")]
    pub item: Vec<T>,
}

impl<T> Default for Items<T> {
    fn default() -> Items<T> {
        Items { item: Vec::new() }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct TagAnswer {
    pub key: String,
    #[serde(default)]
    pub value: String,
}

/// An answer of which only the fact that it came matters.
#[derive(Debug, Deserialize)]
pub struct Done {}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::parameters::Parameters;
    use crate::api::signature::{Credential, Credentials, verify};
    use crate::domain::{account::SecretKey, time::Timestamp};

    struct Known(RootCredentials);

    impl Credentials for Known {
        fn find(&self, access_key_id: &str) -> Option<Credential> {
            (access_key_id == self.0.access_key_id).then(|| Credential {
                secret: self.0.secret_access_key.0.clone(),
                account: self.0.account.clone(),
                administrator: true,
                session_token: None,
            })
        }
    }

    fn client() -> Client {
        let credentials = RootCredentials {
            access_key_id: "AKIDEXAMPLE".into(),
            secret_access_key: SecretKey("wJalrXUtnFEMI".into()),
            account: "123456789012".parse().unwrap(),
        };
        Client::new("http://127.0.0.1:8773".into(), credentials, "eu-west-1".parse().unwrap())
    }

    #[test]
    fn the_server_believes_what_the_client_signs() {
        let client = client();
        let body = Request::new("DescribeInstances").with("Filter.1.Value.1", "a b&c=ü*~").body();
        let headers = client.signed_headers(Service::Ec2, &body);
        let received = Received {
            method: "POST",
            path: "/",
            query: "",
            headers: &headers,
            body: body.as_bytes(),
        };
        let now = Timestamp(jiff::Timestamp::now().as_millisecond());
        let known = Known(client.credentials.clone());
        let signed = verify(&received, &Parameters::default(), Service::Ec2, &known, now).unwrap();
        assert_eq!(signed.region(), Some(client.region()));
        let forged = Received { body: b"Action=TerminateInstances", ..received };
        verify(&forged, &Parameters::default(), Service::Ec2, &known, now).unwrap_err();
    }

    #[test]
    fn a_refusal_is_told_as_code_and_message() {
        let xml = "<?xml version=\"1.0\"?><Response><Errors><Error><Code>AuthFailure</Code>\
                   <Message>AWS was &lt;not&gt; able</Message></Error></Errors>\
                   <RequestID>1</RequestID></Response>";
        let fault = refusal("DescribeImages", 401, xml);
        assert!(fault.is("AuthFailure"));
        assert_eq!(fault.to_string(), "AuthFailure: AWS was <not> able");
        let xml = "<ErrorResponse xmlns=\"https://iam.amazonaws.com/doc/2010-05-08/\"><Error>\
                   <Type>Sender</Type><Code>NoSuchEntity</Code><Message>gone</Message></Error>\
                   <RequestId>1</RequestId></ErrorResponse>";
        assert!(refusal("GetUser", 404, xml).is("NoSuchEntity"));
        let fault = refusal("DescribeImages", 502, "<html>");
        assert!(fault.to_string().contains("HTTP status 502"), "{fault}");
    }

    #[test]
    fn a_port_where_nobody_listens_is_told_from_a_refusal() {
        // Bound and let go: nothing listens there.
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let client = Client { endpoint: format!("http://127.0.0.1:{port}"), ..client() };
        let fault = client.call::<Done>(&Request::new("DescribeRegions")).unwrap_err();
        assert!(matches!(fault, ClientFault::Unreachable { .. }), "{fault}");
    }
}
