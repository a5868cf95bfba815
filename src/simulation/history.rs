//! One history: a cloud, users, faults, looked at after every step; then everything heals, and is
//! ended.

use super::{
    chronicle::Chronicle,
    cloud::{Plan, SimulatedCloud},
    dice::Dice,
    faults::Faults,
    invariants::{self, Watch},
    users::Users,
};
use crate::domain::placement::PolicyName;
use std::{collections::BTreeMap, fmt, path::Path, time::Duration};
use tokio::{runtime, task::LocalSet, time::Instant};

/// What is described agrees with the nodes within this, once everything is well.
const AGREES_WITHIN: Duration = Duration::from_secs(5);

/// A change is described within this while everything is well.
const KNOWN_WITHIN: Duration = Duration::from_secs(1);

/// Whatever is under way then is done, one way or the other, within this: what was missed at first is
/// taken up when a node tells everything again.
const ENDS_WITHIN: Duration = Duration::from_secs(90);

/// Between two looks.
const LOOK_EVERY: Duration = Duration::from_millis(50);

#[derive(Debug, Clone)]
pub struct HistoryOptions {
    pub plan: Plan,
    pub accounts: usize,
    pub steps: usize,
    /// In how many of a thousand steps something goes wrong.
    pub faults: u32,
    /// How many machines may be lost for good.
    pub losses: usize,
    pub pause_max: Duration,
}

impl HistoryOptions {
    /// Clouds of several shapes, in several degrees of trouble.
    pub fn of(seed: u64) -> HistoryOptions {
        let mut dice = Dice::new(seed, "options");
        let placements =
            [PolicyName::FirstFit, PolicyName::RoundRobin, PolicyName::Spread, PolicyName::Pack];
        let placement = *dice.pick(&placements).expect("there are four");
        let plan = Plan {
            groups: 1 + dice.below(3),
            nodes_per_group: 1 + dice.below(4),
            placement,
            ..Plan::small(seed)
        };
        HistoryOptions {
            plan,
            accounts: 1 + dice.below(3),
            steps: 60,
            faults: 150 + 100 * dice.below(5) as u32,
            losses: dice.below(2),
            pause_max: dice.millis(100, 900),
        }
    }
}

/// A history that went well.
#[derive(Debug)]
pub struct Told {
    pub chronicle: String,
    pub questions: u64,
    pub launched: usize,
    pub granted: usize,
    /// From the healing until describing agreed with the nodes.
    pub agreed_after: Duration,
}

/// What went wrong, where, and what had happened.
#[derive(Debug)]
pub struct Broken {
    pub seed: u64,
    pub step: String,
    pub why: String,
    pub chronicle: String,
}

/// How much of the chronicle is shown of a history that broke.
const TAIL: usize = 60;

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Broken { seed, step, why, chronicle } = self;
        write!(f, "seed {seed}, {step}: {why}\n{}", Chronicle::tail(chronicle, TAIL))
    }
}

/// Something done to the cloud before each step: how a test breaks it.
pub type Meddle = dyn FnMut(usize, &mut SimulatedCloud);

/// Runs the seed's history in a runtime and on a clock of its own.
pub fn run(options: &HistoryOptions, directory: &Path) -> Result<Told, Broken> {
    run_with(options, directory, &mut |_, _| {})
}

pub fn run_with(
    options: &HistoryOptions,
    directory: &Path,
    meddle: &mut Meddle,
) -> Result<Told, Broken> {
    let runtime = runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    let runtime = runtime.expect("a runtime without IO needs nothing of the system");
    LocalSet::new().block_on(&runtime, async {
        let mut history = History::begin(options, directory);
        match history.tell(options, meddle).await {
            Ok(agreed_after) => {
                let dealings = history.users.dealings();
                Ok(Told {
                    chronicle: history.chronicle.text(),
                    questions: history.cloud.carrier.carried(),
                    launched: dealings.launched.len(),
                    granted: dealings.granted,
                    agreed_after,
                })
            }
            Err((step, why)) => {
                let chronicle = history.chronicle.text();
                Err(Broken { seed: options.plan.seed, step, why, chronicle })
            }
        }
    })
}

