use std::{
    fmt,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use bytes::Bytes;
use http::{HeaderValue, Request, Uri, header};
use http_body_util::{BodyExt, Limited};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use ring::{
    digest::{SHA256, digest},
    rand::SystemRandom,
    signature::{RSA_PKCS1_SHA256, RsaKeyPair},
};
use rustls::pki_types::{PrivatePkcs8KeyDer, pem::PemObject};
use serde_json::Value;
use tollgate_core::{Body, Cause, Class, Failure, Frames, Protocol, Secret, Sent, Shown, Target};
use tower_service::Service;

use super::{Signer, Signing};
use crate::Upstream;

const SCOPE: &str = "https://www.googleapis.com/auth/cloud-platform";
const TOKEN_URI: &str = "https://oauth2.googleapis.com/token";
const METADATA: &str = "http://metadata.google.internal/computeMetadata/v1/instance/\
                        service-accounts/default/token";

/// A token is renewed this long before it ends; until then others go on with it.
const EARLY: Duration = Duration::from_secs(300);
/// One that ends sooner than this is not used any more.
const LAST: Duration = Duration::from_secs(15);
/// No answer of a token service is longer.
const LONGEST: usize = 64 << 10;

/// Who asks for access tokens. Two that were read from the same text are equal.
#[derive(Clone)]
pub struct GoogleAccount {
    source: Source,
    /// What it was read from, as a digest.
    read: Option<Box<[u8]>>,
}

#[derive(Clone)]
enum Source {
    Service { email: Box<str>, key: Arc<RsaKeyPair>, token_uri: Uri },
    User { id: Box<str>, secret: Secret, refresh: Secret, token_uri: Uri },
    Metadata { uri: Uri },
}

impl GoogleAccount {
    /// Reads a file of application default credentials: a service account's key, or what `gcloud
    /// auth application-default login` leaves.
    ///
    /// Errors: see [`InvalidAccount`].
    pub fn from_json(text: &str) -> Result<Self, InvalidAccount> {
        let file: Value = serde_json::from_str(text).map_err(|_| InvalidAccount::Malformed)?;
        let member = |name: &'static str| {
            file[name].as_str().filter(|text| !text.is_empty()).ok_or(InvalidAccount::Missing(name))
        };
        let token_uri = file["token_uri"].as_str().unwrap_or(TOKEN_URI).parse();
        let token_uri = token_uri.map_err(|_| InvalidAccount::Missing("token_uri"))?;
        let source = match member("type")? {
            "service_account" => Source::Service {
                email: member("client_email")?.into(),
                key: Arc::new(rsa(member("private_key")?)?),
                token_uri,
            },
            "authorized_user" => Source::User {
                id: member("client_id")?.into(),
                secret: Secret::new(member("client_secret")?),
                refresh: Secret::new(member("refresh_token")?),
                token_uri,
            },
            _ => return Err(InvalidAccount::Kind),
        };
        Ok(Self { source, read: Some(digest(&SHA256, text.as_bytes()).as_ref().into()) })
    }

    /// Returns the account of the machine this runs on, which Google Cloud's metadata server knows:
    /// at the host `GCE_METADATA_HOST` names, else at its usual one.
    pub fn metadata() -> Self {
        let usual = || Uri::from_static(METADATA);
        let named = std::env::var("GCE_METADATA_HOST").ok().filter(|host| !host.is_empty());
        let named = named.map(|host| METADATA.replacen("metadata.google.internal", &host, 1));
        let uri = named.and_then(|url| url.parse().ok()).unwrap_or_else(usual);
        Self { source: Source::Metadata { uri }, read: None }
    }

    /// Whether it is the machine's, whose metadata server no proxy reaches.
    pub fn is_metadata(&self) -> bool {
        matches!(self.source, Source::Metadata { .. })
    }

    /// Finds the account as Google's own libraries do: the file `GOOGLE_APPLICATION_CREDENTIALS`
    /// names, else the one `gcloud` keeps, else [`GoogleAccount::metadata`].
    ///
    /// Errors: see [`InvalidAccount`]; a named file that cannot be read is one.
    pub fn from_env() -> Result<Self, InvalidAccount> {
        if let Some(path) = std::env::var_os("GOOGLE_APPLICATION_CREDENTIALS") {
            return Self::from_file(Path::new(&path));
        }
        match gcloud_file().filter(|path| path.exists()) {
            Some(path) => Self::from_file(&path),
            None => Ok(Self::metadata()),
        }
    }

    /// Reads the file at `path` as [`GoogleAccount::from_json`] does.
    ///
    /// Errors: see [`InvalidAccount`]; a file that cannot be read is one.
    pub fn from_file(path: &Path) -> Result<Self, InvalidAccount> {
        Self::from_json(&std::fs::read_to_string(path).map_err(|_| InvalidAccount::Unreadable)?)
    }

    /// The request for a token.
    fn request(&self, now: SystemTime) -> Option<Request<Body>> {
        let (token_uri, form) = match &self.source {
            Source::Service { email, key, token_uri } => {
                let assertion = assertion(email, key, token_uri, now)?;
                let kind = "urn:ietf:params:oauth:grant-type:jwt-bearer";
                (token_uri, form(&[("grant_type", kind), ("assertion", &assertion)]))
            }
            Source::User { id, secret, refresh, token_uri } => {
                let pairs = [
                    ("grant_type", "refresh_token"),
                    ("client_id", id),
                    ("client_secret", secret.expose()),
                    ("refresh_token", refresh.expose()),
                ];
                (token_uri, form(&pairs))
            }
            Source::Metadata { uri } => {
                let request = Request::get(uri.path()).header("metadata-flavor", "Google");
                return request.extension(host(uri)).body(Body::empty()).ok();
            }
        };
        Request::post(token_uri.path())
            .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
            .extension(host(token_uri))
            .body(form.into())
            .ok()
    }
}

