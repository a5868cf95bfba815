//! The complex types of a WSDL's schema: one for each structure and list, by name.
//!
//! A type is named after the element that it is of, as Amazon's are or as they would be. Two
//! elements of one name and of different content take the name of the type they stand in before
//! their own. No client sends or reads these names: they are what its generated classes are called.

use crate::api::{
    edition::{
        Operation,
        form::{Form, Particle},
    },
    shape::Kind,
};

/// Amazon's names for the type of an element, and of a list's items: by the element's name, or by
/// the operation and the element.
const NAMES: &[(&str, &str, &str)] = &[
    ("addressesSet", "DescribeAddressesResponseInfoType", "DescribeAddressesResponseItemType"),
    ("allocationIdsSet", "AllocationIdSetType", "AllocationIdSetItemType"),
    ("availabilityZoneInfo", "AvailabilityZoneSetType", "AvailabilityZoneItemType"),
    (
        "availabilityZoneSet",
        "DescribeAvailabilityZonesSetType",
        "DescribeAvailabilityZonesSetItemType",
    ),
    ("blockDeviceMapping", "BlockDeviceMappingType", "BlockDeviceMappingItemType"),
    ("currentState", "InstanceStateType", ""),
    ("executableBySet", "DescribeImagesExecutableBySetType", "DescribeImagesExecutableByType"),
    ("filterSet", "FilterSetType", "FilterType"),
    ("groupSet", "GroupSetType", "GroupItemType"),
    ("groups", "UserIdGroupPairSetType", "UserIdGroupPairType"),
    ("imagesSet", "DescribeImagesInfoType", "DescribeImagesItemType"),
    (
        "DescribeImagesResponse.imagesSet",
        "DescribeImagesResponseInfoType",
        "DescribeImagesResponseItemType",
    ),
    ("instancesSet", "InstanceIdSetType", "InstanceIdType"),
    ("RunInstancesResponse.instancesSet", "RunningInstancesSetType", "RunningInstancesItemType"),
    (
        "DescribeInstancesResponse.instancesSet",
        "RunningInstancesSetType",
        "RunningInstancesItemType",
    ),
    (
        "StartInstancesResponse.instancesSet",
        "InstanceStateChangeSetType",
        "InstanceStateChangeType",
    ),
    ("StopInstancesResponse.instancesSet", "InstanceStateChangeSetType", "InstanceStateChangeType"),
    (
        "TerminateInstancesResponse.instancesSet",
        "InstanceStateChangeSetType",
        "InstanceStateChangeType",
    ),
    ("ipPermissions", "IpPermissionSetType", "IpPermissionType"),
    ("ipPermissionsEgress", "IpPermissionSetType", "IpPermissionType"),
    ("ipRanges", "IpRangeSetType", "IpRangeItemType"),
    ("keySet", "DescribeKeyPairsInfoType", "DescribeKeyPairsItemType"),
    (
        "DescribeKeyPairsResponse.keySet",
        "DescribeKeyPairsResponseInfoType",
        "DescribeKeyPairsResponseItemType",
    ),
    ("ownersSet", "DescribeImagesOwnersType", "DescribeImagesOwnerType"),
    ("placement", "PlacementRequestType", ""),
    ("DescribeInstancesResponse.placement", "PlacementResponseType", ""),
    ("RunInstancesResponse.placement", "PlacementResponseType", ""),
    ("previousState", "InstanceStateType", ""),
    ("productCodes", "ProductCodesSetType", "ProductCodesSetItemType"),
    ("publicIpsSet", "DescribeAddressesInfoType", "DescribeAddressesItemType"),
    ("regionInfo", "RegionSetType", "RegionItemType"),
    ("regionSet", "DescribeRegionsSetType", "DescribeRegionsSetItemType"),
    ("reservationSet", "ReservationSetType", "ReservationInfoType"),
    ("securityGroupInfo", "SecurityGroupSetType", "SecurityGroupItemType"),
    ("shutdownState", "InstanceStateType", ""),
    ("tagSet", "ResourceTagSetType", "ResourceTagSetItemType"),
    ("valueSet", "ValueSetType", "ValueType"),
];

const EMPTY: &str = "EmptyElementType";

/// In the order in which they were defined: none before those it names.
#[derive(Debug, Default)]
pub struct Types(Vec<Definition>);

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Definition {
    pub name: String,
    pub elements: Vec<ElementOf>,
}

/// An element of a sequence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ElementOf {
    pub name: String,
    /// With its prefix.
    pub of_type: String,
    pub required: bool,
    pub repeated: bool,
}

