//! The server seen from a socket.

use super::*;
use crate::api::signature::{Credential, v4};
use crate::domain::chance::Counting;
use crate::soap;
use actix_web::http::header::{HeaderName, HeaderValue};
use std::net::{SocketAddr, TcpListener};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::Notify;

const NOW: Timestamp = Timestamp(1_767_323_045_000);
const TIME: &str = "20260102T030405Z";
const FORM: &str = "application/x-www-form-urlencoded";

/// Answers with what it was asked; `Wait` only once it is told to.
#[derive(Clone)]
struct Echo {
    asked: Arc<Notify>,
    answer: Arc<Notify>,
}

impl Credentials for Echo {
    fn find(&self, access_key_id: &str) -> Option<Credential> {
        (access_key_id == "KEY").then(|| Credential {
            secret: "secret".into(),
            account: "000000000001".parse().unwrap(),
            administrator: true,
            session_token: None,
        })
    }
}

impl Certificates for Echo {
    type Holder = Caller;

    fn find(&self, _: &[u8; 32]) -> Option<Caller> {
        None
    }
}

fn messages() -> Arc<Messages> {
    Arc::new(Messages { receiver: soap::Receiver::new(Default::default(), NOW), signer: None })
}

impl Endpoint for Echo {
    async fn answer(&self, request: SignedRequest) -> Result<String, ApiError> {
        if request.asked.action == "Refuse" {
            return Err(ApiError::invalid_action(&request.asked.action));
        }
        if request.asked.action == "Wait" {
            self.asked.notify_one();
            self.answer.notified().await;
        }
        Ok(format!(
            "{} {} {} {:?} {}",
            request.asked.action,
            request.asked.version,
            request.sender.account(),
            request.sender.region().map(ToString::to_string),
            request.asked.dry_run
        ))
    }
}

/// A server of its own on a port of its own, stopped when dropped.
struct Running {
    address: SocketAddr,
    handle: actix_web::dev::ServerHandle,
    echo: Echo,
}

impl Running {
    fn new(change: impl FnOnce(&mut Limits)) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let echo = Echo { asked: Arc::new(Notify::new()), answer: Arc::new(Notify::new()) };
        let mut limits = Limits { workers: 1, ..Limits::default() };
        change(&mut limits);
        let options = Options {
            limits,
            clock: Arc::new(|| NOW),
            messages: messages(),
            chance: Arc::new(|| Box::new(Counting::default())),
            teller: Teller::default(),
            counted: None,
        };
        let server = serve(listener, echo.clone(), options).unwrap();
        let handle = server.handle();
        actix_web::rt::spawn(server);
        Self { address, handle, echo }
    }

    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }

    /// Sends the bytes and returns all that comes back until the server closes.
    async fn exchange(&self, request: &[u8]) -> String {
        let mut stream = self.connect().await;
        stream.write_all(request).await.unwrap();
        read_to_end(&mut stream).await
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // The stop is ordered at once; the future only waits for it.
        drop(self.handle.stop(false));
    }
}

async fn read_to_end(stream: &mut TcpStream) -> String {
    let mut answer = Vec::new();
    // A server that closes with bytes of ours unread resets the connection after its answer.
    let read = stream.read_to_end(&mut answer);
    let _ = tokio::time::timeout(Duration::from_secs(20), read).await.expect("no answer in 20 s");
    String::from_utf8(answer).unwrap()
}

/// A `POST` with the headers given.
fn post(path: &str, headers: &[(&str, &str)], body: &str) -> Vec<u8> {
    let mut request = format!("POST {path} HTTP/1.1\r\n");
    for (name, value) in headers {
        request.push_str(&format!("{name}: {value}\r\n"));
    }
    request.push_str(&format!("content-length: {}\r\n\r\n{body}", body.len()));
    request.into_bytes()
}

/// The same, signed; the connection is to be closed after the answer if `connection` says so.
fn signed(path: &str, service: &str, connection: &str, body: &str) -> Vec<u8> {
    let pairs = [("host", "cloud"), ("x-amz-date", TIME)];
    let mut headers = HeaderMap::new();
    for (name, value) in pairs {
        headers.insert(HeaderName::from_static(name), HeaderValue::from_static(value));
    }
    let received =
        Received { method: "POST", path, query: "", headers: &headers, body: body.as_bytes() };
    let scope =
        v4::Scope { date: TIME[..8].into(), region: "here".into(), service: service.into() };
    let authorization =
        v4::sign(&received, "KEY", "secret", &scope, TIME, "host;x-amz-date").unwrap();
    let more =
        [("authorization", &*authorization), ("content-type", FORM), ("connection", connection)];
    post(path, &[pairs.as_slice(), &more].concat(), body)
}

