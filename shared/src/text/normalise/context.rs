//! What stands around a match: the words and numbers before and behind it.

use super::RuleMatch;

impl<'t> RuleMatch<'t> {
    /// Returns `words` with a space before a letter that touches the match from behind.
    pub(super) fn before_letters(&self, words: &str) -> String {
        format!("{words}{}", if self.after().is_some_and(char::is_alphanumeric) { " " } else { "" })
    }

    /// Returns `words` with spaces around them.
    pub(super) fn spaced(&self, words: &str) -> String {
        let space = if self.before().is_none_or(char::is_whitespace) { "" } else { " " };
        format!("{space}{words} ")
    }

    /// Returns the last character before the match that is no blank.
    pub(super) fn before_blank(&self) -> Option<char> {
        self.head.trim_end().chars().next_back()
    }

    /// Returns the word in front of the match, behind one blank; empty if there is none.
    pub(super) fn previous_word(&self) -> &'t str {
        last_word(self.head)
    }

    /// Returns the word behind the match and a blank.
    pub(super) fn next_word(&self) -> &'t str {
        let rest = self.rest.trim_start_matches([' ', '-']);
        rest.split(|letter: char| !letter.is_alphanumeric()).next().unwrap_or_default()
    }

    /// Returns the text before a number whose last digit begins the match.
    pub(super) fn before_number(&self) -> &'t str {
        self.head.trim_end_matches(|letter: char| letter.is_ascii_digit() || ".,/".contains(letter))
    }

    /// Returns the word before a number whose last digit begins the match.
    pub(super) fn word_before_number(&self) -> &'t str {
        last_word(self.before_number())
    }

    /// Returns the letters and signs that join the number whose last digit begins the match, as in
    /// `A1-2345`; empty if the number stands alone.
    pub(super) fn token_before(&self) -> &'t str {
        let number = |letter: char| letter.is_ascii_digit() || ".,/".contains(letter);
        let head = self.head.trim_end_matches(number);
        // The section of a manual: `rand(3m)`.
        if head.strip_suffix('(').is_some_and(|name| name.ends_with(char::is_alphanumeric)) {
            return "(";
        }
        if self.head[head.len()..].contains('/') {
            return "";
        }
        let joined = |letter: char| letter.is_alphanumeric() || "_#$€£¥".contains(letter);
        let hyphen = head.strip_suffix('-').filter(|head| head.ends_with(char::is_alphabetic)).unwrap_or(head);
        let bare = hyphen.trim_end_matches(joined);
        &hyphen[bare.len()..]
    }

    /// Returns true if the number whose last digits are `digits` is one, and not the end of a
    /// greater one.
    pub(super) fn is_one(&self, digits: &str) -> bool {
        let part = self.head.chars().next_back().is_some_and(|before| before.is_ascii_digit() || ".,".contains(before));
        let less = |(top, bottom): (&str, &str)| top.parse::<u32>().ok() < bottom.parse().ok();
        let fraction = digits.split_once('/').is_some_and(less) || (digits.len() == 1 && is_share(self.head, digits));
        let range = [" to ", " and "].iter().any(|to| {
            self.head.strip_suffix(to).is_some_and(|head| head.ends_with(|last: char| last.is_ascii_digit()))
        });
        (digits == "1" && !part && !range && !self.head.ends_with('/')) || fraction
    }

    /// Returns true if the match is behind `a` and before a word, so that it is an attribute:
    /// `a 5kg bag`.
    pub(super) fn is_attribute(&self) -> bool {
        const NO_NOUNS: [&str; 12] = ["and", "or", "of", "is", "was", "in", "on", "at", "to", "for", "per", "with"];
        let next = self.next_word();
        let noun = self.rest.starts_with(' ') && next.starts_with(char::is_lowercase) && !NO_NOUNS.contains(&next);
        noun && ["a", "an", "A", "An"].contains(&self.word_before_number())
    }

    /// Returns true if an `s` that touches a number is seconds: `wait 60s`, `45s`, `2.5s`. It is a
    /// plural in a decade, behind a number of three digits (`747s`, `HTTP 500s`) and in `2x4s`.
    pub(super) fn is_seconds(&self) -> bool {
        const NOUNS: [&str; 18] = [
            "timeout", "delay", "latency", "interval", "wait", "took", "take", "ttl", "deadline", "duration", "sleep",
            "pause", "runtime", "cooldown", "retry", "lasts", "lasted", "within",
        ];
        const BEHIND: [&str; 11] =
            ["timeout", "delay", "pause", "interval", "timer", "wait", "cooldown", "ttl", "deadline", "later", "ago"];
        // `in her 30s`, `the 1990s`
        const AGES: [&str; 11] = ["the", "her", "his", "their", "my", "our", "your", "its", "early", "late", "mid"];
        const BYTES: usize = 48;
        let behind = BEHIND.contains(&self.next_word());
        let lead = self.word_before_number().to_lowercase();
        let size = self.head.len() - self.before_number().len() + 1;
        if AGES.contains(&lead.as_str()) || (size == 4 && self.is_decade()) {
            return behind;
        }
        let before = self.before_number();
        let mut start = before.len().saturating_sub(BYTES);
        while !before.is_char_boundary(start) {
            start += 1;
        }
        let near = before[start..].rsplit(['.', ',', ';', '!', '?']).next().unwrap_or_default().to_lowercase();
        if behind || NOUNS.iter().any(|noun| near.contains(noun)) {
            return true;
        }
        const LEADS: [&str; 8] = ["after", "another", "every", "for", "least", "ran", "than", "under"];
        if LEADS.contains(&lead.as_str()) {
            return true;
        }
        let plain = !self.head[before.len()..].contains('.');
        let board = before.ends_with(" by ") || before.ends_with(['x', '×']);
        !(self.is_decade() || board || (plain && size > 2))
    }

    /// Returns true if a number of tens with an `s` is a decade, as in `the 60s`, and no time, as in
    /// `wait 60s`.
    pub(super) fn is_decade(&self) -> bool {
        const TIMES: [&str; 16] = [
            "after", "about", "another", "every", "for", "in", "last", "least", "next", "only", "than", "timeout",
            "under", "wait", "within", "took",
        ];
        let text = self.get(0).trim_end_matches('s');
        let number = &self.head[self.before_number().len()..];
        let digits = format!("{number}{}", text.trim_end_matches(|letter: char| !letter.is_ascii_digit()));
        let tens = digits.ends_with('0') && ((digits.len() == 2 && digits != "10") || digits.len() == 4);
        tens && !TIMES.contains(&self.word_before_number().to_lowercase().as_str())
            || ["the", "The"].contains(&self.word_before_number())
    }
}