impl Types {
    pub fn iter(&self) -> impl Iterator<Item = &Definition> {
        self.0.iter()
    }

    /// `XType` and `XResponseType` for each operation, and all that they are made of. Answers come
    /// first: the plain name of a type is theirs, as it is with Amazon.
    pub fn of_operations(operations: &[Operation]) -> Types {
        let mut types = Types::default();
        for operation in operations {
            types.define_message(&format!("{}Response", operation.name), &operation.reply);
        }
        for operation in operations {
            types.define_message(operation.name, &operation.request);
        }
        types
    }

    fn define_message(&mut self, message: &str, particles: &[Particle]) {
        let scope = Scope { message, around: message };
        let elements = self.elements(scope, particles);
        self.define(scope, format!("{message}Type"), elements);
    }

    fn elements(&mut self, scope: Scope<'_>, particles: &[Particle]) -> Vec<ElementOf> {
        let described =
            particles.iter().filter(|particle| !matches!(particle.form, Form::NotHonoured));
        described
            .map(|particle| ElementOf {
                name: particle.name.clone(),
                of_type: self.type_of(scope, &particle.name, &particle.form),
                required: particle.required,
                repeated: false,
            })
            .collect()
    }

    fn type_of(&mut self, scope: Scope<'_>, element: &str, form: &Form) -> String {
        let name = scope.names(element).0;
        match form {
            Form::Value(kind) => simple(*kind).to_owned(),
            Form::PassedOver => simple(Kind::Text).to_owned(),
            Form::Fields(particles) => self.structure(scope, name, particles),
            Form::Items(of) => {
                let elements = match &**of {
                    Form::Nothing => Vec::new(),
                    of => vec![ElementOf {
                        name: "item".to_owned(),
                        of_type: self.type_of_item(scope, element, of),
                        required: false,
                        repeated: true,
                    }],
                };
                self.define(scope, name, elements)
            }
            Form::Sign | Form::Nothing | Form::NotHonoured => {
                self.define(scope, EMPTY.to_owned(), Vec::new())
            }
        }
    }

    fn type_of_item(&mut self, scope: Scope<'_>, set: &str, form: &Form) -> String {
        match form {
            Form::Fields(particles) => self.structure(scope, scope.names(set).1, particles),
            form => self.type_of(scope, &format!("{set}Item"), form),
        }
    }

    fn structure(&mut self, scope: Scope<'_>, name: String, particles: &[Particle]) -> String {
        let around = name.strip_suffix("Type").unwrap_or(&name).to_owned();
        let elements = self.elements(Scope { around: &around, ..scope }, particles);
        self.define(scope, name, elements)
    }

    /// The name of the type, which is another than asked for if something else has that.
    fn define(&mut self, scope: Scope<'_>, name: String, elements: Vec<ElementOf>) -> String {
        let same = |known: &&Definition| known.name.ends_with(&name) && known.elements == elements;
        if let Some(known) = self.0.iter().find(same) {
            return format!("tns:{}", known.name);
        }
        let longer = [scope.around, scope.message].map(|around| format!("{around}{name}"));
        let mut names = [name].into_iter().chain(longer);
        let free = names.find(|name| self.0.iter().all(|known| known.name != *name));
        let name = free.expect("no structure of a message has two elements of one name");
        let named = format!("tns:{name}");
        self.0.push(Definition { name, elements });
        named
    }
}

/// Where an element stands.
#[derive(Debug, Clone, Copy)]
struct Scope<'a> {
    message: &'a str,
    /// The structure around it.
    around: &'a str,
}

impl Scope<'_> {
    /// Of the type of an element, and of its items if it is a list.
    fn names(self, element: &str) -> (String, String) {
        let qualified = format!("{}.{element}", self.message);
        let row = |wanted: &str| NAMES.iter().find(|(of, ..)| *of == wanted);
        match row(&qualified).or_else(|| row(element)) {
            Some((_, own, item)) => ((*own).to_owned(), (*item).to_owned()),
            None => {
                let mut stem = element.to_owned();
                if let Some(first) = stem.get_mut(..1) {
                    first.make_ascii_uppercase();
                }
                (format!("{stem}Type"), format!("{stem}ItemType"))
            }
        }
    }
}

fn simple(kind: Kind) -> &'static str {
    match kind {
        Kind::Text => "xs:string",
        Kind::Integer => "xs:int",
        Kind::Long => "xs:long",
        Kind::Boolean => "xs:boolean",
        Kind::DateTime => "xs:dateTime",
    }
}