struct History {
    cloud: SimulatedCloud,
    users: Users,
    faults: Faults,
    watch: Watch,
    chronicle: Chronicle,
    dice: Dice,
}

impl History {
    fn begin(options: &HistoryOptions, directory: &Path) -> History {
        let chronicle = Chronicle::begin();
        let plan = &options.plan;
        let cloud = SimulatedCloud::begin(plan, directory, chronicle.clone());
        History {
            cloud: cloud.expect("the directory can be written"),
            users: Users::new(plan.seed, options.accounts, chronicle.clone()),
            faults: Faults::new(plan.seed, options.losses, chronicle.clone()),
            watch: Watch::default(),
            chronicle,
            dice: Dice::new(plan.seed, "history"),
        }
    }

    async fn tell(
        &mut self,
        options: &HistoryOptions,
        meddle: &mut Meddle,
    ) -> Result<Duration, (String, String)> {
        self.pass(Duration::from_secs(1)).await.map_err(|why| ("the beginning".to_owned(), why))?;
        for step in 0..options.steps {
            let named = |why| (format!("step {step}"), why);
            self.chronicle.note(format_args!("step {step}"));
            meddle(step, &mut self.cloud);
            match self.dice.in_thousand(options.faults) {
                true => self.faults.strike(&mut self.cloud),
                false => self.users.act(&self.cloud),
            }
            let pause = self.dice.between(Duration::ZERO, options.pause_max);
            self.pass(pause).await.map_err(named)?;
        }
        let agreed = self.settle().await.map_err(|why| ("after healing".to_owned(), why))?;
        self.end().await.map_err(|why| ("after everything was terminated".to_owned(), why))?;
        Ok(agreed)
    }

    /// Time goes on, and is looked at.
    async fn pass(&mut self, time: Duration) -> Result<(), String> {
        let until = Instant::now() + time;
        loop {
            self.watch.look(&self.cloud, &self.users.dealings(), &self.chronicle)?;
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(());
            }
            tokio::time::sleep(left.min(LOOK_EVERY)).await;
            self.faults.heal_due(&mut self.cloud);
        }
    }

    /// Answers how long it took until everybody agreed.
    async fn settle(&mut self) -> Result<Duration, String> {
        self.faults.heal_all(&mut self.cloud);
        let healed = Instant::now();
        let mut since: BTreeMap<String, Instant> = BTreeMap::new();
        loop {
            self.pass(LOOK_EVERY).await?;
            let wrong = invariants::disagreements(&self.cloud);
            since.retain(|what, _| wrong.contains(what));
            for what in &wrong {
                since.entry(what.clone()).or_insert_with(Instant::now);
            }
            // What has changed just now takes its time to be known.
            let mut old = since.iter().filter(|(_, since)| since.elapsed() > KNOWN_WITHIN);
            match old.next() {
                _ if wrong.is_empty() => break,
                Some((what, _)) if healed.elapsed() > AGREES_WITHIN => {
                    return Err(format!("described otherwise than it is: {what}"));
                }
                _ => {}
            }
        }
        let agreed = healed.elapsed();
        self.chronicle.note(format_args!("everybody agrees"));
        self.until_empty(invariants::unfinished).await?;
        Ok(agreed)
    }

    async fn end(&mut self) -> Result<(), String> {
        self.users.terminate_all(&self.cloud);
        self.until_empty(invariants::unfinished).await?;
        let begun = Instant::now();
        loop {
            self.pass(LOOK_EVERY * 4).await?;
            let left = invariants::leftovers(&self.cloud).await;
            if left.is_empty() {
                return Ok(());
            }
            if begun.elapsed() > ENDS_WITHIN {
                return Err(format!("there is left: {}", left.join("; ")));
            }
        }
    }

    async fn until_empty(
        &mut self,
        what: impl Fn(&SimulatedCloud) -> Vec<String>,
    ) -> Result<(), String> {
        let begun = Instant::now();
        loop {
            self.pass(LOOK_EVERY).await?;
            let left = what(&self.cloud);
            if left.is_empty() {
                return Ok(());
            }
            if begun.elapsed() > ENDS_WITHIN {
                return Err(format!("it does not come to rest: {}", left.join("; ")));
            }
        }
    }
}
