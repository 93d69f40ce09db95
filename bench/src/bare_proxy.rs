//! `bare-proxy LISTEN UPSTREAM`: the least a reverse proxy can do on hyper; the yardstick.
//!
//! Both are addresses (`127.0.0.1:4001`). Bodies stream both ways, connections to the upstream are
//! pooled, `TCP_NODELAY` is set on both sides, the runtime is the gateway's. Nothing is read,
//! checked, logged or limited.

use std::{env, error::Error, net::SocketAddr};

use http::{
    HeaderValue, Request, Response, StatusCode, Uri,
    header::HOST,
    uri::{Authority, Scheme},
};
use http_body_util::{Either, Empty};
use hyper::{
    body::{Bytes, Incoming},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::{TokioExecutor, TokioIo},
};
use tokio::net::{TcpListener, TcpStream};

type Answer = Response<Either<Incoming, Empty<Bytes>>>;

/// Where requests go, and the connections that take them there.
#[derive(Clone, Debug)]
struct Proxy {
    client: Client<HttpConnector, Incoming>,
    upstream: Authority,
    host: HeaderValue,
}

impl Proxy {
    fn to(upstream: SocketAddr) -> Result<Self, Box<dyn Error>> {
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        let client = Client::builder(TokioExecutor::new()).build(connector);
        let upstream = upstream.to_string();
        Ok(Self { client, host: upstream.parse()?, upstream: upstream.parse()? })
    }

    async fn forward(&self, mut request: Request<Incoming>) -> Answer {
        *request.uri_mut() = self.aimed(request.uri());
        request.headers_mut().insert(HOST, self.host.clone());
        match self.client.request(request).await {
            Ok(response) => response.map(Either::Left),
            Err(error) => {
                eprintln!("bare-proxy: {error}");
                let mut response = Response::new(Either::Right(Empty::new()));
                *response.status_mut() = StatusCode::BAD_GATEWAY;
                response
            }
        }
    }

    fn aimed(&self, uri: &Uri) -> Uri {
        let mut parts = uri.clone().into_parts();
        parts.scheme = Some(Scheme::HTTP);
        parts.authority = Some(self.upstream.clone());
        Uri::from_parts(parts).expect("a request's target has a path")
    }

    fn serve(&self, socket: TcpStream) {
        let _ = socket.set_nodelay(true);
        let proxy = self.clone();
        tokio::spawn(async move {
            let service = service_fn(|request| {
                let proxy = proxy.clone();
                async move { Ok::<_, std::convert::Infallible>(proxy.forward(request).await) }
            });
            let connection = http1::Builder::new()
                .pipeline_flush(true)
                .serve_connection(TokioIo::new(socket), service);
            drop(connection.await);
        });
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut args = env::args().skip(1);
    let (Some(listen), Some(upstream)) = (args.next(), args.next()) else {
        return Err("usage: bare-proxy LISTEN UPSTREAM".into());
    };
    let proxy = Proxy::to(upstream.parse()?)?;
    let listener = TcpListener::bind(listen).await?;
    loop {
        let (socket, _) = listener.accept().await?;
        proxy.serve(socket);
    }
}
