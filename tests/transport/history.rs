//! Histories with a seed: a link cut at any byte, again and again, never says of a question that
//! was carried out that it was not delivered, and never carries one out twice.

use super::{
    lab::{Lab, ask, connected, question, quick},
    proxy::{Cut, Heard, Proxy},
};
use actix::{Actor, Addr};
use mallee::{
    messages::envelope::LinkFault,
    transport::{ReceiveFrom, limits::Limits, link::Link},
};
use rand_chacha::ChaCha20Rng;
use rand_core::{RngCore, SeedableRng};
use std::{cell::RefCell, collections::BTreeMap, rc::Rc};

/// How often each question was carried out, by its number.
type Executed = Rc<RefCell<BTreeMap<u64, usize>>>;

type Answer = Result<Vec<u8>, LinkFault>;

fn executing(executed: &Executed) -> ReceiveFrom {
    let executed = executed.clone();
    Rc::new(move |_, envelope| {
        let number = u64::from_be_bytes(*envelope.body.first_chunk().unwrap());
        *executed.borrow_mut().entry(number).or_default() += 1;
        Box::pin(async move {
            // Some take a while, so that answers overtake one another.
            for _ in 0..number % 5 {
                tokio::task::yield_now().await;
            }
            Ok(envelope.body)
        })
    })
}

fn body(number: u64, chance: &mut ChaCha20Rng) -> Vec<u8> {
    let mut body = number.to_be_bytes().to_vec();
    let size = match chance.next_u32() % 10 {
        0 => 40_000,
        1..4 => 3_000,
        _ => 20,
    };
    body.resize(body.len() + size, 0x5a);
    body
}

/// What one history showed.
#[derive(Debug, Default)]
struct Tally {
    answered: usize,
    not_delivered: usize,
    unanswered: usize,
    connections: usize,
}

async fn history(seed: u64) -> Tally {
    const QUESTIONS: u64 = 60;
    let mut chance = ChaCha20Rng::seed_from_u64(seed);
    let lab = Lab::new();
    let executed = Executed::default();
    let limits = Limits { questions_max: 4, ..quick() };
    let parent = lab.parent_with(limits.clone(), executing(&executed));
    let proxy = Proxy::before(parent.at).await;
    // Handshakes take some 3 kB, so some are cut before anything is said.
    let mut cut = || Cut {
        after_bytes: u64::from(chance.next_u32() % 80_000),
        heard: if chance.next_u32() % 3 == 0 { Heard::ByTheNearEnd } else { Heard::ByBoth },
    };
    proxy.cut_next((0..6).map(|_| cut()).collect());
    let mut dial = lab.dial("n1", proxy.at);
    dial.limits = limits;
    dial.seed = seed;
    let up = Link::dial(dial, executing(&executed)).start();
    let down = parent.link_to("n1").await;

    let mut asked = Vec::new();
    for number in 0..QUESTIONS {
        let link: &Addr<Link> = if chance.next_u32() % 2 == 0 { &up } else { &down };
        let answer = link.send(question(&body(number, &mut chance)));
        asked.push(tokio::task::spawn_local(async move { (number, answer.await.unwrap()) }));
        if chance.next_u32() % 4 == 0 {
            connected(link).await;
        }
        for _ in 0..chance.next_u32() % 8 {
            tokio::task::yield_now().await;
        }
    }
    let mut tally = Tally::default();
    let mut answers: Vec<(u64, Answer)> = Vec::new();
    for answer in asked {
        answers.push(answer.await.unwrap());
    }
    // An answer over the last connection: nothing asked earlier is on its way any more.
    loop {
        connected(&up).await;
        if ask(&up, &u64::MAX.to_be_bytes()).await.is_ok() {
            break;
        }
    }
    for (number, answer) in answers {
        let times = executed.borrow().get(&number).copied().unwrap_or(0);
        match answer {
            Ok(body) => {
                assert_eq!(body[..8], number.to_be_bytes(), "seed {seed}: its own answer");
                assert_eq!(times, 1, "seed {seed}: question {number} was answered");
                tally.answered += 1;
            }
            Err(LinkFault::NotDelivered(why)) => {
                assert_eq!(times, 0, "seed {seed}: question {number} was not delivered: {why}");
                tally.not_delivered += 1;
            }
            Err(LinkFault::Unanswered) => {
                assert!(times <= 1, "seed {seed}: question {number} was carried out {times} times");
                tally.unanswered += 1;
            }
        }
    }
    tally.connections = proxy.connections();
    tally
}

#[actix_rt::test]
async fn whatever_byte_a_link_is_cut_at_what_it_says_of_a_question_is_true() {
    let mut all = Tally::default();
    for seed in 0..40 {
        let tally = history(seed).await;
        all.answered += tally.answered;
        all.not_delivered += tally.not_delivered;
        all.unanswered += tally.unanswered;
        all.connections += tally.connections;
    }
    println!("{all:?}");
    // The histories are worth something: everything happened, often.
    assert!(all.answered > 200, "{all:?}");
    assert!(all.not_delivered > 50, "{all:?}");
    assert!(all.unanswered > 50, "{all:?}");
    assert!(all.connections > 100, "{all:?}");
}
