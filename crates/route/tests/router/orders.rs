use std::time::{Duration, Instant};

use proptest::prelude::*;
use tollgate_core::{Board, Class, Ejection, InFlight, Protocol, Scope, Target};
use tollgate_route::{Alias, AliasTarget, Order, Router};

use crate::support::*;

const SECOND: Duration = Duration::from_secs(1);

/// Targets a, b and c behind `any`, in this order, by what is known on `board`.
fn three(order: Order, board: &Board, seed: u64) -> Router {
    weighted(order, board, seed, [1, 1, 1])
}

fn weighted(order: Order, board: &Board, seed: u64, weights: [u32; 3]) -> Router {
    let names = ["a", "b", "c"];
    let target = |i: usize| AliasTarget::new(format!("{}/m", names[i])).weight(weights[i]);
    Router::new(names.map(|name| provider(name, &[CHAT])))
        .aliases([("any", Alias::new([0, 1, 2].map(target)).order(order))])
        .board(board.clone())
        .random(numbers(seed))
}

fn target(name: &'static str) -> Target {
    Target::new(name, Protocol::OpenAiChat, "m", http::Uri::from_static("http://upstream.test"))
}

fn question() -> Request {
    Request::of(CHAT, "any")
}

/// How often each of a, b, c is first in 1000 plans.
fn firsts(router: &Router) -> [usize; 3] {
    let mut counts = [0; 3];
    for _ in 0..1000 {
        let first = question().first(router);
        counts[usize::from(first.as_bytes()[0] - b'a')] += 1;
    }
    counts
}

fn busy(board: &Board, loads: [u64; 3]) -> Vec<InFlight> {
    ["a", "b", "c"].iter().zip(loads).map(|(n, load)| board.of(&target(n)).begin(load)).collect()
}

#[test]
fn priority_is_the_order_of_the_list() {
    let router = three(Order::Priority, &Board::new(), 3);
    assert_eq!(firsts(&router), [1000, 0, 0]);
    assert_eq!(question().targets(&router), ["a/m", "b/m", "c/m"]);
}

#[test]
fn the_keys_of_one_place_share_its_load_and_stay_in_it() {
    let keys = provider("a", &[CHAT]).deployments(["a#1", "a#2"]);
    let board = Board::new();
    let router = Router::new([keys, provider("b", &[CHAT])])
        .aliases([("any", Alias::new(["a/m", "b/m"]))])
        .board(board.clone())
        .random(numbers(1));
    let mut one = target("a");
    one.deployment = "a#1".into();
    let _busy = board.of(&one).begin(10);
    for _ in 0..20 {
        assert_eq!(question().targets(&router), ["a#2/m", "a#1/m", "b/m"]);
    }
}

#[test]
fn who_has_no_weight_is_asked_last() {
    let router = weighted(Order::Weighted, &Board::new(), 1, [0, 1, 0]);
    assert_eq!(firsts(&router), [0, 1000, 0]);
    assert_eq!(question().targets(&router).len(), 3);
    let router = weighted(Order::Load, &Board::new(), 1, [0, 1, 1]);
    assert_eq!(firsts(&router)[0], 0);
}

#[test]
fn load_takes_the_less_busy_of_two_and_never_the_busiest_of_all() {
    let board = Board::new();
    let _busy = busy(&board, [300, 200, 100]);
    let router = three(Order::Load, &board, 5);
    let [a, b, c] = firsts(&router);
    assert_eq!(a, 0);
    assert!((250..420).contains(&b) && (580..750).contains(&c), "{b} {c}");
    let plan = question().plan(&router).unwrap();
    assert_eq!(plan.chosen[2].score, Some(300.0), "the rest by load");
}

#[test]
fn fault_32_who_is_well_again_gets_its_share_little_by_little() {
    let now = Instant::now();
    let standing = |board: &Board| {
        let standing = board.of(&target("a"));
        standing.eject(Scope::Model, Ejection::new(Class::Overloaded, now, now + 20 * SECOND));
        standing.recovered(now + 20 * SECOND);
    };
    for order in [Order::Weighted, Order::Load] {
        let board = Board::new();
        standing(&board);
        let router = three(order, &board, 7);
        let first = |after: u64| {
            let at = now + Duration::from_secs(20 + after);
            (0..1000).filter(|_| question().at(at).first(&router) == "a/m").count()
        };
        let shares = [0, 10, 20].map(first);
        assert!((20..120).contains(&shares[0]), "{order:?}: {shares:?}");
        assert!((130..270).contains(&shares[1]), "{order:?}: {shares:?}");
        assert!((290..380).contains(&shares[2]), "{order:?}: {shares:?}");
    }
}

