//! The HTTP side of the EC2 endpoint: from a connection to a [`SignedRequest`], and back.
//!
//! It promises that whatever arrives, the answer is a well-formed EC2 document with a request id,
//! and that no client can hold more than its share: heads, bodies and idle connections have
//! deadlines, bodies a size, and the requests being worked on a number. Refusals come in the order
//! path, protocol, body, signature, action; so no stranger learns which actions exist.
//!
//! It knows no action: an [`Endpoint`] answers the requests that were let through; nor what they
//! look like: that is their [`protocol`]'s. It does not speak TLS.

mod connection;

use super::error::{ApiError, Code};
use super::parameters::raw_pairs;
use super::protocol::{self, Asked, Conversation, Messages, Trust};
use super::response::DEFAULT_VERSION;
use super::signature::{Credentials, Received, Signed};
use super::wsdl;
use crate::domain::account::Caller;
use crate::domain::chance::Chance;
use crate::domain::time::Timestamp;
use crate::domain::trace::{Cause, TraceId, TraceParent};
use crate::events::{
    Teller,
    event::{self, Event},
};
use crate::metrics::requests::Requests;
use crate::soap::Certificates;
use actix_web::http::header::{CONTENT_TYPE, HeaderMap};
use actix_web::http::{Method, StatusCode};
use actix_web::{App, HttpRequest, HttpResponse, HttpServer, web};
use futures_util::StreamExt;
use std::cell::RefCell;
use std::fmt;
use std::future::Future;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::{Semaphore, SemaphorePermit};
use tracing::{Instrument, debug_span};

/// Where the endpoint answers, with or without a slash at the end.
const PATHS: [&str; 4] = ["", "/services/Eucalyptus", "/services/compute", "/services/Euare"];

/// What answers requests: in production the dispatcher of actions. Each worker thread has a clone.
pub trait Endpoint: Credentials + Certificates<Holder = Caller> + Clone + Send + 'static {
    /// The XML document that is the answer, or why there is none.
    fn answer(&self, request: SignedRequest) -> impl Future<Output = Result<String, ApiError>>;
}

/// A request whose sender is proved, ready to become an action.
#[derive(Debug, Clone)]
pub struct SignedRequest {
    pub sender: Signed,
    pub asked: Asked,
    pub cause: Cause,
}

/// How much a client may ask of the server.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    pub workers: usize,
    /// Connections at a time, over all workers.
    pub connections_max: usize,
    /// Requests being answered at a time, over all workers. More are refused, not queued.
    pub in_flight_max: usize,
    pub body_bytes_max: usize,
    /// For the whole of a request's head, from its first byte on.
    pub head_deadline: Duration,
    /// For the whole of a request's body.
    pub body_deadline: Duration,
    /// How long a connection may wait for its next request.
    pub idle_deadline: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            workers: 2,
            connections_max: 4096,
            in_flight_max: 1024,
            body_bytes_max: 1024 * 1024,
            head_deadline: Duration::from_secs(5),
            body_deadline: Duration::from_secs(10),
            idle_deadline: Duration::from_secs(30),
        }
    }
}

/// What the server is given besides its endpoint: limits, and time and chance from the top.
#[derive(Clone)]
pub struct Options {
    pub limits: Limits,
    pub clock: Arc<dyn Fn() -> Timestamp + Send + Sync>,
    /// Makes each worker its own source of request ids.
    pub chance: Arc<dyn Fn() -> Box<dyn Chance> + Send + Sync>,
    pub messages: Arc<Messages>,
    pub teller: Teller,
    /// Where requests are counted, if they are.
    pub counted: Option<Arc<Requests>>,
}

impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Options").field("limits", &self.limits).finish_non_exhaustive()
    }
}

