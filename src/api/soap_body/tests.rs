use super::*;
use crate::{
    actors::address::Address,
    api::{
        actions::{
            self, ActionCall,
            testing::{IMAGE, TestCloud},
        },
        response::namespace,
        service::Service,
    },
    messages::envelope::{Envelope, LinkFault, Outbound},
};
use actix::{Actor, Context, Handler};
use quick_xml::{Reader, events::Event};
use std::sync::{Arc, Mutex};

const FEBRUARY: &str = "2008-02-01";
const TODAY: &str = "2016-11-15";

/// A payload written without namespaces, which all its elements get.
fn payload(version: &str, text: &str) -> Element {
    let mut reader = Reader::from_str(text);
    let mut open = vec![Element::default()];
    loop {
        let named = |name: &str| Element {
            namespace: namespace(version),
            name: name.to_owned(),
            ..Element::default()
        };
        match reader.read_event().unwrap() {
            Event::Start(tag) => open.push(named(tag.name().as_ref())),
            Event::Empty(tag) => {
                open.last_mut().unwrap().children.push(named(tag.name().as_ref()));
            }
            Event::Text(text) => open.last_mut().unwrap().text += &text,
            Event::End(_) => {
                let closed = open.pop().unwrap();
                open.last_mut().unwrap().children.push(closed);
            }
            Event::Eof => return open.remove(0).children.remove(0),
            other => panic!("{other:?}"),
        }
    }
}

fn check(version: &str, text: &str, expected: &str) {
    let call = read(&payload(version, text)).unwrap();
    let mut given: Vec<_> = call.parameters.iter().collect();
    let expected = Parameters::parse(expected, b"").unwrap();
    let mut expected: Vec<_> = expected.iter().collect();
    given.sort();
    expected.sort();
    assert_eq!(given, expected, "{text}");
}

fn check_refused(version: &str, text: &str, code: Code, part: &str) {
    let error = read(&payload(version, text)).unwrap_err();
    assert_eq!(error.code, code, "{text}: {error}");
    assert!(error.message.contains(part), "{text}: {error}");
}

#[test]
fn a_set_of_values_is_a_numbered_list() {
    check(
        TODAY,
        "<DescribeInstances><instancesSet><item><instanceId>i-1</instanceId></item>\
         <item><instanceId>i-2</instanceId></item></instancesSet>\
         <filterSet><item><name>a</name><valueSet><item><value>b</value></item><item><value/>\
         </item></valueSet></item></filterSet></DescribeInstances>",
        "InstanceId.1=i-1&InstanceId.2=i-2&Filter.1.Name=a&Filter.1.Value.1=b&Filter.1.Value.2=",
    );
}

#[test]
fn elements_come_in_any_order_and_empty_sets_say_nothing() {
    check(
        FEBRUARY,
        "<RunInstances><maxCount> 2 </maxCount><groupSet/><placement/><minCount>1</minCount>\
         <userData><data>eA==</data></userData><imageId>ami-1</imageId></RunInstances>",
        "ImageId=ami-1&MinCount=1&MaxCount=2&UserData=eA%3D%3D",
    );
    check(TODAY, "<DescribeRegions/>", "");
    check(
        TODAY,
        "<StopInstances><force>1</force><dryRun>0</dryRun></StopInstances>",
        "Force=true&DryRun=false",
    );
}

#[test]
fn in_2008_a_groups_id_is_its_name() {
    let named = |version, element: &str, expected: &str| {
        let text = format!(
            "<RunInstances><groupSet><item><{element}>x</{element}></item></groupSet>\
             </RunInstances>"
        );
        check(version, &text, expected);
    };
    named(FEBRUARY, "groupId", "SecurityGroup.1=x");
    named(TODAY, "groupId", "SecurityGroupId.1=x");
    named(TODAY, "groupName", "SecurityGroup.1=x");
}

#[test]
fn an_attribute_is_meant_by_an_empty_element_of_its_name() {
    for version in [FEBRUARY, TODAY] {
        let text = "<DescribeImageAttribute><imageId>ami-1</imageId><launchPermission/>\
                    </DescribeImageAttribute>";
        check(version, text, "ImageId=ami-1&Attribute=launchPermission");
    }
}

#[test]
fn what_nobody_knows_is_refused_by_its_name() {
    let unknown = Code::UnknownParameter;
    check_refused(TODAY, "<RunInstances><colour>1</colour></RunInstances>", unknown, "colour");
    let nested = "<RunInstances><placement><colour/></placement></RunInstances>";
    check_refused(TODAY, nested, unknown, "placement.colour");
    let not_yet = "<RunInstances><clientToken>x</clientToken></RunInstances>";
    check_refused(FEBRUARY, not_yet, unknown, "clientToken");
    let no_item = "<DescribeInstances><instancesSet><instanceId>i-1</instanceId></instancesSet>\
                   </DescribeInstances>";
    check_refused(TODAY, no_item, unknown, "instancesSet.instanceId");
    let below_a_value = "<RunInstances><imageId><x/></imageId></RunInstances>";
    check_refused(TODAY, below_a_value, unknown, "imageId.x");
    check_refused(TODAY, "<LaunchRockets/>", Code::InvalidAction, "LaunchRockets");
    check_refused(TODAY, "<GetCallerIdentity/>", Code::InvalidAction, "GetCallerIdentity");
    check_refused(FEBRUARY, "<CreateTags/>", Code::InvalidAction, "CreateTags");
}

