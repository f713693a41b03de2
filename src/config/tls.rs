//! Fields of the configuration that say with which certificate the server speaks TLS.

use std::sync::Arc;

use mabel::http::tls::{Certificate, CertificateError, Files};

use crate::config::{ConfigError, Field, Layer, given};

const TLS_CERT: Field = Field {
    name: "tls_cert",
    default: "",
    allowed: "the path of a file with certificates in PEM, together with tls_key; neither given: HTTP without TLS",
};
const TLS_KEY: Field = Field {
    name: "tls_key",
    default: "",
    allowed: "the path of a file with the certificate's private key in PEM, together with tls_cert; neither given: HTTP without TLS",
};

pub(super) const FIELDS: [&Field; 2] = [&TLS_CERT, &TLS_KEY];

/// Flags of `mabel serve` about TLS.
#[derive(Debug, Default, clap::Args)]
pub(crate) struct TlsFlags {
    /// Serve https:// with the certificates of this file, in PEM, the server's own first; read anew when it changes
    /// [env: MABEL_TLS_CERT]
    #[arg(long, value_name = "FILE")]
    tls_cert: Option<String>,
    /// File with the certificate's private key, in PEM [env: MABEL_TLS_KEY]
    #[arg(long, value_name = "FILE")]
    tls_key: Option<String>,
}

/// Where certificate and key are, if there is TLS.
#[derive(Debug)]
pub(crate) struct Settings(Option<Files>);

impl TlsFlags {
    /// What was given, as text.
    pub(super) fn given(&self) -> impl Iterator<Item = (&'static Field, String)> {
        let texts = [(&TLS_CERT, &self.tls_cert), (&TLS_KEY, &self.tls_key)];
        texts.into_iter().filter_map(|(field, text)| Some((field, text.clone()?)))
    }
}

impl Settings {
    pub(super) fn read(values: &Layer) -> Result<Self, ConfigError> {
        let [certificate, key] = FIELDS.map(|field| (field, given(values, field)));
        let missing = match (certificate.1.text.is_empty(), key.1.text.is_empty()) {
            (true, true) => return Ok(Self(None)),
            (false, false) => {
                return Ok(Self(Some(Files { certificate: certificate.1.text.into(), key: key.1.text.into() })));
            }
            (true, false) => certificate,
            (false, true) => key,
        };
        let (field, given) = missing;
        let allowed = field.allowed.to_owned();
        Err(ConfigError::Value { field: field.name, given: given.text, origin: given.origin, allowed })
    }

    /// Reads both files, if they are named.
    ///
    /// # Errors
    /// [`CertificateError`].
    pub(crate) fn open(self) -> Result<Option<Arc<Certificate>>, CertificateError> {
        self.0.map(|files| Certificate::open(files).map(Arc::new)).transpose()
    }
}
