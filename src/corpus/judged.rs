//! What people say of texts: which part answers a question, which document answers a query.

use std::collections::HashMap;

/// A question with the text that answers it, or does not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TextQuestion {
    /// What the answers are parts of.
    pub text: String,
    /// Right answers, as people wrote them; none where the text holds none.
    pub answers: Vec<String>,
    /// For each window and each of its tokens the bytes of the text that it stands for, where it stands for some.
    pub windows: Vec<Vec<Option<(usize, usize)>>>,
}

/// A window of a text behind a question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct TextWindow {
    pub(super) ids: Vec<u32>,
    pub(super) types: Vec<u32>,
    /// Bytes of the text that each token stands for.
    pub(super) places: Vec<Option<(usize, usize)>>,
}

/// Which documents answer which queries; sequences are the documents, then the queries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Relevance {
    /// Names of the documents.
    pub documents: Vec<String>,
    /// Names of the queries that have a document.
    pub queries: Vec<String>,
    /// For each query the documents that answer it, and how well.
    pub judged: Vec<HashMap<usize, u32>>,
}