/// Returns true if a hyphen behind `head` is the sign of a number: at the start, behind a blank, an
/// opening bracket or quote, or another sign.
pub(super) fn is_sign(head: &str) -> bool {
    let mut before = head.chars().rev();
    let (last, earlier) = (before.next(), before.next());
    match last {
        None => true,
        Some(blank) if blank.is_whitespace() => true,
        Some(sign) if "([{|=<>^~*×+".contains(sign) => true,
        Some('"' | '\'' | '`') => earlier.is_none_or(|earlier| !earlier.is_alphanumeric()),
        // `:-3` is a face.
        Some(',' | ':') => earlier.is_some_and(char::is_alphanumeric),
        Some(_) => false,
    }
}

/// Returns the last word of a text behind which there is at most one blank.
fn last_word(head: &str) -> &str {
    let head = head.strip_suffix(' ').unwrap_or(head);
    head.rsplit(|letter: char| !letter.is_alphanumeric()).next().unwrap_or_default()
}

/// Returns true if `head` and a last digit are a fraction below one: `1/2`, but not `2 1/2`.
fn is_share(head: &str, last: &str) -> bool {
    let front = head.trim_end_matches(|digit: char| digit.is_ascii_digit());
    let Some(top) = front.strip_suffix('/') else { return false };
    let whole = top.trim_end_matches(|digit: char| digit.is_ascii_digit());
    let bottom = format!("{}{last}", &head[front.len()..]);
    let less = top[whole.len()..]
        .parse::<u32>()
        .ok()
        .zip(bottom.parse::<u32>().ok())
        .is_some_and(|(top, bottom)| top < bottom);
    less && !whole.trim_end_matches(' ').ends_with(|digit: char| digit.is_ascii_digit())
}
