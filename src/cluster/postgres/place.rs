//! Where PostgreSQL is, by a URL as its own tools and Node's `pg` take it, and how the connection is secured. Certificates are always
//! verified, as with `verify-full`: modes that trust anybody are refused. Errors never show a URL, because it may hold a password.

use std::borrow::Cow;
use std::error::Error as _;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use percent_encoding::percent_decode_str;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_postgres::config::SslMode;
use tokio_postgres::{AsyncMessage, Client, Config, Connection, NoTls};
use tokio_postgres_rustls::MakeRustlsConnect;

use crate::cluster::options::Tls;
use crate::server::{Code, Error};

/// A server that does not answer for so long is lost.
pub const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);
/// A server that is gone without a word is noticed by the kernel, too: tried after so long, so often, and so many times.
const KEEPALIVE: Duration = Duration::from_secs(30);
const KEEPALIVE_EVERY: Duration = Duration::from_secs(5);
const KEEPALIVES_MAX: u32 = 3;
/// How the server's list of connections shows these, unless the URL says otherwise.
const APPLICATION_NAME: &str = "sockeye";

/// Drives a connection, and gives what the server says unasked; nothing more when it has ended.
pub type Drive = Box<dyn FnMut(&mut Context<'_>) -> Poll<Option<Result<AsyncMessage, tokio_postgres::Error>>> + Send>;

/// Where it is.
pub struct Place {
    config: Config,
    tls: Option<MakeRustlsConnect>,
}

impl Place {
    /// Reads the URL, and the files of certificates.
    pub fn new(url: &str, tls: &Tls) -> Result<Place, Error> {
        let (url, secured, tls) = take_tls(url, tls)?;
        let wrong = "adapter.url: not a URL of PostgreSQL, or one of its parameters is unknown or wrong";
        let mut config: Config = url.parse().map_err(|_| Error::new(Code::Invalid, wrong))?;
        if config.get_hosts().is_empty() && config.get_hostaddrs().is_empty() {
            return Err(Error::new(Code::Invalid, "adapter.url has no host"));
        }
        if config.get_application_name().is_none() {
            config.application_name(APPLICATION_NAME);
        }
        config.connect_timeout(ANSWER_TIMEOUT).ssl_mode(secured);
        config.keepalives_idle(KEEPALIVE).keepalives_interval(KEEPALIVE_EVERY).keepalives_retries(KEEPALIVES_MAX);
        let tls = if secured == SslMode::Disable { None } else { Some(connector(&tls)?) };
        Ok(Place { config, tls })
    }

    /// Connects. Nothing happens on the connection unless it is driven.
    pub async fn connect(&self) -> Result<(Client, Drive), String> {
        let connecting = async {
            match &self.tls {
                None => self.config.connect(NoTls).await.map(|(client, connection)| (client, drive(connection))),
                Some(tls) => {
                    self.config.connect(tls.clone()).await.map(|(client, connection)| (client, drive(connection)))
                }
            }
        };
        let connected = tokio::time::timeout(ANSWER_TIMEOUT, connecting).await;
        connected.map_err(|_| "the server does not answer".to_owned())?.map_err(|error| text_of(&error))
    }
}

fn drive<S, T>(mut connection: Connection<S, T>) -> Drive
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    Box::new(move |cx| connection.poll_message(cx))
}

/// What the host is told of an error. The server's own texts name users and databases, but no passwords.
pub fn text_of(error: &tokio_postgres::Error) -> String {
    match error.as_db_error() {
        Some(error) => error.to_string(),
        None => error.source().map_or_else(|| error.to_string(), |source| format!("{error}: {source}")),
    }
}

/// Takes what concerns TLS out of a URL; whether it is used, and with which files.
fn take_tls(url: &str, tls: &Tls) -> Result<(String, SslMode, Tls), Error> {
    let invalid = |text: &str| Error::new(Code::Invalid, format!("adapter.url: {text}"));
    if !url.starts_with("postgres://") && !url.starts_with("postgresql://") {
        return Err(invalid("not a URL of PostgreSQL"));
    }
    let (mut tls, mut mode) = (tls.clone(), None);
    // What stands before the host may be anything but an @.
    let host = url.find('@').unwrap_or(0);
    let start = url[host..].find('?').map_or(url.len(), |at| host + at);
    let mut rest = url[..start].to_owned();
    let mut separator = '?';
    for parameter in url.get(start + 1..).unwrap_or_default().split('&').filter(|parameter| !parameter.is_empty()) {
        let (key, value) = parameter.split_once('=').unwrap_or((parameter, ""));
        let value = || percent_decode_str(value).decode_utf8().map(Cow::into_owned).ok();
        match key {
            "sslmode" => mode = value(),
            "sslrootcert" => tls.ca_file = tls.ca_file.or(value()),
            "sslcert" => tls.cert_file = tls.cert_file.or(value()),
            "sslkey" => tls.key_file = tls.key_file.or(value()),
            _ => {
                rest.push(separator);
                rest.push_str(parameter);
                separator = '&';
            }
        }
    }
    let secured = match mode.as_deref() {
        None if tls == Tls::default() => SslMode::Disable,
        Some("disable") if tls == Tls::default() => SslMode::Disable,
        Some("disable") => return Err(invalid("certificates, but sslmode=disable")),
        Some("prefer") => SslMode::Prefer,
        None | Some("require" | "verify-full") => SslMode::Require,
        Some(_) => return Err(invalid("sslmode is not disable, prefer, require or verify-full")),
    };
    Ok((rest, secured, tls))
}

