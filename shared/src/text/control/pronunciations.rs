//! Words that a caller wants to be said in another way.

use regex::RegexBuilder;

use crate::text::mapped_text::{MappedText, Rewriter};

/// Word and how to say it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pronunciation {
    /// Word or words as written. Capitals and small letters are the same.
    pub word: String,
    /// Words that are said in their place.
    pub say: String,
}

/// Replaces whole words. Of several that begin at the same place, the longest counts.
pub(in crate::text) fn replaced(text: &MappedText, pronunciations: &[Pronunciation]) -> MappedText {
    if pronunciations.is_empty() {
        return text.clone();
    }
    let mut longest_first: Vec<_> = pronunciations.iter().collect();
    longest_first.sort_by_key(|pronunciation| std::cmp::Reverse(pronunciation.word.len()));
    let words = longest_first.iter().map(|pronunciation| format!("({})", whole(&pronunciation.word)));
    let pattern = words.collect::<Vec<_>>().join("|");
    // A pattern of the longest list is far below the limit on its size.
    let Ok(pattern) = RegexBuilder::new(&pattern).case_insensitive(true).build() else { return text.clone() };
    let mut said = Rewriter::new(text);
    for found in pattern.captures_iter(text.text()) {
        let group = found.iter().skip(1).zip(&longest_first).find_map(|(group, word)| Some((group?, word)));
        if let Some((group, pronunciation)) = group
            && is_whole(text.text(), &group.range())
        {
            said.replace(group.range(), &pronunciation.say);
        }
    }
    said.finish()
}

/// Returns true if the word at a place is not a part of a name with signs: `C` of `C#`, `.NET` of
/// `ASP.NET`.
fn is_whole(text: &str, range: &std::ops::Range<usize>) -> bool {
    let touches = |letter: Option<char>, signs: &str| {
        letter.is_some_and(|letter| letter.is_alphanumeric() || signs.contains(letter))
    };
    !touches(text[..range.start].chars().next_back(), "") && !touches(text[range.end..].chars().next(), "#+")
}

/// Returns a pattern that matches the word where no letter or digit touches it.
fn whole(word: &str) -> String {
    let edge = |letter: Option<char>| if letter.is_some_and(|letter| letter.is_alphanumeric()) { r"\b" } else { "" };
    let (first, last) = (edge(word.chars().next()), edge(word.chars().next_back()));
    format!("{first}{}{last}", regex::escape(word))
}