/// Starts answering on `listener`. The server runs while the future returned is awaited or
/// spawned; its handle stops it.
pub fn serve<E: Endpoint>(
    listener: std::net::TcpListener,
    endpoint: E,
    options: Options,
) -> std::io::Result<actix_web::dev::Server> {
    let limits = options.limits;
    let admission = Arc::new(Semaphore::new(limits.in_flight_max));
    let application = move || {
        let gate = Rc::new(Gate {
            endpoint: endpoint.clone(),
            limits,
            admission: admission.clone(),
            clock: options.clock.clone(),
            messages: options.messages.clone(),
            chance: RefCell::new((options.chance)()),
            teller: options.teller.clone(),
            counted: options.counted.clone(),
        });
        App::new().default_service(web::to(move |request: HttpRequest, payload: web::Payload| {
            let gate = gate.clone();
            async move { gate.answer(request, payload).await }
        }))
    };
    let between_requests_max = limits.head_deadline + limits.idle_deadline;
    let server = HttpServer::new(application)
        .workers(limits.workers)
        .max_connections(limits.connections_max.div_ceil(limits.workers.max(1)))
        .client_request_timeout(limits.head_deadline)
        .keep_alive(limits.idle_deadline)
        .on_connect(move |io, extensions| connection::watch(io, extensions, between_requests_max))
        .disable_signals()
        .listen(listener)?;
    Ok(server.run())
}

/// One worker's share of the server.
struct Gate<E> {
    endpoint: E,
    limits: Limits,
    admission: Arc<Semaphore>,
    clock: Arc<dyn Fn() -> Timestamp + Send + Sync>,
    messages: Arc<Messages>,
    chance: RefCell<Box<dyn Chance>>,
    teller: Teller,
    counted: Option<Arc<Requests>>,
}

/// What is known of a request so far, however it ends.
#[derive(Debug)]
struct Known {
    cause: Cause,
    told: event::Request,
}

impl<E: Endpoint> Gate<E> {
    async fn answer(&self, request: HttpRequest, payload: web::Payload) -> HttpResponse {
        let _busy = connection::busy(&request);
        let begun = Instant::now();
        let mut known = self.begin(request.headers());
        let mut conversation = match description_wanted(&request) {
            Some(_) => protocol::plain(),
            None => protocol::begin(request.headers()),
        };
        let answered = self.try_answer(&request, payload, conversation.as_mut(), &mut known).await;
        let Known { cause, mut told } = known;
        let request_id = cause.request_id.clone();
        let refused = answered.as_ref().err().cloned();
        let written = conversation.write(answered, &request_id);
        if let Some(error) = &refused {
            log::debug!("request {request_id} refused: {error}");
            told.code = Some(error.code.as_str().to_owned());
        }
        let took = begun.elapsed();
        if let Some(counted) = &self.counted {
            counted.answered(told.action.as_deref(), told.code.as_deref(), took);
        }
        self.teller.tell(Some(&cause), || {
            told.status = written.status.as_u16();
            told.duration_us = took.as_micros() as u64;
            Event::Request(told)
        });
        let mut response = HttpResponse::build(written.status);
        response.insert_header((CONTENT_TYPE, written.media_type));
        response.insert_header(("x-amzn-requestid", request_id));
        // The rest of a body that was too long or too slow is not worth waiting for.
        if refused.is_some_and(|error| {
            matches!(error.status(), StatusCode::PAYLOAD_TOO_LARGE | StatusCode::REQUEST_TIMEOUT)
        }) {
            response.force_close();
        }
        response.body(written.body)
    }

    /// The request's id, and its trace: the client's, or one that begins with it and is called the
    /// same.
    fn begin(&self, headers: &HeaderMap) -> Known {
        let id = random_uuid(self.chance.borrow_mut().as_mut());
        let parent = trace_parent(headers);
        let trace_id = parent.map(|parent| parent.trace).or_else(|| TraceId::of(id));
        let cause = Cause { request_id: uuid_text(id), trace_id };
        let told = event::Request {
            parent_span_id: parent.map(|parent| parent.span),
            ..event::Request::default()
        };
        Known { cause, told }
    }

