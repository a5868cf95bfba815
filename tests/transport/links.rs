//! Links that work, and links that break.

use super::{
    lab::{
        Lab, ask, connected, echo, failed, question, quick, state, until, until_state, who_asks,
    },
    log_lines::logged,
    proxy::Proxy,
};
use actix::Actor;
use mallee::{
    messages::envelope::{BODY_LIMIT_BYTES, LinkFault},
    transport::{limits::Limits, link::Link, listener::InspectAll},
};
use std::{cell::Cell, rc::Rc, time::Duration};

#[actix_rt::test]
async fn questions_go_both_ways_over_the_connection_that_the_child_opened() {
    let lab = Lab::new();
    let parent = lab.parent_with(Limits::default(), who_asks());
    let up = Link::dial(lab.dial("n1", parent.at), who_asks()).start();
    connected(&up).await;
    assert_eq!(ask(&up, b"who?").await.unwrap(), b"mallee://lab/node/east/n1");
    let down = parent.link_to("n1").await;
    assert_eq!(ask(&down, b"who?").await.unwrap(), b"mallee://lab/group/east/g1");
}

#[actix_rt::test]
async fn a_question_may_be_refused_for_who_asks_it() {
    let lab = Lab::new();
    let parent = lab.parent_with(
        Limits::default(),
        Rc::new(|peer, envelope| {
            Box::pin(async move {
                if peer.identity.name() == "n1" {
                    return Ok(envelope.body);
                }
                Err(LinkFault::NotDelivered(format!("`{}` may not ask this", peer.identity)))
            })
        }),
    );
    let (one, other) = (lab.child("n1", parent.at), lab.child("n2", parent.at));
    connected(&one).await;
    connected(&other).await;
    assert_eq!(ask(&one, b"?").await, Ok(b"?".to_vec()));
    let why = "`mallee://lab/node/east/n2` may not ask this".to_owned();
    assert_eq!(ask(&other, b"?").await, Err(LinkFault::NotDelivered(why)));
}

#[actix_rt::test]
async fn a_dialer_works_on_an_arbiter_of_its_own() {
    let lab = Lab::new();
    let parent = lab.parent_with(Limits::default(), who_asks());
    let dial = lab.dial("n1", parent.at);
    let arbiter = actix::Arbiter::new();
    let up = Link::start_in_arbiter(&arbiter.handle(), move |_| Link::dial(dial, who_asks()));
    connected(&up).await;
    assert_eq!(ask(&up, b"who?").await.unwrap(), b"mallee://lab/node/east/n1");
    let down = parent.link_to("n1").await;
    assert_eq!(ask(&down, b"who?").await.unwrap(), b"mallee://lab/group/east/g1");
    arbiter.stop();
    until_state(&down, "its thread has ended", |state| state.connected_since.is_none()).await;
    arbiter.join().unwrap();
}

#[actix_rt::test]
async fn the_parent_hears_of_arrivals_with_a_link_to_ask_over() {
    let lab = Lab::new();
    let parent = lab.parent();
    let _up = lab.child("n1", parent.at);
    until("n1 arrives", || !parent.arrivals.borrow().is_empty()).await;
    let (identity, link) = parent.arrivals.borrow()[0].clone();
    assert_eq!(identity.name(), "n1");
    assert_eq!(link.send(question(b"?")).await.unwrap(), Ok(b"?".to_vec()));
}

#[actix_rt::test]
async fn a_peer_may_be_asked_for_before_it_ever_came() {
    let lab = Lab::new();
    let parent = lab.parent();
    let down = parent.link_to("n1").await;
    assert!(matches!(ask(&down, b"?").await, Err(LinkFault::NotDelivered(_))));
    let _up = lab.child("n1", parent.at);
    connected(&down).await;
    assert_eq!(ask(&down, b"?").await, Ok(b"?".to_vec()));
}

#[actix_rt::test]
async fn a_body_at_its_limit_gets_through_and_one_beyond_is_not_sent() {
    let lab = Lab::new();
    let parent = lab.parent();
    let up = lab.child("n1", parent.at);
    connected(&up).await;
    let largest = vec![7; BODY_LIMIT_BYTES];
    assert_eq!(ask(&up, &largest).await.as_deref(), Ok(&largest[..]));
    let beyond = ask(&up, &vec![7; BODY_LIMIT_BYTES + 1]).await;
    assert!(matches!(beyond, Err(LinkFault::NotDelivered(_))), "{beyond:?}");
    assert_eq!(ask(&up, b"?").await, Ok(b"?".to_vec()));
}

