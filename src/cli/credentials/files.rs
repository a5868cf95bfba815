//! The texts of a user's credentials: what a shell sources, and what AWS' tools read.
//!
//! `eucarc` is for any POSIX shell. It has to know the directory it is in, which bash and zsh tell;
//! others (dash) source it from within that directory, or have been told by `EUCA_KEY_DIR`.

use crate::{cli::shell, domain::account::SecretKey};

pub const CLOUD_CERTIFICATE: &str = "cloud-cert.pem";
const IAMRC: &str = "iamrc";
const AWS_CONFIG: &str = "aws-config";
const AWS_CREDENTIALS: &str = "aws-credentials";

/// Who reaches the cloud, where and with what.
#[derive(Debug)]
pub struct Access {
    pub user: String,
    pub account: String,
    /// As the caller reaches it.
    pub endpoint: String,
    pub region: String,
    pub access_key_id: String,
    pub secret_access_key: SecretKey,
}

impl Access {
    pub fn with_key(self, id: String, secret: String) -> Access {
        Access { access_key_id: id, secret_access_key: SecretKey(secret), ..self }
    }

    pub fn key_file(&self) -> String {
        format!("euca2-{}-pk.pem", self.user)
    }

    pub fn certificate_file(&self) -> String {
        format!("euca2-{}-cert.pem", self.user)
    }

    /// Everything that is not a key or a certificate, by name.
    pub fn files(&self) -> Vec<(String, String)> {
        let Access { endpoint, region, access_key_id: id, secret_access_key, .. } = self;
        let secret = &secret_access_key.0;
        [
            ("eucarc", self.eucarc()),
            (IAMRC, format!("AWSAccessKeyId={id}\nAWSSecretKey={secret}\n")),
            (AWS_CONFIG, format!("[default]\nregion = {region}\nendpoint_url = {endpoint}\n")),
            (
                AWS_CREDENTIALS,
                format!("[default]\naws_access_key_id = {id}\naws_secret_access_key = {secret}\n"),
            ),
        ]
        .map(|(name, text)| (name.to_owned(), text))
        .into()
    }

    fn eucarc(&self) -> String {
        let mut text = format!("# The credentials of {}, for a shell to source.\n", self.user);
        text.push_str(&self.finding_itself());
        for (name, file) in self.paths() {
            // Only the directory is the shell's to put in.
            let file = shell::quote(&format!("/{file}"));
            text.push_str(&format!("export {name}=\"$EUCA_KEY_DIR\"{file}\n"));
        }
        for (name, value) in self.variables() {
            text.push_str(&format!("export {name}={}\n", shell::quote(&value)));
        }
        // Left from another account, these would go before the keys above or spoil them.
        text.push_str(
            "unset AWS_SESSION_TOKEN AWS_SECURITY_TOKEN AWS_PROFILE AWS_DEFAULT_PROFILE\n",
        );
        text
    }

    /// Sets `EUCA_KEY_DIR`, or stops. What zsh alone understands, others do not get to see.
    fn finding_itself(&self) -> String {
        let key = shell::quote(&self.key_file());
        format!(
            r#"if [ -n "${{BASH_VERSION:-}}" ]; then
    EUCA_KEY_DIR=$(CDPATH= cd -- "$(dirname -- "$BASH_SOURCE")" >/dev/null && pwd)
elif [ -n "${{ZSH_VERSION:-}}" ]; then
    eval 'EUCA_KEY_DIR=${{${{(%):-%x}}:A:h}}'
elif [ -f "$PWD"/{key} ]; then
    EUCA_KEY_DIR=$PWD
elif [ ! -f "${{EUCA_KEY_DIR:-}}"/{key} ]; then
    echo "eucarc: this shell does not say where a sourced file is: go to its directory first," \
        "or set EUCA_KEY_DIR to that" >&2
    return 1
fi
export EUCA_KEY_DIR
"#
        )
    }