#[test]
fn what_is_given_twice_or_where_it_cannot_be_is_refused() {
    let twice = "<RunInstances><imageId>a</imageId><imageId>b</imageId></RunInstances>";
    check_refused(TODAY, twice, Code::InvalidParameterCombination, "imageId");
    let invalid = Code::InvalidParameterValue;
    check_refused(
        TODAY,
        "<DescribeInstances><instancesSet>i-1</instancesSet></DescribeInstances>",
        invalid,
        "instancesSet",
    );
    check_refused(
        TODAY,
        "<RunInstances><placement>x</placement></RunInstances>",
        invalid,
        "placement",
    );
    check_refused(TODAY, "<RunInstances>x</RunInstances>", invalid, "structure");
}

#[test]
fn an_item_that_says_nothing_is_refused_rather_than_read_as_no_item() {
    let all = "<TerminateInstances><instancesSet><item/></instancesSet></TerminateInstances>";
    check_refused(TODAY, all, Code::MissingParameter, "instancesSet.item");
}

#[test]
fn a_parameter_that_is_not_honoured_reaches_the_action_which_refuses_it() {
    let text = "<RunInstances><licenseSpecification><item/></licenseSpecification></RunInstances>";
    let call = read(&payload(TODAY, text)).unwrap();
    assert_eq!(call.parameters.get("LicenseSpecification"), Some(""));
}

#[test]
fn another_namespace_is_refused_whether_of_the_payload_or_of_an_element_in_it() {
    for namespace in ["", "http://ec2.amazonaws.com/doc/2016-11-15", "http://example.com/", "urn:x"]
    {
        let mut foreign = payload(TODAY, "<DescribeRegions/>");
        foreign.namespace = namespace.to_owned();
        assert_eq!(read(&foreign).unwrap_err().code, Code::UnsupportedProtocol, "{namespace}");
    }
    let text = "<GetConsoleOutput><instanceId>i-1</instanceId></GetConsoleOutput>";
    let mut mixed = payload(TODAY, text);
    mixed.children[0].namespace = namespace(FEBRUARY);
    assert_eq!(read(&mixed).unwrap_err(), ApiError::unknown_parameter("instanceId"));
}

#[test]
fn a_version_of_its_own_is_answered_in_its_own_namespace() {
    let call = read(&payload("2012-03-01", "<DescribeTags/>")).unwrap();
    assert_eq!((&*call.version, call.edition), ("2012-03-01", Edition::Today));
}

#[test]
fn no_more_parameters_than_query_allows_and_no_character_that_xml_cannot_carry() {
    let item = "<item><instanceId>i</instanceId></item>".repeat(Parameters::PAIRS_MAX + 1);
    let many = format!("<StopInstances><instancesSet>{item}</instancesSet></StopInstances>");
    check_refused(TODAY, &many, Code::MalformedQueryString, "more than");
    let mut odd = payload(TODAY, "<CreateKeyPair><keyName>x</keyName></CreateKeyPair>");
    odd.children[0].text = "\u{1}".to_owned();
    assert_eq!(read(&odd).unwrap_err().code, Code::MalformedQueryString);
}

/// An element with everything that may be in it, each set with two items.
fn complete(name: &str, version: &str, particles: &[Particle]) -> Element {
    let children = particles.iter().map(|p| filled(&p.name, version, &p.form)).collect();
    Element { namespace: namespace(version), name: name.to_owned(), children, ..Element::default() }
}

fn filled(name: &str, version: &str, form: &Form) -> Element {
    let empty = complete(name, version, &[]);
    match form {
        Form::Value(_) => Element { text: "1".to_owned(), ..empty },
        Form::Fields(particles) => complete(name, version, particles),
        Form::Items(of) => Element {
            children: vec![filled("item", version, of), filled("item", version, of)],
            ..empty
        },
        Form::Sign | Form::NotHonoured | Form::PassedOver | Form::Nothing => empty,
    }
}

#[test]
fn there_is_no_element_whose_parameter_the_action_does_not_take() {
    for (version, edition) in [FEBRUARY, "2008-12-01", TODAY].into_iter().zip(Edition::ALL) {
        for operation in edition.operations() {
            let whole = complete(operation.name, version, &operation.request);
            let call = read(&whole).unwrap_or_else(|error| panic!("{}: {error}", operation.name));
            // One at a time: reading stops at the first that is wrong.
            for (name, value) in call.parameters.iter() {
                let alone: Parameters = [(name, value)].into_iter().collect();
                if let Err(error) = actions::check(Service::Ec2, operation.name, &alone) {
                    let name = format!("{version} {} {name}={value}: {error}", operation.name);
                    assert_ne!(error.code, Code::UnknownParameter, "{name}");
                    assert!(value == "1" || error.code != Code::InvalidParameterValue, "{name}");
                }
            }
        }
    }
}