impl PartialEq for GoogleAccount {
    fn eq(&self, other: &Self) -> bool {
        self.read == other.read && self.is_metadata() == other.is_metadata()
    }
}

impl Eq for GoogleAccount {}

impl fmt::Debug for GoogleAccount {
    /// Shows who it is, never with what it proves it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("GoogleAccount")
            .field(match &self.source {
                Source::Service { email, .. } => email,
                Source::User { id, .. } => id,
                Source::Metadata { .. } => &"metadata",
            })
            .finish()
    }
}

/// Why a file of credentials cannot be used. Never holds anything of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum InvalidAccount {
    /// The file cannot be read.
    Unreadable,
    /// No JSON.
    Malformed,
    /// Neither a service account nor an authorised user.
    Kind,
    /// This member is missing or empty.
    Missing(&'static str),
    /// The private key is no RSA key in PKCS #8.
    Key,
}

impl fmt::Display for InvalidAccount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreadable => f.write_str("the file of Google credentials cannot be read"),
            Self::Malformed => f.write_str("the Google credentials are no JSON"),
            Self::Kind => f.write_str("the Google credentials are of a kind that is not known"),
            Self::Missing(name) => write!(f, "the Google credentials have no usable `{name}`"),
            Self::Key => f.write_str("the Google credentials' key is no RSA key in PKCS #8"),
        }
    }
}

impl std::error::Error for InvalidAccount {}

/// Shows Vertex AI an access token of a Google account.
///
/// A token is fetched by the first request that needs one, while the others wait for it, and
/// renewed five minutes before it ends by one request, while the others go on with the old one.
/// Nothing is spawned. Clones share the token.
///
/// Errors: a failure with code `upstream_token` where no token can be had.
#[derive(Clone)]
pub struct GoogleToken(Arc<Shared>);

struct Shared {
    account: GoogleAccount,
    through: Upstream,
    token: Mutex<Option<Token>>,
    renewing: tokio::sync::Mutex<()>,
}

#[derive(Clone)]
struct Token {
    header: HeaderValue,
    secret: Secret,
    ends: Instant,
}

impl GoogleToken {
    /// Returns a signer that fetches its tokens through `through`.
    pub fn new(account: GoogleAccount, through: Upstream) -> Self {
        let (token, renewing) = (Mutex::default(), tokio::sync::Mutex::default());
        Self(Arc::new(Shared { account, through, token, renewing }))
    }
}

impl fmt::Debug for GoogleToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("GoogleToken").field(&self.0.account).finish()
    }
}

impl Signer for GoogleToken {
    fn sign(&self, mut request: Request<Frames>) -> Signing {
        let shared = self.0.clone();
        Box::pin(async move {
            let token = shared.token().await?;
            request.headers_mut().insert(header::AUTHORIZATION, token.header);
            request.extensions_mut().insert(Shown(token.secret));
            Ok(request)
        })
    }
}

