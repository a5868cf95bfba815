//! What only time shows of a connection, in virtual time and without sockets.

use super::{
    super::{
        fingerprint::Fingerprint, frame::codec, identity::Identity, limits::FRAME_LIMIT_BYTES,
        meter::Metered, testing::envelope,
    },
    *,
};
use std::{
    future::{Future, pending},
    sync::Arc,
    time::SystemTime,
};
use tokio::{
    io::DuplexStream,
    task::{JoinHandle, LocalSet, spawn_local},
    time::sleep,
};

type Pipe = Metered<DuplexStream>;

fn virtually<T>(story: impl Future<Output = T>) -> T {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    LocalSet::new().block_on(&runtime.unwrap(), story)
}

fn limits() -> Limits {
    Limits { questions_max: 2, ..Limits::default() }
}

fn greeted(pipe: DuplexStream, turns: usize) -> Greeted<Pipe> {
    let meter = Meter::new();
    let peer = Peer {
        identity: Identity::node_manager("lab", "east", "n1").unwrap(),
        certificate: Fingerprint::of(b"certificate"),
        key: Fingerprint::of(b"key"),
        valid_from: SystemTime::UNIX_EPOCH,
        valid_until: SystemTime::UNIX_EPOCH + Duration::from_secs(3600),
    };
    let framed = Framed::new(Metered::new(pipe, meter.clone()), codec(FRAME_LIMIT_BYTES));
    Greeted { framed, peer, turns, meter }
}

/// A clock that began with virtual time.
fn clock() -> Clock {
    let begun = Instant::now();
    Arc::new(move || SystemTime::UNIX_EPOCH + begun.elapsed())
}

fn run(
    pipe: DuplexStream,
    limits: &Limits,
    receive: ReceiveFrom,
) -> (Rc<Connection>, JoinHandle<String>) {
    let greeted = greeted(pipe, limits.questions_max);
    let connection = Connection::new(&greeted, limits.clone(), clock());
    let running = spawn_local(connection.clone().run(greeted.framed, receive));
    (connection, running)
}

/// Two ends of a connection, the far one answering with `receive`.
fn pair(limits: &Limits, receive: ReceiveFrom) -> (Rc<Connection>, Rc<Connection>) {
    let (near, far) = tokio::io::duplex(4096);
    (run(near, limits, nobody()).0, run(far, limits, receive).0)
}

fn nobody() -> ReceiveFrom {
    Rc::new(|_, _| Box::pin(async { Err(LinkFault::NotDelivered("nobody answers".into())) }))
}

/// Notes what comes and answers after `time`.
fn answering_after(time: Duration) -> (ReceiveFrom, Rc<RefCell<Vec<Envelope>>>) {
    let heard = Rc::new(RefCell::new(Vec::new()));
    let notes = heard.clone();
    let receive: ReceiveFrom = Rc::new(move |_, envelope| {
        let body = envelope.body.clone();
        notes.borrow_mut().push(envelope);
        Box::pin(async move {
            sleep(time).await;
            Ok(body)
        })
    });
    (receive, heard)
}

fn asking(
    connection: &Rc<Connection>,
    time_left_ms: u64,
    body: &[u8],
) -> JoinHandle<Result<Vec<u8>, LinkFault>> {
    let connection = connection.clone();
    let envelope = envelope("echo", time_left_ms, body);
    spawn_local(async move { connection.ask(envelope).await })
}

fn is_not_delivered(answer: &Result<Vec<u8>, LinkFault>) -> bool {
    matches!(answer, Err(LinkFault::NotDelivered(_)))
}

