//! What a usage costs beyond what the cases show: who is billed, what is marked, what must hold for
//! any numbers.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use proptest::prelude::*;
use tollgate_catalog::{Catalogue, Document, Mark, Occasion, Origin, Priced, price, rates_from};
use tollgate_core::{Decimal, InTokens, Money, OutTokens, Quality, Ttl, Usage};

fn text(prompt: u64, output: u64) -> Usage {
    let mut usage = Usage::default();
    usage.prompt.text = Some(prompt);
    usage.output.text = Some(output);
    usage.quality = Quality::Exact;
    usage
}

fn priced(provider: &str, model: &str, usage: &Usage) -> Priced {
    price(&Catalogue::builtin(), provider, model, usage, &Occasion::default())
}

#[track_caller]
fn total(priced: &Priced) -> String {
    priced.total.expect("a known price").to_string()
}

fn row(priced: &Priced) -> &str {
    &priced.provenance.as_ref().unwrap().model
}

#[test]
fn the_model_that_answered_is_billed() {
    let mut usage = text(1000, 0);
    usage.served.model = Some("gpt-4o-mini-2024-07-18".to_owned());
    let served = priced("openai", "gpt-4o", &usage);
    assert_eq!(row(&served), "gpt-4o-mini-2024-07-18");
    // Behind a deployment's own name only the answer knows the model.
    assert_eq!(row(&priced("azure", "our-deployment", &usage)), "gpt-4o-mini-2024-07-18");
    // One nobody knows does not take the price away.
    usage.served.model = Some("gpt-99-internal".to_owned());
    assert_eq!(row(&priced("openai", "gpt-4o", &usage)), "gpt-4o");
}

#[test]
fn fireworks_reads_its_cache_at_half_the_input_where_nothing_is_listed() {
    let mut usage = text(0, 0);
    usage.read.text = Some(1_000_000);
    let file = r#"{"schema": "tollgate-prices/1", "models": [
        {"provider": "fireworks", "id": "plain", "rates": {"input": "0.9", "output": "0.9"},
         "variants": {"batch": {"rates": {"input": "0.4", "output": "0.4"}}}},
        {"provider": "fireworks", "id": "listed", "rates": {"input": "0.9", "cache_read": "0.1"}},
        {"provider": "together", "id": "plain", "rates": {"input": "0.9", "output": "0.9"}}]}"#;
    let catalogue = Catalogue::empty().with(Document::read(file).unwrap()).unwrap();
    let cost = |provider, model, usage: &Usage| {
        total(&price(&catalogue, provider, model, usage, &Occasion::default()))
    };
    assert_eq!(cost("fireworks", "plain", &usage), "0.45");
    assert_eq!(cost("fireworks", "listed", &usage), "0.1");
    assert_eq!(cost("together", "plain", &usage), "0.9");
    usage.served.batch = true;
    assert_eq!(cost("fireworks", "plain", &usage), "0.2");
}

#[test]
fn a_compound_nobody_knows_costs_what_its_parts_do() {
    let mut usage = text(0, 0);
    usage.extra.push(("llama-3.3-70b-versatile".to_owned(), text(1000, 100)));
    let parts = priced("groq", "llama-3.3-70b-versatile", &text(1000, 100));
    assert_eq!(total(&priced("groq", "compound-99", &usage)), total(&parts));
    usage.output.text = Some(1);
    assert_eq!(priced("groq", "compound-99", &usage).total, None, "something is left for it");
    let mut usage = text(0, 0);
    usage.extra.push(("model-99".to_owned(), text(1000, 100)));
    assert_eq!(priced("groq", "compound-99", &usage).total, None);
}

/// What the uses of a tool cost: their number, and dollars for each thousand.
fn fee(provider: &str, model: &str, kind: &str) -> Option<String> {
    let mut usage = text(0, 0);
    usage.tools.insert(kind.to_owned(), 1);
    let priced = priced(provider, model, &usage);
    priced.lines.iter().find(|line| *line.component == *kind).map(|line| line.rate.to_string())
}

