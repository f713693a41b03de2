//! By whom a server of `https://` is known to a command: authorities of a file, or those the system trusts.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::RootCertStore;
use rustls::crypto::ring;
use ureq::tls::{Certificate, PemItem, RootCerts, TlsConfig, parse_pem};

use crate::cli::exit::Failure;

/// Which authorities a command believes.
#[derive(Debug, Default, clap::Args)]
pub(crate) struct Trust {
    /// File with certificates in PEM by which a server of https:// is known, instead of those the system trusts
    #[arg(long = "ca", env = "MABEL_CA", value_name = "FILE", global = true)]
    authorities: Option<PathBuf>,
}

impl Trust {
    /// Settings for a server at this address.
    ///
    /// # Errors
    /// If no authority can be read, where one is needed.
    pub(crate) fn settings(&self, server: &str) -> Result<TlsConfig, Failure> {
        let authorities = match &self.authorities {
            _ if !server.starts_with("https://") => Vec::new(),
            Some(file) => of_file(file).map_err(|detail| {
                let allowed = "certificates in PEM";
                Failure::new(format_args!("ca = {:?}: {detail}; allowed: {allowed}", file.display().to_string()))
            })?,
            None => of_system()?,
        };
        let provider = Arc::new(ring::default_provider());
        let roots = RootCerts::from(authorities);
        Ok(TlsConfig::builder().unversioned_rustls_crypto_provider(provider).root_certs(roots).build())
    }
}

/// Whether it is the server's certificate that is not believed.
pub(crate) fn is_doubted(error: &ureq::Error) -> bool {
    let ureq::Error::Io(error) = error else { return false };
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref());
    matches!(inner, Some(rustls::Error::InvalidCertificate(_)))
}

fn of_file(file: &Path) -> Result<Vec<Certificate<'static>>, String> {
    let text = std::fs::read(file).map_err(|error| format!("could not read it: {error}"))?;
    let mut found = Vec::new();
    for item in parse_pem(&text) {
        // The error quotes what is no certificate, which may be a key.
        if let PemItem::Certificate(certificate) = item.map_err(|_| "it is not PEM".to_owned())? {
            let parsed = RootCertStore::empty().add(certificate.der().to_vec().into());
            parsed.map_err(|error| format!("certificate {}: {error}", found.len() + 1))?;
            found.push(certificate);
        }
    }
    if found.is_empty() { Err("there is no certificate in it".to_owned()) } else { Ok(found) }
}

fn of_system() -> Result<Vec<Certificate<'static>>, Failure> {
    let found = rustls_native_certs::load_native_certs();
    if found.certs.is_empty() {
        let details: Vec<String> = found.errors.iter().map(ToString::to_string).collect();
        let details = if details.is_empty() { "none was found".to_owned() } else { details.join("; ") };
        return Err(Failure::new(format_args!(
            "authorities that the system trusts cannot be read: {details}; name a file of certificates with --ca"
        )));
    }
    Ok(found.certs.iter().map(|certificate| Certificate::from_der(certificate).to_owned()).collect())
}
