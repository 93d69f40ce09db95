//! The gateway built from Tollgate's layers, as a library its binary and the whole tests share.
//!
//! The only place that knows all layers: [`stack`] is their order, [`State`] what they read while
//! serving, [`Server`] the listener.

mod abilities;
mod books;
mod config;
mod counts;
mod discovery;
mod logs;
mod measures;
mod reload;
mod serve;
mod signal;
mod stack;
mod state;
mod translation;
mod upstreams;

pub use self::{
    abilities::{Abilities, Said},
    books::{Books, Recording, Spent},
    config::{Config, ConfigError, Deadlines, ServerConfig, Source, StoreConfig, schema},
    counts::Counts,
    discovery::Discovery,
    logs::Logs,
    measures::Measures,
    reload::{Reload, StoredKeys, Watched},
    serve::{
        ClientBody, Limits, Network, Offer, Peer, Predecessor, Server, Tls, TlsError, TlsFiles,
        UnknownNetwork, bind,
    },
    signal::{Signal, Waiter},
    stack::{Options, Origins, Patience, Readiness, stack},
    state::{CredentialsByName, SharedState, State},
    translation::Translation,
    upstreams::{Leaf, Signing, Upstreams, Way, Ways},
};