/// What secures connections: trusts these authorities, or those of the system, and shows this server's certificate if it has one.
fn connector(tls: &Tls) -> Result<MakeRustlsConnect, Error> {
    let wrong = |option: &str, why: String| Error::new(Code::Invalid, format!("adapter.tls.{option}: {why}"));
    let read = |option: &str, path: &str| -> Result<Vec<CertificateDer<'static>>, Error> {
        let found = CertificateDer::pem_file_iter(path).and_then(Iterator::collect);
        let found: Vec<CertificateDer<'static>> = found.map_err(|error| wrong(option, error.to_string()))?;
        if found.is_empty() { Err(wrong(option, "the file holds no certificate".to_owned())) } else { Ok(found) }
    };
    let mut roots = RootCertStore::empty();
    match &tls.ca_file {
        Some(path) => {
            for certificate in read("caFile", path)? {
                roots.add(certificate).map_err(|error| wrong("caFile", error.to_string()))?;
            }
        }
        None => {
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        }
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let builder = builder.map_err(|error| wrong("caFile", error.to_string()))?.with_root_certificates(roots);
    let config = match (&tls.cert_file, &tls.key_file) {
        (Some(cert), Some(key)) => {
            let key = PrivateKeyDer::from_pem_file(key).map_err(|error| wrong("keyFile", error.to_string()))?;
            let config = builder.with_client_auth_cert(read("certFile", cert)?, key);
            config.map_err(|error| wrong("certFile", error.to_string()))?
        }
        (None, None) => builder.with_no_client_auth(),
        _ => return Err(Error::new(Code::Invalid, "adapter.tls: certFile and keyFile belong together")),
    };
    Ok(MakeRustlsConnect::new(config))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(url: &str) -> String {
        let text = Place::new(url, &Tls::default()).err().unwrap().text.into_owned();
        assert!(!text.contains("secret"), "{text}");
        text
    }

    #[test]
    fn urls_are_taken_as_other_programs_take_them() {
        for (url, mode) in [
            ("postgres://localhost", SslMode::Disable),
            ("postgresql://u:p%40@[::1]:5433/db?application_name=x&sslmode=disable", SslMode::Disable),
            ("postgres://u@one:1,two:2/db?target_session_attrs=read-write", SslMode::Disable),
            ("postgres:///db?host=/run/postgresql&sslmode=prefer", SslMode::Prefer),
            ("postgres://u:p?w@h/db?sslmode=require", SslMode::Require),
            ("postgres://h/db?connect_timeout=3&sslmode=verify-full", SslMode::Require),
        ] {
            let place = Place::new(url, &Tls::default()).map_err(|error| error.text).unwrap();
            assert_eq!((place.config.get_ssl_mode(), place.tls.is_some()), (mode, mode != SslMode::Disable), "{url}");
        }
    }

    #[test]
    fn what_is_wrong_is_told_without_its_secrets() {
        for url in ["", "secret", "redis://u:secret@h", "postgres://u:secret@", "postgres://u:secret@h:secret/"] {
            refused(url);
        }
        refused("postgres://u:secret@h/db?pasword=secret");
        for mode in ["no-verify", "allow", "verify-ca", "secret"] {
            assert!(refused(&format!("postgres://h?sslmode={mode}")).contains("sslmode is not"));
        }
        assert!(refused("postgres://h?sslmode=disable&sslrootcert=/ca.pem").contains("disable"));
        assert!(refused("postgres://h?sslcert=/c.pem").contains("belong together"));
        assert!(refused("postgres://h?sslmode=require&sslrootcert=/nowhere/ca.pem").starts_with("adapter.tls.caFile"));
    }
}
