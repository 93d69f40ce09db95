//! The gateway as its user meets it: a program with a terminal, files and signals.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on has failed")]

mod program;

use std::{fs, os::unix::fs::PermissionsExt};

use bytes::Bytes;
use http::{Method, Request};
use http_body_util::{BodyExt, Full};
use hyper_util::{client::legacy::Client, rt::TokioExecutor};
use serde_json::Value;
use tollgate_testkit::{Answer, Script, Upstream};

use self::program::{Gateway, command, folder, of_curl, run, send, whole};

const CHAT: &str = "/v1/chat/completions";
const HELLO: &str = r#"{"model":"openai/gpt-5","messages":[{"role":"user","content":"Hello"}]}"#;

#[tokio::test]
async fn with_nothing_configured_the_printed_lines_work_in_four_protocols_whole_and_streamed() {
    let folder = folder("first-start");
    let gateway = Gateway::start(command(&folder, &["--listen", "127.0.0.1:0"])).await;
    assert!(gateway.banner.contains("Simulated providers"), "{}", gateway.banner);
    let lines: Vec<_> = gateway.banner.lines().filter(|line| line.starts_with("curl ")).collect();
    assert_eq!(lines.len(), 8);
    for line in lines {
        let answered = whole(send(of_curl(line)).await).await;
        assert_eq!(answered.status, 200, "{line}: {}", answered.text);
        assert!(answered.headers.contains_key("x-tollgate-call-id"));
        assert!(answered.headers.contains_key("x-tollgate-target"));
        let streamed = line.contains("\"stream\":true") || line.contains("alt=sse");
        let kind = answered.headers["content-type"].to_str().unwrap();
        assert_eq!(kind.starts_with("text/event-stream"), streamed, "{line}: {kind}");
        match streamed {
            true => assert!(answered.text.contains("data: {"), "{}", answered.text),
            false => assert!(answered.json().is_object()),
        }
    }
}

#[tokio::test]
async fn a_second_start_prints_no_key_and_the_first_still_works() {
    let folder = folder("second-start");
    let first = Gateway::demo(&folder).await;
    let key = first.key().to_owned();
    drop(first);
    let second = Gateway::demo(&folder).await;
    assert!(!second.banner.contains("sk-"), "{}", second.banner);
    // A shell puts the key in between these quotes.
    let line = second.banner.lines().find(|line| line.starts_with("curl ")).unwrap();
    assert!(line.contains("-H \"authorization: Bearer $TOLLGATE_KEY\""), "{line}");
    let line = line.replace("$TOLLGATE_KEY", &key);
    assert_eq!(send(of_curl(&line)).await.status(), 200, "{line}");
    assert_eq!(second.ask(&key, Method::POST, CHAT, HELLO).await.status, 200);
    assert_eq!(second.ask("sk-other", Method::POST, CHAT, HELLO).await.status, 401);
}

#[tokio::test]
async fn the_store_is_its_owners_alone_and_has_no_key_in_it() {
    let folder = folder("key-file");
    let gateway = Gateway::demo(&folder).await;
    let file = folder.join("tollgate-data/tollgate.db");
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    let secret = gateway.key().trim_start_matches("sk-");
    let text = fs::read(&file).unwrap();
    assert!(!text.windows(secret.len()).any(|window| window == secret.as_bytes()));
}

#[tokio::test]
async fn keys_are_created_listed_disabled_and_revoked() {
    let folder = folder("keys");
    let (code, created, _) = run(&folder, &["keys", "create", "ci", "--model", "openai/*"]).await;
    assert_eq!(code, Some(0));
    let (id, key) = created.trim().split_once('\t').unwrap();
    let (_, listed, _) = run(&folder, &["keys", "list"]).await;
    assert_eq!(listed, format!("{id}\tci\tactive\n"));
    let gateway = Gateway::demo(&folder).await;
    assert!(!gateway.banner.contains("sk-"), "there is a key already");
    assert_eq!(gateway.ask(key, Method::POST, CHAT, HELLO).await.status, 200);
    let other = HELLO.replace("openai/gpt-5", "anthropic/claude");
    assert_eq!(gateway.ask(key, Method::POST, CHAT, &other).await.status, 403);
    drop(gateway);
    run(&folder, &["keys", "disable", id]).await;
    let gateway = Gateway::demo(&folder).await;
    assert!(gateway.ask(key, Method::POST, CHAT, HELLO).await.status.is_client_error());
    assert_eq!(run(&folder, &["keys", "revoke", id]).await.0, Some(0));
    assert_eq!(run(&folder, &["keys", "list"]).await.1, "");
    assert_eq!(run(&folder, &["keys", "revoke", id]).await.0, Some(1));
}

