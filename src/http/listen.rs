//! Taking connections: TCP, or TLS over it.

use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;

use actix_http::Request;
use actix_server::Server;
use actix_service::{ServiceFactory, ServiceFactoryExt as _, fn_service};
use actix_tls::accept::max_concurrent_tls_connect;
use actix_tls::accept::rustls_0_23::{Acceptor, TlsStream};
use actix_web::Error;
use actix_web::dev::{AppConfig, ServiceResponse};
use actix_web::rt::net::TcpStream;

use crate::http::Options;
use crate::http::direct::{self, Stop};
use crate::http::front::Front;

/// A server that is to be awaited. Each of its threads makes a front of its own.
///
/// # Errors
/// If the listener cannot be served.
pub(crate) fn server<A>(
    front: impl Fn() -> Front<A> + Clone + Send + 'static,
    listener: TcpListener,
    options: &Options,
    stop: &Arc<Stop>,
) -> std::io::Result<Server>
where
    A: ServiceFactory<Request, Config = AppConfig, Response = ServiceResponse, Error = Error, InitError = ()> + 'static,
    A::Future: 'static,
{
    let limits = options.limits;
    let server = options.workers.map_or_else(Server::build, |workers| Server::build().workers(workers));
    let server =
        server.disable_signals().shutdown_timeout(options.stop_seconds).max_concurrent_connections(limits.connections);
    let stop = Arc::clone(stop);
    let server = match &options.certificate {
        None => server.listen("http", listener, move || {
            fn_service(async |stream: TcpStream| {
                let peer = begin(&stream);
                Ok((stream, peer))
            })
            .and_then(direct::connections(front(), Arc::clone(&stop)))
        }),
        Some(certificate) => {
            // Handshakes that go on do not keep others from beginning: the connections are bounded, and so is the time.
            max_concurrent_tls_connect(limits.connections);
            let mut settings = Arc::clone(certificate).settings();
            settings.alpn_protocols = vec![b"http/1.1".to_vec()];
            let mut acceptor = Acceptor::new(settings);
            acceptor.set_handshake_timeout(limits.handshake);
            server.listen("https", listener, move || {
                acceptor
                    .clone()
                    .map_err(drop)
                    .and_then(async |stream: TlsStream<TcpStream>| {
                        let peer = begin(stream.get_ref().0);
                        Ok((stream, peer))
                    })
                    .and_then(direct::connections(front(), Arc::clone(&stop)))
            })
        }
    };
    Ok(server?.run())
}

/// Answers are written whole, and must not wait for more to come.
fn begin(stream: &TcpStream) -> Option<SocketAddr> {
    // It works without.
    let _ = stream.set_nodelay(true);
    stream.peer_addr().ok()
}
