//! Random sentences, put together by draws.

use super::super::attack_rng::AttackRng;

const ADJECTIVES: [&str; 24] = [
    "quiet", "yellow", "broken", "distant", "careful", "wooden", "hungry", "famous", "narrow", "gentle", "frozen",
    "early", "heavy", "curious", "silver", "patient", "foreign", "shallow", "bright", "ancient", "nervous", "ordinary",
    "thick", "unusual",
];
const NOUNS: [&str; 32] = [
    "teacher",
    "river",
    "machine",
    "garden",
    "sailor",
    "window",
    "orchestra",
    "village",
    "physician",
    "elephant",
    "bridge",
    "newspaper",
    "captain",
    "kitchen",
    "thunderstorm",
    "child",
    "library",
    "mountain",
    "question",
    "fox",
    "engineer",
    "bicycle",
    "judge",
    "station",
    "shepherd",
    "voice",
    "island",
    "chemist",
    "theatre",
    "puzzle",
    "university",
    "zebra",
];
const VERBS: [&str; 20] = [
    "watched",
    "followed",
    "repaired",
    "described",
    "forgot",
    "carried",
    "measured",
    "questioned",
    "painted",
    "avoided",
    "discovered",
    "ignored",
    "welcomed",
    "examined",
    "chased",
    "borrowed",
    "defended",
    "surprised",
    "visited",
    "studied",
];
const PLACES: [&str; 16] = [
    "behind the station",
    "near the old harbour",
    "in the middle of the night",
    "without any reason",
    "under a grey sky",
    "before the bells rang",
    "across the frozen lake",
    "for the third time",
    "at the end of the corridor",
    "with great pleasure",
    "during the long winter",
    "on a hill above the town",
    "as if nothing had happened",
    "through the open door",
    "in front of everybody",
    "every other Thursday",
];
const LINKS: [&str; 8] = [", and ", ", but ", " because ", " while ", "; later ", ", although ", ", so ", " until "];

/// Makes a text of at least `words` words.
pub(crate) fn paragraph(draw: &mut AttackRng, words: usize) -> String {
    let mut text = String::new();
    while text.split_whitespace().count() < words {
        let sentence = match draw.below(5) {
            0 => format!("Why has the {} {} the {}?", draw.pick(&NOUNS), draw.pick(&VERBS), noun(draw)),
            1 => format!("It was {} past {}, and {}.", 1 + draw.below(29), 1 + draw.below(12), clause(draw)),
            2 => format!("No, {}!", clause(draw)),
            _ => format!("Then {}{}{}.", clause(draw), draw.pick(&LINKS), clause(draw)),
        };
        text.push_str(&sentence);
        text.push(' ');
    }
    text
}

fn noun(draw: &mut AttackRng) -> String {
    format!("{} {}", draw.pick(&ADJECTIVES), draw.pick(&NOUNS))
}

fn clause(draw: &mut AttackRng) -> String {
    format!("the {} {} the {} {}", noun(draw), draw.pick(&VERBS), noun(draw), draw.pick(&PLACES))
}