#[test]
fn the_time_a_question_waits_for_its_turn_is_taken_from_its_time_left() {
    virtually(async {
        let (receive, heard) = answering_after(Duration::from_millis(300));
        let (near, _far) = pair(&limits(), receive);
        let asked = [1000, 1000, 1000].map(|time| asking(&near, time, b"?"));
        for answer in asked {
            assert_eq!(answer.await.unwrap(), Ok(b"?".to_vec()));
        }
        let left: Vec<u64> =
            heard.borrow().iter().map(|envelope| envelope.context.time_left_ms).collect();
        assert_eq!(left, [1000, 1000, 700]);
    });
}

#[test]
fn a_peer_is_asked_no_more_at_a_time_than_it_answers() {
    virtually(async {
        let (receive, heard) = answering_after(Duration::from_millis(300));
        let (near, _far) = pair(&limits(), receive);
        let asked = [(); 5].map(|()| asking(&near, 10_000, b"?"));
        sleep(Duration::from_millis(10)).await;
        for begun in [2, 4, 5] {
            assert_eq!(heard.borrow().len(), begun);
            sleep(Duration::from_millis(300)).await;
        }
        for answer in asked {
            answer.await.unwrap().unwrap();
        }
    });
}

#[test]
fn a_question_whose_turn_does_not_come_in_time_is_not_delivered_and_never_heard() {
    virtually(async {
        let (receive, heard) = answering_after(Duration::from_secs(5));
        let (near, _far) = pair(&limits(), receive);
        let first = [asking(&near, 60_000, b"1"), asking(&near, 60_000, b"2")];
        let late = asking(&near, 100, b"late").await.unwrap();
        assert!(is_not_delivered(&late), "{late:?}");
        for answer in first {
            answer.await.unwrap().unwrap();
        }
        sleep(Duration::from_secs(60)).await;
        assert!(heard.borrow().iter().all(|envelope| envelope.body != b"late"));
    });
}

#[test]
fn a_question_that_was_written_and_not_answered_in_time_is_unanswered() {
    virtually(async {
        let (receive, heard) = answering_after(Duration::from_secs(5));
        let (near, _far) = pair(&limits(), receive);
        let answer = asking(&near, 1000, b"?").await.unwrap();
        assert_eq!(answer, Err(LinkFault::Unanswered));
        assert_eq!(heard.borrow().len(), 1);
        // Its turn is over, and the answer that comes late is nobody's.
        sleep(Duration::from_secs(5)).await;
        assert!(near.is_idle());
        assert_eq!(asking(&near, 60_000, b"!").await.unwrap(), Ok(b"!".to_vec()));
    });
}

#[test]
fn a_question_without_time_left_is_not_carried_out() {
    virtually(async {
        let (receive, heard) = answering_after(Duration::ZERO);
        let (near, far) = tokio::io::duplex(4096);
        let (_far, _running) = run(far, &limits(), receive);
        let mut raw = Framed::new(near, codec(FRAME_LIMIT_BYTES));
        let question = Frame::Question { id: 9, envelope: envelope("echo", 0, b"?") };
        raw.send(question.encode().unwrap()).await.unwrap();
        let answer = loop {
            match Frame::decode(&raw.next().await.unwrap().unwrap()).unwrap() {
                Frame::Answer { id: 9, answer } => break answer,
                other => assert!(matches!(other, Frame::Ping(_)), "{other:?}"),
            }
        };
        assert!(is_not_delivered(&answer), "{answer:?}");
        assert!(heard.borrow().is_empty());
    });
}

#[test]
fn when_a_connection_is_cut_what_was_written_is_unanswered_and_the_rest_not_delivered() {
    virtually(async {
        let (receive, heard) = answering_after(Duration::from_secs(5));
        let (near, _far) = pair(&limits(), receive);
        let asked = [(); 4].map(|()| asking(&near, 60_000, b"?"));
        while heard.borrow().len() < 2 {
            sleep(Duration::from_millis(1)).await;
        }
        near.cut("for the test");
        let mut answers = Vec::new();
        for answer in asked {
            answers.push(answer.await.unwrap());
        }
        assert_eq!(answers[..2], [Err(LinkFault::Unanswered), Err(LinkFault::Unanswered)]);
        let not_delivered = Err(LinkFault::NotDelivered("for the test".into()));
        assert_eq!(answers[2..], [not_delivered.clone(), not_delivered.clone()]);
        assert_eq!(asking(&near, 1000, b"?").await.unwrap(), not_delivered);
        assert_eq!(heard.borrow().len(), 2);
    });
}

