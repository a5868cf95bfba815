//! The figures of this process's switch: its cables, and what its ports carry and refuse.

use super::scrape::{About, BYTES, Labels, Page, SECONDS};
use std::{collections::BTreeMap, fmt, time::Duration};

#[derive(Debug, Clone, PartialEq, Default)]
pub struct Overlay {
    pub cables: Vec<Cable>,
    /// Over all ports: frames from guests, and to them.
    pub received: u64,
    pub sent: u64,
    /// Frames that ports and cables refused, by reason.
    pub refused: BTreeMap<String, u64>,
    /// Datagrams that no cable took, by reason.
    pub datagrams_refused: BTreeMap<String, u64>,
    /// Ports there are, and flows that they track.
    pub ports: u64,
    pub flows: u64,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Cable {
    pub peer: String,
    pub is_up: bool,
    pub round_trip: Option<Duration>,
    /// Of what the peer sent, the part that did not come: 0 to 1.
    pub loss: f64,
    /// The largest datagram that goes through, as UDP's payload.
    pub datagram_bytes: u64,
    pub sealed: u64,
    pub sealed_bytes: u64,
    pub opened: u64,
    pub opened_bytes: u64,
    pub epoch: Option<u32>,
}

pub(super) fn show(overlay: &Overlay, page: &mut Page<'_>) -> fmt::Result {
    let cables = &overlay.cables;
    let peer = |cable: &Cable| -> Labels { vec![("peer", cable.peer.clone())] };
    let each = |figure: fn(&Cable) -> Option<f64>| {
        cables.iter().filter_map(move |cable| Some((peer(cable), figure(cable)?)))
    };
    let count = |count: fn(&Cable) -> u64| cables.iter().map(move |c| (peer(c), count(c)));
    let about = About("overlay_cable_up", "Whether the cable to the switch is up", None);
    page.gauges(about, each(|cable| Some(f64::from(u8::from(cable.is_up)))))?;
    let about = About("overlay_cable_round_trip", "Of the cable's keepalives", SECONDS);
    page.gauges(about, each(|cable| Some(cable.round_trip?.as_secs_f64())))?;
    let help = "Of the peer's datagrams, the part that did not come";
    page.gauges(About("overlay_cable_loss_ratio", help, None), each(|cable| Some(cable.loss)))?;
    let about = About("overlay_cable_datagram", "The largest that goes through", BYTES);
    page.gauges(about, each(|cable| Some(cable.datagram_bytes as f64)))?;
    let about = About("overlay_cable_epoch", "Of the keys in use", None);
    page.gauges(about, each(|cable| Some(cable.epoch?.into())))?;
    let families: [(About, fn(&Cable) -> u64); 4] = [
        (About("overlay_cable_sealed", "Datagrams to the peer", None), |c| c.sealed),
        (About("overlay_cable_sealed", "To the peer", BYTES), |c| c.sealed_bytes),
        (About("overlay_cable_opened", "Datagrams from the peer", None), |c| c.opened),
        (About("overlay_cable_opened", "From the peer", BYTES), |c| c.opened_bytes),
    ];
    for (about, figure) in families {
        page.counters(about, count(figure))?;
    }
    let reasons = |counts: &BTreeMap<String, u64>| {
        let labelled = |(why, count): (&String, &u64)| (vec![("reason", why.clone())], *count);
        counts.iter().map(labelled).collect::<Vec<_>>().into_iter()
    };
    let about = About("overlay_datagrams_refused", "Altered, replayed, foreign …", None);
    page.counters(about, reasons(&overlay.datagrams_refused))?;
    let about = About("overlay_frames_refused", "By security groups, spoofed …", None);
    page.counters(about, reasons(&overlay.refused))?;
    let alone = |count: u64| std::iter::once((Labels::new(), count));
    page.counters(About("overlay_frames_received", "From guests", None), alone(overlay.received))?;
    page.counters(About("overlay_frames_sent", "To guests", None), alone(overlay.sent))?;
    let about = About("overlay_ports", "Private interfaces here", None);
    page.gauges(about, std::iter::once((Labels::new(), overlay.ports as f64)))?;
    let about = About("overlay_flows", "That the ports' security groups track", None);
    page.gauges(about, std::iter::once((Labels::new(), overlay.flows as f64)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::{Asked, Meters, Requests, scrape::Scrape};
    use std::sync::Arc;

    #[test]
    fn a_cable_and_what_is_refused_have_figures_by_name() {
        let cable = Cable {
            peer: "east/n1".into(),
            is_up: true,
            round_trip: Some(Duration::from_micros(250)),
            loss: 0.5,
            datagram_bytes: 1472,
            sealed: 3,
            sealed_bytes: 300,
            opened: 2,
            opened_bytes: 200,
            epoch: None,
        };
        let overlay = Overlay {
            cables: vec![cable],
            received: 7,
            datagrams_refused: BTreeMap::from([("replayed".to_owned(), 1)]),
            ..Overlay::default()
        };
        let meters = Arc::new(Meters::new(Requests::of([], []), Asked::of([])));
        let scrape = Scrape { meters, cloud: None, links: vec![], overlay: Some(overlay) };
        let shown = scrape.show().unwrap();
        for line in [
            "mallee_overlay_cable_up{peer=\"east/n1\"} 1.0",
            "mallee_overlay_cable_round_trip_seconds{peer=\"east/n1\"} 0.00025",
            "mallee_overlay_cable_sealed_total{peer=\"east/n1\"} 3",
            "mallee_overlay_cable_sealed_bytes_total{peer=\"east/n1\"} 300",
            "mallee_overlay_datagrams_refused_total{reason=\"replayed\"} 1",
            "mallee_overlay_frames_received_total{} 7",
        ] {
            assert!(shown.lines().any(|shown| shown == line), "{line} in\n{shown}");
        }
        assert!(!shown.contains("cable_epoch"), "nothing is said of what is not known");
    }
}
