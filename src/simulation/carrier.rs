//! What carries questions and answers between the simulated managers: late, twice, overtaking one
//! another, or not at all, as the weather and the seed have it.
//!
//! It says of a question what a link says: `NotDelivered` only of what certainly was not carried
//! out, `Unanswered` once the loss is noticed. It is harsher than a link in one thing: a question
//! may arrive twice, or long after its asker has given it up.

use super::{chronicle::Chronicle, dice::Dice, process::Process};
use crate::{
    actors::switchboard::Switchboard,
    domain::id::{GroupName, NodeName},
    messages::{
        envelope::{Envelope, LinkFault, Outbound},
        node::{Accepted, NodeFault},
    },
};
use actix::{Actor, Addr, Context, Handler, ResponseFuture};
use std::{
    cell::RefCell,
    collections::{BTreeMap, BTreeSet},
    fmt,
    rc::Rc,
    time::Duration,
};
use tokio::{
    sync::{Notify, mpsc, oneshot},
    task::spawn_local,
    time::timeout,
};

/// Where a manager is.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Place {
    Cloud,
    Group(GroupName),
    Node(NodeName),
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Place::Cloud => f.write_str("cloud"),
            Place::Group(name) => write!(f, "{name}"),
            Place::Node(name) => write!(f, "{name}"),
        }
    }
}

/// What may happen to one question, in thousandths.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Weather {
    pub lose_question: u32,
    pub lose_answer: u32,
    pub repeat: u32,
    /// Takes up to `late_max` in place of `usual_max`.
    pub late: u32,
    pub usual_max: Duration,
    pub late_max: Duration,
    /// A loss is noticed within this.
    pub notice_max: Duration,
}

impl Weather {
    pub fn calm() -> Weather {
        Weather {
            lose_question: 0,
            lose_answer: 0,
            repeat: 0,
            late: 0,
            usual_max: Duration::from_millis(3),
            late_max: Duration::ZERO,
            notice_max: Duration::ZERO,
        }
    }

    pub fn rough() -> Weather {
        Weather {
            lose_question: 40,
            lose_answer: 40,
            repeat: 40,
            late: 60,
            usual_max: Duration::from_millis(20),
            late_max: Duration::from_secs(4),
            notice_max: Duration::from_secs(2),
        }
    }
}

type Answer = Result<Vec<u8>, LinkFault>;

struct Parcel {
    from: Place,
    to: Place,
    envelope: Envelope,
    reply: oneshot::Sender<Answer>,
}

/// All links there are.
#[derive(Clone)]
pub struct Carrier {
    post: mpsc::UnboundedSender<Parcel>,
    links: Rc<Links>,
}

struct Links {
    chronicle: Chronicle,
    healed: Notify,
    book: RefCell<Book>,
}

struct Book {
    doors: BTreeMap<Place, (Rc<Process>, Rc<Switchboard>)>,
    weather: Weather,
    /// From whom nothing reaches whom.
    cut: BTreeSet<(Place, Place)>,
    slow: BTreeSet<Place>,
    /// Questions that are answered and not asked.
    pretended: BTreeSet<String>,
    dice: Dice,
    carried: u64,
}

/// What the weather makes of one question.
#[derive(Debug)]
struct Fate {
    outward: Duration,
    homeward: Duration,
    lose_question: bool,
    lose_answer: bool,
    again_after: Option<Duration>,
    notice: Duration,
    /// Of a question that did not arrive: it is known that it did not.
    known_lost: bool,
}

impl fmt::Debug for Carrier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Carrier")
    }
}

impl Carrier {
    pub fn begin(seed: u64, weather: Weather, chronicle: Chronicle) -> Carrier {
        let (post, mut posted) = mpsc::unbounded_channel();
        let book = Book {
            doors: BTreeMap::new(),
            weather,
            cut: BTreeSet::new(),
            slow: BTreeSet::new(),
            pretended: BTreeSet::new(),
            dice: Dice::new(seed, "carrier"),
            carried: 0,
        };
        let links = Rc::new(Links { chronicle, healed: Notify::new(), book: RefCell::new(book) });
        let carrying = links.clone();
        spawn_local(async move {
            while let Some(parcel) = posted.recv().await {
                spawn_local(carrying.clone().carry(parcel));
            }
        });
        Carrier { post, links }
    }

