use std::fmt;

/// Why a price file was not taken: which model, which field, what is wrong with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PriceFileError {
    model: Option<String>,
    field: Option<String>,
    problem: String,
}

impl PriceFileError {
    pub(crate) fn new(problem: impl fmt::Display) -> Self {
        Self { model: None, field: None, problem: problem.to_string() }
    }

    pub(crate) fn at(field: impl Into<String>, problem: impl fmt::Display) -> Self {
        Self { field: Some(field.into()), ..Self::new(problem) }
    }

    pub(crate) fn of(mut self, model: impl Into<String>) -> Self {
        self.model = Some(model.into());
        self
    }

    /// The model it is about, `openai/gpt-5`.
    pub fn model(&self) -> Option<&str> {
        self.model.as_deref()
    }

    /// The field it is about, `rates.input`.
    pub fn field(&self) -> Option<&str> {
        self.field.as_deref()
    }
}

impl fmt::Display for PriceFileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(model) = &self.model {
            write!(f, "model {model}: ")?;
        }
        if let Some(field) = &self.field {
            write!(f, "{field}: ")?;
        }
        f.write_str(&self.problem)
    }
}

impl std::error::Error for PriceFileError {}