#[tokio::test]
async fn a_wrong_configuration_is_one_line_on_standard_error_and_exit_code_1() {
    let folder = folder("wrong-configuration");
    fs::write(folder.join("tollgate.toml"), "[server]\nlisten = \"127.0.0.1:0\"\nmax_bdy = 1\n")
        .unwrap();
    for command in ["serve", "check"] {
        let (code, stdout, stderr) = run(&folder, &[command]).await;
        assert_eq!((code, stdout.as_str()), (Some(1), ""));
        assert!(stderr.starts_with("tollgate: tollgate.toml:3: "), "{stderr}");
        assert!(stderr.contains("did you mean `max_body`?"), "{stderr}");
        assert_eq!(stderr.lines().count(), 1, "{stderr}");
    }
}

#[tokio::test]
async fn check_says_what_a_configuration_means() {
    let folder = folder("check");
    let (code, stdout, _) = run(&folder, &["check"]).await;
    assert_eq!(code, Some(0));
    assert!(stdout.contains("providers   simulated"), "{stdout}");
    let file = "[[keys]]\nname = \"a\"\nkey = \"env:A_KEY\"\nrpm = 1\n[providers.openai]\napi_key = \"x\"\n\
                [models.fast]\ntargets = [\"openai/gpt-5-mini\"]\n";
    fs::write(folder.join("gateway.toml"), file).unwrap();
    let (code, _, stderr) = run(&folder, &["check", "--config", "gateway.toml"]).await;
    assert_eq!(code, Some(1));
    assert!(stderr.contains("`keys[0].key`: the environment variable A_KEY"), "{stderr}");
    let mut checked = command(&folder, &["check"]);
    checked.env("TOLLGATE_CONFIG", "gateway.toml").env("A_KEY", "sk-a");
    let checked = checked.output().await.unwrap();
    assert_eq!(checked.status.code(), Some(0));
    let stdout = String::from_utf8(checked.stdout).unwrap();
    for line in [
        "from the file",
        "openai-chat, openai-responses",
        "fast = openai/gpt-5-mini",
        "1 in the file",
    ] {
        assert!(stdout.contains(line), "{stdout}");
    }
    assert!(String::from_utf8(checked.stderr).unwrap().contains("`keys.a.rpm` has no effect"));
}

/// The file as the documentation of the gateway has shown it from the beginning.
const WHOLE: &str = r#"
[server]
listen = "127.0.0.1:4000"

[[keys]]
name = "dev"
key = "env:TOLLGATE_DEV_KEY"
models = ["openai/*", "fast"]
budget = { usd = "10.00", per = "month" }
rpm = 60
tpm = 100000
team = "search"

[providers.openai]
api_key = "env:OPENAI_API_KEY"
base_url = "https://api.openai.com/v1"

[providers.local]
kind = "openai-compatible"
base_url = "http://127.0.0.1:11434/v1"
protocols = ["openai-chat"]

[models.fast]
targets = ["openai/gpt-5-mini", "anthropic/claude-haiku-4-5"]
routing = "priority"

[deadlines]
connect = "3s"
head = "5m"
first_content = "5m"
idle = "2m"
total = "30m"

[store]
url = "sqlite://tollgate.db"

[shared]
url = "redis://127.0.0.1:6379"

[prices]
unknown = "refuse"
"#;

