//! Currencies: their signs and codes, their names, and sums in words.

use crate::text::numbers::{amount, parse, whole};

/// Signs and codes of a currency, one and many of its units, one and many of their hundredths. An
/// empty plural is the same as the singular.
type Currency = (&'static [&'static str], [&'static str; 4]);

const CENTS: [&str; 2] = ["cent", "cents"];

/// The currencies, the usual ones first. The names of dollars that are not of the United States say
/// so.
const CURRENCIES: &[Currency] = &[
    (&["$", "US$"], dollars("dollar", "dollars")),
    (&["USD"], dollars("US dollar", "US dollars")),
    (&["€", "EUR"], dollars("euro", "euros")),
    (&["£", "GBP"], ["pound", "pounds", "penny", "pence"]),
    (&["¥", "JPY"], ["yen", "yen", "sen", "sen"]),
    (&["C$", "CA$", "CAD"], dollars("Canadian dollar", "Canadian dollars")),
    (&["A$", "AU$", "AUD"], dollars("Australian dollar", "Australian dollars")),
    (&["NZ$", "NZD"], dollars("New Zealand dollar", "New Zealand dollars")),
    (&["HK$", "HKD"], dollars("Hong Kong dollar", "Hong Kong dollars")),
    (&["S$", "SGD"], dollars("Singapore dollar", "Singapore dollars")),
    (&["NT$", "TWD"], dollars("Taiwan dollar", "Taiwan dollars")),
    (&["R$", "BRL"], ["Brazilian real", "Brazilian reais", "centavo", "centavos"]),
    (&["MX$", "MXN"], ["Mexican peso", "Mexican pesos", "centavo", "centavos"]),
    (&["₹", "Rs", "INR"], ["rupee", "rupees", "paisa", "paise"]),
    (&["PKR"], ["Pakistani rupee", "Pakistani rupees", "paisa", "paise"]),
    (&["₩", "KRW"], ["won", "won", "jeon", "jeon"]),
    (&["CNY", "RMB"], ["yuan", "yuan", "fen", "fen"]),
    (&["CHF"], ["Swiss franc", "Swiss francs", "centime", "centimes"]),
    (&["₽", "RUB"], ["ruble", "rubles", "kopeck", "kopecks"]),
    (&["₺", "TRY"], ["lira", "lira", "kurus", "kurus"]),
    (&["₪", "ILS"], ["shekel", "shekels", "agora", "agorot"]),
    (&["₴", "UAH"], ["hryvnia", "hryvnias", "kopiyka", "kopiykas"]),
    (&["₦", "NGN"], ["naira", "naira", "kobo", "kobo"]),
    (&["₱", "PHP"], ["peso", "pesos", "centavo", "centavos"]),
    (&["₫", "VND"], ["dong", "dong", "xu", "xu"]),
    (&["฿", "THB"], ["baht", "baht", "satang", "satang"]),
    (&["₸", "KZT"], ["tenge", "tenge", "tiyn", "tiyn"]),
    (&["₡", "CRC"], ["colon", "colones", "centimo", "centimos"]),
    (&["₵", "GHS"], ["cedi", "cedis", "pesewa", "pesewas"]),
    (&["ZAR"], dollars("rand", "rand")),
    (&["kr"], ["krone", "kroner", "ore", "ore"]),
    (&["SEK"], ["Swedish krona", "Swedish kronor", "ore", "ore"]),
    (&["NOK"], ["Norwegian krone", "Norwegian kroner", "ore", "ore"]),
    (&["DKK"], ["Danish krone", "Danish kroner", "ore", "ore"]),
    (&["PLN", "zł"], ["zloty", "zlotys", "grosz", "groszy"]),
    (&["CZK", "Kč"], ["koruna", "korunas", "haler", "halers"]),
    (&["HUF"], ["forint", "forints", "filler", "fillers"]),
    (&["AED"], ["dirham", "dirhams", "fils", "fils"]),
    (&["SAR"], ["riyal", "riyals", "halala", "halalas"]),
    (&["₿", "BTC"], ["bitcoin", "bitcoin", "", ""]),
    (&["ETH"], ["ether", "ether", "", ""]),
];

const fn dollars(one: &'static str, many: &'static str) -> [&'static str; 4] {
    [one, many, CENTS[0], CENTS[1]]
}

/// Returns the names of a currency: one and many of its units, one and many of their hundredths.
fn currency(sign: &str) -> [&'static str; 4] {
    let known = CURRENCIES.iter().find(|(signs, _)| signs.contains(&sign.trim_matches([' ', '.'])));
    known.unwrap_or(&CURRENCIES[0]).1
}

/// Returns the name of a power of a thousand: `thousand` for `k`.
pub(super) fn scale(written: &str) -> String {
    match written.to_lowercase().as_str() {
        "k" => "thousand",
        "m" | "mm" | "mn" | "mln" | "mil" => "million",
        "b" | "bn" | "bln" => "billion",
        "t" | "tn" | "trn" => "trillion",
        "cr" => "crore",
        named => named,
    }
    .to_owned()
}

/// Returns the name of a bill, coin or other thing by its value: `five-dollar`.
pub(super) fn note(sign: &str, units: &str, part: &str, written_scale: &str) -> String {
    let [one, _, _, cent] = currency(sign);
    let words = match (parse(part), parse(units)) {
        (Some(cents), Some(0)) if part.len() == 2 && written_scale.is_empty() => {
            format!("{} {}", whole(&cents.to_string()), cent.trim_end_matches('s'))
        }
        (Some(cents), _) if part.len() == 2 && cents > 0 && written_scale.is_empty() => {
            let cent = if cent == "pence" { "penny" } else { cent.trim_end_matches('s') };
            format!("{} {one} and {} {cent}", whole(units), whole(&cents.to_string()))
        }
        _ => {
            let part = if part == "00" { "" } else { part };
            format!("{} {} {one}", amount(units, part), scale(written_scale))
        }
    };
    words.split_whitespace().collect::<Vec<_>>().join("-")
}

/// Returns the words of a sum of money, such as `$5.50` or `£1.2 million`. `units` are the digits
/// before the point, `part` those behind it.
pub(super) fn money(sign: &str, units: &str, part: &str, written_scale: &str) -> String {
    let [one, many, small_one, small_many] = currency(sign);
    if !written_scale.is_empty() {
        return format!("{} {} {many}", amount(units, part), scale(written_scale));
    }
    if !matches!(part.len(), 0 | 2) || (small_one.is_empty() && !part.is_empty()) {
        return format!("{} {many}", amount(units, part));
    }
    let counted = |digits: &str, one: &str, many: &str| match parse(digits) {
        Some(1) => format!("one {one}"),
        _ => format!("{} {many}", whole(digits.strip_prefix('0').filter(|rest| !rest.is_empty()).unwrap_or(digits))),
    };
    match (parse(units), parse(part)) {
        (_, None | Some(0)) if units == "0" => format!("zero {many}"),
        (_, None | Some(0)) => counted(units, one, many),
        (Some(0), _) => counted(part, small_one, small_many),
        _ => format!("{} and {}", counted(units, one, many), counted(part, small_one, small_many)),
    }
}