#[test]
fn a_preview_search_has_its_own_fee_where_one_is_listed() {
    for (model, kind, expected) in [
        ("gpt-4o", "web_search_preview", "25"),
        ("gpt-4o", "web_search", "10"),
        ("gpt-5", "web_search_preview", "10"),
    ] {
        assert_eq!(fee("openai", model, kind).as_deref(), Some(expected), "{model} {kind}");
    }
}

#[test]
fn tools_of_xai_are_charged_by_the_names_it_lists_them_under() {
    for (kind, expected) in [
        ("code_interpreter", "5"),
        ("file_search", "2.5"),
        ("document_search", "10"),
        ("x_search", "5"),
    ] {
        assert_eq!(fee("xai", "grok-4", kind).as_deref(), Some(expected), "{kind}");
    }
    assert_eq!(fee("openai", "gpt-4o", "file_search").as_deref(), Some("2.5"));
}

#[test]
fn an_asked_region_or_flavour_is_kept_where_the_answer_omits_it() {
    for (provider, asked, served) in [
        ("azure", "eu/gpt-4o-2024-11-20", "gpt-4o-2024-11-20"),
        ("bedrock", "us.anthropic.claude-opus-5", "claude-opus-5"),
        ("bedrock", "us.anthropic.claude-haiku-4-5-20251001-v1:0", "claude-haiku-4-5-20251001"),
        ("openrouter", "openai/gpt-5.6-luna:batch", "openai/gpt-5.6-luna"),
    ] {
        let mut usage = text(1000, 10);
        usage.served.model = Some(served.to_owned());
        assert_eq!(row(&priced(provider, asked, &usage)), asked);
    }
}

#[test]
fn an_unknown_model_has_no_price_but_what_was_reported() {
    let mut usage = text(1000, 10);
    let unknown = priced("openai", "gpt-99", &usage);
    assert_eq!((unknown.total, unknown.cost()), (None, None));
    assert!(unknown.marks.contains(&Mark::PriceUnknown("gpt-99".to_owned())));
    usage.reported.cost = Some("0.5".to_owned());
    usage.reported.cost_unit = Some("usd".to_owned());
    let reported = priced("openai", "gpt-99", &usage);
    assert_eq!(reported.cost(), Some(Money::parse("0.5").unwrap()));
    assert_eq!((reported.total, reported.difference()), (None, None));
}

#[test]
fn a_zero_is_a_fact_and_silence_is_none() {
    assert_eq!(total(&priced("openai", "gpt-4o", &text(0, 0))), "0");
    let silent = priced("openai", "gpt-4o", &Usage::default());
    assert_eq!(silent.total, None);
    assert!(silent.marks.contains(&Mark::UsageAbsent));
}

#[test]
fn the_upstreams_own_figure_is_booked_and_the_tables_kept() {
    let mut usage = text(10_000, 0);
    usage.reported.cost = Some("233000000".to_owned());
    usage.reported.cost_unit = Some("usd_ticks".to_owned());
    let priced = priced("xai", "grok-4.6", &usage);
    assert_eq!(total(&priced), "0.02");
    assert_eq!(priced.cost().unwrap().to_string(), "0.0233");
    assert_eq!(priced.difference().unwrap().to_string(), "0.0033");
}

#[test]
fn with_the_callers_own_key_fee_and_upstream_part_are_two_columns() {
    let mut usage = text(2000, 100);
    usage.reported.cost = Some("0.0003".to_owned());
    usage.reported.cost_unit = Some("usd".to_owned());
    usage.reported.upstream_cost = Some("0.006".to_owned());
    usage.reported.byok = Some(true);
    let own = priced("openrouter", "openai/gpt-4o", &usage);
    assert_eq!(own.reported.unwrap().to_string(), "0.0003");
    assert_eq!(own.reported_upstream.unwrap().to_string(), "0.006");
    assert_eq!(own.cost().unwrap().to_string(), "0.0063");
    // Without it the upstream part is inside.
    usage.reported.byok = Some(false);
    assert_eq!(priced("openrouter", "openai/gpt-4o", &usage).cost().unwrap().to_string(), "0.0003");
}