#[actix_rt::test]
async fn a_child_finds_the_parent_that_started_later() {
    let lab = Lab::new();
    let reserved = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let at = reserved.local_addr().unwrap();
    drop(reserved);
    let parent = lab.parent();
    let mut dial = lab.dial("n1", at);
    let up = Link::dial(dial.clone(), echo()).start();
    failed(&up, "refused").await;
    // The second address is tried when the first does not answer.
    dial.addresses.push(parent.at.to_string());
    let up = Link::dial(dial, echo()).start();
    connected(&up).await;
}

#[actix_rt::test]
async fn after_the_connection_is_killed_the_child_comes_back_and_both_ask_again() {
    let lab = Lab::new();
    let parent = lab.parent();
    let proxy = Proxy::before(parent.at).await;
    let up = lab.child("n1", proxy.at);
    let down = parent.link_to("n1").await;
    for round in 0..3 {
        until_state(&up, "it is back", |state| {
            state.connected_since.is_some() && state.reconnects == round
        })
        .await;
        until_state(&down, "it is back", |state| {
            state.connected_since.is_some() && state.reconnects == round
        })
        .await;
        assert_eq!(ask(&up, b"up").await, Ok(b"up".to_vec()));
        assert_eq!(ask(&down, b"down").await, Ok(b"down".to_vec()));
        proxy.cut();
    }
}

#[actix_rt::test]
async fn what_was_written_when_the_connection_was_killed_is_unanswered_and_then_not_delivered() {
    let lab = Lab::new();
    let heard = Rc::new(Cell::new(0));
    let count = heard.clone();
    let parent = lab.parent_with(
        Limits::default(),
        Rc::new(move |_, _| {
            count.set(count.get() + 1);
            Box::pin(std::future::pending())
        }),
    );
    let proxy = Proxy::before(parent.at).await;
    let mut dial = lab.dial("n1", proxy.at);
    dial.limits = Limits { retry_first: Duration::from_secs(60), ..quick() };
    let up = Link::dial(dial, echo()).start();
    connected(&up).await;
    let asked = up.send(question(b"?"));
    let cut = async {
        until("the question is heard", || heard.get() == 1).await;
        proxy.cut();
    };
    let (answer, ()) = tokio::join!(asked, cut);
    assert_eq!(answer.unwrap(), Err(LinkFault::Unanswered));
    until_state(&up, "it is cut", |state| state.connected_since.is_none()).await;
    assert!(matches!(ask(&up, b"?").await, Err(LinkFault::NotDelivered(_))));
    assert_eq!(heard.get(), 1);
}

#[actix_rt::test]
async fn of_two_connections_with_one_identity_the_newer_wins() {
    let lab = Lab::new();
    let parent = lab.parent();
    let mut dial = lab.dial("ghost", parent.at);
    dial.limits = Limits { retry_first: Duration::from_secs(60), ..quick() };
    let answers = |text: &'static [u8]| -> mallee::transport::ReceiveFrom {
        Rc::new(move |_, _| Box::pin(async move { Ok(text.to_vec()) }))
    };
    let older = Link::dial(dial.clone(), answers(b"older")).start();
    connected(&older).await;
    let down = parent.link_to("ghost").await;
    assert_eq!(ask(&down, b"?").await, Ok(b"older".to_vec()));
    let newer = Link::dial(dial, answers(b"newer")).start();
    connected(&newer).await;
    until_state(&down, "the newer is there", |state| state.reconnects == 1).await;
    assert_eq!(ask(&down, b"?").await, Ok(b"newer".to_vec()));
    failed(&older, "a newer connection took its place").await;
    logged(&["WARN", "mallee://lab/node/east/ghost", "a newer connection took its place"]).await;
}

