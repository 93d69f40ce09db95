//! What an answer cost: `cargo run -p tollgate-catalog --example price_answer`.

use tollgate_catalog::{Catalogue, Occasion, price};
use tollgate_core::{InTokens, OutTokens, Quality, Usage};

fn main() -> Result<(), serde_json::Error> {
    // What the provider reported: 2,048 prompt tokens, half of them from its cache.
    let mut usage = Usage::default();
    usage.prompt = InTokens { text: Some(1024), ..InTokens::default() };
    usage.read = InTokens { text: Some(1024), ..InTokens::default() };
    usage.output = OutTokens { text: Some(300), ..OutTokens::default() };
    usage.served.model = Some("gpt-4o-2024-08-06".to_owned());
    usage.quality = Quality::Exact;

    let catalogue = Catalogue::builtin();
    let priced = price(&catalogue, "openai", "gpt-4o", &usage, &Occasion::default());
    for line in &priced.lines {
        println!("{:>12} {:>8} x {:>6} = {}", line.name(), line.quantity, line.rate, line.usd);
    }
    match priced.cost() {
        Some(cost) => println!("{:>12} {cost} USD", "total"),
        None => println!("no known price: {:?}", priced.marks),
    }
    println!("{}", serde_json::to_string_pretty(&priced.view(Some("example")))?);
    Ok(())
}
