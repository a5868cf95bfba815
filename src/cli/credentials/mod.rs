//! `mallee credentials`: everything a user needs to reach the cloud, in one file to hand over.
//!
//! A zip archive as Eucalyptus' users downloaded it: a key and certificate to sign SOAP requests
//! with, made for this archive; the cloud's certificate; an access key, and the files that tell
//! tools of every age where the cloud is. For oneself the access key is the caller's own, for
//! somebody else a new one. What was made is taken back if the archive cannot be written.

mod archive;
mod files;

use super::{
    CallerArguments, Context,
    client::{CertificateAnswer, Client, ClientFault},
    fault::Fault,
    output, shell,
};
use archive::{Archive, Existing, place};
use clap::Args;
use files::Access;
use std::{
    path::{Path, PathBuf},
    process::ExitCode,
};

#[derive(Debug, Args)]
pub struct Credentials {
    /// Whose: an account's name [default: the administrator's own]
    #[arg(long, value_name = "NAME")]
    user: Option<String>,
    /// Where to write the archive
    #[arg(long, value_name = "FILE")]
    zip: PathBuf,
    /// Replace the file if it is there
    #[arg(long)]
    force: bool,
    #[command(flatten)]
    caller: CallerArguments,
}

/// What was made for an archive.
struct Made {
    user: String,
    access_key_id: Option<String>,
    certificate_id: Option<String>,
}

impl Credentials {
    pub fn perform(self, context: &Context<'_>) -> Result<ExitCode, Fault> {
        let client = context.client(&self.caller)?;
        let existing = if self.force { Existing::Replaced } else { Existing::Kept };
        // Before anything is made that would have to be taken back.
        existing.check(&self.zip)?;
        let own = client.user(None)?;
        let user = match self.user.as_deref().filter(|name| *name != own.user_name) {
            Some(name) => client.user(Some(name))?,
            None => own.clone(),
        };
        let mut made =
            Made { user: user.user_name.clone(), access_key_id: None, certificate_id: None };
        let access = Access {
            user: user.user_name.clone(),
            account: user.account().to_owned(),
            endpoint: client.endpoint().to_owned(),
            region: client.region().to_string(),
            access_key_id: client.credentials().access_key_id.clone(),
            secret_access_key: client.credentials().secret_access_key.clone(),
        };
        let written = made
            .for_archive(&client, access, user != own)
            .and_then(|archive| place(&archive.finish()?, &self.zip, existing));
        if let Err(fault) = written {
            made.take_back(&client);
            return Err(fault);
        }
        output::print(&told(&self.zip, &user.user_name))?;
        Ok(ExitCode::SUCCESS)
    }
}

impl Made {
    /// Makes what belongs into the archive, and notes it.
    fn for_archive(
        &mut self,
        client: &Client,
        access: Access,
        another: bool,
    ) -> Result<Archive, Fault> {
        let access = if another {
            let key = client.create_access_key(&self.user).map_err(full("ListAccessKeys"))?;
            self.access_key_id = Some(key.access_key_id.clone());
            access.with_key(key.access_key_id, key.secret_access_key)
        } else {
            access
        };
        let certificate =
            client.create_certificate(&self.user).map_err(full("ListSigningCertificates"))?;
        self.certificate_id = Some(certificate.certificate_id.clone());
        archive_of(&access, &certificate)
    }

    fn take_back(&self, client: &Client) {
        let key = self.access_key_id.as_ref().map(|id| client.delete_access_key(&self.user, id));
        let certificate = self.certificate_id.as_ref();
        let certificate = certificate.map(|id| client.delete_certificate(&self.user, id));
        for outcome in [key, certificate].into_iter().flatten() {
            if let Err(fault) = outcome {
                eprintln!("mallee: what was made for the archive is still there: {fault}");
            }
        }
    }
}

/// A user has two of each at most.
fn full(list: &'static str) -> impl FnOnce(ClientFault) -> Fault {
    move |fault| {
        let is_full = fault.is("LimitExceeded");
        let fault = Fault::from(fault);
        match is_full {
            true => fault.remedy(format!(
                "delete one that is no longer used: IAM's `{list}` shows them to any IAM client"
            )),
            false => fault,
        }
    }
}

fn archive_of(access: &Access, certificate: &CertificateAnswer) -> Result<Archive, Fault> {
    let mut archive = Archive::of(&format!("mallee-{}", access.user))?;
    for (name, text) in access.files() {
        archive.add(&name, &text)?;
    }
    archive.add(&access.key_file(), &ended(&certificate.private_key))?;
    archive.add(&access.certificate_file(), &ended(&certificate.certificate_body))?;
    archive.add(files::CLOUD_CERTIFICATE, &ended(&certificate.certificate_chain))?;
    Ok(archive)
}

/// A text's last line is ended, whatever became of that in XML.
fn ended(text: &str) -> String {
    format!("{}\n", text.trim())
}

fn told(zip: &Path, user: &str) -> String {
    let file = shell::quote(&zip.display().to_string());
    format!("unzip {file} && cd {} && . ./eucarc\n", shell::quote(&format!("mallee-{user}")))
}
