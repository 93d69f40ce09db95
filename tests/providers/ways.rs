//! A provider's own proxy, authorities and connect deadline.

use std::{
    fs,
    sync::Arc,
    time::{Duration, Instant},
};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::{ServerConfig, pki_types::pem::PemObject};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};
use tokio_rustls::TlsAcceptor;
use tollgate_gateway::SharedState;
use tollgate_testkit::{Answer, Upstream};

use crate::gateway::{Logged, ask, chat, config, state, wrong};

const COMPATIBLE: &str = "kind = \"openai-compatible\"";

#[tokio::test]
async fn a_provider_is_reached_through_its_own_proxy_and_the_others_are_not() {
    let logged = Logged::start();
    let (proxy, direct) =
        (Upstream::always(Answer::json(200, "{}")), Upstream::always(Answer::json(200, "{}")));
    let (proxy_at, _first) = proxy.clone().serve().await.unwrap();
    let (direct_at, _second) = direct.clone().serve().await.unwrap();
    let state = state(&format!(
        "[providers.far]\n{COMPATIBLE}\nbase_url = \"http://upstream.test/v1\"\n\
         proxy = \"http://me:hidden-word@{proxy_at}\"\n\
         [providers.near]\n{COMPATIBLE}\nbase_url = \"http://{direct_at}/v1\"\nproxy = \"none\"\n"
    ));
    assert_eq!(ask(&state, chat("far")).await.status, 200);
    assert_eq!(ask(&state, chat("near")).await.status, 200);
    let seen = proxy.received();
    assert_eq!(seen.len(), 1);
    assert_eq!(seen[0].uri, "http://upstream.test/v1/chat/completions");
    assert!(seen[0].headers["proxy-authorization"].to_str().unwrap().starts_with("Basic "));
    let seen = direct.received();
    assert_eq!((seen.len(), seen[0].uri.path()), (1, "/v1/chat/completions"));
    assert!(!seen[0].headers.contains_key("proxy-authorization"));
    assert!(!logged.text().contains("hidden-word"), "{}", logged.text());
}

/// An upstream behind a certificate of an authority of the test's own, whose PEM is returned.
async fn encrypted() -> (u16, String) {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
    let key = KeyPair::generate().unwrap();
    let params = CertificateParams::new(["127.0.0.1".to_owned()]).unwrap();
    let certificate = params.signed_by(&key, &authority).unwrap();
    let key = rustls::pki_types::PrivateKeyDer::from_pem_slice(key.serialize_pem().as_bytes());
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone()], key.unwrap())
        .unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    tokio::spawn(async move {
        while let Ok((socket, _)) = listener.accept().await {
            let Ok(mut socket) = acceptor.accept(socket).await else { continue };
            let mut chunk = [0; 4096];
            let _ = socket.read(&mut chunk).await;
            let answer = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n\
                          content-length: 2\r\nconnection: close\r\n\r\n{}";
            let _ = socket.write_all(answer.as_bytes()).await;
            let _ = socket.shutdown().await;
        }
    });
    (port, authority.pem())
}

#[tokio::test]
async fn an_authority_is_trusted_for_the_provider_that_names_it_and_for_no_other() {
    let (port, pem) = encrypted().await;
    let file = format!("{}/authority.pem", env!("CARGO_TARGET_TMPDIR"));
    fs::write(&file, pem).unwrap();
    let base = format!("{COMPATIBLE}\nbase_url = \"https://127.0.0.1:{port}/v1\"\n");
    let text = format!("[providers.own]\n{base}ca = \"{file}\"\n[providers.other]\n{base}");
    let state = state(&text);
    assert_eq!(ask(&state, chat("own")).await.status, 200);
    let refused = ask(&state, chat("other")).await;
    assert_eq!(refused.status, 502);
    assert!(refused.text.contains("upstream_tls"), "{}", refused.text);
    assert_eq!(config(&text).files, [std::path::PathBuf::from(file)], "it is watched");
}

/// An upstream that accepts connections and never says a word of TLS.
async fn mute() -> (TcpListener, u16) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    (listener, port)
}

#[tokio::test]
async fn a_provider_has_a_connect_deadline_of_its_own() {
    let (_listener, port) = mute().await;
    let base = format!("{COMPATIBLE}\nbase_url = \"https://127.0.0.1:{port}/v1\"\n");
    let state = state(&format!("[providers.own]\n{base}deadlines = {{ connect = \"120ms\" }}\n"));
    let since = Instant::now();
    let seen = ask(&state, chat("own")).await;
    assert_eq!(seen.status, 504, "{}", seen.text);
    assert!(seen.text.contains("upstream_connect_timeout"), "{}", seen.text);
    let after = since.elapsed();
    assert!(after >= Duration::from_millis(120) && after < Duration::from_secs(2), "{after:?}");
}

/// Puts another configuration in force.
fn reload(state: &SharedState, text: &str) {
    let keys = Arc::new(tollgate_keys::MemoryKeys::new());
    state.replace(config(text).state_after(keys, &state.load()));
}

#[tokio::test]
async fn a_connect_deadline_changes_with_the_configuration() {
    let (_listener, port) = mute().await;
    let base =
        format!("[providers.own]\n{COMPATIBLE}\nbase_url = \"https://127.0.0.1:{port}/v1\"\n");
    let state = state(&base);
    reload(&state, &format!("{base}[deadlines]\nconnect = \"120ms\"\n"));
    let since = Instant::now();
    assert!(ask(&state, chat("own")).await.text.contains("upstream_connect_timeout"));
    assert!(since.elapsed() < Duration::from_secs(2));
}

#[tokio::test]
async fn connections_stay_open_over_a_reload() {
    let upstream = tollgate_testkit::WireServer::start([tollgate_testkit::Wire::new()
        .request()
        .write("HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{}")
        .request()
        .write(
            "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{}",
        )])
    .await
    .unwrap();
    let text =
        format!("[providers.own]\n{COMPATIBLE}\nbase_url = \"http://{}/v1\"\n", upstream.addr());
    let state = state(&text);
    assert_eq!(ask(&state, chat("own")).await.status, 200);
    reload(
        &state,
        &format!("{text}[providers.new]\n{COMPATIBLE}\nbase_url = \"http://127.0.0.1:1\"\n"),
    );
    assert_eq!(ask(&state, chat("own")).await.status, 200);
    assert_eq!(upstream.connections().len(), 1);
}

#[test]
fn what_cannot_be_used_is_named_and_no_password_repeated() {
    let table = format!("[providers.x]\n{COMPATIBLE}\nbase_url = \"http://h/v1\"\n");
    let message = wrong(&format!("{table}proxy = \"ftp://me:hidden-word@h\"\n"));
    assert_eq!(
        message,
        "gateway.toml:4: `providers.x.proxy`: is not the URL of an http, https or socks proxy, nor `none`"
    );
    let message = wrong(&format!("{table}ca = \"/no/such/file.pem\"\n"));
    assert!(
        message.starts_with("gateway.toml:4: `providers.x.ca`: /no/such/file.pem: "),
        "{message}"
    );
    let file = format!("{}/no-certificate.pem", env!("CARGO_TARGET_TMPDIR"));
    fs::write(&file, "nothing").unwrap();
    let message = wrong(&format!("{table}ca = \"{file}\"\n"));
    assert!(message.ends_with("no readable certificate in PEM"), "{message}");
}
