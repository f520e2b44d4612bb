//! Rules for marks that arrange a text and have no sound. They come before the text is cut into
//! sentences.

use super::Rule;

/// Rules for lists.
pub(super) const RULES: &[Rule] = &[
    // Each item of a list becomes a paragraph.
    (r"\n *(?:[-*•–—]+ +|([0-9]{1,2}[.)] ))", |found| Some(format!("\n\n{}", found.get(1)))),
];
