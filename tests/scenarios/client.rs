//! An EC2 client in a few lines: signs with SigV4, speaks HTTP over a plain socket, reads elements.
//!
//! It shares nothing with the endpoint but the signature's arithmetic, which `tests/clients` checks
//! against clients that are not ours.

use actix_web::http::header::{HeaderMap, HeaderName, HeaderValue};
use mallee::api::signature::{Received, v4};
use std::{
    io::{self, Read, Write},
    net::{SocketAddr, TcpStream},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

pub const ACCESS_KEY: &str = "AKIAIOSFODNN7EXAMPLE";
pub const SECRET_KEY: &str = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY";

#[derive(Debug, Clone)]
pub struct Client {
    pub address: SocketAddr,
    pub region: String,
    /// The service's name in signatures, and its version.
    pub service: (&'static str, &'static str),
    pub access_key: (String, String),
    /// What it says of its trace.
    pub trace_parent: Option<String>,
}

/// An answer, or a refusal with its code.
pub type Answer = Result<Document, Refusal>;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    pub status: u16,
    pub code: String,
    pub message: String,
}

/// An XML document, read by the names of its elements.
#[derive(Debug, Clone)]
pub struct Document(pub String);

impl Document {
    /// The texts of all elements of that name, in order.
    pub fn all(&self, name: &str) -> Vec<String> {
        let (open, close) = (format!("<{name}>"), format!("</{name}>"));
        let mut texts = Vec::new();
        let mut rest = self.0.as_str();
        while let Some((_, after)) = rest.split_once(&open) {
            let Some((text, after)) = after.split_once(&close) else { break };
            texts.push(text.to_owned());
            rest = after;
        }
        texts
    }

    pub fn first(&self, name: &str) -> Option<String> {
        self.all(name).into_iter().next()
    }
}

impl Client {
    pub fn of(address: SocketAddr, region: &str) -> Client {
        Client {
            address,
            region: region.to_owned(),
            service: ("ec2", "2016-11-15"),
            access_key: (ACCESS_KEY.to_owned(), SECRET_KEY.to_owned()),
            trace_parent: None,
        }
    }

    /// The same, asking IAM.
    pub fn of_iam(&self) -> Client {
        Client { service: ("iam", "2010-05-08"), ..self.clone() }
    }

    pub fn with_key(&self, id: &str, secret: &str) -> Client {
        Client { access_key: (id.to_owned(), secret.to_owned()), ..self.clone() }
    }

    pub fn traced(&self, trace_parent: &str) -> Client {
        Client { trace_parent: Some(trace_parent.to_owned()), ..self.clone() }
    }

    /// `Err` of the outer result: no answer, so that whether it was done is unknown.
    pub fn call(&self, action: &str, parameters: &[(&str, &str)]) -> io::Result<Answer> {
        let mut form = format!("Action={action}&Version={}", self.service.1);
        for (name, value) in parameters {
            form.push_str(&format!("&{}={}", encoded(name), encoded(value)));
        }
        let head = self.signed_head(&form);
        let mut stream = TcpStream::connect_timeout(&self.address, Duration::from_secs(5))?;
        stream.set_read_timeout(Some(Duration::from_secs(60)))?;
        stream.write_all(head.as_bytes())?;
        stream.write_all(form.as_bytes())?;
        let mut reply = String::new();
        stream.read_to_string(&mut reply)?;
        parse(&reply)
    }

    /// The answer, where there must be one.
    pub fn ask(&self, action: &str, parameters: &[(&str, &str)]) -> Document {
        match self.call(action, parameters) {
            Ok(Ok(document)) => document,
            other => panic!("{action} {parameters:?}: {other:?}"),
        }
    }

    pub fn refusal(&self, action: &str, parameters: &[(&str, &str)]) -> Refusal {
        match self.call(action, parameters) {
            Ok(Err(refusal)) => refusal,
            other => panic!("{action} {parameters:?} is not refused: {other:?}"),
        }
    }

    fn signed_head(&self, form: &str) -> String {
        let seconds = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
        let now = jiff::Timestamp::from_second(seconds as i64).unwrap();
        let time = now.strftime("%Y%m%dT%H%M%SZ").to_string();
        let host = self.address.to_string();
        let mut headers = HeaderMap::new();
        let content = "application/x-www-form-urlencoded";
        for (name, value) in [("content-type", content), ("host", &host), ("x-amz-date", &time)] {
            headers
                .insert(HeaderName::try_from(name).unwrap(), HeaderValue::from_str(value).unwrap());
        }
        let received = Received {
            method: "POST",
            path: "/",
            query: "",
            headers: &headers,
            body: form.as_bytes(),
        };
        let scope = v4::Scope {
            date: time[..8].to_owned(),
            region: self.region.clone(),
            service: self.service.0.to_owned(),
        };
        let signed = "content-type;host;x-amz-date";
        let (id, secret) = &self.access_key;
        let authorization = v4::sign(&received, id, secret, &scope, &time, signed).unwrap();
        let trace = self.trace_parent.as_ref();
        let trace = trace.map(|parent| format!("traceparent: {parent}\r\n")).unwrap_or_default();
        format!(
            "POST / HTTP/1.1\r\nHost: {host}\r\nContent-Type: {content}\r\nX-Amz-Date: {time}\r\n\
             Authorization: {authorization}\r\nContent-Length: {}\r\n{trace}Connection: close\r\n\r\n",
            form.len()
        )
    }
}

fn parse(reply: &str) -> io::Result<Answer> {
    let broken = || io::Error::other(format!("not an HTTP answer: {reply:?}"));
    let (head, body) = reply.split_once("\r\n\r\n").ok_or_else(broken)?;
    let status: u16 =
        head.split(' ').nth(1).and_then(|status| status.parse().ok()).ok_or_else(broken)?;
    // A body that was cut short is no answer.
    let length = head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse::<usize>().ok())?
    });
    if length.is_some_and(|length| body.len() < length) {
        return Err(io::Error::from(io::ErrorKind::UnexpectedEof));
    }
    let document = Document(body.to_owned());
    if status == 200 {
        return Ok(Ok(document));
    }
    Ok(Err(Refusal {
        status,
        code: document.first("Code").unwrap_or_default(),
        message: document.first("Message").unwrap_or_default(),
    }))
}

fn encoded(text: &str) -> String {
    text.bytes()
        .map(|byte| match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => {
                char::from(byte).to_string()
            }
            _ => format!("%{byte:02X}"),
        })
        .collect()
}
