//! What Bedrock was recorded to stream comes out as Anthropic streams it.

use std::sync::Arc;

use http::{Request, StatusCode};
use http_body_util::{BodyExt, Full};
use libtest_mimic::{Arguments, Failed};
use tollgate_core::{Protocol, Target, Transport};
use tollgate_testkit::{Answer, Recording, Script, Upstream as Fake, recordings, shared_trial};
use tollgate_upstream::Upstream;
use tower::ServiceExt;

const FOLDER: &str = "fixtures/recorded/anthropic-messages";

fn main() {
    let name = "bedrocks_recorded_streams_become_server_sent_events";
    let trial = shared_trial(FOLDER, name, |_| streams());
    libtest_mimic::run(&Arguments::from_args(), vec![trial]).exit();
}

fn streams() -> Result<(), Failed> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let recordings = recordings("anthropic-messages")?;
    let streams: Vec<_> = recordings
        .iter()
        .filter(|r| r.request.path.ends_with("-response-stream") && r.response.status == 200)
        .collect();
    assert!(streams.len() > 3, "{} streams", streams.len());
    for recording in streams {
        let text = runtime.block_on(translated(recording))?;
        let begins = "event: message_start\ndata: {\"type\":\"message_start\"";
        assert!(text.starts_with(begins), "{text}");
        assert_eq!(text.matches("event: message_stop\n").count(), 1, "{}", recording.id);
    }
    Ok(())
}

async fn translated(recording: &Recording) -> Result<String, Failed> {
    let script = Script::new(recording.response.body()).split_every(97);
    let answer = Answer::new(StatusCode::OK, script)
        .header("content-type", "application/vnd.amazon.eventstream");
    let (addr, _guard) = Fake::always(answer).serve().await?;
    let base_url = format!("http://{addr}").parse()?;
    let mut target = Target::new("fake", Protocol::AnthropicMessages, "m", base_url);
    target.transport = Transport::BedrockInvoke { region: "eu-west-1".into() };
    let request = Request::post("/v1/messages").extension(Arc::new(target));
    let request = request.body(Full::from("{\"model\":\"x\",\"stream\":true}"))?;
    let answer = Upstream::new().oneshot(request).await?;
    assert_eq!(answer.headers()["content-type"], "text/event-stream");
    let body = answer.into_body().collect().await.map_err(|e| e.to_string())?.to_bytes();
    Ok(String::from_utf8(body.to_vec())?)
}
