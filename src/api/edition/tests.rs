use super::{form::Form, *};
use crate::api::{
    actions::{
        self, ActionCall,
        testing::{IMAGE, TestCloud},
    },
    error::Code,
    parameters::Parameters,
    response::namespace,
};

/// What the action answers in an edition, with its envelope.
async fn answer(cloud: &TestCloud, edition: Edition, name: &str, query: &str) -> String {
    let version = match edition {
        Edition::February2008 => "2008-02-01",
        Edition::December2008 => "2008-12-01",
        Edition::Today => "2016-11-15",
    };
    let parameters = Parameters::parse(query, b"").unwrap();
    let call = ActionCall { service: Service::Ec2, name, version, parameters: &parameters };
    let document = actions::perform(&call, &cloud.exchange().await).await.unwrap();
    let answer = edition.reply(name, &document).unwrap().into_owned();
    fits::check(edition, name, &answer);
    assert!(answer.contains(&namespace(version)), "{answer}");
    answer
}

#[test]
fn a_version_that_is_none_of_those_of_2008_is_todays() {
    assert_eq!(Edition::of_version("2008-02-01"), Edition::February2008);
    assert_eq!(Edition::of_version("2008-12-01"), Edition::December2008);
    for version in ["2016-11-15", "2014-10-01", "2031-01-01", ""] {
        assert_eq!(Edition::of_version(version), Edition::Today, "{version}");
    }
}

#[test]
fn every_ec2_action_is_an_operation_today_and_regions_came_late_in_2008() {
    let of_ec2 = shape::all().iter().filter(|action| action.service == Service::Ec2);
    let names = |edition: Edition| edition.operations().iter().map(|operation| operation.name);
    assert!(names(Edition::Today).eq(of_ec2.map(|action| action.name)));
    assert!(names(Edition::December2008).any(|name| name == "DescribeRegions"));
    let february = names(Edition::February2008);
    let december = names(Edition::December2008).filter(|name| *name != "DescribeRegions");
    assert!(february.eq(december));
    assert_eq!(Edition::February2008.operation("CreateTags"), None);
}

#[test]
fn answers_begin_with_the_request_id_since_august_2008() {
    for edition in Edition::ALL {
        for operation in edition.operations() {
            let first = operation.reply.first().map(|particle| particle.name.as_str());
            assert_eq!(first == Some("requestId"), edition.has_request_id(), "{}", operation.name);
        }
    }
}

#[test]
fn of_two_parameters_in_one_set_the_items_element_says_which_is_meant() {
    let run = Edition::Today.operation("RunInstances").unwrap();
    let set = run.request.iter().find(|particle| particle.name == "groupSet").unwrap();
    let Form::Items(of) = &set.form else { panic!("{set:?}") };
    let Form::Fields(fields) = &**of else { panic!("{of:?}") };
    let mut named: Vec<_> = fields.iter().map(|f| (&*f.name, &*f.origin, f.required)).collect();
    named.sort();
    assert_eq!(
        named,
        [("groupId", "SecurityGroupId.#", false), ("groupName", "SecurityGroup.#", false)]
    );
}

#[actix_web::test]
async fn todays_answer_is_passed_on_as_it_is() {
    let document = "<RunInstancesResponse><x/></RunInstancesResponse>";
    let answer = Edition::Today.reply("RunInstances", document).unwrap();
    assert!(matches!(answer, std::borrow::Cow::Borrowed(same) if same == document));
}

#[actix_web::test]
async fn an_instance_of_2008_has_its_groups_by_name_and_nothing_that_came_later() {
    let cloud = TestCloud::start().await;
    let run = format!("ImageId={IMAGE}&MinCount=1&MaxCount=1&InstanceType=m1.small");
    let launched = answer(&cloud, Edition::February2008, "RunInstances", &run).await;
    assert!(
        launched.contains("<groupSet><item><groupId>default</groupId></item></groupSet>"),
        "{launched}"
    );
    cloud.settle().await;
    let shown = answer(&cloud, Edition::February2008, "DescribeInstances", "").await;
    let state = "<instanceState><code>16</code><name>running</name></instanceState>";
    assert!(shown.contains(state) && shown.contains("<placement><availabilityZone>"), "{shown}");
    for later in ["requestId", "tagSet", "vpcId", "networkInterfaceSet", "tenancy", "sg-"] {
        assert!(!shown.contains(later), "{later} in {shown}");
    }
    let id = shown.split_once("<instanceId>").unwrap().1.split_once('<').unwrap().0;
    let end = format!("InstanceId.1={id}");
    let ended = answer(&cloud, Edition::December2008, "TerminateInstances", &end).await;
    assert!(ended.contains("<requestId>"), "{ended}");
    assert!(
        ended.contains("<shutdownState><code>32</code><name>shutting-down</name></shutdownState>"),
        "{ended}"
    );
}

#[actix_web::test]
async fn what_was_escaped_in_an_answer_still_is_in_an_old_one() {
    let cloud = TestCloud::start().await;
    let group = "GroupName=a%26b&GroupDescription=c%26d+";
    let made = answer(&cloud, Edition::February2008, "CreateSecurityGroup", group).await;
    assert_eq!(
        made,
        "<CreateSecurityGroupResponse xmlns=\"http://ec2.amazonaws.com/doc/2008-02-01/\">\
         <return>true</return></CreateSecurityGroupResponse>"
    );
    let shown = answer(&cloud, Edition::February2008, "DescribeSecurityGroups", "").await;
    assert!(shown.contains("<groupName>a&amp;b</groupName>"), "{shown}");
    assert!(shown.contains("<groupDescription>c&amp;d </groupDescription>"), "{shown}");
}

#[actix_web::test]
async fn zones_tell_their_region_since_there_are_regions() {
    let cloud = TestCloud::start().await;
    let february = answer(&cloud, Edition::February2008, "DescribeAvailabilityZones", "").await;
    let december = answer(&cloud, Edition::December2008, "DescribeAvailabilityZones", "").await;
    assert!(!february.contains("regionName") && december.contains("<regionName>us-east-1<"));
}

#[test]
fn an_answer_of_an_action_that_the_edition_does_not_have_is_refused() {
    let refused = Edition::February2008.reply("CreateTags", "<CreateTagsResponse/>");
    assert_eq!(refused.unwrap_err().code, Code::InvalidAction);
    let garbled = Edition::February2008.reply("RunInstances", "<a><b></a>");
    assert_eq!(garbled.unwrap_err().code, Code::InternalError);
}
