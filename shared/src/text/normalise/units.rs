//! Names of units of measure, by their symbols.

use std::collections::HashMap;
use std::sync::LazyLock;

/// Symbols and names, with a colon between them; `_` stands for a blank. The names are of one unit.
const UNITS: &str = "\
    km:kilometer m:meter dm:decimeter cm:centimeter mm:millimeter µm:micrometer nm:nanometer mi:mile \
    yd:yard yds:yard ft:foot in:inch ins:inch nmi:nautical_mile ly:light-year ha:hectare ac:acre kg:kilogram \
    kgs:kilogram g:gram mg:milligram µg:microgram mcg:microgram ng:nanogram t:metric_ton lb:pound lbs:pound \
    oz:ounce fl_oz:fluid_ounce L:liter l:liter dL:deciliter dl:deciliter cl:centiliter cL:centiliter mL:milliliter \
    ml:milliliter µL:microliter µl:microliter hl:hectoliter gal:gallon qt:quart qts:quart pt:point pts:point \
    tsp:teaspoon tbsp:tablespoon Tbsp:tablespoon cc:cubic_centimeter bbl:barrel s:second sec:second secs:second \
    ms:millisecond µs:microsecond us:microsecond ns:nanosecond min:minute mins:minute h:hour hr:hour hrs:hour \
    wk:week wks:week mo:month mos:month yr:year yrs:year mph:mile_per_hour kph:kilometer_per_hour \
    kmh:kilometer_per_hour kmph:kilometer_per_hour fps:frame_per_second rpm:revolution_per_minute \
    bpm:beat_per_minute mpg:mile_per_gallon kn:knot kt:knot kts:knot Hz:hertz kHz:kilohertz MHz:megahertz \
    GHz:gigahertz THz:terahertz V:volt mV:millivolt kV:kilovolt A:amp mA:milliamp µA:microamp kA:kiloamp W:watt \
    mW:milliwatt kW:kilowatt MW:megawatt GW:gigawatt TW:terawatt Wh:watt_hour kWh:kilowatt_hour MWh:megawatt_hour \
    GWh:gigawatt_hour TWh:terawatt_hour Ah:amp_hour mAh:milliamp_hour Ω:ohm kΩ:kiloohm MΩ:megaohm µF:microfarad \
    nF:nanofarad pF:picofarad kVA:kilovolt-amp J:joule kJ:kilojoule MJ:megajoule GJ:gigajoule \
    cal:calorie kcal:kilocalorie eV:electronvolt keV:kiloelectronvolt MeV:megaelectronvolt GeV:gigaelectronvolt \
    BTU:British_thermal_unit hp:horsepower bhp:brake_horsepower N:newton kN:kilonewton Nm:newton_meter Pa:pascal \
    hPa:hectopascal kPa:kilopascal MPa:megapascal GPa:gigapascal bar:bar mbar:millibar atm:atmosphere \
    psi:pound_per_square_inch mmHg:millimeter_of_mercury dB:decibel dBA:decibel lm:lumen lx:lux \
    mol:mole mmol:millimole mSv:millisievert µSv:microsievert Gy:gray kBq:kilobecquerel Bq:becquerel \
    IU:international_unit ppm:part_per_million ppb:part_per_billion KB:kilobyte kB:kilobyte MB:megabyte \
    GB:gigabyte TB:terabyte PB:petabyte KiB:kibibyte MiB:mebibyte GiB:gibibyte TiB:tebibyte kb:kilobit \
    Kb:kilobit Mb:megabit Gb:gigabit kbit:kilobit Mbit:megabit Gbit:gigabit kbps:kilobit_per_second \
    Kbps:kilobit_per_second Mbps:megabit_per_second Gbps:gigabit_per_second bps:bit_per_second px:pixel \
    MP:megapixel dpi:dot_per_inch ppi:pixel_per_inch deg:degree sqft:square_foot sqm:square_meter \
    sqkm:square_kilometer sqmi:square_mile sqyd:square_yard sqin:square_inch cuft:cubic_foot \
    cuin:cubic_inch cuyd:cubic_yard floz:fluid_ounce ftlb:foot_pound ftlbs:foot_pound lbft:pound_foot \
    °C:degree_Celsius °F:degree_Fahrenheit °K:degree_Kelvin ℃:degree_Celsius ℉:degree_Fahrenheit °:degree";

