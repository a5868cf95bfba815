//! Signed requests: as text for the load generator, and sent one at a time.

use actix_web::http::header::{HeaderMap, HeaderName, HeaderValue};
use mallee::api::signature::{Received, v4};
use std::{
    io::{self, Read, Write},
    net::{SocketAddr, TcpStream},
    time::Duration,
};

pub const ACCESS_KEY: &str = "AKIAIOSFODNN7EXAMPLE";
pub const SECRET_KEY: &str = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY";
pub const ACCOUNT: &str = "123456789012";

const CONTENT: &str = "application/x-www-form-urlencoded";
const SIGNED_HEADERS: &str = "content-type;host;x-amz-date";

/// What is asked, of which region. Signed anew for each use: a signature holds fifteen minutes.
#[derive(Debug, Clone)]
pub struct Request {
    pub region: String,
    pub form: String,
}

/// A request with its signature.
#[derive(Debug)]
pub struct Signed {
    pub headers: Vec<(&'static str, String)>,
    pub form: String,
}

impl Request {
    /// `parameters` are as they stand in a form.
    pub fn new(region: &str, action: &str, parameters: &str) -> Request {
        let mut form = format!("Action={action}&Version=2016-11-15");
        if !parameters.is_empty() {
            form.push('&');
            form.push_str(parameters);
        }
        Request { region: region.to_owned(), form }
    }

    pub fn signed(&self, server: SocketAddr) -> Signed {
        let time = jiff::Timestamp::now().strftime("%Y%m%dT%H%M%SZ").to_string();
        let mut headers = vec![
            ("content-type", CONTENT.to_owned()),
            ("host", server.to_string()),
            ("x-amz-date", time.clone()),
        ];
        let map: HeaderMap = headers
            .iter()
            .map(|(name, value)| {
                (HeaderName::from_static(name), HeaderValue::from_str(value).unwrap())
            })
            .collect();
        let received = Received {
            method: "POST",
            path: "/",
            query: "",
            headers: &map,
            body: self.form.as_bytes(),
        };
        let scope = v4::Scope {
            date: time[..8].to_owned(),
            region: self.region.clone(),
            service: "ec2".to_owned(),
        };
        let authorization =
            v4::sign(&received, ACCESS_KEY, SECRET_KEY, &scope, &time, SIGNED_HEADERS).unwrap();
        headers.push(("authorization", authorization));
        Signed { headers, form: self.form.clone() }
    }

    /// Asks once, on a connection of its own. Any status but 200 is an error with the answer.
    pub fn send(&self, server: SocketAddr) -> io::Result<String> {
        let Signed { headers, form } = self.signed(server);
        let mut text = "POST / HTTP/1.1\r\nconnection: close\r\n".to_owned();
        for (name, value) in headers {
            text.push_str(&format!("{name}: {value}\r\n"));
        }
        text.push_str(&format!("content-length: {}\r\n\r\n{form}", form.len()));
        let mut stream = TcpStream::connect(server)?;
        stream.set_read_timeout(Some(Duration::from_secs(120)))?;
        stream.write_all(text.as_bytes())?;
        let mut reply = String::new();
        stream.read_to_string(&mut reply)?;
        let (head, body) = reply.split_once("\r\n\r\n").ok_or(io::ErrorKind::UnexpectedEof)?;
        match head.split(' ').nth(1) {
            Some("200") => Ok(body.to_owned()),
            _ => Err(io::Error::other(format!("`{}`: {reply}", self.form))),
        }
    }

    /// Asks where there must be an answer.
    pub fn ask(&self, server: SocketAddr) -> String {
        self.send(server).unwrap()
    }
}

/// The text of the first element of that name.
pub fn first(document: &str, element: &str) -> String {
    all(document, element).next().unwrap_or_else(|| panic!("no <{element}> in {document}")).into()
}

pub fn all<'a>(document: &'a str, element: &str) -> impl Iterator<Item = &'a str> {
    let (open, close) = (format!("<{element}>"), format!("</{element}>"));
    let mut rest = document;
    std::iter::from_fn(move || {
        let (text, after) = rest.split_once(&open)?.1.split_once(&close)?;
        rest = after;
        Some(text)
    })
}
