//! Where Redis is, as the options say: at an address, where sentinels say, or at the nodes of a Redis Cluster; and whether it is spoken to
//! over TLS. Errors name the option and never show a URL, because it may hold passwords.

use std::fs::File;
use std::io::Read;

use redis::sentinel::{SentinelClient, SentinelClientBuilder, SentinelServerType};
use redis::{
    Client, ClientTlsConfig, ConnectionAddr, ConnectionInfo, IntoConnectionInfo, ProtocolVersion, TlsCertificates,
    TlsMode,
};

use super::nodes::Seeds;
use super::options::Options;
use super::{ANSWER_TIMEOUT, text_of};
use crate::cluster::options::Tls;
use crate::server::{Code, Error};

/// How the URLs begin of what is spoken to over TLS.
const TLS_SCHEMES: [&str; 2] = ["rediss:", "valkeys:"];

/// A file of certificates that is larger is something else.
const PEM_BYTES_MAX: u64 = 4 << 20;

/// Where Redis is.
pub enum Place {
    Single(Single),
    /// At the masters of a cluster, which any of these nodes tells.
    Nodes(Seeds),
}

/// One place.
pub enum Single {
    /// At an address.
    Fixed(Box<ConnectionInfo>),
    /// Where sentinels say.
    Master(Box<SentinelClient>),
}

impl Single {
    /// A client of the broker where it is now.
    pub async fn client(&mut self) -> Result<Client, String> {
        match self {
            Single::Fixed(info) => Client::open((**info).clone()).map_err(text_of),
            // They are asked each time.
            Single::Master(sentinels) => {
                let asked = tokio::time::timeout(ANSWER_TIMEOUT, sentinels.async_get_client()).await;
                asked.map_err(|_| "the sentinels do not answer".to_owned())?.map_err(text_of)
            }
        }
    }
}

impl Place {
    /// Reads the URLs, and the files of certificates.
    pub fn new(options: &Options) -> Result<Place, Error> {
        let urls = || options.nodes.iter().chain(&options.sentinels).chain([&options.url]);
        if options.tls != Tls::default() && !urls().any(|url| TLS_SCHEMES.iter().any(|scheme| url.starts_with(scheme)))
        {
            return Err(Error::new(Code::Invalid, "adapter.tls is for URLs that begin with rediss://"));
        }
        let certificates = certificates(&options.tls)?;
        let read = |urls: &[String], option: &str| -> Result<Vec<ConnectionInfo>, Error> {
            urls.iter().map(|url| read_url(url, option, &certificates)).collect()
        };
        let nodes = read(&options.nodes, "nodes")?;
        if options.url.is_empty() {
            return of_nodes(nodes);
        }
        let info = read_url(&options.url, "url", &certificates)?;
        let sentinels = read(&options.sentinels, "sentinels")?;
        if sentinels.is_empty() {
            return Ok(Place::Single(Single::Fixed(Box::new(info))));
        }
        master(&info, &sentinels, certificates).map(|client| Place::Single(Single::Master(Box::new(client))))
    }
}

fn of_nodes(nodes: Vec<ConnectionInfo>) -> Result<Place, Error> {
    let first = nodes.first().ok_or_else(|| Error::new(Code::Invalid, "adapter.url is missing"))?;
    // What one node tells of the others says nothing of this, so that it is the same at all.
    let same = |node: &ConnectionInfo| {
        let (one, other) = (node.redis_settings(), first.redis_settings());
        is_secured(node) == is_secured(first)
            && (one.username(), one.password()) == (other.username(), other.password())
            && !matches!(node.addr(), ConnectionAddr::Unix(_))
            && one.db() == 0
    };
    if !nodes.iter().all(same) {
        let text = "adapter.nodes must be addresses with the same scheme, user and password, and no database";
        return Err(Error::new(Code::Invalid, text));
    }
    Ok(Place::Nodes(Seeds::new(nodes)))
}

/// Whether this address is spoken to over TLS.
fn is_secured(info: &ConnectionInfo) -> bool {
    matches!(info.addr(), ConnectionAddr::TcpTls { .. })
}

/// The same user at another address, spoken to in the same way.
pub fn at(info: &ConnectionInfo, host: &str, port: u16) -> ConnectionInfo {
    let addr = match info.addr() {
        ConnectionAddr::TcpTls { insecure, tls_params, .. } => {
            let (insecure, tls_params) = (*insecure, tls_params.clone());
            ConnectionAddr::TcpTls { host: host.to_owned(), port, insecure, tls_params }
        }
        _ => ConnectionAddr::Tcp(host.to_owned(), port),
    };
    info.clone().set_addr(addr)
}

