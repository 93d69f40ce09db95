//! Recorded traffic, where it is there.

use libtest_mimic::{Arguments, Failed};
use tollgate_testkit::{recordings, shared_trial};

fn main() {
    let trial = shared_trial("fixtures/recorded", "every_recording_can_be_read", |_| readable());
    libtest_mimic::run(&Arguments::from_args(), vec![trial]).exit();
}

fn readable() -> Result<(), Failed> {
    let all = recordings("")?;
    assert!(all.len() > 1000);
    let mut streams = all.iter().filter(|r| r.stream && r.response.status == 200);
    assert!(streams.all(|r| !r.response.body().is_empty()));
    assert!(recordings("no-such-protocol").is_err());
    Ok(())
}