    fn paths(&self) -> [(&'static str, String); 6] {
        [
            ("EC2_PRIVATE_KEY", self.key_file()),
            ("EC2_CERT", self.certificate_file()),
            ("EUCALYPTUS_CERT", CLOUD_CERTIFICATE.to_owned()),
            ("AWS_CREDENTIAL_FILE", IAMRC.to_owned()),
            ("AWS_CONFIG_FILE", AWS_CONFIG.to_owned()),
            ("AWS_SHARED_CREDENTIALS_FILE", AWS_CREDENTIALS.to_owned()),
        ]
    }

    fn variables(&self) -> Vec<(&'static str, String)> {
        let Access { account, endpoint, region, access_key_id: id, .. } = self;
        let secret = &self.secret_access_key.0;
        let (ec2, iam) =
            (format!("{endpoint}/services/Eucalyptus"), format!("{endpoint}/services/Euare"));
        vec![
            // What Eucalyptus' tools and those of EC2's first years read.
            ("EC2_URL", ec2),
            ("EUARE_URL", iam.clone()),
            ("AWS_IAM_URL", iam),
            ("TOKEN_URL", endpoint.clone()),
            ("AWS_STS_URL", endpoint.clone()),
            ("EC2_USER_ID", account.clone()),
            ("EC2_ACCOUNT_NUMBER", account.clone()),
            ("EC2_ACCESS_KEY", id.clone()),
            ("EC2_SECRET_KEY", secret.clone()),
            ("AWS_ACCESS_KEY", id.clone()),
            ("AWS_SECRET_KEY", secret.clone()),
            // What those of today read.
            ("AWS_ACCESS_KEY_ID", id.clone()),
            ("AWS_SECRET_ACCESS_KEY", secret.clone()),
            ("AWS_DEFAULT_REGION", region.clone()),
            ("AWS_REGION", region.clone()),
            ("AWS_ENDPOINT_URL", endpoint.clone()),
            ("AWS_ENDPOINT_URL_EC2", endpoint.clone()),
            ("AWS_ENDPOINT_URL_IAM", endpoint.clone()),
            ("AWS_ENDPOINT_URL_STS", endpoint.clone()),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{fs, path::Path, process::Command};

    fn access() -> Access {
        Access {
            user: "alice".into(),
            account: "111111111111".into(),
            endpoint: "http://127.0.0.1:8773".into(),
            region: "us-east-1".into(),
            access_key_id: "AKIDEXAMPLE".into(),
            secret_access_key: SecretKey("it's $ecret/+".into()),
        }
    }

    /// Writes the files into a directory with a space in its name.
    fn written() -> tempfile::TempDir {
        let directory = tempfile::tempdir().unwrap();
        let place = directory.path().join("a place");
        fs::create_dir(&place).unwrap();
        for (name, text) in access().files() {
            fs::write(place.join(name), text).unwrap();
        }
        fs::write(place.join(access().key_file()), "a key").unwrap();
        directory
    }

    fn sourced(shell: &str, directory: &Path, words: &str) -> (bool, String, String) {
        let show = "printf '%s|' \"$EC2_PRIVATE_KEY\" \"$EC2_URL\" \"$AWS_SECRET_ACCESS_KEY\" \
                    \"$AWS_CONFIG_FILE\" \"${AWS_PROFILE:-none}\"";
        let script = format!("set -eu\nAWS_PROFILE=old\n{words}\n{show}");
        let output = Command::new(shell)
            .args(["-c", &script])
            .env_remove("EUCA_KEY_DIR")
            .current_dir(directory)
            .output()
            .unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        (output.status.success(), text(output.stdout), text(output.stderr))
    }

    fn check(shell: &str, from: &str, words: &str) {
        let directory = written();
        let root = directory.path().canonicalize().unwrap();
        let place = root.join("a place");
        let place = place.display();
        let (done, out, err) = sourced(shell, &root.join(from), words);
        assert!(done && err.is_empty(), "{shell} {words}: {err}");
        let expected = format!(
            "{place}/euca2-alice-pk.pem|http://127.0.0.1:8773/services/Eucalyptus|it's $ecret/+|\
             {place}/aws-config|none|"
        );
        assert_eq!(out, expected, "{shell} {words}");
    }

    #[test]
    fn a_posix_shell_has_exactly_these_values_from_within_the_directory() {
        for shell in ["sh", "bash"] {
            check(shell, "a place", ". ./eucarc");
        }
    }

    #[test]
    fn from_elsewhere_bash_knows_the_directory_and_others_are_told_it() {
        check("bash", "", ". 'a place/eucarc'");
        check("bash", "", "EUCA_KEY_DIR=/elsewhere; . \"$PWD/a place/eucarc\"");
        check("dash", "", "EUCA_KEY_DIR=\"$PWD/a place\"; . 'a place/eucarc'");
    }

    #[test]
    fn a_shell_that_cannot_know_the_directory_stops_and_sets_nothing() {
        let directory = written();
        for words in [". 'a place/eucarc'", "EUCA_KEY_DIR=/elsewhere; . 'a place/eucarc'"] {
            let (done, out, err) = sourced("dash", directory.path(), words);
            assert!(!done && out.is_empty(), "{out}");
            assert!(err.contains("EUCA_KEY_DIR"), "{err}");
        }
    }
}
