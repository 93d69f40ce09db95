use std::{future::Future, io};

use hyper::server::conn::http1;
use hyper_util::{rt::TokioIo, server::graceful::GracefulShutdown, service::TowerToHyperService};
use tokio::{
    net::{TcpListener, TcpStream},
    task::JoinSet,
};

use crate::Sim;

impl Sim {
    /// Serves HTTP/1.1 on `listener` until `shutdown` is ready, then waits for the requests that
    /// are running. Dropped, it closes every connection at once.
    ///
    /// Errors: those of accepting that are not one connection's own.
    pub async fn serve(
        self,
        listener: TcpListener,
        shutdown: impl Future<Output = ()>,
    ) -> io::Result<()> {
        let mut shutdown = std::pin::pin!(shutdown);
        let (graceful, mut connections) = (GracefulShutdown::new(), JoinSet::new());
        loop {
            let accepted = tokio::select! {
                () = &mut shutdown => break,
                accepted = listener.accept() => accepted,
            };
            match accepted {
                Ok((stream, _)) => drop(connections.spawn(self.connection(stream, &graceful))),
                Err(error) if passing(&error) => {}
                Err(error) => return Err(error),
            }
            while connections.try_join_next().is_some() {}
        }
        drop(listener);
        graceful.shutdown().await;
        Ok(())
    }

    fn connection(
        &self,
        stream: TcpStream,
        graceful: &GracefulShutdown,
    ) -> impl Future<Output = ()> + Send + 'static {
        // Without it the small writes of a stream wait for each other.
        let _ = stream.set_nodelay(true);
        let service = TowerToHyperService::new(self.clone());
        let connection = http1::Builder::new()
            .pipeline_flush(true)
            .serve_connection(TokioIo::new(stream), service);
        let connection = graceful.watch(connection);
        async move { drop(connection.await) }
    }
}

fn passing(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset)
}