    /// What becomes known on the way stands in `known`.
    async fn try_answer(
        &self,
        request: &HttpRequest,
        payload: web::Payload,
        conversation: &mut dyn Conversation,
        known: &mut Known,
    ) -> Result<String, ApiError> {
        check_path(request.path())?;
        check_method(request.method())?;
        if let Some(version) = description_wanted(request) {
            let _admitted = self.admit()?;
            return wsdl::render(version, &address(request));
        }
        let body = self.read_body(payload).await?;
        let _admitted = self.admit()?;
        let received = Received {
            method: request.method().as_str(),
            path: request.uri().path(),
            query: request.query_string(),
            headers: request.headers(),
            body: &body,
        };
        let trust = Trust {
            credentials: &self.endpoint,
            certificates: &self.endpoint,
            messages: &self.messages,
            now: (self.clock)(),
        };
        let sender = conversation.sender(&received, &trust)?;
        known.told.account = Some(sender.account().clone());
        known.told.region = sender.region().map(ToString::to_string);
        let asked = conversation.asked()?;
        known.told.action = Some(asked.action.clone());
        let request = SignedRequest { sender, asked, cause: known.cause.clone() };
        let Cause { request_id, trace_id } = &request.cause;
        let trace_id = trace_id.map(tracing::field::display);
        let span = debug_span!("api", %request_id, trace_id, action = %request.asked.action);
        self.endpoint.answer(request).instrument(span).await
    }

    fn admit(&self) -> Result<SemaphorePermit<'_>, ApiError> {
        self.admission.try_acquire().map_err(|_| ApiError::request_limit_exceeded())
    }

    async fn read_body(&self, mut payload: web::Payload) -> Result<Vec<u8>, ApiError> {
        let max = self.limits.body_bytes_max;
        let whole = async {
            let mut body = Vec::new();
            while let Some(chunk) = payload.next().await {
                let chunk = chunk.map_err(|_| {
                    ApiError::malformed_query("The request body could not be read.")
                })?;
                if body.len() + chunk.len() > max {
                    return Err(ApiError::new(
                        Code::RequestEntityTooLarge,
                        format!("The request body is larger than {max} bytes."),
                    ));
                }
                body.extend_from_slice(&chunk);
            }
            Ok(body)
        };
        tokio::time::timeout(self.limits.body_deadline, whole).await.unwrap_or_else(|_| {
            Err(ApiError::new(Code::RequestTimeout, "The request body was not received in time."))
        })
    }
}

fn check_path(path: &str) -> Result<(), ApiError> {
    let without_slash = path.strip_suffix('/').unwrap_or(path);
    if PATHS.contains(&without_slash) {
        return Ok(());
    }
    Err(ApiError::new(Code::NotFound, "There is no service at this path."))
}

fn check_method(method: &Method) -> Result<(), ApiError> {
    if matches!(*method, Method::GET | Method::POST) {
        return Ok(());
    }
    Err(ApiError::new(Code::MethodNotAllowed, "The request method must be GET or POST."))
}

/// The version whose WSDL is asked for, by anybody: `?wsdl` for today's, `?wsdl=2008-02-01` for an
/// older one's.
fn description_wanted(request: &HttpRequest) -> Option<&str> {
    if *request.method() != Method::GET || request.query_string().contains('&') {
        return None;
    }
    let (name, version) = raw_pairs(request.query_string()).next()?;
    let version = if version.is_empty() { DEFAULT_VERSION } else { version };
    name.eq_ignore_ascii_case("wsdl").then_some(version)
}

/// Where the client found us: what stands before us may have a name of its own.
fn address(request: &HttpRequest) -> String {
    let found = request.connection_info();
    format!("{}://{}{}", found.scheme(), found.host(), request.path())
}

/// What the client says of its trace. One that is malformed, or not the only one, was not said.
fn trace_parent(headers: &HeaderMap) -> Option<TraceParent> {
    let mut said = headers.get_all("traceparent");
    let only = said.next().filter(|_| said.next().is_none())?;
    only.to_str().ok()?.parse().ok()
}

/// A random (version 4) UUID, which is the shape of AWS's request ids.
fn random_uuid(chance: &mut dyn Chance) -> [u8; 16] {
    let mut bytes = [0; 16];
    chance.fill(&mut bytes);
    bytes[6] = bytes[6] & 0x0f | 0x40;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    bytes
}

fn uuid_text(bytes: [u8; 16]) -> String {
    let n = u128::from_be_bytes(bytes);
    format!(
        "{:08x}-{:04x}-{:04x}-{:04x}-{:012x}",
        n >> 96,
        n >> 80 & 0xffff,
        n >> 64 & 0xffff,
        n >> 48 & 0xffff,
        n & 0xffff_ffff_ffff
    )
}

#[cfg(test)]
mod tests;