fn read_url(url: &str, option: &str, certificates: &Option<TlsCertificates>) -> Result<ConnectionInfo, Error> {
    let invalid = |text: &str| Error::new(Code::Invalid, format!("adapter.{option}: {text}"));
    let info = url.into_connection_info().map_err(|_| invalid("not a URL of Redis"))?;
    let settings = info.redis_settings().clone().set_protocol(ProtocolVersion::RESP3);
    let info = info.set_redis_settings(settings);
    match info.addr() {
        ConnectionAddr::TcpTls { insecure: true, .. } => Err(invalid("certificates are always verified")),
        ConnectionAddr::TcpTls { .. } => {
            let Some(certificates) = certificates else { return Ok(info) };
            let client = Client::build_with_tls(info, certificates.clone());
            // The reason tells what is wrong with the certificates.
            let wrong = |error: redis::RedisError| Error::new(Code::Invalid, format!("adapter.tls: {error}"));
            client.map(|client| client.get_connection_info().clone()).map_err(wrong)
        }
        _ => Ok(info),
    }
}

/// A client of sentinels, which have one user and password of their own.
fn master(
    info: &ConnectionInfo,
    sentinels: &[ConnectionInfo],
    certificates: Option<TlsCertificates>,
) -> Result<SentinelClient, Error> {
    let (ConnectionAddr::Tcp(name, _) | ConnectionAddr::TcpTls { host: name, .. }) = info.addr() else {
        return Err(Error::new(Code::Invalid, "adapter.url must have the master's name as its host"));
    };
    let unusable = |_| Error::new(Code::Invalid, "adapter.url cannot be used with adapter.sentinels");
    let addresses = sentinels.iter().map(|sentinel| sentinel.addr().clone());
    let mut builder = SentinelClientBuilder::new(addresses, name, SentinelServerType::Master).map_err(unusable)?;
    let settings = info.redis_settings();
    builder = builder.set_client_to_redis_db(settings.db()).set_client_to_redis_protocol(ProtocolVersion::RESP3);
    if let Some(username) = settings.username() {
        builder = builder.set_client_to_redis_username(username);
    }
    if let Some(password) = settings.password() {
        builder = builder.set_client_to_redis_password(password);
    }
    if is_secured(info) {
        builder = builder.set_client_to_redis_tls_mode(TlsMode::Secure);
        if let Some(certificates) = certificates {
            builder = builder.set_client_to_redis_certificates(certificates);
        }
    }
    let users = sentinels.iter().map(|sentinel| sentinel.redis_settings());
    let mut users = users.map(|settings| (settings.username(), settings.password()));
    let user = users.next().unwrap_or_default();
    if users.any(|other| other != user) {
        return Err(Error::new(Code::Invalid, "adapter.sentinels must all have the same user and password"));
    }
    if let Some(username) = user.0 {
        builder = builder.set_client_to_sentinel_username(username);
    }
    if let Some(password) = user.1 {
        builder = builder.set_client_to_sentinel_password(password);
    }
    builder.build().map_err(unusable)
}

/// Whom to trust and what to show, if that is said.
fn certificates(tls: &Tls) -> Result<Option<TlsCertificates>, Error> {
    if *tls == Tls::default() {
        return Ok(None);
    }
    if tls.cert_file.is_some() != tls.key_file.is_some() {
        return Err(Error::new(Code::Invalid, "adapter.tls: certFile and keyFile belong together"));
    }
    let client_tls = match (&tls.cert_file, &tls.key_file) {
        (Some(cert), Some(key)) => {
            let (client_cert, client_key) = (pem(cert, "certFile", "CERTIFICATE")?, pem(key, "keyFile", "KEY")?);
            Some(ClientTlsConfig { client_cert, client_key })
        }
        _ => None,
    };
    let root_cert = tls.ca_file.as_ref().map(|path| pem(path, "caFile", "CERTIFICATE")).transpose()?;
    Ok(Some(TlsCertificates { client_tls, root_cert }))
}

/// Reads a file that has to hold an object of this kind.
fn pem(path: &str, option: &str, kind: &str) -> Result<Vec<u8>, Error> {
    let of = |why: String| Error::new(Code::Invalid, format!("adapter.tls.{option}: {why}"));
    let mut text = Vec::new();
    let read = File::open(path).and_then(|file| file.take(PEM_BYTES_MAX + 1).read_to_end(&mut text));
    let len = read.map_err(|error| of(error.to_string()))?;
    let end = format!("{kind}-----");
    if len as u64 > PEM_BYTES_MAX || !text.windows(end.len()).any(|window| window == end.as_bytes()) {
        return Err(of(format!("the file holds no {}", kind.to_lowercase())));
    }
    Ok(text)
}
