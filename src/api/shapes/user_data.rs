//! User data: base64 on the wire, at most 16 KiB of bytes.

use crate::api::error::{ApiError, Code};
use base64::{
    Engine, alphabet,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig, general_purpose::STANDARD},
};

/// EC2's own limit, on the decoded bytes.
pub const BYTES_MAX: usize = 16 * 1024;

const LENIENT: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// Old tools break lines and drop padding. Nothing at all is no user data.
pub fn read(text: &str) -> Result<Option<Vec<u8>>, ApiError> {
    let digits: Vec<u8> = text.bytes().filter(|byte| !byte.is_ascii_whitespace()).collect();
    let bytes = LENIENT.decode(digits).map_err(|_| {
        ApiError::new(Code::InvalidUserDataMalformed, "Invalid BASE64 encoding of user data.")
    })?;
    if bytes.len() > BYTES_MAX {
        let message = format!("User data is limited to {BYTES_MAX} bytes");
        return Err(ApiError::new(Code::InvalidParameterValue, message));
    }
    Ok(Some(bytes).filter(|bytes| !bytes.is_empty()))
}

pub fn write(bytes: &[u8]) -> String {
    STANDARD.encode(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_come_back_as_they_were_however_the_lines_were_broken() {
        let bytes: Vec<u8> = (0..=255).collect();
        let text = write(&bytes);
        let broken = format!("{}\n{}\r\n", &text[..76], text[76..].trim_end_matches('='));
        assert_eq!(read(&broken), Ok(Some(bytes)));
        assert_eq!(read(""), Ok(None));
    }

    #[test]
    fn a_byte_too_many_and_what_is_not_base64_are_refused() {
        assert_eq!(read(&write(&[0; BYTES_MAX])).unwrap().unwrap().len(), BYTES_MAX);
        let error = read(&write(&[0; BYTES_MAX + 1])).unwrap_err();
        assert_eq!(error.code, Code::InvalidParameterValue);
        assert_eq!(read("#!/bin/sh").unwrap_err().code, Code::InvalidUserDataMalformed);
    }
}
