//! The floor of a read: an actix-web server that does what no EC2 endpoint can leave out. It takes
//! the parameters apart, checks the signature with ring, and sends bytes it has ready.
//!
//! A process of its own, so that it competes for the processor with nobody but the load, as the
//! cloud does.

use super::bed::{
    program::{Program, free_address},
    request::{ACCESS_KEY, ACCOUNT, Request, SECRET_KEY},
};
use actix_web::{App, HttpRequest, HttpResponse, HttpServer, http::StatusCode, web};
use mallee::{
    api::{
        parameters::Parameters,
        service::Service,
        signature::{self, Credential, Credentials, Received},
    },
    domain::time::Timestamp,
};
use std::{env, fs, path::Path, process::Command, time::Duration};

/// Tells the bench that it is to be the floor, not to measure it.
pub const WORD: &str = "be-the-floor";

/// As many as the cloud has.
const WORKERS: usize = 2;

/// Starts a floor that answers `body`.
pub fn start(directory: &Path, body: &str) -> Program {
    let file = directory.join("floor.xml");
    fs::write(&file, body).unwrap();
    let address = free_address();
    let mut command = Command::new(env::current_exe().unwrap());
    command.args([WORD, &address.to_string()]).arg(&file);
    let mut program = Program::start(&mut command, address, &directory.join("floor.log"));
    program.wait(&Request::new("us-east-1", "Any", ""), Duration::from_secs(10));
    program
}

pub fn serve(listen: &str, body: &str) {
    let body = web::Bytes::from(fs::read(body).unwrap());
    let application = move || {
        let body = body.clone();
        App::new().default_service(web::to(move |request: HttpRequest, form: web::Bytes| {
            let answer = answer(&request, &form, &body);
            async move { answer }
        }))
    };
    let server = HttpServer::new(application).workers(WORKERS).bind(listen).unwrap().run();
    actix_web::rt::System::new().block_on(server).unwrap();
}

fn answer(request: &HttpRequest, form: &[u8], body: &web::Bytes) -> HttpResponse {
    let Ok(parameters) = Parameters::parse(request.query_string(), form) else {
        return HttpResponse::new(StatusCode::BAD_REQUEST);
    };
    let received = Received {
        method: request.method().as_str(),
        path: request.uri().path(),
        query: request.query_string(),
        headers: request.headers(),
        body: form,
    };
    let now = Timestamp(jiff::Timestamp::now().as_millisecond());
    match signature::verify(&received, &parameters, Service::Ec2, &OneKey, now) {
        Ok(_) => HttpResponse::Ok().content_type("text/xml;charset=UTF-8").body(body.clone()),
        Err(refused) => HttpResponse::Unauthorized().body(refused.to_string()),
    }
}

struct OneKey;

impl Credentials for OneKey {
    fn find(&self, access_key_id: &str) -> Option<Credential> {
        (access_key_id == ACCESS_KEY).then(|| Credential {
            secret: SECRET_KEY.to_owned(),
            account: ACCOUNT.parse().unwrap(),
            administrator: true,
            session_token: None,
        })
    }
}