fn check(answer: &str, status: u16, content: &str) {
    assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{answer}");
    assert!(answer.contains(content), "{answer}");
    assert!(answer.contains("\r\nx-amzn-requestid: "), "{answer}");
    assert!(answer.contains("\r\ncontent-type: text/xml;charset=UTF-8\r\n"), "{answer}");
}

#[actix_web::test]
async fn a_signed_request_is_answered_on_every_path_with_and_without_slash() {
    let server = Running::new(|_| {});
    for path in [
        "/",
        "/services/Eucalyptus",
        "/services/Eucalyptus/",
        "/services/compute",
        "/services/compute/",
    ] {
        let body = "Action=Do&Version=2016-11-15&DryRun=true";
        let answer = server.exchange(&signed(path, "ec2", "close", body)).await;
        check(&answer, 200, "Do 2016-11-15 000000000001 Some(\"here\") true");
    }
}

#[actix_web::test]
async fn another_path_has_nothing_even_for_a_signed_request() {
    let server = Running::new(|_| {});
    for path in ["/services", "/services/Walrus", "//", "/services/compute//", "/Services/compute"]
    {
        let answer = server.exchange(&signed(path, "ec2", "close", "Action=Do")).await;
        check(&answer, 404, "<Code>NotFound</Code>");
    }
}

#[actix_web::test]
async fn an_unsigned_request_reaches_no_action() {
    let server = Running::new(|_| {});
    let headers = [("host", "cloud"), ("connection", "close")];
    let answer = server.exchange(&post("/", &headers, "Action=Do")).await;
    check(&answer, 403, "<Code>MissingAuthenticationToken</Code>");
}

#[actix_web::test]
async fn a_wrong_signature_is_refused_in_the_words_of_the_service() {
    let server = Running::new(|_| {});
    for (service, body, status, code) in [
        ("ec2", "Action=Do&Version=2016-11-15", 401, "AuthFailure"),
        ("sts", "Action=GetCallerIdentity&Version=2011-06-15", 403, "SignatureDoesNotMatch"),
    ] {
        let request = signed("/", service, "close", body);
        let changed = String::from_utf8(request).unwrap().replace("Action=", "Action=N");
        let length = format!("content-length: {}", body.len());
        let longer = format!("content-length: {}", body.len() + 1);
        let answer = server.exchange(changed.replace(&length, &longer).as_bytes()).await;
        check(&answer, status, &format!("<Code>{code}</Code>"));
    }
}

#[actix_web::test]
async fn a_refusal_of_the_endpoint_is_rendered_in_the_service_s_shape() {
    let server = Running::new(|_| {});
    let answer = server.exchange(&signed("/", "ec2", "close", "Action=Refuse")).await;
    check(&answer, 400, "<Response><Errors><Error><Code>InvalidAction</Code>");
    let body = "Action=Refuse&Version=2011-06-15";
    let answer = server.exchange(&signed("/", "sts", "close", body)).await;
    check(&answer, 400, "<ErrorResponse xmlns=");
}

#[actix_web::test]
async fn the_request_id_of_the_header_is_that_of_the_document_and_a_uuid() {
    let server = Running::new(|_| {});
    let answer = server.exchange(&signed("/", "ec2", "close", "Action=Refuse")).await;
    let id = answer.split("x-amzn-requestid: ").nth(1).unwrap().split("\r\n").next().unwrap();
    assert!(answer.contains(&format!("<RequestID>{id}</RequestID>")), "{answer}");
    assert_eq!(id.split('-').map(str::len).collect::<Vec<_>>(), [8, 4, 4, 4, 12]);
}

#[actix_web::test]
async fn the_action_is_given_once_under_either_name() {
    let server = Running::new(|_| {});
    for (body, status, content) in [
        ("Operation=Do", 200, "Do "),
        ("A=1", 400, "<Code>MissingAction</Code>"),
        ("Action=", 400, "<Code>MissingAction</Code>"),
        ("Action=Do&Action=Do", 400, "<Code>InvalidParameterCombination</Code>"),
        ("Action=Do&Operation=Do", 400, "<Code>InvalidParameterCombination</Code>"),
        ("Action=Do&DryRun=maybe", 400, "<Code>InvalidParameterValue</Code>"),
    ] {
        check(&server.exchange(&signed("/", "ec2", "close", body)).await, status, content);
    }
}

#[actix_web::test]
async fn content_of_no_protocol_is_refused_and_not_misread() {
    let server = Running::new(|_| {});
    for kind in ["application/json", "multipart/form-data; boundary=x"] {
        let headers = [("host", "cloud"), ("connection", "close"), ("content-type", kind)];
        let answer = server.exchange(&post("/", &headers, "Action=Do")).await;
        check(&answer, 400, "<Code>UnsupportedProtocol</Code>");
    }
}