#[tokio::test]
async fn a_target_may_name_a_preset_of_which_the_environment_has_the_key() {
    let folder = folder("named");
    fs::write(folder.join("tollgate.toml"), WHOLE).unwrap();
    let check = |key: &'static str| {
        let mut check = command(&folder, &["check"]);
        check.env("TOLLGATE_DEV_KEY", "sk-dev").env("OPENAI_API_KEY", "sk-openai");
        check.env("GEMINI_API_KEY", "nobody names it").env("ANTHROPIC_API_KEY", key);
        async move { check.output().await.unwrap() }
    };
    let checked = check("sk-anthropic").await;
    let (stdout, stderr) = (String::from_utf8_lossy(&checked.stdout), checked.stderr);
    assert_eq!(checked.status.code(), Some(0), "{}", String::from_utf8_lossy(&stderr));
    assert!(stdout.contains("anthropic-messages") && !stdout.contains("gemini"), "{stdout}");
    let refused = check("").await;
    let stderr = String::from_utf8(refused.stderr).unwrap();
    assert_eq!(refused.status.code(), Some(1));
    assert!(stderr.contains("`models.fast.targets[1]`: no provider `anthropic`"), "{stderr}");
    assert!(stderr.ends_with("or ANTHROPIC_API_KEY in the environment\n"), "{stderr}");
}

#[tokio::test]
async fn keys_in_the_environment_switch_providers_on_and_demo_beats_them() {
    let folder = folder("environment");
    let mut found = command(&folder, &["--listen", "127.0.0.1:0"]);
    found.env("ANTHROPIC_API_KEY", "sk-real");
    let found = Gateway::start(found).await;
    assert!(found.banner.contains("Providers: anthropic."), "{}", found.banner);
    drop(found);
    let mut demo = command(&folder, &["--demo", "--listen", "127.0.0.1:0"]);
    demo.env("ANTHROPIC_API_KEY", "sk-real");
    let demo = Gateway::start(demo).await;
    assert!(demo.banner.contains("Simulated providers"), "{}", demo.banner);
}

/// A request whose answer streams for some seconds.
fn slow(gateway: &Gateway) -> Request<Full<Bytes>> {
    let body = r#"{"model":"m","stream":true,"messages":[{"role":"user","content":"[[sim:pace:50ms]][[sim:events:40]]x"}]}"#;
    let request = Request::post(gateway.at(CHAT));
    let request = request.header("authorization", format!("Bearer {}", gateway.key()));
    request.body(Full::from(body)).unwrap()
}

#[tokio::test]
async fn after_sigterm_a_running_stream_ends_whole_and_readiness_is_withdrawn() {
    let folder = folder("drain");
    fs::write(folder.join("tollgate.toml"), "[server]\ndrain_delay = \"1s\"\n").unwrap();
    let mut gateway = Gateway::demo(&folder).await;
    let get = |path| Request::get(gateway.at(path)).body(Full::default()).unwrap();
    assert_eq!(send(get("/readyz")).await.status(), 200);
    let mut running = send(slow(&gateway)).await.into_body();
    assert!(running.frame().await.unwrap().unwrap().is_data());
    gateway.terminate().await;
    while send(get("/readyz")).await.status() != 503 {
        tokio::task::yield_now().await;
    }
    assert_eq!(send(get("/healthz")).await.status(), 200);
    let rest = running.collect().await.unwrap().to_bytes();
    assert!(rest.ends_with(b"data: [DONE]\n\n"), "{}", String::from_utf8_lossy(&rest));
    assert_eq!(gateway.child.wait().await.unwrap().code(), Some(0));
}

#[tokio::test]
async fn what_does_not_end_in_time_is_cut() {
    let folder = folder("drain-cut");
    fs::write(folder.join("tollgate.toml"), "[server]\ndrain = \"100ms\"\n").unwrap();
    let mut gateway = Gateway::demo(&folder).await;
    let mut running = send(slow(&gateway)).await.into_body();
    assert!(running.frame().await.unwrap().unwrap().is_data());
    gateway.terminate().await;
    let rest = running.collect().await.map(|rest| rest.to_bytes());
    assert!(!rest.is_ok_and(|rest| rest.ends_with(b"data: [DONE]\n\n")));
    assert_eq!(gateway.child.wait().await.unwrap().code(), Some(0));
}

