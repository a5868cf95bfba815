//! Access keys and signing certificates as IAM lists them, a page at a time.

use crate::{
    api::{
        error::{ApiError, Code},
        pagination::{Page, PageRequest},
        response::Members,
        time::DateTime,
    },
    domain::{
        account::AccessKey, credential::CredentialStatus, signing_certificate::SigningCertificate,
    },
};
use schemars::JsonSchema;
use serde::Serialize;

/// An access key without its secret.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct AccessKeyMetadata {
    user_name: String,
    access_key_id: String,
    status: CredentialStatus,
    create_date: DateTime,
}

impl AccessKeyMetadata {
    pub fn of(key: &AccessKey, user: &str) -> AccessKeyMetadata {
        AccessKeyMetadata {
            user_name: user.to_owned(),
            access_key_id: key.id.clone(),
            status: key.status,
            create_date: key.created_at.into(),
        }
    }
}

#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct Certificate {
    user_name: String,
    certificate_id: String,
    certificate_body: String,
    status: CredentialStatus,
    upload_date: DateTime,
}

impl Certificate {
    pub fn of(certificate: &SigningCertificate, user: &str) -> Certificate {
        Certificate {
            user_name: user.to_owned(),
            certificate_id: certificate.id.clone(),
            certificate_body: certificate.body.clone(),
            status: certificate.status,
            upload_date: certificate.uploaded_at.into(),
        }
    }
}

/// A page of a list, and where the next one begins.
#[derive(Debug)]
pub struct Listed<T> {
    pub members: Members<T>,
    pub is_truncated: bool,
    pub marker: Option<String>,
}

/// IAM's `Marker` and `MaxItems`, over what is sorted by id.
pub fn listed<T>(
    marker: Option<&str>,
    max_items: Option<u32>,
    sorted: impl IntoIterator<Item = (String, T)>,
) -> Result<Listed<T>, ApiError> {
    const ITEMS: std::ops::RangeInclusive<u32> = 1..=1000;
    if let Some(wanted) = max_items.filter(|wanted| !ITEMS.contains(wanted)) {
        return Err(ApiError::new(
            Code::ValidationError,
            format!("Invalid value '{wanted}' for MaxItems: it must be from 1 to 1000."),
        ));
    }
    let request = PageRequest::<String>::new(max_items, marker, ITEMS)
        .map_err(|_| ApiError::new(Code::ValidationError, "The Marker is not valid."))?;
    let Page { results, next_token } = request.cut(sorted);
    let is_truncated = next_token.is_some();
    Ok(Listed { members: results.into(), is_truncated, marker: next_token })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of_three(marker: Option<&str>, max_items: Option<u32>) -> Result<Listed<u8>, ApiError> {
        let all = [("a", 1), ("b", 2), ("c", 3)].map(|(id, n)| (id.to_owned(), n));
        listed(marker, max_items, all)
    }

    #[test]
    fn a_list_goes_on_where_the_page_before_ended() {
        let first = of_three(None, Some(2)).unwrap();
        assert_eq!((first.members.member, first.is_truncated), (vec![1, 2], true));
        let rest = of_three(first.marker.as_deref(), Some(2)).unwrap();
        assert_eq!((rest.members.member, rest.is_truncated, rest.marker), (vec![3], false, None));
        assert_eq!(of_three(None, None).unwrap().members.member, [1, 2, 3]);
    }

    #[test]
    fn a_page_of_no_size_and_a_marker_of_others_are_refused() {
        for (marker, max_items) in [(None, Some(0)), (None, Some(1001)), (Some("x"), None)] {
            let error = of_three(marker, max_items).unwrap_err();
            assert_eq!(error.code, Code::ValidationError, "{error}");
        }
    }
}