#[test]
fn a_cost_in_an_unknown_unit_is_not_taken_for_dollars() {
    let mut usage = text(1000, 0);
    usage.reported.cost = Some("7".to_owned());
    assert_eq!(priced("openai", "gpt-4o", &usage).reported, None);
}

#[test]
fn a_free_provider_costs_nothing_and_says_why() {
    let catalogue = Catalogue::builtin().with_free("ollama");
    let mut usage = text(1000, 10);
    usage.tools.insert("web_search".to_owned(), 2);
    usage.units.insert("images".to_owned(), "3".to_owned());
    usage.extra.push(("another".to_owned(), text(5, 5)));
    usage.reported.cost = Some("1".to_owned());
    usage.reported.cost_unit = Some("usd".to_owned());
    let free = price(&catalogue, "ollama", "whatever", &usage, &Occasion::default());
    assert_eq!((free.total, free.cost()), (Some(Money::ZERO), Some(Money::ZERO)));
    assert!(free.provenance.as_ref().unwrap().declared_free);
    assert!(free.marks.is_empty(), "{:?}", free.marks);
}

#[test]
fn a_configured_price_holds_whatever_the_answer_calls_the_model() {
    let own = rates_from([("input", "1"), ("output", "2")]).unwrap();
    let catalogue = Catalogue::builtin()
        .with_price("openai", "gpt-5.6-sol", own.clone())
        .with_price("acme", "house-model", own);
    let mut usage = text(1_000_000, 1_000_000);
    usage.served.model = Some("gpt-5.6-sol-2026-07-09".to_owned());
    let cost = |provider, model| price(&catalogue, provider, model, &usage, &Occasion::default());
    assert_eq!(total(&cost("openai", "gpt-5.6-sol")), "3", "no tier above a size either");
    assert_eq!(total(&cost("acme", "house-model")), "3");
    let provenance = cost("acme", "house-model").provenance.unwrap();
    assert_eq!(provenance.origin, Origin::Configured);
}

#[test]
fn only_the_tier_that_was_served_is_billed() {
    let asked = Occasion { requested_tier: Some("priority".to_owned()), ..Occasion::default() };
    let bill = |tier: Option<&str>| {
        let mut usage = text(1000, 0);
        usage.served.tier = tier.map(str::to_owned);
        price(&Catalogue::builtin(), "openai", "gpt-5", &usage, &asked)
    };
    assert_eq!(total(&bill(Some("priority"))), "0.0025");
    let silent = bill(None);
    assert_eq!(total(&silent), "0.00125");
    assert!(silent.marks.contains(&Mark::TierAssumed) && silent.is_approximate());
    assert!(!bill(Some("default")).is_approximate());
    let strange = bill(Some("hyper"));
    assert!(strange.marks.contains(&Mark::VariantUnlisted("hyper".to_owned())));
}

#[test]
fn who_asks_for_no_tier_of_its_own_gets_the_standard_one() {
    for (tier, assumed) in [
        ("auto", false),
        ("default", false),
        ("standard_only", false),
        ("SERVICE_TIER_STANDARD", false),
        ("service_tier_unspecified", false),
        ("flex", true),
        ("SERVICE_TIER_PRIORITY", true),
    ] {
        let asked = Occasion { requested_tier: Some(tier.to_owned()), ..Occasion::default() };
        let bill = price(&Catalogue::builtin(), "openai", "gpt-5", &text(1000, 0), &asked);
        assert_eq!(bill.marks.contains(&Mark::TierAssumed), assumed, "{tier}");
    }
}

#[test]
fn provisioned_capacity_is_paid_for_already() {
    let mut usage = text(1000, 10);
    usage.served.traffic = Some("PROVISIONED_THROUGHPUT".to_owned());
    let prepaid = priced("vertex", "gemini-2.5-flash", &usage);
    assert_eq!(total(&prepaid), "0");
    assert!(prepaid.marks.contains(&Mark::Prepaid));
    assert_eq!(prepaid.lines.len(), 2, "what was used is told all the same");
}