#[actix_rt::test]
async fn a_revoked_peer_is_cut_at_once_and_not_let_in_again() {
    let lab = Lab::new();
    let parent = lab.parent();
    let revoked = lab.child("evicted", parent.at);
    let other = lab.child("n2", parent.at);
    connected(&revoked).await;
    connected(&other).await;
    let down = parent.link_to("evicted").await;
    connected(&down).await;
    parent.revoke("evicted").await;
    assert!(matches!(ask(&down, b"?").await, Err(LinkFault::NotDelivered(_))), "at once");
    logged(&["WARN", "mallee://lab/node/east/evicted", "ended: its certificate was revoked"]).await;
    // The refusal of its next attempt is told to it, and logged here.
    failed(&revoked, "it refused: the certificate of this process was revoked").await;
    logged(&["WARN", "turned away", "mallee://lab/node/east/evicted", "was revoked"]).await;
    assert!(matches!(ask(&revoked, b"?").await, Err(LinkFault::NotDelivered(_))));
    assert_eq!(ask(&other, b"?").await, Ok(b"?".to_vec()));
    assert_eq!(state(&other).await.reconnects, 0);
}

#[actix_rt::test]
async fn a_peer_that_stops_reading_is_cut_and_named_while_others_are_served() {
    let lab = Lab::new();
    let limits = Limits {
        stall_max: Duration::from_millis(300),
        ping_every: Duration::from_millis(100),
        ..Limits::default()
    };
    let parent = lab.parent_with(limits, echo());
    let other = lab.child("n2", parent.at);
    connected(&other).await;
    let stream = super::strangers::greeted(&lab, "deaf", parent.at).await;
    let down = parent.link_to("deaf").await;
    connected(&down).await;
    // More than the sockets of both ends hold.
    let body = vec![0; BODY_LIMIT_BYTES];
    let asked: Vec<_> = (0..12).map(|_| down.send(question(&body))).collect();
    let answers = futures_util::future::join_all(asked).await;
    let not_delivered = |answer: &&Result<Result<Vec<u8>, LinkFault>, _>| {
        matches!(answer, Ok(Err(LinkFault::NotDelivered(_))))
    };
    assert!(answers.iter().all(|answer| matches!(answer, Ok(Err(_)))));
    assert!(answers.iter().filter(not_delivered).count() >= 8, "few of them fit anywhere");
    logged(&["WARN", "mallee://lab/node/east/deaf", "it has not read for 300ms"]).await;
    assert_eq!(ask(&other, b"?").await, Ok(b"?".to_vec()));
    assert_eq!(state(&other).await.reconnects, 0);
    drop(stream);
}

#[actix_rt::test]
async fn a_link_says_how_it_is_doing() {
    let lab = Lab::new();
    let parent = lab.parent();
    let up = lab.child("n1", parent.at);
    let before = state(&up).await;
    assert_eq!((before.connected_since, before.peer), (None, None));
    connected(&up).await;
    ask(&up, &[0; 10_000]).await.unwrap();
    until_state(&up, "its ping is answered", |state| state.round_trip.is_some()).await;
    let now = state(&up).await;
    assert_eq!(now.peer.unwrap().to_string(), "mallee://lab/group/east/g1");
    assert!(now.bytes_in > 10_000 && now.bytes_out > 10_000);
    assert!(now.frames_in >= 2 && now.frames_out >= 2);
    assert!(now.heard_ago.unwrap() < Duration::from_secs(10));
    let all = parent.listener.send(InspectAll).await.unwrap();
    assert_eq!(all.len(), 1);
    assert_eq!(all[0].peer.as_ref().unwrap().name(), "n1");
    assert!(all[0].bytes_in > 10_000);
}

#[actix_rt::test]
async fn a_link_that_nobody_has_the_address_of_hangs_up() {
    let lab = Lab::new();
    let parent = lab.parent();
    let up = lab.child("n1", parent.at);
    let down = parent.link_to("n1").await;
    connected(&down).await;
    drop(up);
    until_state(&down, "it hung up", |state| state.connected_since.is_none()).await;
}

#[actix_rt::test]
async fn a_listener_that_stops_cuts_those_who_came() {
    let lab = Lab::new();
    let parent = lab.parent();
    let up = lab.child("n1", parent.at);
    connected(&up).await;
    drop(parent);
    until_state(&up, "it is cut", |state| state.connected_since.is_none()).await;
    failed(&up, "Connection refused").await;
}