#[test]
fn who_is_cut_is_told_why() {
    virtually(async {
        let (near, far) = tokio::io::duplex(4096);
        let (near, ended_near) = run(near, &limits(), nobody());
        let (_far, ended_far) = run(far, &limits(), nobody());
        near.cut("it was revoked");
        assert_eq!(ended_near.await.unwrap(), "it was revoked");
        assert_eq!(ended_far.await.unwrap(), "it hung up, saying `it was revoked`");
    });
}

#[test]
fn an_idle_connection_lasts_and_knows_its_round_trip() {
    virtually(async {
        let (near, far) = tokio::io::duplex(4096);
        let (near, running) = run(near, &limits(), nobody());
        let (_far, _running) = run(far, &limits(), nobody());
        sleep(Duration::from_secs(1800)).await;
        assert!(!running.is_finished());
        assert!(near.meter.round_trip.get().is_some());
        assert!(near.meter.last_in.get().elapsed() <= limits().ping_every);
    });
}

#[test]
fn a_peer_that_falls_silent_is_noticed_within_bounded_time() {
    virtually(async {
        // It reads all, and says nothing.
        let (near, far) = tokio::io::duplex(1 << 20);
        let (near, running) = run(near, &limits(), nobody());
        let begun = Instant::now();
        let asked = asking(&near, 600_000, b"?");
        let reason = running.await.unwrap();
        assert!(reason.starts_with("nothing was heard of it"), "{reason}");
        let took = begun.elapsed();
        let Limits { silence_max, ping_every, .. } = limits();
        assert!(took >= silence_max && took < silence_max + ping_every, "{took:?}");
        assert_eq!(asked.await.unwrap(), Err(LinkFault::Unanswered));
        drop(far);
    });
}

#[test]
fn a_peer_that_talks_but_does_not_read_is_cut() {
    virtually(async {
        let (near, far) = tokio::io::duplex(4096);
        let (near, running) = run(near, &limits(), nobody());
        let (_kept, write) = tokio::io::split(far);
        let talking = spawn_local(async move {
            let mut sink = tokio_util::codec::FramedWrite::new(write, codec(FRAME_LIMIT_BYTES));
            loop {
                let ping = Frame::Ping(1).encode().unwrap();
                if sink.send(ping).await.is_err() {
                    return;
                }
                sleep(Duration::from_secs(1)).await;
            }
        });
        let asked = asking(&near, 600_000, &[0; 100_000]);
        let behind = asking(&near, 600_000, &[0; 100_000]);
        let reason = running.await.unwrap();
        assert!(reason.starts_with("it has not read"), "{reason}");
        assert_eq!(asked.await.unwrap(), Err(LinkFault::Unanswered));
        assert!(is_not_delivered(&behind.await.unwrap()));
        talking.abort();
    });
}

#[test]
fn what_waits_to_be_written_is_bounded_and_the_rest_is_not_delivered_at_once() {
    virtually(async {
        let limits = Limits { held_bytes_max: 1000, ..limits() };
        let (near, _far) = tokio::io::duplex(64);
        let (near, _running) = run(near, &limits, nobody());
        // The first fills the pipe; one more waits to be written.
        let _first = asking(&near, 60_000, &[0; 600]);
        sleep(Duration::from_millis(1)).await;
        let _second = asking(&near, 60_000, &[0; 600]);
        sleep(Duration::from_millis(1)).await;
        let begun = Instant::now();
        let third = asking(&near, 60_000, &[0; 600]).await.unwrap();
        assert!(is_not_delivered(&third), "{third:?}");
        assert_eq!(begun.elapsed(), Duration::ZERO);
    });
}