#[actix_web::test]
async fn what_says_that_it_is_soap_is_answered_with_a_fault() {
    let server = Running::new(|_| {});
    for (header, media_type, fault) in [
        (("soapaction", "\"\""), "text/xml", "Client.InvalidSOAPRequest<"),
        (("content-type", "text/xml; charset=utf-8"), "text/xml", "Client.InvalidSOAPRequest<"),
        (
            ("content-type", "application/soap+xml"),
            "application/soap+xml",
            "aws:InvalidSOAPRequest<",
        ),
    ] {
        let headers = [("host", "cloud"), ("connection", "close"), header];
        let answer = server.exchange(&post("/", &headers, "Action=Do")).await;
        assert!(answer.starts_with("HTTP/1.1 500 "), "{answer}");
        assert!(answer.contains(&format!("content-type: {media_type};charset=UTF-8")), "{answer}");
        assert!(answer.contains(fault), "{answer}");
    }
}

#[actix_web::test]
async fn a_wsdl_is_a_document_of_its_own_whatever_the_headers_say() {
    let server = Running::new(|_| {});
    for header in
        ["accept: */*", "content-type: text/xml", "content-type: application/x-amz-json-1.1"]
    {
        let request = format!(
            "GET /?wsdl HTTP/1.1\r\nhost: cloud:1\r\n{header}\r\nconnection: close\r\n\r\n"
        );
        let answer = server.exchange(request.as_bytes()).await;
        check(&answer, 200, "\r\n\r\n<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<definitions ");
        assert!(answer.contains(" location=\"http://cloud:1/\""), "{header}");
    }
}

