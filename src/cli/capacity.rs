//! `mallee capacity`: what every zone and node has free, and how far that can be trusted.

use super::{
    CallerArguments, Context,
    client::{CapacityAnswer, Figures, MetaZone, ZoneCapacity},
    fault::Fault,
    output::{self, OutputArguments},
};
use clap::Args;
use std::process::ExitCode;

#[derive(Debug, Args)]
pub struct Capacity {
    #[command(flatten)]
    caller: CallerArguments,
    #[command(flatten)]
    output: OutputArguments,
}

impl Capacity {
    pub fn perform(self, context: &Context<'_>) -> Result<ExitCode, Fault> {
        let answer = context.client(&self.caller)?.describe_capacity()?;
        self.output.output.show(&answer, text)?;
        Ok(ExitCode::SUCCESS)
    }
}

const HEADINGS: [&str; 7] =
    ["", "free vcpus", "free MiB", "free GiB", "heard of", "outstanding", "starts"];

fn text(answer: &CapacityAnswer) -> String {
    let mut text = answer.zones.iter().map(of_zone).collect::<Vec<_>>().join("\n");
    if !answer.meta_zones.is_empty() {
        let row =
            |meta: &MetaZone| vec![meta.name.clone(), meta.policy.clone(), meta.zones.join(", ")];
        text.push_str("\nmeta-zones:\n");
        text.push_str(&output::table(&answer.meta_zones.iter().map(row).collect::<Vec<_>>()));
    }
    text
}

fn of_zone(zone: &ZoneCapacity) -> String {
    let stale = if zone.stale { ", stale" } else { "" };
    let mut rows = vec![HEADINGS.map(str::to_owned).to_vec(), row("all nodes", &zone.capacity, "")];
    for node in &zone.nodes {
        rows.push(row(&node.name, &node.capacity, if node.silent { ", silent" } else { "" }));
    }
    format!("zone {} (group {}{stale}):\n{}", zone.name, zone.group, output::table(&rows))
}

fn row(name: &str, figures: &Figures, mark: &str) -> Vec<String> {
    let Figures { free, total, outstanding, starts, .. } = figures;
    let of = |free: u64, total: u64| format!("{free} of {total}");
    let heard = match figures.age_seconds {
        Some(seconds) => format!("{seconds} s ago"),
        None => "never".to_owned(),
    };
    let wrong = match starts.error_percent {
        Some(percent) => {
            let (wrong, observed) = (starts.contradicted, starts.observed);
            format!("{wrong} of {observed} failed ({percent} %)")
        }
        None => "none yet".to_owned(),
    };
    vec![
        name.to_owned(),
        of(free.vcpus, total.vcpus),
        of(free.memory_mib, total.memory_mib),
        of(free.disk_gib, total.disk_gib),
        format!("{heard}{mark}"),
        outstanding.count.to_string(),
        wrong,
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::client::capacity_for_tests;

    #[test]
    fn people_see_what_is_free_how_old_that_is_and_how_often_it_was_wrong() {
        let shown = "\
zone us-east-1a (group rack):
             free vcpus  free MiB      free GiB  heard of       outstanding  starts
  all nodes  5 of 8      3328 of 4096  44 of 50  4 s ago        1            2 of 8 failed (25 %)
  n1         5 of 8      3328 of 4096  44 of 50  4 s ago        1            2 of 8 failed (25 %)
  n2         5 of 8      3328 of 4096  44 of 50  never, silent  1            none yet

meta-zones:
  any  emptiest-first  us-east-1a
";
        assert_eq!(text(&capacity_for_tests()), shown);
        let mut stale = capacity_for_tests();
        stale.zones[0].stale = true;
        assert!(text(&stale).starts_with("zone us-east-1a (group rack, stale):\n"));
    }

    #[test]
    fn programs_see_every_figure_by_name() {
        let json = serde_json::to_value(capacity_for_tests()).unwrap();
        let zone = &json["zones"][0];
        assert_eq!(zone["capacity"]["free"]["memory_mib"], 3328);
        assert_eq!(zone["capacity"]["age_seconds"], 4);
        assert_eq!(zone["capacity"]["starts"]["no_room"], 1);
        assert_eq!(zone["nodes"][1]["capacity"]["outstanding"]["count"], 1);
        assert_eq!(zone["nodes"][1]["capacity"]["age_seconds"], serde_json::Value::Null);
        assert_eq!(json["meta_zones"][0]["policy"], "emptiest-first");
    }
}