#[tokio::test]
async fn a_body_above_the_limit_is_refused_as_each_protocol_says_it() {
    let folder = folder("max-body");
    fs::write(folder.join("tollgate.toml"), "[server]\nmax_body = 100\n").unwrap();
    let gateway = Gateway::demo(&folder).await;
    let long = HELLO.replace("Hello", &"x".repeat(100));
    for (path, status) in [
        (CHAT, 413),
        ("/v1/responses", 413),
        ("/v1/messages", 413),
        // The protocol has no 413: Google answers so.
        ("/v1beta/models/m:generateContent", 400),
    ] {
        let refused = gateway.ask(gateway.key(), Method::POST, path, &long).await;
        assert_eq!(refused.status, status, "{path}");
        assert_eq!(refused.headers["x-tollgate-origin"], "gateway");
        assert!(refused.json()["error"].is_object(), "{path}");
    }
    assert_eq!(gateway.ask(gateway.key(), Method::POST, CHAT, HELLO).await.status, 200);
}

#[tokio::test]
async fn what_is_nobodys_is_404_in_the_protocol_of_its_prefix_and_a_wrong_method_405() {
    let gateway = Gateway::demo(&folder("unknown")).await;
    let kind = |error: &Value| {
        let own = error["type"] == "error";
        let google = error["error"]["status"] == "NOT_FOUND" && error["error"]["code"] == 404;
        (own, google, error["error"]["type"].is_string())
    };
    for (path, expected) in [
        ("/openai/v1/nothing", (false, false, true)),
        ("/anthropic/v1/nothing", (true, false, true)),
        ("/gemini/v1beta/nothing", (false, true, false)),
        ("/v1beta/models/x:frobnicate", (false, true, false)),
    ] {
        let answered = gateway.ask(gateway.key(), Method::POST, path, "{}").await;
        assert_eq!(answered.status, 404, "{path}");
        assert_eq!(kind(&answered.json()), expected, "{path}: {}", answered.text);
    }
    for (method, path, allowed) in [
        (Method::GET, CHAT, "POST"),
        (Method::GET, "/v1beta/models/gemini/p2:generateContent", "POST"),
        (Method::POST, "/v1beta/models/x", "GET"),
        (Method::POST, "/v1/spend", "GET"),
        (Method::DELETE, "/status/targets", "GET"),
    ] {
        let answered = gateway.ask(gateway.key(), method, path, "").await;
        assert_eq!(answered.status, 405, "{path}");
        assert_eq!(answered.headers["allow"], allowed, "{path}");
        if path.starts_with("/v1beta/") {
            assert!(answered.json()["error"]["status"].is_string(), "{}", answered.text);
        }
    }
}

#[tokio::test]
async fn what_can_be_read_can_be_asked_for_without_its_body() {
    let gateway = Gateway::demo(&folder("head")).await;
    for path in ["/v1/models", "/v1beta/models", "/v1/models/openai/gpt-5", "/v1/spend"] {
        let read = gateway.ask(gateway.key(), Method::GET, path, "").await;
        let asked = gateway.ask(gateway.key(), Method::HEAD, path, "").await;
        assert_eq!((asked.status, asked.text.as_str()), (read.status, ""), "{path}");
        assert_eq!(asked.headers["content-type"], read.headers["content-type"], "{path}");
    }
}

#[tokio::test]
async fn models_are_listed_in_the_shape_of_whoever_asks() {
    let gateway = Gateway::demo(&folder("models")).await;
    let key = gateway.key();
    let openai = gateway.ask(key, Method::GET, "/v1/models", "").await.json();
    assert_eq!(
        (&openai["object"], &openai["data"][0]["id"]),
        (&"list".into(), &"openai/gpt-5".into())
    );
    let anthropic = gateway.ask(key, Method::GET, "/anthropic/v1/models", "").await.json();
    assert_eq!(
        (&anthropic["has_more"], &anthropic["data"][0]["type"]),
        (&false.into(), &"model".into())
    );
    let gemini = gateway.ask(key, Method::GET, "/v1beta/models", "").await.json();
    assert!(gemini["models"][0]["name"].as_str().unwrap().starts_with("models/"));
    let one = gateway.ask(key, Method::GET, "/v1/models/openai/gpt-5", "").await;
    assert_eq!((one.status.as_u16(), &one.json()["id"]), (200, &"openai/gpt-5".into()));
}

