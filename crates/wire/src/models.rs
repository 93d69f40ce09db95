/// A model as the lists of all protocols show it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ModelCard {
    /// The name a client asks for.
    pub id: String,
    /// Who owns or serves it.
    pub owner: String,
    /// A name for people; the id where there is none.
    pub display_name: Option<String>,
    /// Unix seconds; 0 where unknown.
    pub created: u64,
    /// Input limit in tokens.
    pub max_input_tokens: Option<u64>,
    /// Output limit in tokens.
    pub max_output_tokens: Option<u64>,
}
