//! The child's end: where its parent is, how to get there, and staying there.
//!
//! A dialer never gives up. It tries each address in turn, then waits (`backoff`) and begins anew;
//! a failure is logged when it differs from the one before. When its certificate was renewed it
//! connects again with the new one, at a moment when nobody waits for an answer if there is one
//! soon.

use super::{
    Clock,
    backoff::Backoff,
    connection::{Greeted, ReceiveFrom},
    credentials::{Credentials, CurrentCredentials},
    fingerprint::Fingerprint,
    handshake::{GreetingFault, greet, greeting},
    identity::Expected,
    limits::Limits,
    line::Line,
    meter::{Meter, Metered},
    tls::{self, Protocol},
};
use std::{fmt, rc::Rc, sync::Arc, time::Duration};
use tokio::{
    net::TcpStream,
    sync::{Notify, watch},
    time::{Instant, interval, sleep, timeout},
};
use tokio_rustls::{TlsConnector, client::TlsStream};

/// How long a renewed certificate waits for a quiet moment.
const QUIET_WITHIN: Duration = Duration::from_secs(10);

/// A parent, and who calls there.
#[derive(Clone)]
pub struct Dial {
    /// `host:port`, in the order to be tried.
    pub addresses: Vec<String>,
    pub expected: Expected,
    pub credentials: CurrentCredentials,
    pub limits: Limits,
    pub clock: Clock,
    /// Of the chance in the pauses between attempts.
    pub seed: u64,
    /// Told when the parent says that this process's certificate was revoked.
    pub revoked: Arc<Notify>,
}

impl fmt::Debug for Dial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Dial({} at {:?})", self.expected, self.addresses)
    }
}

pub(super) type Stream = TlsStream<Metered<TcpStream>>;

/// Whom to look for, without saying yet who calls.
pub(super) struct Call<'a> {
    pub protocol: Protocol,
    pub addresses: &'a [String],
    pub credentials: Option<&'a Credentials>,
    pub authority: Fingerprint,
    pub expected: &'a Expected,
    pub clock: &'a Clock,
    /// For each address.
    pub within: Duration,
}

impl Call<'_> {
    /// A connection to the process looked for, which has proved that it is.
    pub async fn connect(&self) -> Result<(Stream, Rc<Meter>), String> {
        let config = tls::client(
            self.protocol,
            self.credentials,
            self.authority,
            self.expected.clone(),
            self.clock,
        )
        .map_err(|fault| fault.to_string())?;
        let connector = TlsConnector::from(Arc::new(config));
        let mut failures = Vec::new();
        for address in self.addresses {
            match timeout(self.within, at(address, &connector)).await {
                Ok(Ok(stream)) => return Ok(stream),
                Ok(Err(why)) => failures.push(format!("`{address}`: {why}")),
                Err(_) => failures.push(format!("`{address}`: no answer in {:?}", self.within)),
            }
        }
        if failures.is_empty() {
            return Err("there is no address to try".into());
        }
        Err(failures.join("; "))
    }
}

async fn at(address: &str, connector: &TlsConnector) -> Result<(Stream, Rc<Meter>), String> {
    let tcp = TcpStream::connect(address).await.map_err(|fault| fault.to_string())?;
    tcp.set_nodelay(true).map_err(|fault| fault.to_string())?;
    let meter = Meter::new();
    let stream = connector
        .connect(tls::server_name(), Metered::new(tcp, meter.clone()))
        .await
        .map_err(|fault| tls::told(&fault))?;
    Ok((stream, meter))
}

impl Dial {
    pub(super) async fn connect(
        &self,
        protocol: Protocol,
        own: &Credentials,
    ) -> Result<(Stream, Rc<Meter>), String> {
        let call = Call {
            protocol,
            addresses: &self.addresses,
            credentials: Some(own),
            authority: Fingerprint::of(own.authority()),
            expected: &self.expected,
            clock: &self.clock,
            within: self.limits.connect_within,
        };
        call.connect().await
    }

    async fn link(&self, own: &Credentials) -> Result<Greeted<Stream>, String> {
        let (stream, meter) = self.connect(Protocol::Link, own).await?;
        let peer =
            tls::peer(stream.get_ref().1.peer_certificates())?.ok_or("it showed no certificate")?;
        let mut framed = greeting(stream);
        let greeted = greet(&mut framed, self.limits.questions_max);
        let turns = timeout(self.limits.connect_within, greeted)
            .await
            .map_err(|_| "it did not greet in time")?
            .map_err(|fault| {
                if let GreetingFault::Revoked = fault {
                    self.revoked.notify_one();
                }
                fault.to_string()
            })?;
        Ok(Greeted { framed, peer, turns, meter })
    }

    /// Connects, and connects again, for as long as this is polled.
    pub(super) async fn keep(self, line: Rc<Line>, receive: ReceiveFrom) {
        let Limits { retry_first, retry_max, .. } = self.limits;
        let mut backoff = Backoff::new(retry_first, retry_max, self.seed);
        let mut told = None;
        loop {
            let begun = Instant::now();
            let renewed = self.credentials.watch();
            let failure = match self.link(&self.credentials.get()).await {
                Err(failure) => failure,
                Ok(greeted) => {
                    log::info!("linked to `{}`", greeted.peer.identity);
                    told = None;
                    self.carry(&line, greeted, receive.clone(), renewed).await
                }
            };
            line.failed(&failure);
            let report = format!("there is no link to {}: {failure}", self.expected);
            if told.as_ref() == Some(&report) {
                log::debug!("{report}");
            } else {
                log::warn!("{report}");
            }
            told = Some(report);
            // A connection cut soon is as good as none.
            if begun.elapsed() > retry_max {
                backoff.reset();
            }
            sleep(backoff.pause()).await;
        }
    }

    async fn carry(
        &self,
        line: &Rc<Line>,
        greeted: Greeted<Stream>,
        receive: ReceiveFrom,
        renewed: watch::Receiver<Arc<Credentials>>,
    ) -> String {
        let connected = line.connect(&greeted);
        tokio::select! {
            reason = connected.run(greeted.framed, receive) => reason,
            () = outdated(line, renewed) => "its certificate was renewed".into(),
        }
    }
}

/// Returns when the connection should be replaced by one with newer credentials.
async fn outdated(line: &Line, mut renewed: watch::Receiver<Arc<Credentials>>) {
    if renewed.changed().await.is_err() {
        return std::future::pending().await;
    }
    let quiet = async {
        let mut tick = interval(Duration::from_millis(20));
        while line.current().is_some_and(|connection| !connection.is_idle()) {
            tick.tick().await;
        }
    };
    // If there is no quiet moment, there is none to wait for.
    let _ = timeout(QUIET_WITHIN, quiet).await;
}