#[tokio::test]
async fn logs_at_their_loudest_have_neither_bodies_nor_keys() {
    let (asked, said) = ("canary-of-the-question", "canary-of-the-answer");
    let event = format!(
        "data: {{\"choices\":[{{\"index\":0,\"delta\":{{\"content\":\"{said}\"}},\"finish_reason\":\"stop\"}}]}}\n\n"
    );
    let answers = [
        Answer::sse(Script::new(event.clone() + "data: [DONE]\n\n")),
        Answer::sse(Script::new(event).then("data: {").reset()),
        Answer::json(400, format!(r#"{{"error":{{"message":"{said} sk-provider-canary"}}}}"#)),
        Answer::json(401, format!(r#"{{"error":{{"message":"{said} sk-provider-canary"}}}}"#)),
    ];
    let upstream = Upstream::queue(answers.clone().into_iter().chain(answers));
    let (address, _guard) = upstream.serve().await.unwrap();
    let folder = folder("logs");
    let file = format!(
        "[[keys]]\nname = \"a\"\nkey = \"sk-client-canary\"\n\
         [providers.local]\nkind = \"openai-compatible\"\napi_key = \"sk-provider-canary\"\n\
         base_url = \"http://{address}/v1\"\n"
    );
    fs::write(folder.join("tollgate.toml"), file).unwrap();
    let mut loud = command(&folder, &["--listen", "127.0.0.1:0"]);
    let log = fs::File::create(folder.join("log")).unwrap();
    loud.env("RUST_LOG", "trace").stderr(log);
    let gateway = Gateway::start(loud).await;
    let body = format!(
        r#"{{"model":"m","stream":true,"messages":[{{"role":"user","content":"{asked}"}}]}}"#
    );
    for http2_only in [false, true] {
        let mut client = Client::builder(TokioExecutor::new());
        client.http2_only(http2_only);
        let client = client.build_http::<Full<Bytes>>();
        for (header, shown) in [
            ("authorization", "Bearer sk-client-canary"),
            ("x-api-key", "sk-client-canary"),
            ("", ""),
            ("x-api-key", "sk-client-canary-wrong"),
        ] {
            let path = if header.is_empty() {
                format!("{CHAT}?key=sk-client-canary")
            } else {
                CHAT.to_owned()
            };
            let mut request = Request::post(gateway.at(&path));
            if !header.is_empty() {
                request = request.header(header, shown);
            }
            let request = request.body(Full::from(body.clone())).unwrap();
            let _ = client.request(request).await.unwrap().into_body().collect().await;
        }
    }
    drop(gateway);
    let log = fs::read_to_string(folder.join("log")).unwrap();
    assert!(log.contains("TRACE"), "loud enough to prove something");
    for canary in [asked, said, "sk-client-canary", "sk-provider-canary"] {
        let line = log.lines().find(|line| line.contains(canary));
        assert!(line.is_none(), "{canary}: {line:?}");
    }
}

#[tokio::test]
async fn schema_prints_a_schema_that_knows_the_keys() {
    let (code, stdout, stderr) = run(&folder("schema"), &["schema"]).await;
    assert_eq!((code, stderr.as_str()), (Some(0), ""));
    let schema: Value = serde_json::from_str(&stdout).unwrap();
    assert_eq!(schema["$schema"], "https://json-schema.org/draft/2020-12/schema");
    assert_eq!(schema["$defs"]["Server"]["properties"]["listen"]["default"], "127.0.0.1:4000");
    assert_eq!(schema["$defs"]["Provider"]["additionalProperties"], false);
}

#[tokio::test]
async fn models_of_a_local_server_show_soon_after_the_start_and_after_a_reload() {
    let local = Upstream::choose(|request| match request.headers.get("authorization") {
        None => Answer::json(200, r#"{"data":[{"id":"first"}]}"#),
        Some(_) => Answer::json(200, r#"{"data":[{"id":"second"}]}"#),
    });
    let (address, _guard) = local.serve().await.unwrap();
    let folder = folder("discovery");
    let file = format!("[providers.ollama]\nbase_url = \"http://{address}/v1\"\n");
    fs::write(folder.join("tollgate.toml"), &file).unwrap();
    let gateway = Gateway::start(command(&folder, &["--listen", "127.0.0.1:0"])).await;
    for name in ["first", "second"] {
        let mut listed = String::new();
        for _ in 0..200 {
            listed = gateway.ask(gateway.key(), Method::GET, "/v1/models", "").await.text;
            if listed.contains(&format!("\"ollama/{name}\"")) {
                break;
            }
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
        assert!(listed.contains(&format!("\"ollama/{name}\"")), "{listed}");
        fs::write(folder.join("tollgate.toml"), format!("{file}api_key = \"k\"\n")).unwrap();
    }
}

#[tokio::test]
async fn what_nobody_knows_the_price_of_is_said_whole_and_streamed() {
    let json = r#"{"choices":[{"message":{"content":"Hi"},"finish_reason":"stop"}],"usage":{"prompt_tokens":1,"completion_tokens":1}}"#;
    let events = "data: {\"choices\":[{\"delta\":{\"content\":\"Hi\"},\"finish_reason\":\"stop\"}]}\n\ndata: [DONE]\n\n";
    let openai = Upstream::choose(move |request| {
        match request.frames.joined().windows(13).any(|w| w == b"\"stream\":true") {
            true => Answer::sse(Script::new(events)),
            false => Answer::json(200, json),
        }
    });
    let (address, _guard) = openai.serve().await.unwrap();
    let folder = folder("unpriced");
    let file = format!("[providers.openai]\nbase_url = \"http://{address}/v1\"\napi_key = \"k\"\n");
    fs::write(folder.join("tollgate.toml"), file).unwrap();
    let gateway = Gateway::start(command(&folder, &["--listen", "127.0.0.1:0"])).await;
    for (model, warning) in
        [("openai/gpt-99", Some("price_unknown:/model")), ("openai/gpt-4o", None)]
    {
        for stream in [false, true] {
            let body = format!(r#"{{"model":"{model}","messages":[],"stream":{stream}}}"#);
            let seen = gateway.ask(gateway.key(), Method::POST, CHAT, &body).await;
            assert_eq!(seen.status, 200, "{}", seen.text);
            let warned =
                seen.headers.get("x-tollgate-warnings").map(|value| value.to_str().unwrap());
            assert_eq!(warned, warning, "{body}");
            let shows_cost = seen.headers.contains_key("x-tollgate-cost");
            assert!(!shows_cost || warning.is_none(), "{body}");
        }
    }
}

#[tokio::test]
async fn what_a_gemini_model_does_in_its_own_time_can_be_looked_after() {
    let upstream = Upstream::always(Answer::json(200, r#"{"name":"o1","done":true}"#));
    let (address, _guard) = upstream.clone().serve().await.unwrap();
    let folder = folder("operations");
    let file = format!("[providers.gemini]\nbase_url = \"http://{address}\"\napi_key = \"k\"\n");
    fs::write(folder.join("tollgate.toml"), file).unwrap();
    let gateway = Gateway::start(command(&folder, &["--listen", "127.0.0.1:0"])).await;
    for (method, path) in [
        (Method::POST, "/v1beta/models/veo:predictLongRunning"),
        (Method::GET, "/v1beta/models/veo/operations/o1"),
        (Method::GET, "/v1beta/operations/o1"),
    ] {
        let seen = gateway.ask(gateway.key(), method, &format!("/gemini{path}"), "{}").await;
        assert_eq!(seen.status, 200, "{path}: {}", seen.text);
        assert_eq!(upstream.received().last().unwrap().uri.path(), path);
    }
}
