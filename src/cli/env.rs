//! `mallee env`: point any EC2 tool at the cloud.
//!
//! `eval "$(mallee env)"` does it for a shell; with `--profile`, the text is a section for
//! `~/.aws/config` instead.

use super::{CallerArguments, Context, client::Client, fault::Fault, output, shell};
use clap::{Args, ValueEnum};
use serde::Serialize;
use std::process::ExitCode;

#[derive(Debug, Args)]
pub struct Env {
    /// Print a profile of this name for ~/.aws/config instead of shell lines
    #[arg(long, value_name = "NAME")]
    profile: Option<String>,
    #[command(flatten)]
    caller: CallerArguments,
    /// For a shell or for programs (json)
    #[arg(long, value_name = "FORMAT", default_value = "shell", conflicts_with = "profile")]
    output: Format,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Format {
    Shell,
    Json,
}

/// What a tool needs to know.
#[derive(Debug, Serialize)]
struct Access {
    endpoint_url: String,
    region: String,
    access_key_id: String,
    secret_access_key: String,
}

impl Env {
    pub fn perform(self, context: &Context<'_>) -> Result<ExitCode, Fault> {
        let access = Access::of(&context.client(&self.caller)?);
        let text = match (&self.profile, self.output) {
            (Some(name), _) => access.profile(name)?,
            (None, Format::Shell) => access.shell(),
            (None, Format::Json) => {
                serde_json::to_string_pretty(&access).map_err(|e| Fault::of(&e))? + "\n"
            }
        };
        output::print(&text)?;
        Ok(ExitCode::SUCCESS)
    }
}

impl Access {
    fn of(client: &Client) -> Access {
        let credentials = client.credentials();
        Access {
            endpoint_url: client.endpoint().to_owned(),
            region: client.region().to_string(),
            access_key_id: credentials.access_key_id.clone(),
            secret_access_key: credentials.secret_access_key.0.clone(),
        }
    }

    fn shell(&self) -> String {
        let Access { endpoint_url, region, access_key_id, secret_access_key } = self;
        let variables = [
            ("AWS_ENDPOINT_URL", endpoint_url),
            ("AWS_ACCESS_KEY_ID", access_key_id),
            ("AWS_SECRET_ACCESS_KEY", secret_access_key),
            ("AWS_DEFAULT_REGION", region),
            ("AWS_REGION", region),
            // What euca2ools and the tools of its time read.
            ("EC2_URL", endpoint_url),
            ("EC2_ACCESS_KEY", access_key_id),
            ("EC2_SECRET_KEY", secret_access_key),
        ];
        let mut text = String::new();
        for (name, value) in variables {
            text.push_str(&format!("export {name}={}\n", shell::quote(value)));
        }
        // Left from another account, these would go before the keys above or spoil them.
        text.push_str("unset AWS_SESSION_TOKEN AWS_PROFILE\n");
        text
    }

    fn profile(&self, name: &str) -> Result<String, Fault> {
        let proper = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
        if name.is_empty() || !name.chars().all(proper) {
            return Err(Fault::usage(format!("`{name}` is no name for a profile"))
                .remedy("use letters, digits, `-`, `_` and `.`"));
        }
        let heading = match name {
            "default" => "[default]".to_owned(),
            name => format!("[profile {name}]"),
        };
        let Access { endpoint_url, region, access_key_id, secret_access_key } = self;
        Ok(format!(
            "{heading}\nendpoint_url = {endpoint_url}\nregion = {region}\n\
             aws_access_key_id = {access_key_id}\naws_secret_access_key = {secret_access_key}\n"
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    fn access() -> Access {
        Access {
            endpoint_url: "http://127.0.0.1:8773".into(),
            region: "us-east-1".into(),
            access_key_id: "AKIDEXAMPLE".into(),
            secret_access_key: "it's $ecret/+".into(),
        }
    }

    #[test]
    fn a_shell_that_evaluates_it_has_exactly_these_values() {
        let script = format!(
            "AWS_SESSION_TOKEN=old; {}\nprintf '%s|' \"$AWS_ENDPOINT_URL\" \"$AWS_ACCESS_KEY_ID\" \
             \"$AWS_SECRET_ACCESS_KEY\" \"$AWS_REGION\" \"$AWS_DEFAULT_REGION\" \"$EC2_URL\" \
             \"$EC2_SECRET_KEY\" \"$AWS_SESSION_TOKEN\"",
            access().shell()
        );
        let output = Command::new("sh").args(["-c", &script]).output().unwrap();
        assert_eq!(
            String::from_utf8(output.stdout).unwrap(),
            "http://127.0.0.1:8773|AKIDEXAMPLE|it's $ecret/+|us-east-1|us-east-1|\
             http://127.0.0.1:8773|it's $ecret/+||"
        );
    }

    #[test]
    fn a_profile_is_a_section_of_the_aws_configuration() {
        let text = access().profile("mallee").unwrap();
        assert!(text.starts_with("[profile mallee]\nendpoint_url = http://127.0.0.1:8773\n"));
        assert!(access().profile("default").unwrap().starts_with("[default]\n"));
        for name in ["", "a]b", "a b", "a\nb"] {
            access().profile(name).unwrap_err();
        }
    }
}
