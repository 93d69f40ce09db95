//! Which client reaches which provider, and how.

use std::{
    convert::Infallible,
    fmt,
    sync::{Arc, OnceLock},
    task::{Context, Poll},
    time::Duration,
};

use hashbrown::HashMap;
use http::{Request, Response};
use tollgate_core::{Body, Secret, Target};
use tollgate_upstream::{
    AwsKeys, Builder, GoogleAccount, GoogleToken, InvalidPem, InvalidProxy, Proxies,
    ResponseFuture, SigV4, Signer, Upstream, UpstreamBody,
};
use tower::Service;

use crate::state::SharedState;

/// How a provider is reached.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Way {
    connect: Option<Duration>,
    proxy: Proxy,
    authorities: Option<Arc<str>>,
    signing: Option<Signing>,
}

/// Through which proxy.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
enum Proxy {
    /// What the environment says.
    #[default]
    Environment,
    None,
    /// At this URL, which may hold a password.
    At(Secret),
}

/// With what requests are signed, instead of showing a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Signing {
    /// Signature Version 4 for Amazon Bedrock.
    Bedrock {
        /// The account's keys.
        keys: AwsKeys,
        /// The region, which is part of the signature.
        region: Arc<str>,
    },
    /// Access tokens of a Google account.
    Google(GoogleAccount),
}

impl Way {
    /// Sets how long name, TCP and TLS may take together. Default: 3 seconds.
    pub fn connect(mut self, after: Option<Duration>) -> Self {
        self.connect = after;
        self
    }

    /// Sets the proxy's URL; `none` is a way without any. Default: as the environment says.
    ///
    /// Errors: see [`InvalidProxy`].
    pub fn proxy(mut self, url: &str) -> Result<Self, InvalidProxy> {
        self.proxy = match url {
            "none" => Proxy::None,
            url => {
                Proxies::new(url, "")?;
                Proxy::At(Secret::new(url))
            }
        };
        Ok(self)
    }

    /// Adds authorities to trust, in PEM. Default: the system's alone.
    ///
    /// Errors: see [`InvalidPem`].
    pub fn authorities(mut self, pem: &str) -> Result<Self, InvalidPem> {
        Builder::default().extra_ca(pem)?;
        self.authorities = Some(pem.into());
        Ok(self)
    }

    /// Sets what requests are signed with. Default: nothing.
    pub fn signing(mut self, signing: Option<Signing>) -> Self {
        self.signing = signing;
        self
    }

    /// What requests show beside their signature.
    pub(crate) fn session_token(&self) -> Option<&Secret> {
        match &self.signing {
            Some(Signing::Bedrock { keys, .. }) => keys.session_token.as_ref(),
            _ => None,
        }
    }

    /// Connects the provider that is called `name`, and whose credential too.
    fn open(&self, name: &str) -> Upstream {
        match &self.signing {
            Some(signing) => self.builder().signer(name, self.signer(signing)).build(),
            None => self.builder().build(),
        }
    }

    fn signer(&self, signing: &Signing) -> Arc<dyn Signer> {
        match signing {
            Signing::Bedrock { keys, region } => Arc::new(SigV4::bedrock(keys.clone(), region)),
            Signing::Google(account) => {
                // The metadata server is the machine's own: no proxy reaches it.
                let through = match account.is_metadata() {
                    true => self.builder().proxy(Proxies::none()),
                    false => self.builder(),
                };
                Arc::new(GoogleToken::new(account.clone(), through.build()))
            }
        }
    }

    fn builder(&self) -> Builder {
        let mut builder = Upstream::builder();
        if let Some(after) = self.connect {
            builder = builder.connect_deadline(after);
        }
        if let Some(pem) = &self.authorities {
            builder = builder.extra_ca(&**pem).expect("read when it was set");
        }
        match &self.proxy {
            Proxy::Environment => builder,
            Proxy::None => builder.proxy(Proxies::none()),
            Proxy::At(url) => {
                builder.proxy(Proxies::new(url.expose(), "").expect("read when it was set"))
            }
        }
    }
}

/// Ways to providers, by the providers' names.
pub type Ways = HashMap<Arc<str>, Way>;

/// The clients that reach the providers. Clones share connections.
#[derive(Clone, Default)]
pub struct Upstreams {
    of: Arc<HashMap<Arc<str>, Arc<Open>>>,
    usual: Arc<OnceLock<Upstream>>,
}

