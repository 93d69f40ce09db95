//! Serves the simulated providers: `serve [ADDRESS] [KEY]`, by default on 127.0.0.1:4010 for any key.

use std::{env, io};

use tokio::net::TcpListener;
use tollgate_sim::Sim;

#[tokio::main]
async fn main() -> io::Result<()> {
    let mut args = env::args().skip(1);
    let address = args.next().unwrap_or_else(|| "127.0.0.1:4010".to_owned());
    let sim = args.next().map_or_else(Sim::new, |key| Sim::new().with_key(key));
    let listener = TcpListener::bind(address).await?;
    println!("simulated providers on http://{}", listener.local_addr()?);
    sim.serve(listener, async { drop(tokio::signal::ctrl_c().await) }).await
}