#[test]
fn a_peer_that_asks_more_than_it_may_is_declined_and_one_that_does_not_hear_it_cut() {
    virtually(async {
        let (receive, heard) = answering_after(Duration::from_secs(3600));
        let (near, far) = tokio::io::duplex(64);
        let (_far, running) = run(far, &limits(), receive);
        let flood = spawn_local(async move {
            let mut raw = Framed::new(near, codec(FRAME_LIMIT_BYTES));
            for id in 0.. {
                let question = Frame::Question { id, envelope: envelope("echo", 5000, b"?") };
                if raw.send(question.encode().unwrap()).await.is_err() {
                    return;
                }
            }
        });
        assert_eq!(running.await.unwrap(), "it asks without hearing that it asks too much");
        flood.await.unwrap();
        assert_eq!(heard.borrow().len(), limits().questions_max, "of many, as many as agreed");
    });
}

#[test]
fn a_connection_does_not_outlast_the_certificate_it_was_made_with() {
    virtually(async {
        let (near, far) = tokio::io::duplex(4096);
        let (_near, running) = run(near, &limits(), nobody());
        let (_far, _running) = run(far, &limits(), nobody());
        let begun = Instant::now();
        assert_eq!(running.await.unwrap(), "its certificate has expired");
        assert!(begun.elapsed() < Duration::from_secs(3605));
    });
}

#[test]
fn an_answer_that_is_too_large_is_not_sent_and_not_denied() {
    virtually(async {
        let receive: ReceiveFrom =
            Rc::new(|_, _| Box::pin(async { Ok(vec![0; BODY_LIMIT_BYTES + 1]) }));
        let (near, _far) = pair(&limits(), receive);
        assert_eq!(asking(&near, 1000, b"?").await.unwrap(), Err(LinkFault::Unanswered));
        assert_eq!(asking(&near, 1000, b"?").await.unwrap(), Err(LinkFault::Unanswered));
    });
}

#[test]
fn a_fault_is_told_in_few_words_whatever_it_quotes() {
    virtually(async {
        let receive: ReceiveFrom = Rc::new(|_, envelope| {
            let why = "é".repeat(envelope.body.len());
            Box::pin(async { Err(LinkFault::NotDelivered(why)) })
        });
        let (near, _far) = pair(&limits(), receive);
        let why = "é".repeat(FAULT_LETTERS_MAX);
        let answer = asking(&near, 1000, &[0; 100_000]).await.unwrap();
        assert_eq!(answer, Err(LinkFault::NotDelivered(why)));
    });
}

#[test]
fn what_a_peer_asked_is_finished_though_the_connection_ends() {
    virtually(async {
        let finished = Rc::new(Cell::new(false));
        let flag = finished.clone();
        let receive: ReceiveFrom = Rc::new(move |_, _| {
            let flag = flag.clone();
            Box::pin(async move {
                sleep(Duration::from_secs(2)).await;
                flag.set(true);
                Ok(Vec::new())
            })
        });
        let (near, far) = pair(&limits(), receive);
        let asked = asking(&near, 60_000, b"?");
        sleep(Duration::from_secs(1)).await;
        far.cut("for the test");
        assert_eq!(asked.await.unwrap(), Err(LinkFault::Unanswered));
        sleep(Duration::from_secs(2)).await;
        assert!(finished.get());
    });
}

#[test]
fn who_gives_up_asking_leaves_nothing_behind() {
    virtually(async {
        let (near, _far) = pair(&limits(), Rc::new(|_, _| Box::pin(pending())));
        let asked = asking(&near, 600_000, b"?");
        sleep(Duration::from_millis(10)).await;
        assert!(!near.is_idle());
        asked.abort();
        let _ = asked.await;
        assert!(near.questions.is_idle());
    });
}
