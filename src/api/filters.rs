//! Filters as a request writes them: `Filter.1.Name`, `Filter.1.Value.1`, `Filter.1.Value.2`.
//!
//! A request struct holds them as `#[serde(default, rename = "Filter")] filters:
//! Vec<FilterParameter>`; [`read_filters`] makes domain filters of them.

use super::error::ApiError;
use crate::domain::filter::{Described, Filter, Filters};
use schemars::JsonSchema;
use serde::Deserialize;

#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
pub struct FilterParameter {
    #[serde(rename = "Name")]
    pub name: String,
    #[serde(rename = "Value", alias = "Values", default)]
    pub values: Vec<String>,
}

/// The filters of a describe of resources `D`, refusing names that `D` does not know.
pub fn read_filters<D: Described>(parameters: &[FilterParameter]) -> Result<Filters, ApiError> {
    let filters = parameters
        .iter()
        .map(|parameter| Filter::new(parameter.name.clone(), &parameter.values))
        .collect::<Result<_, _>>()
        .map(Filters)?;
    filters.check_names::<D>()?;
    Ok(filters)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::error::Code;
    use crate::api::parameters::Parameters;
    use crate::api::query;
    use std::borrow::Cow;

    #[derive(Deserialize)]
    struct Describe {
        #[serde(default, rename = "Filter")]
        filters: Vec<FilterParameter>,
    }

    struct Door(&'static str);

    impl Described for Door {
        const FILTERS: &'static [&'static str] = &["colour"];
        fn facts(&self, name: &str) -> Option<Vec<Cow<'_, str>>> {
            (name == "colour").then(|| vec![self.0.into()])
        }
    }

    fn read(text: &str) -> Result<Filters, ApiError> {
        let describe: Describe = query::read(&Parameters::parse(text, b"").unwrap())?;
        read_filters::<Door>(&describe.filters)
    }

    #[test]
    fn filters_are_read_from_the_request() {
        let filters =
            read("Filter.1.Name=colour&Filter.1.Value.1=red&Filter.1.Value.2=g*").unwrap();
        assert_eq!(filters.admit(&Door("green")), Ok(true));
        assert_eq!(filters.admit(&Door("blue")), Ok(false));
    }

    #[test]
    fn a_filter_nobody_knows_is_refused_though_nothing_exists() {
        let error = read("Filter.1.Name=size&Filter.1.Value.1=1").unwrap_err();
        assert_eq!(
            error,
            ApiError::new(Code::InvalidParameterValue, "The filter 'size' is invalid")
        );
    }

    #[test]
    fn a_filter_without_name_or_value_is_refused() {
        let error = read("Filter.1.Value.1=1").unwrap_err();
        assert_eq!(error, ApiError::missing_parameter("Filter.1.Name"));
        assert_eq!(read("Filter.1.Name=colour").unwrap_err().code, Code::InvalidParameterValue);
    }
}