    /// The asker's end of a link: an actor of the asker's process.
    pub fn link(&self, from: Place, to: Place) -> Addr<LinkEnd> {
        LinkEnd { from, to, post: self.post.clone() }.start()
    }

    /// From now on questions to this place are answered there.
    pub fn open(&self, place: Place, process: Rc<Process>, board: Switchboard) {
        self.links.book.borrow_mut().doors.insert(place, (process, Rc::new(board)));
    }

    pub fn close(&self, place: &Place) {
        let closed = self.links.book.borrow_mut().doors.remove(place);
        // Ends the process, if this was the last to know it: not while the book is borrowed.
        drop(closed);
    }

    pub fn change_weather(&self, weather: Weather) {
        self.links.book.borrow_mut().weather = weather;
    }

    /// Nothing is lost or late from now on, and what is late has arrived.
    pub fn heal(&self) {
        self.change_weather(Weather::calm());
        self.links.healed.notify_waiters();
    }

    pub fn cut(&self, from: &Place, to: &Place) {
        self.links.book.borrow_mut().cut.insert((from.clone(), to.clone()));
    }

    pub fn mend(&self, from: &Place, to: &Place) {
        self.links.book.borrow_mut().cut.remove(&(from.clone(), to.clone()));
    }

    /// Whatever goes to and from there takes long.
    pub fn slow_down(&self, place: Place) {
        self.links.book.borrow_mut().slow.insert(place);
    }

    pub fn speed_up(&self, place: &Place) {
        self.links.book.borrow_mut().slow.remove(place);
    }

    /// For tests of what is looked at: such questions are said to have been taken up by a node, and
    /// are not.
    #[cfg(test)]
    pub fn pretend(&self, name: &str) {
        self.links.book.borrow_mut().pretended.insert(name.to_owned());
    }

    /// How many questions there were.
    pub fn carried(&self) -> u64 {
        self.links.book.borrow().carried
    }
}

impl Links {
    async fn carry(self: Rc<Self>, parcel: Parcel) {
        let Parcel { from, to, envelope, reply } = parcel;
        let (number, fate) = self.book.borrow_mut().fate(&from, &to);
        let name = envelope.name.clone();
        self.chronicle.note(format_args!(
            "{from} asks {to} #{number} {name} {}{}",
            digest(&envelope.body),
            mentioned(&envelope.body)
        ));
        self.pause(fate.outward).await;
        let note = |what: &str| {
            self.chronicle.note(format_args!("{from} asks {to} #{number} {name}: {what}"));
        };
        if fate.lose_question || self.is_cut(&from, &to) {
            note("lost");
            self.pause(fate.notice).await;
            let fault = match fate.known_lost {
                true => LinkFault::NotDelivered("the link is cut".to_owned()),
                false => LinkFault::Unanswered,
            };
            let _ = reply.send(Err(fault));
            return;
        }
        if let Some(after) = fate.again_after {
            let (again, links, to) = (envelope.clone(), self.clone(), to.clone());
            let process = self.process(&to);
            spawn_local(async move {
                links.pause(after).await;
                if !same(&process, &links.process(&to)) {
                    return;
                }
                links.chronicle.note(format_args!("#{number} arrives at {to} again"));
                let _ = links.deliver(&to, again).await;
            });
        }
        note("arrives");
        let mut answer = self.deliver(&to, envelope).await;
        if fate.again_after.is_some() && answer.is_err() {
            // Who knows what becomes of the other one.
            answer = Err(LinkFault::Unanswered);
        }
        self.pause(fate.homeward).await;
        if answer.is_ok() && (fate.lose_answer || self.is_cut(&to, &from)) {
            note("its answer is lost");
            self.pause(fate.notice).await;
            answer = Err(LinkFault::Unanswered);
        }
        match &answer {
            Ok(bytes) => note(&format!("answered {}", digest(bytes))),
            Err(fault) => note(&fault.to_string()),
        }
        // The asker may have given up, or ended.
        let _ = reply.send(answer);
    }

