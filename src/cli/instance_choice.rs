//! Which instance a person means: an id, a name, or the only one there is.

use super::{
    client::{Client, InstanceAnswer},
    fault::Fault,
};
use crate::domain::id::InstanceId;

/// Asks the cloud for its instances and chooses.
pub fn choose(client: &Client, wanted: Option<&str>) -> Result<InstanceAnswer, Fault> {
    pick(client.describe_instances(&[])?, wanted)
}

fn pick(instances: Vec<InstanceAnswer>, wanted: Option<&str>) -> Result<InstanceAnswer, Fault> {
    let is_id = wanted.is_some_and(|wanted| wanted.parse::<InstanceId>().is_ok());
    let named = |instance: &InstanceAnswer| match wanted {
        Some(wanted) if is_id => instance.instance_id.eq_ignore_ascii_case(wanted),
        Some(wanted) => instance.name() == Some(wanted) && !instance.is_ending(),
        None => !instance.is_ending(),
    };
    let mut found: Vec<InstanceAnswer> = instances.into_iter().filter(named).collect();
    // A name that an old, stopped instance still has usually means the one that runs.
    if found.len() > 1 && found.iter().filter(|instance| instance.is_running()).count() == 1 {
        found.retain(InstanceAnswer::is_running);
    }
    match (&found[..], wanted) {
        ([_], _) => Ok(found.remove(0)),
        ([], Some(wanted)) => Err(Fault::failed(format!("there is no instance `{wanted}`"))
            .remedy("`mallee status` lists those there are")),
        ([], None) => {
            Err(Fault::failed("there is no instance").remedy("launch one with `mallee run`"))
        }
        (several, _) => {
            let ids: Vec<_> = several.iter().map(|one| format!("`{}`", one.instance_id)).collect();
            Err(Fault::usage(format!("several instances could be meant: {}", ids.join(", ")))
                .remedy("name one by its id"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::client::described_for_tests as described;

    #[test]
    fn an_id_a_name_or_nothing_names_the_instance() {
        let chosen = |wanted| pick(described(), wanted).unwrap().instance_id;
        assert_eq!(chosen(Some("i-11111111")), "i-11111111");
        assert_eq!(chosen(Some("I-22222222")), "i-22222222");
        assert_eq!(chosen(Some("web & db")), "i-11111111");
        // The other one is terminated.
        assert_eq!(chosen(None), "i-11111111");
    }

    #[test]
    fn an_instance_that_is_not_there_is_refused() {
        let refused = |wanted| pick(described(), wanted).unwrap_err().to_string();
        assert!(refused(Some("i-33333333")).contains("no instance `i-33333333`"));
        assert!(pick(Vec::new(), None).unwrap_err().to_string().contains("`mallee run`"));
    }

    #[test]
    fn of_several_only_a_single_running_one_is_taken() {
        let mut twice = described();
        twice.truncate(1);
        twice.push(InstanceAnswer { instance_id: "i-44444444".into(), ..twice[0].clone() });
        let refused = pick(twice.clone(), Some("web & db")).unwrap_err().to_string();
        assert!(refused.contains("`i-11111111`, `i-44444444`"), "{refused}");
        twice[0].instance_state.name = "stopped".into();
        assert_eq!(pick(twice, Some("web & db")).unwrap().instance_id, "i-44444444");
    }
}
