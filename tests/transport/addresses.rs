//! The same `ask`, near and over a link: the same answers, and the same ways of having none.

use super::lab::{Lab, connected, echo, until, until_state};
use actix::{Actor, Addr, Arbiter, Context, Handler, ResponseFuture};
use mallee::{
    actors::{
        address::{Address, AskError, Call, Serves},
        switchboard::Switchboard,
    },
    domain::account::{Caller, Role},
    messages::{Ask, CallContext},
    transport::{
        bulk::NoBlobs,
        credentials::CurrentCredentials,
        identity::Identity,
        ledger::Refused,
        limits::Limits,
        link::Link,
        listener::{self, Door, LinkTo, Reception},
    },
};
use serde::{Deserialize, Serialize};
use std::{
    rc::Rc,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Halve(u64);

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("`{0}` is odd")]
struct Odd(u64);

impl Ask for Halve {
    type Reply = u64;
    type Fault = Odd;
    const NAME: &'static str = "test.halve";
}

/// Halves what is even; zero it ponders for ever.
struct Halver {
    asked: Arc<AtomicUsize>,
}

impl Actor for Halver {
    type Context = Context<Self>;
}

impl Serves<Halve> for Halver {}

impl Handler<Call<Halve>> for Halver {
    type Result = ResponseFuture<Result<u64, Odd>>;

    fn handle(
        &mut self,
        Call { body: Halve(number), .. }: Call<Halve>,
        _: &mut Self::Context,
    ) -> Self::Result {
        self.asked.fetch_add(1, Ordering::SeqCst);
        Box::pin(async move {
            match number {
                0 => std::future::pending().await,
                _ if number % 2 == 1 => Err(Odd(number)),
                _ => Ok(number / 2),
            }
        })
    }
}

fn context(time_left_ms: u64) -> CallContext {
    let on_behalf_of = Caller { account: "111122223333".parse().unwrap(), role: Role::User };
    CallContext { request_id: "r-1".into(), trace_id: None, time_left_ms, on_behalf_of }
}

/// A reception that puts questions through to one actor.
fn reception(halver: Addr<Halver>) -> Reception {
    let mut board = Switchboard::default();
    board.serve::<Halve, Halver>(halver);
    let board = Rc::new(board);
    Reception {
        admit: Rc::new(|_| Ok(())),
        receive: Rc::new(move |_, envelope| {
            let board = board.clone();
            Box::pin(async move { board.put_through(envelope).await })
        }),
        arrived: Rc::new(|_, _| {}),
        register: Rc::new(|_| {
            Box::pin(async { Err(Refused::Undecided("nobody is certified here".into())) })
        }),
        provide: Rc::new(NoBlobs),
    }
}

#[actix_rt::test]
async fn asking_over_a_link_is_asking() {
    let lab = Lab::new();
    let arbiter = Arbiter::new();
    let asked = Arc::new(AtomicUsize::new(0));
    let halver = {
        let asked = asked.clone();
        Halver::start_in_arbiter(&arbiter.handle(), move |_| Halver { asked })
    };
    let own = Identity::group_manager("lab", "east", "g1").unwrap();
    let socket = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let at = socket.local_addr().unwrap();
    let door = Door {
        listener: socket,
        credentials: CurrentCredentials::new(lab.credentials(&own)),
        limits: Limits::default(),
        clock: lab.clock(),
    };
    let behind = halver.clone();
    let listening =
        listener::start(&arbiter.handle(), door, move || reception(behind)).await.unwrap();
    let link = lab.child("n1", at);
    connected(&link).await;

    let near = Address::Local(halver.clone());
    let far: Address<Halver> = Address::Remote(link.clone().recipient());
    for address in [&near, &far] {
        let ask = |number, time_left_ms| address.ask(context(time_left_ms), Halve(number));
        assert_eq!(ask(84, 10_000).await, Ok(42));
        assert_eq!(ask(7, 10_000).await, Err(AskError::Refused(Odd(7))));
        assert_eq!(ask(0, 50).await, Err(AskError::Unanswered));
    }
    assert_eq!(asked.load(Ordering::SeqCst), 6);

    // The parent's end knows the child, which answers nothing of the kind.
    let child = Identity::node_manager("lab", "east", "n1").unwrap();
    let down = listening.send(LinkTo(child)).await.unwrap();
    let up: Address<Halver> = Address::Remote(down.recipient());
    let answer = up.ask(context(10_000), Halve(2)).await;
    assert!(matches!(answer, Err(AskError::Garbled(_))), "an echo is no answer: {answer:?}");

    // A connection that breaks while the question is answered leaves it unknown; after, undone.
    let waiting = far.ask(context(60_000), Halve(0));
    let stop = async {
        until("it is asked", || asked.load(Ordering::SeqCst) == 7).await;
        arbiter.stop();
    };
    let (answer, ()) = tokio::join!(waiting, stop);
    assert_eq!(answer, Err(AskError::Unanswered));
    until_state(&link, "it is broken", |state| state.connected_since.is_none()).await;
    let undone = far.ask(context(10_000), Halve(2)).await;
    assert_eq!(undone, Err(AskError::NotDelivered));
    arbiter.join().unwrap();
}

#[actix_rt::test]
async fn asking_a_link_that_never_connected_is_not_delivered_at_once() {
    let lab = Lab::new();
    let nowhere = "127.0.0.1:1".parse().unwrap();
    let link = Link::dial(lab.dial("n1", nowhere), echo()).start();
    let far: Address<Halver> = Address::Remote(link.recipient());
    let begun = std::time::Instant::now();
    let answer = far.ask(context(60_000), Halve(2)).await;
    assert_eq!(answer, Err(AskError::NotDelivered));
    assert!(begun.elapsed() < Duration::from_secs(10));
}