/// A client on its way.
struct Open {
    way: Way,
    upstream: Upstream,
}

impl Upstreams {
    /// Returns clients for `ways`. Those that `before` has already keep their connections; providers
    /// with one way share them.
    pub fn new(ways: &Ways, before: &Self) -> Self {
        let mut of: HashMap<Arc<str>, Arc<Open>> = HashMap::with_capacity(ways.len());
        for (name, way) in ways {
            let own = before.of.get(name).filter(|open| open.way == *way);
            // Who signs does it for one provider only.
            let others = || before.of.values().chain(of.values());
            let shared = || others().find(|open| open.way == *way && way.signing.is_none());
            let known = own.or_else(shared).cloned();
            let open =
                known.unwrap_or_else(|| Open { way: way.clone(), upstream: way.open(name) }.into());
            of.insert(name.clone(), open);
        }
        Self { of: Arc::new(of), usual: before.usual.clone() }
    }

    /// The client of the provider of this name; of one that no way leads to, a usual one.
    fn of(&self, provider: Option<&str>) -> Upstream {
        match provider.and_then(|name| self.of.get(name)) {
            Some(open) => open.upstream.clone(),
            None => self.usual.get_or_init(Upstream::new).clone(),
        }
    }
}

impl fmt::Debug for Upstreams {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ways = self.of.iter().map(|(name, open)| (name, &open.way));
        f.debug_map().entries(ways).finish()
    }
}

/// The leaf of the gateway's stack: sends each request through the client that is in force for its
/// target's provider. Requests under way keep theirs.
#[derive(Clone, Debug)]
pub struct Leaf {
    state: SharedState,
}

impl Leaf {
    /// Returns the leaf; `state` has the clients.
    pub fn new(state: SharedState) -> Self {
        Self { state }
    }
}

impl Service<Request<Body>> for Leaf {
    type Response = Response<UpstreamBody>;
    type Error = Infallible;
    type Future = ResponseFuture;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> ResponseFuture {
        let target = request.extensions().get::<Arc<Target>>();
        let mut upstream = self.state.load().upstreams.of(target.map(|target| &*target.provider));
        upstream.call(request)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ways(of: &[(&str, &Way)]) -> Ways {
        of.iter().map(|(name, way)| ((*name).into(), (*way).clone())).collect()
    }

    /// How many clients there are in all.
    fn count(upstreams: &[&Upstreams]) -> usize {
        let open = upstreams.iter().flat_map(|upstreams| upstreams.of.values());
        open.map(Arc::as_ptr).collect::<std::collections::HashSet<_>>().len()
    }

    #[test]
    fn equal_ways_share_connections_and_keep_them() {
        let (usual, slow) = (Way::default(), Way::default().connect(Some(Duration::from_secs(9))));
        let none = Upstreams::default();
        let first = Upstreams::new(&ways(&[("a", &usual), ("b", &usual), ("c", &slow)]), &none);
        assert_eq!(count(&[&first]), 2);
        let same = Upstreams::new(&ways(&[("a", &usual), ("c", &slow), ("d", &usual)]), &first);
        assert_eq!(count(&[&first, &same]), 2);
        let other = Upstreams::new(&ways(&[("a", &slow), ("c", &usual)]), &first);
        assert_eq!(count(&[&first, &other]), 2);
    }

    #[test]
    fn who_signs_shares_with_nobody() {
        let signing = Signing::Bedrock {
            keys: AwsKeys::new("id", Secret::new("secret-of-the-account")),
            region: "eu-west-1".into(),
        };
        let way = Way::default().signing(Some(signing));
        let two = Upstreams::new(&ways(&[("a", &way), ("b", &way)]), &Upstreams::default());
        assert_eq!(count(&[&two]), 2);
        assert_eq!(count(&[&two, &Upstreams::new(&ways(&[("a", &way)]), &two)]), 2);
        assert!(!format!("{two:?}").contains("secret-of-the-account"));
    }

    #[test]
    fn a_proxys_password_is_not_shown_and_nonsense_is_none() {
        let way = Way::default().proxy("http://me:hidden@proxy.test:3128").unwrap();
        assert!(!format!("{way:?}").contains("hidden"));
        assert_eq!(Way::default().proxy("ftp://proxy.test"), Err(InvalidProxy));
        assert!(Way::default().authorities("no certificate").is_err());
    }
}