/// In the cloud manager's place: keeps what it is asked, and is not there.
struct Recorder(Arc<Mutex<Vec<Envelope>>>);

impl Actor for Recorder {
    type Context = Context<Self>;
}

impl Handler<Outbound> for Recorder {
    type Result = Result<Vec<u8>, LinkFault>;

    fn handle(&mut self, asked: Outbound, _: &mut Self::Context) -> Self::Result {
        self.0.lock().unwrap().push(asked.0);
        Err(LinkFault::NotDelivered("recorded".to_owned()))
    }
}

/// The bytes of what the cloud manager is asked, which is nothing in answer to a describe, and
/// the answer.
async fn asked(name: &str, parameters: &Parameters) -> (Vec<(String, Vec<u8>)>, String) {
    // Each time a new cloud of the same seed, whose ids repeat.
    let mut cloud = TestCloud::start().await;
    cloud.launch(1).await;
    let record = Arc::new(Mutex::new(Vec::new()));
    cloud.cloud.manager = Address::Remote(Recorder(record.clone()).start().recipient());
    let call = ActionCall { service: Service::Ec2, name, version: TODAY, parameters };
    let answer = actions::perform(&call, &cloud.exchange().await).await;
    let asked = record.lock().unwrap().drain(..).map(|asked| (asked.name, asked.body)).collect();
    (asked, format!("{answer:?}"))
}

#[actix_web::test]
async fn the_same_call_becomes_the_same_message_whether_by_query_or_by_soap_of_any_year() {
    let run = |group: &str| {
        format!(
            "<RunInstances><imageId>{IMAGE}</imageId><minCount>1</minCount><maxCount>2</maxCount>\
             <groupSet><item><{group}>default</{group}></item></groupSet>\
             <userData><data>aGVsbG8=</data></userData><instanceType>m1.small</instanceType>\
             <placement><availabilityZone>zone-one</availabilityZone></placement></RunInstances>"
        )
    };
    let describe = "<DescribeInstances><instancesSet/></DescribeInstances>";
    let permit = "<AuthorizeSecurityGroupIngress><userId/><groupName>default</groupName>\
        <ipPermissions><item><ipProtocol>tcp</ipProtocol><fromPort>22</fromPort><toPort>22</toPort>\
        <groups><item><userId>111111111111</userId><groupName>default</groupName></item></groups>\
        <ipRanges><item><cidrIp>10.0.0.0/8</cidrIp></item></ipRanges></item></ipPermissions>\
        </AuthorizeSecurityGroupIngress>";
    let permit_today = permit.replace("<userId/>", "");
    let run_query = format!(
        "ImageId={IMAGE}&MinCount=1&MaxCount=2&SecurityGroup.1=default&UserData=aGVsbG8%3D\
         &InstanceType=m1.small&Placement.AvailabilityZone=zone-one"
    );
    let permit_query = "GroupName=default&IpPermissions.1.IpProtocol=tcp\
        &IpPermissions.1.FromPort=22&IpPermissions.1.ToPort=22\
        &IpPermissions.1.Groups.1.UserId=111111111111&IpPermissions.1.Groups.1.GroupName=default\
        &IpPermissions.1.IpRanges.1.CidrIp=10.0.0.0/8";
    let (by_id, by_name) = (run("groupId"), run("groupName"));
    for (name, query, messages, texts) in [
        ("RunInstances", &*run_query, 1, [&*by_id, &by_id, &by_name]),
        ("DescribeInstances", "", 0, [describe; 3]),
        ("AuthorizeSecurityGroupIngress", permit_query, 1, [permit, permit, &permit_today]),
    ] {
        let by_query = asked(name, &Parameters::parse(query, b"").unwrap()).await;
        assert_eq!(by_query.0.len(), messages, "{by_query:?}");
        for (version, text) in [FEBRUARY, "2008-12-01", TODAY].into_iter().zip(texts) {
            let by_soap = read(&payload(version, text)).unwrap();
            assert_eq!(by_soap.action, name);
            assert_eq!(asked(name, &by_soap.parameters).await, by_query, "{version} {name}");
        }
    }
}

#[test]
fn what_is_nil_was_not_given_but_an_item_of_a_list_must_be_something() {
    let nil = |element: Element| Element { nil: true, ..element };
    let of = |name: &str, children| Element {
        namespace: namespace(TODAY),
        name: name.to_owned(),
        children,
        ..Element::default()
    };
    let asked = |children| read(&of("DescribeInstances", children));
    let call = asked(vec![nil(of("instancesSet", vec![])), nil(of("maxResults", vec![]))]).unwrap();
    assert!(call.parameters.is_empty());
    let error = asked(vec![of("instancesSet", vec![nil(of("item", vec![]))])]).unwrap_err();
    assert_eq!(error.code, Code::MissingParameter);
    assert_eq!(asked(vec![nil(of("what", vec![]))]).unwrap_err().code, Code::UnknownParameter);
}