/// Symbols that are read in any case, such as `KM`, `Lbs` and `mhz`. The others mean something
/// else, or nothing, in another case.
const CASELESS: &str = "km cm kg kgs lb lbs oz ft yd yds mph kph mi ml hz khz mhz ghz kw kwh mwh hr hrs min mins sec \
    secs yr yrs db rpm bpm fps psi tsp tbsp gal mah kcal kbps mbps gbps dpi ppm mg sqft sqm floz mpg hp kmh mb gb tb";

/// Symbols of [`CASELESS`] that are read in capitals too. The others are abbreviations of other words
/// there: `HR`, `SEC`, `MPG`, `ML`.
const CAPITALS: &str = "KM CM KG KGS LB LBS OZ HZ KHZ MHZ GHZ KW KWH MG HRS MINS SECS YRS YDS SQFT \
    MPH KPH KMH RPM PSI DPI KB MB GB TB KBPS MBPS GBPS";

/// Other words for a share behind a slash: `$5/person`, `10 km/day`.
const SHARES: &str = "second minute hour day night week weekend month quarter year person head user seat student child \
    adult guest capita share unit item piece page word barrel bottle box bag pack ton tonne acre mile kilometer meter \
    foot gallon liter pound ounce kilogram gram request call token kilo inch lap game shift core node car team";

static NAMES: LazyLock<HashMap<&str, String>> = LazyLock::new(|| {
    let pairs = UNITS.split(' ').filter_map(|pair| pair.split_once(':'));
    pairs.map(|(symbol, name)| (symbol, name.replace('_', " "))).collect()
});
static LOWER: LazyLock<HashMap<String, &str>> = LazyLock::new(|| {
    let named = |symbol: &&str| {
        UNITS
            .split(' ')
            .filter_map(|pair| pair.split_once(':'))
            .find_map(|(other, _)| other.eq_ignore_ascii_case(symbol).then_some(other))
    };
    CASELESS.split(' ').filter_map(|symbol| Some((symbol.to_owned(), named(&symbol)?))).collect()
});

/// Returns the name of one unit: `kilometer` for `km`.
pub(super) fn name(symbol: &str) -> Option<&'static str> {
    let symbol = symbol.trim_end_matches('.');
    let shouted = symbol.len() > 1 && symbol.bytes().all(|byte| byte.is_ascii_uppercase());
    let read = !shouted || CAPITALS.split(' ').any(|capitals| capitals == symbol);
    let lower = || LOWER.get(&symbol.to_lowercase()).filter(|_| read).and_then(|symbol| NAMES.get(*symbol));
    NAMES.get(symbol.replace('μ', "µ").as_str()).or_else(lower).map(String::as_str)
}

/// Returns the plural of a unit's name: `feet`, `miles per hour`, `degrees Celsius`.
pub(super) fn plural(name: &str) -> String {
    let end = [" per ", " of ", " Celsius", " Fahrenheit", " Kelvin"].iter().filter_map(|tail| name.find(tail)).min();
    let (head, tail) = name.split_at(end.unwrap_or(name.len()));
    match head {
        _ if head.ends_with("foot") => format!("{}feet{tail}", &head[..head.len() - 4]),
        _ if head.ends_with("inch") => format!("{head}es{tail}"),
        _ if head.ends_with("hertz") || head.ends_with("lux") || head.ends_with("horsepower") => name.to_owned(),
        _ => format!("{head}s{tail}"),
    }
}

/// Returns `per hour` for `h` or `hour`, and `each` for `ea`; `None` if the word is no unit.
pub(super) fn rate(word: &str) -> Option<String> {
    match word {
        "ea" | "each" => return Some("each".into()),
        "d" => return Some("per day".into()),
        "q" | "qtr" => return Some("per quarter".into()),
        "pt" => return Some("per pint".into()),
        "pp" => return Some("per person".into()),
        "sq" => return None,
        _ => {}
    }
    let share = SHARES.split_whitespace().find(|&share| share == word);
    share.or_else(|| name(word)).map(|name| format!("per {name}"))
}
