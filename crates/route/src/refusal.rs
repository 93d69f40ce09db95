//! What a caller is told whom nobody can answer.

use tollgate_core::{Class, Refusal, Skip, Skipped};

/// So many targets are told of.
const TOLD: usize = 5;

/// Says that the key may not use a model.
pub(crate) fn not_allowed(asked: &str) -> Refusal {
    let message = format!("this API key may not use the model `{asked}`");
    Refusal::new(Class::Permission, message).param("model").code("model_not_allowed")
}

/// Says why nobody can answer: what the first target lacks decides what kind of no it is.
pub(crate) fn nobody(asked: &str, skipped: &[Skipped]) -> Refusal {
    let fit = skipped.iter().find(|skipped| skipped.why != Skip::NotAllowed);
    let Some(first) = fit else { return not_allowed(asked) };
    let mut message = match skipped.len() {
        1 => match first.why {
            Skip::Unspoken(protocol) => {
                format!("provider `{}` does not speak {protocol}", first.target.provider)
            }
            _ => format!("no target can take this request for `{asked}`: {}", told(first)),
        },
        _ => {
            let reasons: Vec<_> = skipped.iter().take(TOLD).map(told).collect();
            format!("no target can take this request for `{asked}`: {}", reasons.join("; "))
        }
    };
    if skipped.len() > TOLD {
        message.push_str(&format!("; and {} more", skipped.len() - TOLD));
    }
    let (class, param) = kind(&first.why);
    let refusal = Refusal::new(class, message).code("no_fit_target");
    match param {
        Some(param) => refusal.param(param),
        None => refusal,
    }
}

fn told(skipped: &Skipped) -> String {
    format!("`{}`: {}", skipped.target.name(), skipped.why)
}

fn kind(why: &Skip) -> (Class, Option<String>) {
    let param = |name: &str| Some(name.to_owned());
    match why {
        Skip::NotAllowed => (Class::Permission, param("model")),
        Skip::Unwanted(wish) => (Class::NotFound, Some(format!("provider.{wish}"))),
        Skip::TooDear(..) | Skip::PriceUnknown => (Class::NotFound, param("provider.max_price")),
        Skip::DataPolicy => (Class::NotFound, param("provider")),
        Skip::Window { .. } => (Class::ContextLength, None),
        Skip::Unspoken(_) | Skip::NoOperation(_) => (Class::InvalidRequest, param("model")),
        Skip::Lacks("tools") => (Class::InvalidRequest, param("tools")),
        _ => (Class::InvalidRequest, None),
    }
}
