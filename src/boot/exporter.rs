//! `GET /metrics`: this process's figures, put together when they are asked for.
//!
//! Whoever reaches the port may read them: they name nodes, groups and actions, and no accounts.

use crate::{
    actors::cloud::Published,
    domain::id::GroupName,
    metrics::{
        Meters,
        scrape::{self, CONTENT_TYPE, Direction, Scrape},
    },
    transport::{
        link::{Inspect, Link},
        listener::{InspectAll, Listener},
        state::LinkState,
    },
};
use actix::Addr;
use actix_web::{
    App, HttpResponse, HttpServer, dev::ServerHandle, http::header::CONTENT_TYPE as HEADER, web,
};
use futures_util::future::join_all;
use std::{io, net::TcpListener, sync::Arc, time::Duration};

/// Where figures are from.
#[derive(Debug, Clone)]
pub struct Sources {
    pub meters: Arc<Meters>,
    /// In the cloud's process: its groups, and its state.
    pub cloud: Option<(Vec<GroupName>, Published)>,
    pub doors: Vec<Addr<Listener>>,
    pub uplinks: Vec<Addr<Link>>,
}

/// A link that does not say within this how it is doing is left out, so that the others are told.
const PATIENCE: Duration = Duration::from_secs(2);

/// One scrape at a time is plenty.
const WORKERS: usize = 1;
const CONNECTIONS_MAX: usize = 16;

pub fn serve(listener: TcpListener, sources: Sources) -> io::Result<ServerHandle> {
    let application = move || {
        let sources = sources.clone();
        App::new().route(
            "/metrics",
            web::get().to(move || {
                let sources = sources.clone();
                async move { answer(sources).await }
            }),
        )
    };
    let server = HttpServer::new(application)
        .workers(WORKERS)
        .max_connections(CONNECTIONS_MAX)
        .disable_signals()
        .listen(listener)?
        .run();
    let handle = server.handle();
    actix_rt::spawn(server);
    Ok(handle)
}

async fn answer(sources: Sources) -> HttpResponse {
    let Sources { meters, cloud, doors, uplinks } = sources;
    let listening = join_all(doors.iter().map(|door| in_time(door.send(InspectAll))));
    let dialing = join_all(uplinks.iter().map(|link| in_time(link.send(Inspect))));
    let (listening, dialing) = futures_util::future::join(listening, dialing).await;
    let listening = listening.into_iter().flatten().flatten();
    let listening = listening.map(|state| figures(state, Direction::In));
    let dialing = dialing.into_iter().flatten().map(|state| figures(state, Direction::Out));
    let links = listening.chain(dialing).collect();
    let cloud = cloud.map(|(groups, published)| (groups, published.load_full()));
    match (Scrape { meters, cloud, links }).show() {
        Ok(shown) => HttpResponse::Ok().insert_header((HEADER, CONTENT_TYPE)).body(shown),
        Err(error) => {
            log::error!("metrics cannot be shown: {error}");
            HttpResponse::InternalServerError().finish()
        }
    }
}

/// None of a link that has ended, or is too busy to say.
async fn in_time<T, E>(asked: impl Future<Output = Result<T, E>>) -> Option<T> {
    tokio::time::timeout(PATIENCE, asked).await.ok()?.ok()
}

fn figures(state: LinkState, direction: Direction) -> scrape::Link {
    scrape::Link {
        direction,
        peer: state.peer.map(|peer| peer.to_string()),
        connected: state.connected_since.is_some(),
        round_trip: state.round_trip,
        bytes_in: state.bytes_in,
        bytes_out: state.bytes_out,
        reconnects: state.reconnects,
    }
}
