use std::time::{Duration, Instant};

use tollgate_core::{Class, Ejection, Scope, Skip};
use tollgate_route::{Alias, Order, Resolve, Router};

use crate::support::*;

#[test]
fn who_keeps_what_a_request_goes_on_from_is_asked_and_other_providers_are_not() {
    let speak = |name| provider(name, &[RESPONSES]);
    let b = speak("b").deployments(["b#1", "b#2"]);
    let router = Router::new([speak("a"), b])
        .aliases([("any", Alias::new(["a/m", "b/m"]))])
        .random(numbers(1));
    let on = |member: &str| {
        Request::new(RESPONSES, format!(r#"{{"model":"any","input":"x",{member}}}"#))
    };
    let plan = on(r#""store":true"#).plan(&router).unwrap();
    let owner = plan.chosen.iter().find(|step| &*step.target.deployment == "b#2").unwrap();
    router.keeps("resp_1", &owner.target);
    let next = on(r#""previous_response_id":"resp_1""#);
    assert_eq!(next.targets(&router), ["b#2/m", "b#1/m"]);
    assert_eq!(next.plan(&router).unwrap().skipped[0].why, Skip::State);
    assert_eq!(on(r#""previous_response_id":"resp_2""#).targets(&router).len(), 3, "nobody knows");
    let only = Router::new([speak("a"), speak("b")]).aliases([("any", Alias::new(["a/m", "b/m"]))]);
    only.keeps("resp_1", &on("\"x\":1").plan(&only).unwrap().chosen[1].target);
    let plan = next.plan(&only).unwrap();
    assert_eq!(plan.chosen.len(), 1);
    assert!(plan.affinity.is_some(), "there will be a next one");
    let talk = on(r#""conversation":{"id":"conv_1"}"#);
    router.answered(talk.plan(&router).unwrap().affinity.unwrap(), &owner.target);
    assert_eq!(talk.first(&router), "b#2/m");
}

const MINUTE: Duration = Duration::from_secs(60);

fn two() -> Router {
    Router::new([provider("a", &[CHAT, MESSAGES]), provider("b", &[CHAT, MESSAGES])])
        .aliases([("any", Alias::new(["a/m", "b/m"]))])
        .random(numbers(1))
}

/// A conversation of so many turns that begins with `words` words.
fn turns(words: usize, turns: usize) -> String {
    let begin = format!(r#"{{"role":"user","content":"{}"}}"#, "word ".repeat(words));
    let more = r#",{"role":"assistant","content":"yes"},{"role":"user","content":"more"}"#;
    format!(r#"{{"model":"any","messages":[{begin}{}]}}"#, more.repeat(turns))
}

/// Lets the second target answer.
fn answered(router: &Router, request: &Request) {
    let plan = request.plan(router).unwrap();
    let b = plan.chosen.iter().find(|step| &*step.target.provider == "b").unwrap();
    router.answered(plan.affinity.unwrap(), &b.target);
}

#[test]
fn a_conversation_stays_while_its_cache_is_warm() {
    let (router, now) = (two(), Instant::now());
    assert_eq!(Request::new(CHAT, turns(2000, 0)).first(&router), "a/m");
    answered(&router, &Request::new(CHAT, turns(2000, 0)));
    let next = Request::new(CHAT, turns(2000, 1));
    assert_eq!(next.clone().at(now + 4 * MINUTE).targets(&router), ["b/m", "a/m"]);
    assert_eq!(next.at(now + 6 * MINUTE).first(&router), "a/m");
    assert_eq!(Request::new(CHAT, turns(2001, 1)).first(&router), "a/m", "another conversation");
    assert_eq!(
        Request::new(CHAT, turns(2000, 1)).by(&["any"]).first(&router),
        "a/m",
        "another key"
    );
}

#[test]
fn another_question_with_the_same_words_is_no_conversation() {
    let router = two();
    answered(&router, &Request::new(CHAT, turns(2000, 0)));
    assert_eq!(Request::new(CHAT, turns(2000, 0)).first(&router), "a/m");
}

#[test]
fn what_no_upstream_caches_does_not_stay() {
    let router = two();
    answered(&router, &Request::new(CHAT, turns(10, 0)));
    assert_eq!(Request::new(CHAT, turns(10, 1)).first(&router), "a/m");
}

#[test]
fn reasoning_stays_with_who_made_it_after_the_cache_is_cold() {
    let (router, now) = (two(), Instant::now());
    answered(&router, &Request::new(MESSAGES, turns(10, 0)));
    let thought = turns(10, 1).replace(r#""content":"yes""#, r#""content":[{"type":"thinking"}]"#);
    let later = Request::new(MESSAGES, thought).at(now + 60 * MINUTE);
    let plan = later.plan(&router).unwrap();
    assert_eq!(later.targets(&router), ["b/m", "a/m"]);
    assert!(plan.chosen[0].reason.contains("reasoning"));
}

#[test]
fn who_cannot_read_anothers_reasoning_is_left_out() {
    let thought = turns(10, 1).replace(r#""content":"yes""#, r#""content":[{"type":"thinking"}]"#);
    let thought = Request::new(MESSAGES, thought);
    for bound in [true, false] {
        let router = two().abilities(move |_, caps| caps.bound_reasoning = bound);
        assert_eq!(thought.targets(&router), ["a/m", "b/m"], "nobody knows who made it");
        answered(&router, &Request::new(MESSAGES, turns(10, 0)));
        let plan = thought.plan(&router).unwrap();
        let skipped: Vec<_> = plan.skipped.into_iter().map(|skipped| skipped.why).collect();
        assert_eq!(skipped, if bound { vec![Skip::Reasoning] } else { vec![] });
        assert_eq!(thought.first(&router), "b/m");
    }
}

#[test]
fn who_is_set_aside_is_not_asked_first_for_its_cache() {
    let (router, now) = (two(), Instant::now());
    let board = tollgate_core::Board::new();
    let router = router.board(board.clone());
    answered(&router, &Request::new(CHAT, turns(2000, 0)));
    let plan = Request::new(CHAT, turns(2000, 1)).plan(&router).unwrap();
    let target = plan.first().unwrap();
    assert_eq!(&*target.provider, "b");
    board.of(target).eject(Scope::Model, Ejection::new(Class::RateLimit, now, now + MINUTE));
    assert_eq!(Request::new(CHAT, turns(2000, 1)).first(&router), "a/m");
}

#[test]
fn the_first_name_asked_for_goes_before_a_warm_cache_of_another() {
    let router = two();
    let ask = |number| {
        let body = turns(2000, number).replace(r#""any""#, r#""a/m""#);
        Request::new(CHAT, body).wishing(r#"{"models":["b/m"]}"#)
    };
    answered(&router, &ask(0));
    assert_eq!(ask(1).targets(&router), ["a/m", "b/m"]);
}

#[test]
fn a_plan_of_one_target_remembers_nothing() {
    let request = Request::new(CHAT, turns(2000, 0).replace("any", "a/m"));
    assert_eq!(request.plan(&two()).unwrap().affinity, None);
}

#[test]
fn a_weighted_route_keeps_its_weights_for_short_questions() {
    let aliases = [("any", Alias::new(["a/m", "b/m"]).order(Order::Weighted))];
    let router = two().aliases(aliases).random(numbers(3));
    let mut firsts = 0;
    for _ in 0..1000 {
        let request = Request::new(CHAT, turns(1, 0));
        let plan = request.plan(&router).unwrap();
        router.answered(plan.affinity.unwrap(), plan.first().unwrap());
        firsts += usize::from(&*plan.first().unwrap().provider == "a");
    }
    assert!((400..600).contains(&firsts), "{firsts}");
}