#[test]
fn the_last_two_percent_before_a_cliff_are_marked() {
    let marks = |prompt| priced("openai", "gpt-5.6-sol", &text(prompt, 1)).marks;
    let near = Mark::NearTier(272_000);
    assert!(!marks(266_559).contains(&near) && marks(266_560).contains(&near));
    assert!(marks(272_000).contains(&near) && !marks(272_001).contains(&near));
}

#[test]
fn a_model_inside_another_is_billed_at_its_own_rates_and_served_alike() {
    let mut usage = text(1000, 0);
    usage.served.batch = true;
    usage.extra.push(("claude-opus-5".to_owned(), text(1000, 0)));
    usage.extra.push(("claude-sonnet-5".to_owned(), text(1000, 0)));
    let bill = priced("anthropic", "claude-sonnet-5", &usage);
    let view = serde_json::to_value(bill.view(None)).unwrap();
    assert_eq!(
        view["components"],
        serde_json::json!({"input": "0.002", "claude-opus-5:input": "0.0025"})
    );
    usage.extra.push(("claude-99".to_owned(), text(1, 0)));
    let unknown = priced("anthropic", "claude-sonnet-5", &usage);
    assert_eq!(unknown.total, None);
    assert!(unknown.marks.contains(&Mark::PriceUnknown("claude-99".to_owned())));
}

#[test]
fn tokens_of_a_hosted_image_tool_are_billed_at_the_model_that_is_named_for_it() {
    let mut usage = text(1000, 0);
    let mut image = Usage::default();
    image.output = OutTokens { image: Some(1000), ..OutTokens::default() };
    usage.extra.push(("image_gen".to_owned(), image));
    let occasion = Occasion { image_model: Some("gpt-image-2".to_owned()), ..Occasion::default() };
    let bill = price(&Catalogue::builtin(), "openai", "gpt-5", &usage, &occasion);
    assert_eq!(total(&bill), "0.03125");
    assert_eq!(priced("openai", "gpt-5", &usage).total, None, "nobody says which model it was");
}

#[test]
fn a_rate_that_is_missing_makes_no_token_free() {
    let file = r#"{"schema": "tollgate-prices/1", "models": [
        {"provider": "acme", "id": "reader", "rates": {"input": "1"}}]}"#;
    let catalogue = Catalogue::empty().with_file(file).unwrap();
    let bill = price(&catalogue, "acme", "reader", &text(10, 1), &Occasion::default());
    assert_eq!(bill.total, None);
    assert!(bill.marks.contains(&Mark::ComponentUnpriced("output".to_owned())));
    assert_eq!(bill.lines.len(), 1, "what is known is told");
}

#[test]
fn a_tool_without_a_listed_fee_is_marked() {
    let mut usage = text(1000, 0);
    usage.tools.insert("telepathy".to_owned(), 1);
    let bill = priced("openai", "gpt-5", &usage);
    assert_eq!(total(&bill), "0.00125");
    assert!(bill.marks.contains(&Mark::FeeUnknown("telepathy".to_owned())));
}

#[test]
fn gemini_before_3_bills_a_grounded_prompt_and_later_each_query() {
    let search = |model: &str| {
        let mut usage = text(0, 0);
        usage.tools.insert("web_search".to_owned(), 3);
        priced("google", model, &usage)
    };
    assert_eq!(total(&search("gemini-2.5-flash")), "0.035");
    assert_eq!(total(&search("gemini-3.1-pro-preview")), "0.042");
    assert!(search("gemini-2.5-flash").marks.contains(&Mark::Allowance("web_search".to_owned())));
}

#[test]
fn usage_from_before_the_first_known_price_is_marked() {
    let at = |seconds| Occasion { completed_at: Some(seconds), ..Occasion::default() };
    let bill = |seconds| {
        price(&Catalogue::builtin(), "anthropic", "claude-haiku-5-5", &text(10, 0), &at(seconds))
    };
    assert!(bill(1_700_000_000).marks.contains(&Mark::BeforeKnown));
    assert!(bill(1_795_305_600).marks.is_empty());
}