impl Shared {
    async fn token(&self) -> Result<Token, Failure> {
        if let Some(token) = self.lasting(EARLY) {
            return Ok(token);
        }
        let renewing = match (self.lasting(LAST), self.renewing.try_lock()) {
            (_, Ok(renewing)) => renewing,
            (Some(token), Err(_)) => return Ok(token),
            (None, Err(_)) => self.renewing.lock().await,
        };
        // Whoever held the lock may have brought one.
        if let Some(token) = self.lasting(EARLY) {
            return Ok(token);
        }
        let fetched = self.fetch().await;
        let kept = fetched.inspect(|token| {
            *self.token.lock().unwrap_or_else(PoisonError::into_inner) = Some(token.clone());
        });
        drop(renewing);
        kept.or_else(|| self.lasting(LAST)).ok_or_else(no_token)
    }

    /// The token, if it is good for so long.
    fn lasting(&self, least: Duration) -> Option<Token> {
        let token = self.token.lock().unwrap_or_else(PoisonError::into_inner);
        let token = token.as_ref()?;
        let left = token.ends.saturating_duration_since(Instant::now());
        (left > least).then(|| token.clone())
    }

    async fn fetch(&self) -> Option<Token> {
        let request = self.account.request(SystemTime::now())?;
        let Ok(response) = self.through.clone().call(request).await;
        let status = response.status();
        if !status.is_success() {
            tracing::warn!(%status, account = ?self.account, "no access token");
            return None;
        }
        let body = Limited::new(response.into_body(), LONGEST).collect().await.ok()?.to_bytes();
        token(&body)
    }
}

fn no_token() -> Failure {
    Failure::new(Class::Auth, "the gateway could not get an access token for the upstream")
        .cause(Cause::Credential)
        .sent(Sent::No)
        .code("upstream_token")
}

fn token(body: &Bytes) -> Option<Token> {
    let answer: Value = serde_json::from_slice(body).ok()?;
    let secret = Secret::new(answer["access_token"].as_str()?);
    let header = secret.header("Bearer ")?;
    let lasts = answer["expires_in"].as_u64().unwrap_or(3600).min(86_400);
    Some(Token { header, secret, ends: Instant::now() + Duration::from_secs(lasts) })
}

/// What a service account signs to get a token (RFC 7523).
fn assertion(email: &str, key: &RsaKeyPair, audience: &Uri, now: SystemTime) -> Option<String> {
    let now = now.duration_since(UNIX_EPOCH).ok()?.as_secs();
    let claims = serde_json::json!({
        "iss": email,
        "scope": SCOPE,
        "aud": audience.to_string(),
        "iat": now,
        "exp": now + 3600,
    });
    let head = URL_SAFE_NO_PAD.encode(r#"{"alg":"RS256","typ":"JWT"}"#);
    let text = format!("{head}.{}", URL_SAFE_NO_PAD.encode(claims.to_string()));
    let mut signature = vec![0; key.public().modulus_len()];
    key.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), text.as_bytes(), &mut signature).ok()?;
    Some(format!("{text}.{}", URL_SAFE_NO_PAD.encode(signature)))
}

fn rsa(pem: &str) -> Result<RsaKeyPair, InvalidAccount> {
    let der = PrivatePkcs8KeyDer::from_pem_slice(pem.as_bytes());
    let der = der.map_err(|_| InvalidAccount::Key)?;
    RsaKeyPair::from_pkcs8(der.secret_pkcs8_der()).map_err(|_| InvalidAccount::Key)
}

fn form(pairs: &[(&str, &str)]) -> String {
    let pair = |(name, value): &(&str, &str)| {
        format!("{name}={}", utf8_percent_encode(value, NON_ALPHANUMERIC))
    };
    pairs.iter().map(pair).collect::<Vec<_>>().join("&")
}

/// The host of a token service as a target: its path is the request's.
fn host(uri: &Uri) -> Arc<Target> {
    let mut parts = uri.clone().into_parts();
    parts.path_and_query = Some(http::uri::PathAndQuery::from_static("/"));
    let base = Uri::from_parts(parts).unwrap_or_default();
    Arc::new(Target::new("google", Protocol::Gemini, "", base))
}

fn gcloud_file() -> Option<PathBuf> {
    let own = std::env::var_os("CLOUDSDK_CONFIG").map(PathBuf::from);
    let usual = || Some(PathBuf::from(std::env::var_os("HOME")?).join(".config/gcloud"));
    Some(own.or_else(usual)?.join("application_default_credentials.json"))
}
