//! What metering costs beside a service that only passes: per request and per event.
fn main() {}