#[test]
fn absurd_numbers_are_marked_or_priced_but_never_panic() {
    let mut usage = text(u64::MAX, u64::MAX);
    usage.read = usage.prompt;
    usage.write = vec![(Ttl::H12, usage.prompt); 3];
    usage.tools.insert("web_search".to_owned(), u64::MAX);
    assert!(priced("openai", "gpt-5.6-sol", &usage).total.is_some());
    usage.units.insert("audio_seconds".to_owned(), "1e400".to_owned());
    usage.units.insert("pages".to_owned(), "-1".to_owned());
    let bill = priced("openai", "gpt-5.6-sol", &usage);
    assert!(bill.marks.contains(&Mark::ComponentUnpriced("audio_seconds".to_owned())));

    let file = r#"{"schema": "tollgate-prices/1", "models": [{"provider": "acme", "id": "gold",
        "rates": {"input": "7922816251426433759354395033"}}]}"#;
    let catalogue = Catalogue::empty().with_file(file).unwrap();
    let bill = price(&catalogue, "acme", "gold", &usage, &Occasion::default());
    assert_eq!(bill.total, None);
    assert!(bill.marks.contains(&Mark::Overflow));
}

#[test]
fn cached_tokens_that_may_be_audio_make_the_price_approximate() {
    let mark = Mark::Approximate("cache_read".to_owned());
    let mut usage = text(10, 1);
    usage.prompt.audio = Some(20);
    assert!(!priced("openai", "gpt-audio", &usage).marks.contains(&mark), "nothing was cached");
    usage.read.text = Some(5);
    let bill = priced("openai", "gpt-audio", &usage);
    assert!(bill.marks.contains(&mark) && bill.is_approximate(), "{:?}", bill.marks);
    assert_eq!(mark.to_string(), "approx:cache_read");
    usage.read.audio = Some(0);
    assert!(!priced("openai", "gpt-audio", &usage).marks.contains(&mark), "the split is told");
}

#[test]
fn a_credit_for_a_fallback_will_be_repriced() {
    let occasion = Occasion { fallback_credit: true, ..Occasion::default() };
    let bill = price(&Catalogue::builtin(), "anthropic", "claude-opus-5", &text(1, 1), &occasion);
    assert!(bill.marks.contains(&Mark::RepriceExpected));
}

#[test]
fn a_price_as_json_is_money_in_text() {
    let view =
        serde_json::to_string(&priced("openai", "gpt-4o", &text(1000, 500)).view(Some("a1")));
    let view: serde_json::Value = serde_json::from_str(&view.unwrap()).unwrap();
    assert_eq!(view["id"], "a1");
    assert_eq!(view["billable"], serde_json::json!({"input": 1000, "output": 500}));
    assert_eq!(view["components"], serde_json::json!({"input": "0.0025", "output": "0.005"}));
    assert_eq!((&view["total_usd"], &view["quality"]), (&"0.0075".into(), &"exact".into()));
    assert_eq!(
        (&view["price"]["model"], &view["price"]["found_by"]),
        (&"gpt-4o".into(), &"exact".into())
    );
    assert_eq!(view["price"]["page_checked"].as_str().map(str::len), Some(10));
}

fn tokens() -> impl Strategy<Value = InTokens> {
    let count = || proptest::option::of(0u64..1 << 40);
    (count(), count(), count(), count(), count()).prop_map(
        |(text, image, audio, video, document)| InTokens { text, image, audio, video, document },
    )
}