    /// Puts a question through in the process that is there, which may end meanwhile.
    async fn deliver(&self, to: &Place, envelope: Envelope) -> Answer {
        if self.book.borrow().pretended.contains(&envelope.name) {
            let accepted: Result<Accepted, NodeFault> = Ok(Accepted { generation: 0 });
            return Ok(postcard::to_stdvec(&accepted).expect("it is plain data"));
        }
        let Some((process, board)) = self.book.borrow().doors.get(to).cloned() else {
            return Err(LinkFault::NotDelivered("nobody is there".to_owned()));
        };
        let (tell, told) = oneshot::channel();
        process.spawn(async move {
            let _ = tell.send(board.put_through(envelope).await);
        });
        drop(process);
        told.await.unwrap_or(Err(LinkFault::Unanswered))
    }

    fn process(&self, place: &Place) -> Option<Rc<Process>> {
        self.book.borrow().doors.get(place).map(|(process, _)| process.clone())
    }

    /// Timers are not for nothing.
    async fn pause(&self, time: Duration) {
        if !time.is_zero() {
            let _ = timeout(time, self.healed.notified()).await;
        }
    }

    fn is_cut(&self, from: &Place, to: &Place) -> bool {
        self.book.borrow().cut.contains(&(from.clone(), to.clone()))
    }
}

impl Book {
    fn fate(&mut self, from: &Place, to: &Place) -> (u64, Fate) {
        self.carried += 1;
        let slow = if self.slow.contains(from) || self.slow.contains(to) { 40 } else { 1 };
        let (weather, dice) = (&self.weather, &mut self.dice);
        let mut way = || {
            let late = dice.in_thousand(weather.late);
            let longest = if late { weather.late_max } else { weather.usual_max * slow };
            dice.between(Duration::ZERO, longest)
        };
        let (outward, homeward) = (way(), way());
        let fate = Fate {
            outward,
            homeward,
            lose_question: dice.in_thousand(weather.lose_question),
            lose_answer: dice.in_thousand(weather.lose_answer),
            again_after: dice
                .in_thousand(weather.repeat)
                .then(|| dice.between(Duration::ZERO, weather.late_max)),
            notice: dice.between(Duration::ZERO, weather.notice_max),
            known_lost: dice.in_thousand(500),
        };
        (self.carried, fate)
    }
}

/// What arrives twice arrives over one connection.
fn same(one: &Option<Rc<Process>>, other: &Option<Rc<Process>>) -> bool {
    matches!((one, other), (Some(one), Some(other)) if Rc::ptr_eq(one, other))
}

/// Enough of a body to see that two histories differ.
fn digest(bytes: &[u8]) -> String {
    let digest = ring::digest::digest(&ring::digest::SHA256, bytes);
    let head: String = digest.as_ref()[..4].iter().map(|byte| format!("{byte:02x}")).collect();
    format!("{head}/{}", bytes.len())
}

/// The first instances that a body speaks of, for whoever reads the chronicle.
fn mentioned(body: &[u8]) -> String {
    const LENGTH: usize = "i-0123456789abcdef0".len();
    let mut ids: Vec<&str> = Vec::new();
    for found in body.windows(LENGTH).filter(|found| found.starts_with(b"i-")) {
        let hex = |digits: &[u8]| digits.iter().all(u8::is_ascii_hexdigit);
        let id = str::from_utf8(found).ok().filter(|id| hex(&id.as_bytes()[2..]));
        if let Some(id) = id.filter(|id| !ids.contains(id)) {
            ids.push(id);
        }
    }
    let more = if ids.len() > 4 { " ..." } else { "" };
    let shown: String = ids.iter().take(4).map(|id| format!(" {id}")).collect();
    shown + more
}

/// The asker's end of a link.
pub struct LinkEnd {
    from: Place,
    to: Place,
    post: mpsc::UnboundedSender<Parcel>,
}

impl fmt::Debug for LinkEnd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "LinkEnd({} to {})", self.from, self.to)
    }
}

impl Actor for LinkEnd {
    type Context = Context<Self>;
}

impl Handler<Outbound> for LinkEnd {
    type Result = ResponseFuture<Answer>;

    fn handle(&mut self, Outbound(envelope): Outbound, _: &mut Self::Context) -> Self::Result {
        let (reply, replied) = oneshot::channel();
        let parcel = Parcel { from: self.from.clone(), to: self.to.clone(), envelope, reply };
        let posted = self.post.send(parcel);
        Box::pin(async move {
            if posted.is_err() {
                return Err(LinkFault::NotDelivered("the simulation is over".to_owned()));
            }
            replied.await.unwrap_or(Err(LinkFault::Unanswered))
        })
    }
}
