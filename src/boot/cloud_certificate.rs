//! The cloud's own certificate on the disk of the cloud manager's host: made at the first start,
//! and the same ever after.

use crate::{
    ambient::Ambient,
    api::cloud_certificate::{CloudCertificate, CloudCertificateFault},
    config::state_directory::{StateDirectory, create_private_directory, write_private},
};
use std::{fs, io, path::PathBuf, sync::Arc};

#[derive(Debug, thiserror::Error)]
pub enum CertificateFault {
    #[error("`{}`: {source}", .path.display())]
    Io { path: PathBuf, source: io::Error },
    #[error("`{}`: {source}", .path.display())]
    Certificate { path: PathBuf, source: CloudCertificateFault },
}

/// Finds the certificate of this cloud, or makes it.
pub fn establish(
    state: &StateDirectory,
    cloud: &str,
    ambient: &Ambient,
) -> Result<Arc<CloudCertificate>, CertificateFault> {
    let path = state.certificate();
    let io = |source| CertificateFault::Io { path: path.clone(), source };
    let fault = |source| CertificateFault::Certificate { path: path.clone(), source };
    let certificate = match fs::read_to_string(&path) {
        Ok(text) => CloudCertificate::from_text(&text).map_err(fault)?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let mut chance = ambient.chance("cloud's certificate");
            let made =
                CloudCertificate::create(cloud, ambient.now(), &mut *chance).map_err(fault)?;
            let directory = path.parent().expect("it is a file in the state directory");
            create_private_directory(directory).map_err(io)?;
            write_private(&path, made.to_text().as_bytes()).map_err(io)?;
            made
        }
        Err(error) => return Err(io(error)),
    };
    Ok(Arc::new(certificate))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::time::Timestamp;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_cloud_has_one_certificate_for_good_and_a_damaged_one_is_not_replaced() {
        let directory = tempfile::tempdir().unwrap();
        let state = StateDirectory::at(directory.path().to_owned());
        let ambient = Ambient::seeded(1, Timestamp(1_767_323_045_000)).0;
        let made = establish(&state, "lab", &ambient).unwrap();
        let found = establish(&state, "lab", &ambient).unwrap();
        assert_eq!((found.der(), found.key_pkcs8()), (made.der(), made.key_pkcs8()));
        let mode = fs::metadata(state.certificate()).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        fs::write(state.certificate(), made.pem()).unwrap();
        let fault = establish(&state, "lab", &ambient).unwrap_err();
        assert!(matches!(fault, CertificateFault::Certificate { .. }), "{fault}");
        assert_eq!(fs::read_to_string(state.certificate()).unwrap(), made.pem());
    }
}
