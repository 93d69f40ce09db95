//! The fetcher of media against servers on this machine, and against what it must not ask.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on has failed")]

use std::time::Duration;

use tollgate_testkit::{Answer, Script, ServeGuard, Upstream};
use tollgate_upstream::fetch::{FetchError, Fetcher};

/// A server on this machine, and a fetcher that may ask it.
async fn server(
    answers: impl IntoIterator<Item = Answer>,
) -> (Upstream, String, Fetcher, ServeGuard) {
    let upstream = Upstream::queue(answers);
    let (address, guard) = upstream.clone().serve().await.unwrap();
    let fetcher = Fetcher::new().http(true).hosts([address.ip().to_string()]);
    (upstream, format!("http://{address}"), fetcher, guard)
}

fn png(bytes: usize) -> Answer {
    Answer::new(http::StatusCode::OK, Script::new(vec![7; bytes]))
        .header("content-type", "image/PNG; a=b")
}

fn to(location: &str) -> Answer {
    Answer::new(http::StatusCode::FOUND, Script::default()).header("location", location)
}

#[tokio::test]
async fn what_is_there_is_fetched_without_any_credential() {
    let (upstream, url, fetcher, _guard) = server([png(3)]).await;
    let fetched = fetcher.get(&format!("{url}/a.png?x=1#y"), &["image/"]).await.unwrap();
    assert_eq!((fetched.mime.as_str(), fetched.bytes.as_ref()), ("image/png", &[7, 7, 7][..]));
    let asked = &upstream.received()[0];
    assert_eq!(asked.uri.path_and_query().unwrap(), "/a.png?x=1");
    let mut names: Vec<_> = asked.headers.keys().map(|name| name.as_str()).collect();
    names.sort_unstable();
    assert_eq!(names, ["accept", "accept-encoding", "host", "user-agent"]);
}

#[tokio::test]
async fn what_only_this_network_has_is_never_asked_for() {
    let fetcher = Fetcher::new().http(true);
    for host in [
        "127.0.0.1",
        "127.0.0.1:8080",
        "127.1",
        "127.0.0.1.",
        "1.1.1.0x1",
        "0x7f000001",
        "2130706433",
        "017700000001",
        "0.0.0.0",
        "0",
        "10.0.0.1",
        "100.64.0.1",
        "100.100.100.200",
        "169.254.169.254",
        "172.16.0.1",
        "192.168.1.1",
        "168.63.129.16",
        "[::1]",
        "[::]",
        "[::ffff:127.0.0.1]",
        "[::ffff:7f00:1]",
        "[64:ff9b::a00:1]",
        "[fc00::1]",
        "[fd00:ec2::254]",
        "[fe80::1]",
        "localhost",
        "LOCALHOST",
        "name-of-nobody.invalid",
        "metadata.google.internal",
    ] {
        for scheme in ["http", "https"] {
            let error = fetcher.get(&format!("{scheme}://{host}/x"), &[""]).await.unwrap_err();
            assert_eq!(error, FetchError::Host, "{scheme}://{host}");
        }
    }
}

#[tokio::test]
async fn other_schemes_users_and_nonsense_are_refused() {
    let fetcher = Fetcher::new();
    for (url, expected) in [
        ("http://e.org/a", FetchError::Scheme),
        ("ftp://e.org/a", FetchError::Scheme),
        ("https://user:pass@e.org/a", FetchError::Url),
        ("https://e.org@127.0.0.1/a", FetchError::Url),
        ("file:///etc/passwd", FetchError::Url),
        ("/etc/passwd", FetchError::Url),
        ("https:///a", FetchError::Url),
        ("", FetchError::Url),
    ] {
        assert_eq!(fetcher.get(url, &[""]).await.unwrap_err(), expected, "{url}");
    }
}

#[tokio::test]
async fn a_redirect_is_a_fresh_question() {
    for private in [
        "http://10.0.0.1/",
        "http://127.0.0.2/",
        "http://[::1]/",
        "http://[::ffff:127.0.0.1]/",
        "http://169.254.169.254/latest/meta-data/",
        "http://localhost/",
        "//192.168.0.1/x",
    ] {
        let (upstream, url, fetcher, _guard) = server([to(private)]).await;
        let error = fetcher.get(&format!("{url}/a"), &[""]).await.unwrap_err();
        assert_eq!(error, FetchError::Host, "{private}");
        assert_eq!(upstream.received().len(), 1, "{private}");
    }
    let (_upstream, url, fetcher, _guard) = server([to("ftp://e.org/a")]).await;
    assert_eq!(fetcher.get(&url, &[""]).await.unwrap_err(), FetchError::Scheme);
}

#[tokio::test]
async fn three_redirects_are_followed_and_no_fourth() {
    let (upstream, url, fetcher, _guard) = server([to("/b/c"), to("d?e"), to("?f"), png(1)]).await;
    fetcher.get(&format!("{url}/a"), &["image/"]).await.unwrap();
    let asked = upstream.received();
    let paths: Vec<_> = asked.iter().map(|r| r.uri.path_and_query().unwrap().as_str()).collect();
    assert_eq!(paths, ["/a", "/b/c", "/b/d?e", "/b/d?f"]);
    let (_upstream, url, fetcher, _guard) = server((0..5).map(|_| to("/again"))).await;
    assert_eq!(fetcher.get(&url, &[""]).await.unwrap_err(), FetchError::Redirects);
}

#[tokio::test]
async fn bytes_time_type_and_status_are_limited() {
    let (_upstream, url, fetcher, _guard) =
        server([png(9), Answer::json(404, "{}"), Answer::json(200, "{}")]).await;
    let fetcher = fetcher.limit(8);
    let get = async || fetcher.get(&url, &["image/"]).await.unwrap_err();
    assert_eq!(get().await, FetchError::TooLarge(8));
    assert_eq!(get().await, FetchError::Status(404));
    assert_eq!(get().await, FetchError::Type);
    let slow = Answer::new(http::StatusCode::OK, Script::new("x").stall())
        .header("content-type", "image/png");
    let (_upstream, url, fetcher, _guard) = server([slow]).await;
    let fetcher = fetcher.within(Duration::from_millis(100));
    assert_eq!(fetcher.get(&url, &["image/"]).await.unwrap_err(), FetchError::TooSlow);
}