#[test]
fn cost_is_that_of_this_request_and_unknown_is_never_cheap() {
    let order = Alias::new(["groq/nobody-knows", "openai/gpt-5", "openai/gpt-5-mini"]);
    let router = router().aliases([("any", order.order(Order::Cost))]);
    let expected = ["openai/gpt-5-mini", "openai/gpt-5", "groq/nobody-knows"];
    let plan = question().plan(&router).unwrap();
    assert_eq!(question().targets(&router), expected);
    assert!(plan.chosen[0].score < plan.chosen[1].score && plan.chosen[2].score.is_none());
    // Much in and little out, or the other way round: another is the cheaper one.
    let rates = |input, output| {
        tollgate_catalog::rates_from([("input", input), ("output", output)]).unwrap()
    };
    let catalogue = tollgate_catalog::Catalogue::empty()
        .with_price("a", "m", rates("1", "100"))
        .with_price("b", "m", rates("10", "10"))
        .with_price("c", "m", rates("100", "100"));
    let router = three(Order::Cost, &Board::new(), 1).catalogue(catalogue);
    let text = "word ".repeat(4000);
    let long = format!(r#"{{"model":"any","max_tokens":1,"messages":[{{"content":"{text}"}}]}}"#);
    assert_eq!(Request::new(CHAT, long).first(&router), "a/m");
    let short = r#"{"model":"any","max_tokens":10000}"#;
    assert_eq!(Request::new(CHAT, short).first(&router), "b/m");
}

#[test]
fn latency_asks_the_fastest_and_leaves_it_when_it_slows_down() {
    let (board, now) = (Board::new(), Instant::now());
    for (name, seconds) in [("a", 3), ("b", 1), ("c", 2)] {
        board.of(&target(name)).saw_first_content(now, seconds * SECOND);
    }
    let router = three(Order::Latency, &board, 2);
    assert_eq!(question().at(now).targets(&router), ["b/m", "c/m", "a/m"]);
    board.of(&target("b")).saw_first_content(now, 9 * SECOND);
    assert_eq!(question().at(now).targets(&router), ["c/m", "a/m", "b/m"]);
    // A long answer is told by the rate of the output, a burst is spread.
    board.of(&target("a")).saw_output(now, 1_000_000, SECOND);
    board.of(&target("c")).saw_output(now, 100, SECOND);
    assert_eq!(question().at(now).first(&router), "a/m");
    let calls: Vec<_> = (0..40).map(|_| board.of(&target("a")).begin(0)).collect();
    assert_ne!(question().at(now).first(&router), "a/m");
    drop(calls);
}

#[test]
fn latency_knows_json_by_json_and_streams_by_streams() {
    let (board, now) = (Board::new(), Instant::now());
    for (name, whole, first) in [("a", 9, 1), ("b", 8, 2), ("c", 7, 3)] {
        board.of(&target(name)).saw_answer(now, whole * SECOND);
        board.of(&target(name)).saw_first_content(now, first * SECOND);
    }
    let router = three(Order::Latency, &board, 2);
    assert_eq!(question().at(now).targets(&router), ["c/m", "b/m", "a/m"]);
    let stream = Request::new(CHAT, r#"{"model":"any","stream":true}"#);
    assert_eq!(stream.at(now).targets(&router), ["a/m", "b/m", "c/m"]);
    // Who only ever answered one of them is known by that.
    let board = Board::new();
    for (name, seconds) in [("a", 3), ("b", 1), ("c", 2)] {
        board.of(&target(name)).saw_answer(now, seconds * SECOND);
    }
    let router = three(Order::Latency, &board, 2);
    let stream = Request::new(CHAT, r#"{"model":"any","stream":true}"#);
    assert_eq!(stream.at(now).targets(&router), ["b/m", "c/m", "a/m"]);
}

#[test]
fn latency_tries_who_was_never_seen_and_now_and_then_who_was_not_seen_for_long() {
    let (board, now) = (Board::new(), Instant::now());
    board.of(&target("a")).saw_first_content(now, SECOND);
    board.of(&target("b")).saw_first_content(now, 5 * SECOND);
    let router = three(Order::Latency, &board, 9);
    let first = |at: Instant| {
        let mut counts = [0; 3];
        for _ in 0..1000 {
            let first = question().at(at).first(&router);
            counts[usize::from(first.as_bytes()[0] - b'a')] += 1;
        }
        counts
    };
    let [_, b, c] = first(now);
    assert!(b == 0 && (400..600).contains(&c), "{b} {c}");
    let calls = board.of(&target("c")).begin(1);
    assert_eq!(first(now), [1000, 0, 0], "one at a time");
    let [_, b, c] = first(now + 100 * SECOND);
    assert!((20..120).contains(&b) && c == 0, "{b} {c}");
    drop(calls);
}

#[test]
fn balanced_weighs_cost_speed_and_load() {
    let (board, now) = (Board::new(), Instant::now());
    let rates =
        |price| tollgate_catalog::rates_from([("input", price), ("output", price)]).unwrap();
    let catalogue = tollgate_catalog::Catalogue::empty()
        .with_price("a", "m", rates("1"))
        .with_price("b", "m", rates("2"))
        .with_price("c", "m", rates("3"));
    let unseen = three(Order::Balanced, &board, 2).catalogue(catalogue.clone());
    assert_eq!(firsts(&unseen), [1000, 0, 0], "by cost alone");
    for (name, seconds) in [("a", 4), ("b", 1), ("c", 1)] {
        board.of(&target(name)).saw_first_content(now, seconds * SECOND);
    }
    let router = three(Order::Balanced, &board, 2).catalogue(catalogue);
    assert_eq!(question().at(now).targets(&router), ["b/m", "c/m", "a/m"]);
    let _busy = busy(&board, [0, 1000, 0]);
    assert_eq!(question().at(now).first(&router), "c/m");
}

#[test]
fn who_is_set_aside_goes_behind_and_stays_in_the_plan() {
    let (board, now) = (Board::new(), Instant::now());
    for order in Order::ALL {
        let router = three(order, &board, 4);
        let until = now + 10 * SECOND;
        board.of(&target("a")).eject(Scope::Model, Ejection::new(Class::RateLimit, now, until));
        let asked = question().at(now).targets(&router);
        assert_eq!((asked.len(), &*asked[2]), (3, "a/m"), "{order}");
        let plan = question().at(now).plan(&router).unwrap();
        assert!(plan.chosen[2].reason.contains("set aside"));
    }
    // Once its time is over somebody must ask it.
    let router = three(Order::Priority, &board, 4);
    assert_eq!(question().at(now + 11 * SECOND).first(&router), "a/m");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]

    #[test]
    fn weights_converge(seed in any::<u64>(), weights in prop::array::uniform3(1_u32..10)) {
        let router = weighted(Order::Weighted, &Board::new(), seed, weights);
        let all: u32 = weights.iter().sum();
        for (count, weight) in firsts(&router).into_iter().zip(weights) {
            let expected = f64::from(weight) / f64::from(all);
            let seen = count as f64 / 1000.0;
            // Five standard deviations of a thousand draws, at most.
            prop_assert!((seen - expected).abs() < 0.08, "{seen} {expected}");
        }
    }

    #[test]
    fn two_choices_never_take_the_busiest(seed in any::<u64>(), loads in prop::array::uniform3(0_u64..1000)) {
        let most = loads.iter().max().copied().unwrap();
        prop_assume!(loads.iter().filter(|load| **load == most).count() == 1);
        let board = Board::new();
        let _busy = busy(&board, loads);
        let first = question().first(&three(Order::Load, &board, seed));
        let index = usize::from(first.as_bytes()[0] - b'a');
        prop_assert!(loads[index] < most);
    }

    #[test]
    fn every_plan_has_every_target_once(
        seed in any::<u64>(),
        order in prop::sample::select(Order::ALL.to_vec()),
        loads in prop::array::uniform3(0_u64..1000),
        times in prop::array::uniform3(prop::option::of(1_u64..100)),
        aside in prop::array::uniform3(any::<bool>()),
    ) {
        let (board, now) = (Board::new(), Instant::now());
        let _busy = busy(&board, loads);
        for (i, name) in ["a", "b", "c"].into_iter().enumerate() {
            let standing = board.of(&target(name));
            if let Some(seconds) = times[i] {
                standing.saw_first_content(now, Duration::from_secs(seconds));
            }
            if aside[i] {
                standing.eject(Scope::Model, Ejection::new(Class::Timeout, now, now + SECOND));
            }
        }
        let make = || question().at(now).targets(&three(order, &board, seed));
        let asked = make();
        prop_assert_eq!(&asked, &make(), "the same chance gives the same order");
        let mut sorted = asked.clone();
        sorted.sort();
        prop_assert_eq!(sorted, ["a/m", "b/m", "c/m"]);
        let is_aside = |name: &String| aside[usize::from(name.as_bytes()[0] - b'a')];
        prop_assert!(asked.iter().map(is_aside).is_sorted(), "{:?} {:?}", asked, aside);
    }
}
