//! The command line.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

/// One key, one API, one bill for OpenAI, Anthropic and Gemini.
#[derive(Debug, Parser)]
#[command(name = "tollgate", version, about)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Option<Command>,
    #[command(flatten)]
    pub(crate) options: Options,
}

/// What to do. Default: serve.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Serve (the default).
    Serve,
    /// Say whether the configuration is valid, and what it means.
    Check,
    /// Print the JSON Schema of the configuration file.
    Schema,
    /// Create, list and revoke client keys.
    #[command(subcommand)]
    Keys(Keys),
    /// Show what was spent.
    Spend(Spend),
    /// Bring the store up to date, as `serve` does when it starts.
    Migrate {
        /// Only say what is missing; fail where something is.
        #[arg(long)]
        check: bool,
    },
    /// Price an answer, or one case a line, from standard input.
    Price(Price),
    /// Say who would answer the request on standard input, and why. Nobody is asked.
    Explain(Explain),
    /// Translate a body from one protocol to another, or one case a line, from standard input.
    Translate(Translate),
}

/// Whose request, and of which kind.
#[derive(Debug, Args)]
pub(crate) struct Explain {
    /// The client's protocol: `openai-chat`, `openai-responses`, `anthropic-messages` or `gemini`.
    #[arg(long, default_value = "openai-chat")]
    pub(crate) protocol: tollgate_core::Protocol,
    /// The name or id of the client key. Default: one that may ask for everything.
    #[arg(long)]
    pub(crate) key: Option<String>,
    /// The model that Gemini's path names.
    #[arg(long)]
    pub(crate) model: Option<String>,
    /// What the header `x-tollgate-route` says.
    #[arg(long)]
    pub(crate) route: Option<String>,
}

/// What is translated, between whom.
#[derive(Debug, Args)]
pub(crate) struct Translate {
    /// One case a line: `id`, `kind`, `from`, `to`, `caps`, `ctx` and `input`; a line of outcome for
    /// each, with `error` where it is no case.
    #[arg(long, conflicts_with_all = ["from", "to", "caps", "request"])]
    pub(crate) case: bool,
    /// The protocol of what is read: `openai-chat`, `openai-responses`, `anthropic-messages` or
    /// `gemini`.
    #[arg(long, required_unless_present = "case")]
    pub(crate) from: Option<tollgate_core::Protocol>,
    /// The protocol of what is written.
    #[arg(long, required_unless_present = "case")]
    pub(crate) to: Option<tollgate_core::Protocol>,
    /// What is read: a client's request, or an upstream's answer, stream or error.
    #[arg(long, default_value = "request")]
    pub(crate) kind: Kind,
    /// What the upstream's model takes, as JSON. Default: what is assumed of an unknown one.
    #[arg(long)]
    pub(crate) caps: Option<PathBuf>,
    /// The client's request that an answer or a stream is for.
    #[arg(long)]
    pub(crate) request: Option<PathBuf>,
    /// The HTTP status of an error.
    #[arg(long, default_value_t = 500)]
    pub(crate) status: u16,
    /// The upstream's name of the model. Default: the request's own.
    #[arg(long)]
    pub(crate) model: Option<String>,
}

/// A kind of body.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Kind {
    Request,
    Response,
    Stream,
    Error,
}

/// What was spent, by whom or what.
#[derive(Debug, Args)]
pub(crate) struct Spend {
    /// `key`, `team`, `model`, `provider`, `tag` or `day`.
    #[arg(long, default_value = "key")]
    pub(crate) by: tollgate_store::SpendBy,
    /// `table`, `csv` or `json`.
    #[arg(long, default_value = "table")]
    pub(crate) format: Format,
    /// From this day on (UTC), like `2026-11-01`.
    #[arg(long)]
    pub(crate) since: Option<String>,
    /// Before this day (UTC).
    #[arg(long)]
    pub(crate) until: Option<String>,
}

/// How rows are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Format {
    Table,
    Csv,
    Json,
}

/// Whose answer it is.
#[derive(Debug, Args)]
pub(crate) struct Price {
    /// One case a line: `id`, `provider`, `model`, `protocol`, `at`, `context`, and `usage`,
    /// `usageMetadata`, `response`, `events`, `meta` or `usage_info`.
    #[arg(long, conflicts_with_all = ["provider", "model", "stream", "request"])]
    pub(crate) jsonl: bool,
    /// The provider, as a preset or the catalogue names it.
    #[arg(long)]
    pub(crate) provider: Option<String>,
    /// The model, in any spelling the catalogue knows.
    #[arg(long)]
    pub(crate) model: Option<String>,
    /// The protocol of the answer: as for `translate`, or what the catalogue prices beside them
    /// (`bedrock-converse`, `cohere-v2`, `openai-images`, `openai-realtime`, …).
    #[arg(long, default_value = "openai-chat")]
    pub(crate) protocol: String,
    /// The answer is a stream.
    #[arg(long)]
    pub(crate) stream: bool,
    /// The request, for what it asked of the price.
    #[arg(long)]
    pub(crate) request: Option<PathBuf>,
}

/// What to do with client keys.
#[derive(Debug, Subcommand)]
pub(crate) enum Keys {
    /// Create a key and print it: once, it is stored hashed.
    Create {
        /// A name for people.
        name: String,
        /// A model or pattern the key may use; repeat for more. Default: all.
        #[arg(long = "model")]
        models: Vec<String>,
    },
    /// List the stored keys.
    List,
    /// Switch a key off without forgetting it.
    Disable {
        /// The key's id.
        id: String,
    },
    /// Forget a key for good.
    Revoke {
        /// The key's id.
        id: String,
    },
}

/// Options of every command.
#[derive(Clone, Debug, Args)]
pub(crate) struct Options {
    /// The configuration file. Default: `tollgate.toml` in the working directory, if there is one.
    #[arg(long, env = "TOLLGATE_CONFIG", global = true)]
    pub(crate) config: Option<PathBuf>,
    /// The address to listen on. Default: the file's, else 127.0.0.1:4000.
    #[arg(long, global = true)]
    pub(crate) listen: Option<String>,
    /// Where the gateway keeps its data.
    #[arg(long, env = "TOLLGATE_DATA_DIR", default_value = "tollgate-data", global = true)]
    pub(crate) data_dir: PathBuf,
    /// Take the listener of the gateway that runs on the same data directory, then let it end: no
    /// connection is refused or reset.
    #[arg(long, global = true)]
    pub(crate) take_over: bool,
    /// Serve simulated providers, whatever keys the environment has.
    #[arg(long, global = true)]
    pub(crate) demo: bool,
}
