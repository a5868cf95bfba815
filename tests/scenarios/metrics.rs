//! What Prometheus reads of each process, after a launch that came through all of them.

use crate::cloud::{Cloud, section};

const WITH_METRICS: &str = "[metrics]\nlisten = \"127.0.0.1:0\"\n";

/// The value of the first figure whose line begins so; labels in the order they are shown.
fn figure(shown: &str, name_and_labels: &str) -> Option<f64> {
    let line = shown.lines().find(|line| line.starts_with(name_and_labels))?;
    line.rsplit(' ').next()?.parse().ok()
}

fn launch(cloud: &mut Cloud) {
    let client = cloud.client();
    let image = client.ask("DescribeImages", &[]).first("imageId").unwrap();
    let launch = [("ImageId", image.as_str()), ("MinCount", "2"), ("MaxCount", "2")];
    let instances = client.ask("RunInstances", &launch).all("instanceId");
    cloud.wait_for(&client, &instances, "running");
    client.refusal("NoSuchAction", &[]);
}

#[test]
fn each_process_shows_what_it_counted_and_the_cloud_s_what_there_is() {
    for topology in ["local", "loopback", "linked", "cloud | group | node"] {
        let configuration = section("laptop", "vcpus = 4") + WITH_METRICS;
        let mut cloud = Cloud::configured(topology, "info", &configuration);
        cloud.begin();
        launch(&mut cloud);
        let own = cloud.metrics(0);
        let is = |name: &str, expected: f64| {
            assert_eq!(figure(&own, name), Some(expected), "{topology}: {name} in\n{own}");
        };
        is("mallee_api_requests_total{action=\"RunInstances\",code=\"\"}", 1.0);
        is("mallee_api_requests_total{action=\"unknown\",code=\"InvalidAction\"}", 1.0);
        is("mallee_api_request_duration_seconds_count{action=\"RunInstances\"}", 1.0);
        is("mallee_capacity_vcpus{group=\"laptop\",node=\"laptop\",part=\"total\"}", 4.0);
        is("mallee_capacity_vcpus{group=\"laptop\",node=\"laptop\",part=\"free\"}", 2.0);
        is("mallee_instances{group=\"laptop\",state=\"running\"}", 2.0);
        is("mallee_reservations_outstanding{group=\"laptop\"}", 0.0);
        is(
            "mallee_question_duration_seconds_count{question=\"cloud.launch_reservation\",\
             outcome=\"answered\"}",
            1.0,
        );

        // Wherever a manager is, its figures are in its process.
        let all: String = (0..cloud.processes()).map(|index| cloud.metrics(index)).collect();
        for (role, name, question) in [
            ("cloud", "mallee", "cloud.launch_reservation"),
            ("group", "laptop", "group.place_instances"),
            ("node", "laptop", "node.boot_instance"),
        ] {
            let whose = format!("role=\"{role}\",name=\"{name}\"");
            let handled = format!(
                "mallee_handling_duration_seconds_count{{{whose},question=\"{question}\"}}"
            );
            assert!(figure(&all, &handled) >= Some(1.0), "{topology}: {handled} in\n{all}");
            let committed = format!(
                "mallee_journal_commit_duration_seconds_count{{{whose},outcome=\"durable\"}}"
            );
            assert!(figure(&all, &committed) >= Some(1.0), "{topology}: {committed} in\n{all}");
            // Nobody forgets to take what waits off the count.
            for gauge in ["mallee_mailbox_depth", "mallee_questions_in_progress"] {
                let gauge = format!("{gauge}{{{whose}}}");
                cloud.wait(&gauge, |cloud| {
                    let mut shown = (0..cloud.processes()).map(|index| cloud.metrics(index));
                    (shown.find_map(|shown| figure(&shown, &gauge)) == Some(0.0)).then_some(())
                });
            }
        }
        for question in ["group.place_instances", "node.boot_instance"] {
            let hop = format!("mallee_question_duration_seconds_count{{question=\"{question}\"");
            assert!(figure(&all, &hop) >= Some(1.0), "{topology}: {hop} in\n{all}");
        }
        let links = all.lines().filter(|line| line.starts_with("mallee_link_connected{"));
        let expected = match topology {
            "local" | "loopback" => 0,
            // Seen from the parents.
            "linked" => 2,
            // Seen from both ends.
            _ => 4,
        };
        let links: Vec<&str> = links.collect();
        assert_eq!(links.len(), expected, "{topology}: {links:#?}");
        assert!(links.iter().all(|link| link.ends_with("} 1.0")), "{topology}: {links:#?}");
    }
}

#[test]
fn a_mailbox_that_cannot_be_reached_is_a_hop_that_was_not_delivered_and_a_link_that_is_down() {
    let configuration = section("laptop", "") + WITH_METRICS;
    let mut cloud = Cloud::configured("cloud | group | node", "info", &configuration);
    cloud.begin();
    launch(&mut cloud);
    // The node's process.
    cloud.kill_process(2);
    cloud.wait("the group misses its node", |cloud| {
        let shown = cloud.metrics(1);
        let down =
            "mallee_link_connected{peer=\"mallee://mallee/node/laptop/laptop\",direction=\"in\"}";
        (figure(&shown, down) == Some(0.0)).then_some(())
    });
    let client = cloud.client();
    let instance = client.ask("DescribeInstances", &[]).first("instanceId").unwrap();
    client.ask("TerminateInstances", &[("InstanceId.1", &instance)]);
    cloud.wait("the hop failed", |cloud| {
        let failed = "mallee_question_duration_seconds_count{\
                      question=\"node.terminate_instance\",outcome=\"not-delivered\"}";
        (figure(&cloud.metrics(1), failed)? >= 1.0).then_some(())
    });
}
