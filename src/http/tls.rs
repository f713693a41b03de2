//! TLS: the server's certificate and its key, from files that may be replaced while it runs. Connections that are open go on
//! with what they began with.

use std::fs::File;
use std::io::Read as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;
use rustls::crypto::ring;
use rustls::pki_types::pem::{Error as PemError, PemObject as _};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ParsedCertificate, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::version::{TLS12, TLS13};
use rustls::{InconsistentKeys, ServerConfig};

/// Longest file that is read.
const MAX_BYTES: u64 = 1 << 20;

/// Why there is no certificate.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CertificateError {
    /// What holds the certificate.
    #[error(
        "the TLS certificate file {file}: {detail}; allowed: certificates in PEM, the server's own first, then those between it \
         and the authority's"
    )]
    Certificate {
        /// Which.
        file: PathBuf,
        /// What is wrong.
        detail: String,
    },
    /// What holds the key.
    #[error(
        "the TLS key file {file}: {detail}; allowed: one private key in PEM (PKCS #8, PKCS #1 or SEC 1; RSA, ECDSA or Ed25519), \
         not encrypted"
    )]
    Key {
        /// Which.
        file: PathBuf,
        /// What is wrong, without what the file holds.
        detail: String,
    },
    /// Each is sound, and they do not belong together.
    #[error(
        "the TLS key file {key} does not belong to the first certificate in {certificate}; allowed: the key of the server's own \
         certificate, which comes first"
    )]
    Mismatch {
        /// The file of the certificate.
        certificate: PathBuf,
        /// The file of the key.
        key: PathBuf,
    },
}

/// Where certificate and key are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Files {
    /// The chain, in PEM.
    pub certificate: PathBuf,
    /// The private key, in PEM.
    pub key: PathBuf,
}

/// The certificate in force.
#[derive(Debug)]
pub struct Certificate {
    files: Files,
    current: ArcSwap<CertifiedKey>,
    /// Which state of the files was looked at last.
    looked: Mutex<Stamps>,
}

/// States of both files: other ones have other stamps. The time is that of any change, of permissions as well.
type Stamps = [Option<(u64, u64, i64, i64)>; 2];

impl Certificate {
    /// Reads both files.
    ///
    /// # Errors
    /// [`CertificateError`].
    pub fn open(files: Files) -> Result<Self, CertificateError> {
        // Before they are read: what is changed in between is seen at the next look.
        let looked = Mutex::new(files.stamps());
        let current = ArcSwap::from_pointee(files.read()?);
        Ok(Self { files, current, looked })
    }

    /// Looks whether the files were changed, and takes what they hold now; says whether it did. A pair that is of no use
    /// changes nothing: that is told once.
    ///
    /// # Errors
    /// [`CertificateError`]; the certificate stays as it was.
    pub fn refresh(&self) -> Result<bool, CertificateError> {
        let mut looked = self.looked.lock().unwrap_or_else(PoisonError::into_inner);
        let stamps = self.files.stamps();
        if stamps == *looked {
            return Ok(false);
        }
        *looked = stamps;
        self.current.store(Arc::new(self.files.read()?));
        Ok(true)
    }

    /// TLS 1.2 and 1.3 with the certificate that is in force when a connection begins.
    pub(crate) fn settings(self: Arc<Self>) -> ServerConfig {
        ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_protocol_versions(&[&TLS13, &TLS12])
            .expect("ring has ciphers of both versions")
            .with_no_client_auth()
            .with_cert_resolver(self)
    }
}

impl ResolvesServerCert for Certificate {
    /// Whatever name was asked for: whether it is among the certificate's, the client judges.
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.current.load_full())
    }
}

impl Files {
    fn stamps(&self) -> Stamps {
        [&self.certificate, &self.key].map(|file| {
            let metadata = std::fs::metadata(file).ok()?;
            Some((metadata.ino(), metadata.len(), metadata.ctime(), metadata.ctime_nsec()))
        })
    }

    fn read(&self) -> Result<CertifiedKey, CertificateError> {
        let chain = chain(&self.certificate)
            .map_err(|detail| CertificateError::Certificate { file: self.certificate.clone(), detail })?;
        let broken = |detail| CertificateError::Key { file: self.key.clone(), detail };
        let key = bytes(&self.key).map_err(broken)?;
        let key = PrivateKeyDer::from_pem_slice(&key).map_err(|error| broken(in_words(&error, "private key")))?;
        CertifiedKey::from_der(chain, key, &ring::default_provider()).map_err(|error| {
            if error == InconsistentKeys::KeyMismatch.into() {
                CertificateError::Mismatch { certificate: self.certificate.clone(), key: self.key.clone() }
            } else {
                broken(error.to_string())
            }
        })
    }
}

fn chain(file: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let bytes = bytes(file)?;
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&bytes).collect();
    let chain = chain.map_err(|error| in_words(&error, "certificate"))?;
    if chain.is_empty() {
        return Err(in_words(&PemError::NoItemsFound, "certificate"));
    }
    for (index, certificate) in chain.iter().enumerate() {
        ParsedCertificate::try_from(certificate)
            .map_err(|error| format!("certificate {} of {}: {error}", index + 1, chain.len()))?;
    }
    Ok(chain)
}

/// A pipe would be waited for, so it has to be a file.
fn bytes(file: &Path) -> Result<Vec<u8>, String> {
    let metadata = std::fs::metadata(file).map_err(|error| format!("could not look at it: {error}"))?;
    if !metadata.is_file() || metadata.len() > MAX_BYTES {
        return Err(format!("it is not a file of at most {MAX_BYTES} bytes"));
    }
    let mut bytes = Vec::new();
    let opened = File::open(file).map_err(|error| format!("could not open it: {error}"))?;
    opened.take(MAX_BYTES).read_to_end(&mut bytes).map_err(|error| format!("could not read it: {error}"))?;
    Ok(bytes)
}

/// The library's own words quote lines, which may be of a key.
fn in_words(error: &PemError, wanted: &str) -> String {
    match error {
        PemError::NoItemsFound => format!("there is no {wanted} in it"),
        PemError::MissingSectionEnd { .. } => "a section has no END line".to_owned(),
        PemError::IllegalSectionStart { .. } => "a BEGIN line is broken".to_owned(),
        PemError::Base64Decode(_) => "a section is not base64".to_owned(),
        PemError::Io(_) | PemError::SectionTooLarge | _ => "it is not PEM".to_owned(),
    }
}