fn any_usage() -> impl Strategy<Value = Usage> {
    let ttl = prop_oneof![
        Just(Ttl::M5),
        Just(Ttl::M30),
        Just(Ttl::H1),
        Just(Ttl::H12),
        Just(Ttl::Unknown)
    ];
    let writes = proptest::collection::vec((ttl, tokens()), 0..3);
    let tier = proptest::option::of(prop_oneof![
        Just("flex"),
        Just("priority"),
        Just("batch"),
        Just("ON_DEMAND_FLEX"),
        Just("?")
    ]);
    let out = proptest::option::of(0u64..1 << 40);
    (tokens(), tokens(), writes, out.clone(), out, tier).prop_map(
        |(prompt, read, write, text, reasoning, tier)| {
            let mut usage = Usage::default();
            usage.prompt = prompt;
            usage.read = read;
            usage.write = write;
            usage.output.text = text;
            usage.reasoning = reasoning;
            usage.served.tier = tier.map(str::to_owned);
            usage
        },
    )
}

fn any_model() -> impl Strategy<Value = (&'static str, &'static str)> {
    prop_oneof![
        Just(("openai", "gpt-5.6-sol")),
        Just(("openai", "gpt-4o")),
        Just(("anthropic", "claude-haiku-5-5")),
        Just(("anthropic", "claude-opus-5")),
        Just(("google", "gemini-3.1-pro-preview")),
        Just(("google", "gemini-2.5-flash")),
        Just(("xai", "grok-4.6")),
        Just(("deepseek", "deepseek-flash")),
        Just(("bedrock", "us.anthropic.claude-sonnet-4-5-20250929-v1:0")),
        Just(("perplexity", "sonar-deep-research")),
    ]
}

fn occasions() -> impl Strategy<Value = Occasion> {
    (proptest::option::of(1_600_000_000u64..1_900_000_000), any::<bool>(), any::<bool>()).prop_map(
        |(completed_at, batch, eu)| Occasion {
            completed_at,
            batch,
            residency: eu.then(|| "eu".to_owned()),
            ..Occasion::default()
        },
    )
}

proptest! {
    #[test]
    fn the_lines_are_the_total_and_none_is_negative(
        usage in any_usage(),
        (provider, model) in any_model(),
        occasion in occasions(),
    ) {
        let bill = price(&Catalogue::builtin(), provider, model, &usage, &occasion);
        prop_assert!(bill.lines.iter().all(|line| line.usd >= Money::ZERO));
        let sum = Money::sum(bill.lines.iter().map(|line| line.usd))?;
        match bill.total {
            Some(total) => prop_assert_eq!(total, sum),
            None => prop_assert!(!bill.marks.is_empty()),
        }
        for line in &bill.lines {
            let exact = line.quantity * line.rate * line.factor / Decimal::from(1_000_000);
            prop_assert_eq!(line.usd, Money::new(exact));
        }
    }

    #[test]
    fn no_token_is_lost_on_the_way_to_the_bill(
        usage in any_usage(),
        (provider, model) in any_model(),
    ) {
        let bill = price(&Catalogue::builtin(), provider, model, &usage, &Occasion::default());
        let billed: Decimal = bill.lines.iter().map(|line| line.quantity).sum();
        prop_assert_eq!(billed, Decimal::from(usage.prompt_total() + usage.output_total()));
    }

    #[test]
    fn more_of_anything_never_costs_less(
        usage in any_usage(),
        (provider, model) in any_model(),
        occasion in occasions(),
        more in 0u64..1 << 20,
        part in 0usize..5,
    ) {
        let mut larger = usage.clone();
        let count = match part {
            0 => &mut larger.prompt.text,
            1 => &mut larger.read.audio,
            2 => &mut larger.output.text,
            3 => &mut larger.reasoning,
            _ => &mut larger.prompt.image,
        };
        *count = Some(count.unwrap_or(0) + more);
        let cost = |usage: &Usage| {
            let bill = price(&Catalogue::builtin(), provider, model, usage, &occasion);
            (bill.provenance.unwrap().tier_above, bill.total.unwrap_or_default())
        };
        let ((tier, less), (other, grown)) = (cost(&usage), cost(&larger));
        // Reasoning may bring rates of its own with it: that is another tier, not more of one.
        let same = usage.reasoning.unwrap_or(0) > 0 || part != 3;
        prop_assert!(grown >= less || tier != other || !same);
    }
}