#[actix_web::test]
async fn a_soap_message_with_a_proof_of_query_s_is_refused() {
    let server = Running::new(|_| {});
    let signed = String::from_utf8(signed("/", "ec2", "close", "Action=Do")).unwrap();
    let with_action = signed.replace("content-type: ", "soapaction: \"Do\"\r\ncontent-type: ");
    let answer = server.exchange(with_action.as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 500 "), "{answer}");
    assert!(answer.contains("Client.InvalidSecurity<"), "{answer}");
}

#[actix_web::test]
async fn other_methods_are_refused() {
    let server = Running::new(|_| {});
    for method in ["PUT", "DELETE", "OPTIONS", "PATCH"] {
        let request = format!("{method} / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
        check(&server.exchange(request.as_bytes()).await, 405, "<Code>MethodNotAllowed</Code>");
    }
}

#[actix_web::test]
async fn a_body_of_exactly_the_limit_is_read_and_a_longer_one_refused() {
    let server = Running::new(|limits| limits.body_bytes_max = 1000);
    let body = |length: usize| format!("Action=Do&Data={}", "x".repeat(length - 15));
    check(&server.exchange(&signed("/", "ec2", "close", &body(1000))).await, 200, "Do ");
    for length in [1001, 100_000] {
        let answer = server.exchange(&signed("/", "ec2", "keep-alive", &body(length))).await;
        check(&answer, 413, "<Code>RequestEntityTooLarge</Code>");
    }
}

#[actix_web::test]
async fn a_body_that_does_not_arrive_is_not_waited_for() {
    let server = Running::new(|limits| limits.body_deadline = Duration::from_millis(50));
    let request = b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 100\r\n\r\nAction=";
    check(&server.exchange(request).await, 408, "<Code>RequestTimeout</Code>");
}

#[actix_web::test]
async fn a_head_that_does_not_arrive_is_not_waited_for() {
    let server = Running::new(|limits| limits.head_deadline = Duration::from_millis(50));
    let answer = server.exchange(b"POST / HTTP/1.1\r\nhost: ").await;
    assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
}

#[actix_web::test]
async fn the_head_of_a_second_request_is_not_waited_for_either() {
    let server = Running::new(|limits| {
        limits.head_deadline = Duration::from_millis(100);
        limits.idle_deadline = Duration::from_millis(100);
    });
    let mut stream = server.connect().await;
    stream.write_all(&signed("/", "ec2", "keep-alive", "Action=Do")).await.unwrap();
    let mut answer = Vec::new();
    while !answer.ends_with(b" false") {
        assert_ne!(stream.read_buf(&mut answer).await.unwrap(), 0, "closed too early");
    }
    stream.write_all(b"POST / HTTP/1.1\r\nhost: ").await.unwrap();
    assert_eq!(read_to_end(&mut stream).await, "");
}

#[actix_web::test]
async fn an_idle_connection_is_closed() {
    let server = Running::new(|limits| limits.idle_deadline = Duration::from_millis(50));
    let answer = server.exchange(&signed("/", "ec2", "keep-alive", "Action=Do")).await;
    check(&answer, 200, "Do ");
}

#[actix_web::test]
async fn a_request_being_answered_is_not_cut_off_however_long_it_takes() {
    let server = Running::new(|limits| {
        limits.head_deadline = Duration::from_millis(20);
        limits.idle_deadline = Duration::from_millis(20);
    });
    let mut stream = server.connect().await;
    stream.write_all(&signed("/", "ec2", "close", "Action=Wait")).await.unwrap();
    server.echo.asked.notified().await;
    // The deadlines pass, as another connection's end shows, and the answer is still awaited.
    let mut idle = server.connect().await;
    read_to_end(&mut idle).await;
    server.echo.answer.notify_one();
    check(&read_to_end(&mut stream).await, 200, "Wait ");
}

#[actix_web::test]
async fn requests_beyond_the_limit_are_refused_until_others_are_answered() {
    let server = Running::new(|limits| limits.in_flight_max = 1);
    let mut first = server.connect().await;
    first.write_all(&signed("/", "ec2", "close", "Action=Wait")).await.unwrap();
    server.echo.asked.notified().await;
    let refused = server.exchange(&signed("/", "ec2", "close", "Action=Do")).await;
    check(&refused, 503, "<Code>RequestLimitExceeded</Code>");
    server.echo.answer.notify_one();
    check(&read_to_end(&mut first).await, 200, "Wait ");
    check(&server.exchange(&signed("/", "ec2", "close", "Action=Do")).await, 200, "Do ");
}

#[actix_web::test]
async fn several_requests_may_use_one_connection() {
    let server = Running::new(|_| {});
    let mut requests = signed("/", "ec2", "keep-alive", "Action=One");
    requests.extend(signed("/", "ec2", "close", "Action=Two"));
    let answer = server.exchange(&requests).await;
    assert!(answer.contains("One ") && answer.contains("Two "), "{answer}");
}

#[actix_web::test]
async fn malformed_parameters_are_refused_before_the_signature_is_looked_at() {
    let server = Running::new(|_| {});
    let request = b"GET /?a=%zz HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
    check(&server.exchange(request).await, 400, "<Code>MalformedQueryString</Code>");
}

/// What is told of a request with these headers, signed or not.
async fn told(headers: &[(&str, &str)]) -> (Option<crate::domain::trace::Cause>, event::Request) {
    let (ambient, _) = crate::ambient::Ambient::seeded(1, NOW);
    let (log, intake) = crate::events::EventLog::with_room_for(1, ambient);
    let gate = Gate {
        endpoint: Echo { asked: Arc::new(Notify::new()), answer: Arc::new(Notify::new()) },
        limits: Limits::default(),
        admission: Arc::new(Semaphore::new(1)),
        clock: Arc::new(|| NOW),
        messages: messages(),
        chance: RefCell::new(Box::new(Counting::default())),
        teller: log.teller("api", "test"),
        counted: None,
    };
    let mut request = actix_web::test::TestRequest::get();
    for header in headers {
        request = request.append_header(*header);
    }
    let (request, mut payload) = request.to_http_parts();
    let payload = <web::Payload as actix_web::FromRequest>::from_request(&request, &mut payload);
    gate.answer(request, payload.await.unwrap()).await;
    let told = intake.so_far().remove(0);
    match told.event {
        Event::Request(request) => (told.cause, request),
        other => panic!("{other:?}"),
    }
}

#[actix_web::test]
async fn what_was_refused_unsigned_is_told_without_what_it_claims_to_be() {
    let (cause, request) = told(&[]).await;
    assert_eq!((request.action, request.account), (None, None));
    assert_eq!(
        (request.status, request.code.as_deref()),
        (403, Some("MissingAuthenticationToken"))
    );
    let cause = cause.unwrap();
    assert_eq!(cause.trace_id.unwrap().to_string(), cause.request_id.replace('-', ""));
}

#[actix_web::test]
async fn a_client_s_trace_is_taken_up_unless_it_is_malformed_or_not_the_only_one() {
    let valid = ("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01");
    let trace = |cause: Option<crate::domain::trace::Cause>| cause.unwrap().trace_id.unwrap();
    let (cause, request) = told(&[valid]).await;
    assert_eq!(trace(cause).to_string(), "0af7651916cd43dd8448eb211c80319c");
    assert_eq!(request.parent_span_id.unwrap().to_string(), "b7ad6b7169203331");
    for wrong in [&[valid, valid][..], &[("traceparent", "00-0af7651916cd43dd8448eb211c80319c")]] {
        let (cause, request) = told(wrong).await;
        assert_ne!(trace(cause).to_string(), "0af7651916cd43dd8448eb211c80319c");
        assert_eq!(request.parent_span_id, None);
    }
}
