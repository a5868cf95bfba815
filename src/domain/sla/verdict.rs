//! What a policy made of something, for whoever asks later why.
//!
//! Found by comparing what was before with what is after, so that no policy has to say it.

use super::LaunchRequest;
use crate::domain::{draft::Draft, fault::CloudFault, id::InstanceId};

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    pub policy: &'static str,
    pub on: Occasion,
    pub word: Word,
    pub why: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Occasion {
    Request,
    Commit,
    Timer,
    Capacity,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Word {
    Rejected,
    /// Another request, or another instance, came of it.
    Rewrote,
    /// The state of the cloud.
    Changed,
}

impl Occasion {
    pub fn as_str(self) -> &'static str {
        match self {
            Occasion::Request => "request",
            Occasion::Commit => "commit",
            Occasion::Timer => "timer",
            Occasion::Capacity => "capacity",
        }
    }
}

impl Word {
    pub fn as_str(self) -> &'static str {
        match self {
            Word::Rejected => "rejected",
            Word::Rewrote => "rewrote",
            Word::Changed => "changed",
        }
    }
}

impl Verdict {
    /// None of a request that was let through as it was.
    pub(super) fn of_request(
        policy: &'static str,
        before: &LaunchRequest,
        after: &LaunchRequest,
        outcome: &Result<(), CloudFault>,
    ) -> Option<Verdict> {
        let (word, why) = match outcome {
            Err(fault) => (Word::Rejected, fault.to_string()),
            Ok(()) if before == after => return None,
            Ok(()) => (Word::Rewrote, difference(before, after)),
        };
        Some(Verdict { policy, on: Occasion::Request, word, why })
    }

    pub(super) fn of_commit(policy: &'static str, instance: &InstanceId) -> Verdict {
        let why = format!("instance `{instance}` is granted on other terms");
        Verdict { policy, on: Occasion::Commit, word: Word::Rewrote, why }
    }

    /// Notes what a policy changed that was told of something, if it did.
    pub(super) fn of_changes(policy: &'static str, on: Occasion, before: usize, draft: &Draft<'_>) {
        let count = draft.changes() - before;
        if count > 0 {
            let why = format!("{count} records");
            draft.note(Verdict { policy, on, word: Word::Changed, why });
        }
    }
}

fn difference(before: &LaunchRequest, after: &LaunchRequest) -> String {
    let mut differences = Vec::new();
    if before.zone != after.zone {
        let name = |asked: &LaunchRequest| {
            asked.zone.as_ref().map_or_else(|| "any zone".to_owned(), |zone| format!("`{zone}`"))
        };
        differences.push(format!("{} became {}", name(before), name(after)));
    }
    let counts = |asked: &LaunchRequest| format!("{} to {}", asked.min_count, asked.max_count);
    if counts(before) != counts(after) {
        differences.push(format!("{} instances became {}", counts(before), counts(after)));
    }
    if differences.is_empty() {
        differences.push("where it may go".to_owned());
    }
    differences.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::resources::Resources;

    fn launch() -> LaunchRequest {
        LaunchRequest {
            zone: None,
            except: Default::default(),
            min_count: 1,
            max_count: 5,
            each: Resources::NONE,
        }
    }

    #[test]
    fn a_request_that_is_let_through_is_no_news() {
        assert_eq!(Verdict::of_request("p", &launch(), &launch(), &Ok(())), None);
    }

    #[test]
    fn what_was_rewritten_is_said() {
        let zone = Some("us-east-1b".parse().unwrap());
        let after = LaunchRequest { zone, max_count: 2, ..launch() };
        let verdict = Verdict::of_request("p", &launch(), &after, &Ok(())).unwrap();
        assert_eq!(verdict.word, Word::Rewrote);
        let expected = "any zone became `us-east-1b`, 1 to 5 instances became 1 to 2";
        assert_eq!(verdict.why, expected);
    }

    #[test]
    fn why_something_was_rejected_is_what_its_owner_hears() {
        let fault = CloudFault::UnknownZone("z".to_owned());
        let why = fault.to_string();
        let verdict = Verdict::of_request("p", &launch(), &launch(), &Err(fault)).unwrap();
        assert_eq!((verdict.word, verdict.why), (Word::Rejected, why));
    }
}
