//! `GET /metrics`: this process's figures, put together when they are asked for.
//!
//! Whoever reaches the port may read them: they name nodes, groups and actions, and no accounts.

use crate::{
    actors::cloud::Published,
    domain::id::GroupName,
    metrics::{
        Meters, overlay,
        scrape::{self, CONTENT_TYPE, Direction, Scrape},
    },
    network::{
        cable::CableStatus,
        overlay::{Overlay, OverlayStatus},
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
use serde::Serialize;
use std::{collections::BTreeMap, io, net::TcpListener, sync::Arc, time::Duration};

/// Where figures are from.
#[derive(Debug, Clone)]
pub struct Sources {
    pub meters: Arc<Meters>,
    /// In the cloud's process: its groups, and its state.
    pub cloud: Option<(Vec<GroupName>, Published)>,
    pub doors: Vec<Addr<Listener>>,
    pub uplinks: Vec<Addr<Link>>,
    pub overlay: Option<Overlay>,
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
    let Sources { meters, cloud, doors, uplinks, overlay } = sources;
    let listening = join_all(doors.iter().map(|door| in_time(door.send(InspectAll))));
    let dialing = join_all(uplinks.iter().map(|link| in_time(link.send(Inspect))));
    let (listening, dialing) = futures_util::future::join(listening, dialing).await;
    let listening = listening.into_iter().flatten().flatten();
    let listening = listening.map(|state| figures(state, Direction::In));
    let dialing = dialing.into_iter().flatten().map(|state| figures(state, Direction::Out));
    let links = listening.chain(dialing).collect();
    let cloud = cloud.map(|(groups, published)| (groups, published.load_full()));
    let overlay = match overlay {
        // It waits for a turn of the switch's thread.
        Some(overlay) => {
            tokio::task::spawn_blocking(move || of_switch(overlay.status())).await.ok()
        }
        None => None,
    };
    match (Scrape { meters, cloud, links, overlay }).show() {
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

fn of_switch(status: OverlayStatus) -> overlay::Overlay {
    let OverlayStatus { switch, cables, refused, .. } = status;
    let mut frames = BTreeMap::new();
    let all = switch.ports.iter().map(|port| &port.refused).chain([&switch.refused]);
    for (why, count) in all.flatten() {
        *frames.entry(word(why)).or_default() += count;
    }
    let cable = |cable: CableStatus| overlay::Cable {
        peer: cable.name,
        is_up: cable.is_up,
        round_trip: cable.round_trip_us.map(Duration::from_micros),
        loss: cable.loss_in.into(),
        datagram_bytes: cable.datagram as u64,
        sealed: cable.sealed_datagrams,
        sealed_bytes: cable.sealed_bytes,
        opened: cable.opened_datagrams,
        opened_bytes: cable.opened_bytes,
        epoch: cable.epoch,
    };
    overlay::Overlay {
        cables: cables.into_iter().map(cable).collect(),
        received: switch.ports.iter().map(|port| port.received).sum(),
        sent: switch.ports.iter().map(|port| port.sent).sum(),
        refused: frames,
        datagrams_refused: refused.by_reason().map(|(why, count)| (word(&why), count)).collect(),
        ports: switch.ports.len() as u64,
        flows: switch.ports.iter().map(|port| port.flows as u64).sum(),
    }
}

/// A reason as it is shown everywhere.
fn word(why: &impl Serialize) -> String {
    match serde_json::to_value(why) {
        Ok(serde_json::Value::String(word)) => word,
        other => format!("{other:?}"),
    }
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
