//! The pipeline folder that the demo applies: the first example for users, embedded.

/// Name of the pipeline.
pub const NAME: &str = "flights";

/// File names and texts.
pub fn files() -> Vec<(String, String)> {
    [
        (
            "1-sources.sql",
            include_str!("../../../../examples/flights/1-sources.sql"),
        ),
        (
            "2-views.sql",
            include_str!("../../../../examples/flights/2-views.sql"),
        ),
        (
            "3-sinks.sql",
            include_str!("../../../../examples/flights/3-sinks.sql"),
        ),
        (
            "4-alerts.sql",
            include_str!("../../../../examples/flights/4-alerts.sql"),
        ),
    ]
    .map(|(name, text)| (name.to_owned(), text.to_owned()))
    .to_vec()
}
