//! Examples of the rules for numbers.

use super::assert_said;

/// Pairs of a written text and its normal form.
const FIGURES: &[(&str, &str)] = &[
    // whole numbers
    ("I have 0 or 7 or 15 apples.", "I have zero or seven or fifteen apples."),
    ("42 is 6 times 7", "Forty-two is six times seven"),
    ("100, 105, 999", "One hundred, one hundred five, nine hundred ninety-nine"),
    ("1,234,567 people", "One million two hundred thirty-four thousand five hundred sixty-seven people"),
    ("10000 steps", "Ten thousand steps"),
    (
        "1000000000000000 is too long",
        "One zero zero zero zero zero zero zero zero zero zero zero zero zero zero zero is too long",
    ),
    ("Agent 007", "Agent zero zero seven"),
    ("It is -5 outside, a 5-year-old knows", "It is minus five outside, a five-year-old knows"),
    ("5km on a mp3 with 4K", "Five kilometers on a mp three with four K"),
    ("#1 and No. 5", "number one and number five"),
    ("No. 7 it is. Any left? No. 10 were sold.", "number seven it is. Any left? No. Ten were sold."),
    ("Done.\n\nNo. 3: go", "Done.\n\nnumber three: go"),
    ("1, 2,3", "One, two, three"),
    // decimals, percent, fractions
    ("Pi is 3.14159.", "Pi is three point one four one five nine."),
    (
        "a 12.5% rise, 1,000.5 in all, or .5",
        "a twelve point five percent rise, one thousand point five in all, or point five",
    ),
    (
        "Version 1.2.3 and 192.168.0.1",
        "Version one point two point three and one nine two dot one six eight dot zero dot one",
    ),
    (
        "1/2 a cup, 3/4 of it, 2 1/2 days, 2½ days",
        "One half a cup, three quarters of it, two and one half days, two and one half days",
    ),
    ("open 24/7 since 9/11", "open twenty-four seven since nine eleven"),
    // ordinals, years, ranges
    (
        "the 1st, 2nd, 3rd, 12th, 20th, 21st and 103rd",
        "the first, second, third, twelfth, twentieth, twenty-first and one hundred third",
    ),
    (
        "1999, 1900, 1905, 2000, 2005, 2026",
        "Nineteen ninety-nine, nineteen hundred, nineteen oh five, two thousand, two thousand five, twenty twenty-six",
    ),
    ("in the 1990s, the '80s and the 60's", "in the nineteen nineties, the eighties and the sixties"),
    (
        "from 1999-2005, 5-10 or 5–10 or 5 – 10%",
        "from nineteen ninety-nine to two thousand five, five to ten or five to ten or five to ten percent",
    ),
    (
        "Call 555-1234 or 1-800-555-0199.",
        "Call five five five, one two three four or one, eight zero zero, five five five, zero one nine nine.",
    ),
    (
        "500-1000 words, 200-1500 of 736-5000",
        "Five hundred to one thousand words, two hundred to fifteen hundred of seven hundred thirty-six to five thousand",
    ),
    (
        "Call us at 736-5000 or 736-5001. 500-1000 do.",
        "Call us at seven three six, five zero zero zero or seven three six, five zero zero one. Five hundred to one thousand do.",
    ),
    (
        "Tel. 736-5000, 212 736-5000, +736-5000, 736-0123",
        "Telephone seven three six, five zero zero zero, two one two, seven three six, five zero zero zero, plus seven three six, five zero zero zero, seven three six, zero one two three",
    ),
    (
        "Call 911, or dial 112; a 911 call, 911 people",
        "Call nine one one, or dial one one two; a nine one one call, nine hundred eleven people",
    ),
    // times
    ("7.30pm, at 7.30 a.m. or 7.30-8.15 PM", "Seven thirty PM, at seven thirty AM or seven thirty to eight fifteen PM"),
    ("2.50 a M&M, $7.30 am", "Two point five zero a M and M, seven dollars and thirty cents AM"),
    ("at 10:30 am", "at ten thirty AM"),
    ("at 10:05pm, at 7 a.m. and 7PM", "at ten oh five PM, at seven AM and seven PM"),
    ("It is 9 a.m. We go. At 9 a.m. Monday.", "It is nine AM. We go. At nine AM Monday."),
    ("14:05, 10:00, 14:00, 10:00 AM", "Fourteen oh five, ten o'clock, fourteen hundred, ten AM"),
    ("9:30:15 to 9:30:01", "Nine thirty and fifteen seconds to nine thirty and one second"),
    ("9:00-17:30", "Nine o'clock to seventeen thirty"),
    ("They won 3:2, at a scale of 1:100.", "They won three to two, at a scale of one to one hundred."),
    // dates
    ("on 2026-11-22.", "on November twenty-second, twenty twenty-six."),
    ("May 25, 2025 and Nov. 3rd", "May twenty-fifth, twenty twenty-five and November third"),
    ("In May 10,000 people came; May 10,2024", "In May ten thousand people came; May tenth, twenty twenty-four"),
    ("in May 2.5% or 5 percent", "in May two point five percent or five percent"),
    ("In June 5 million, in July 5 %", "In June five million, in July five percent"),
    ("May 5-10, then May 5–10, 2024", "May fifth to tenth, then May fifth to tenth, twenty twenty-four"),
    ("Nov. 28th–Dec. 3rd", "November twenty-eighth to December third"),
    ("May 5-year-olds, May 5-40, May 5-Foo 4", "May five-year-olds, May five to forty, May fifth-Foo four"),
    ("3/4/2026", "March fourth, twenty twenty-six"),
    ("2026-11-45", "Two zero two six, one one, four five"),
    ("2026-13-45", "Two zero two six, one three, four five"),
    // money
    (
        "$5.50, $1, $0.99 and $1.01",
        "Five dollars and fifty cents, one dollar, ninety-nine cents and one dollar and one cent",
    ),
    (
        "$1,200.00 or US$ 3 million or $2.5bn",
        "One thousand two hundred dollars or three million dollars or two point five billion dollars",
    ),
    ("£1.01, €20, 20 €, ¥500", "One pound and one penny, twenty euros, twenty euros, five hundred yen"),
    ("$5-$10, -$3", "Five dollars to ten dollars, minus three dollars"),
    ("$0", "Zero dollars"),
    ("$.50, a fee of $.05", "Fifty cents, a fee of five cents"),
    ("1.50$ or 3 $, 2$-4$", "One dollar and fifty cents or three dollars, two dollars to four dollars"),
    ("5 $HOME, 2 $5 hats", "Five dollar HOME, two five dollars hats"),
    (
        "$100-150k, $5–$10 million, US$1.5-2bn",
        "One hundred to one hundred fifty thousand dollars, five to ten million dollars, one point five to two billion dollars",
    ),
    ("$100k-150k", "One hundred thousand to one hundred fifty thousand dollars"),
    ("€5.50-7", "Five euros and fifty cents to seven euros"),
    ("$5-10%", "Five dollars to ten percent"),
    ("A $5 bill; call 911", "A five-dollar bill; call nine one one"),
    ("a £100 note, $5 Bill", "a one-hundred-pound note, five dollars Bill"),
    ("So it was. 1999 came. $5 is much", "So it was. Nineteen ninety-nine came. Five dollars is much"),
    ("Dial (800) 555-0199.", "Dial eight zero zero, five five five, zero one nine nine."),
    // thousands and decimals of other nations
    (
        "About 10 000 people, 1 234 567 of them.",
        "About ten thousand people, one million two hundred thirty-four thousand five hundred sixty-seven of them.",
    ),
    (
        "10\u{202f}000 and 1\u{a0}234\u{a0}567 and 12\u{2009}345,6",
        "Ten thousand and one million two hundred thirty-four thousand five hundred sixty-seven and twelve thousand three hundred forty-five point six",
    ),
    ("The sum is 1'250'000 or 1’000’000.", "The sum is one million two hundred fifty thousand or one million."),
    (
        "1.234,56 € or €1.234.567 or 1.000.000 inhabitants",
        "One thousand two hundred thirty-four euros and fifty-six cents or one million two hundred thirty-four thousand five hundred sixty-seven euros or one million inhabitants",
    ),
    (
        "It is 37,0 degrees, 12,5 kg, 0,5 and 3,7 km.",
        "It is thirty-seven point zero degrees, twelve point five kilograms, zero point five and three point seven kilometers.",
    ),
    ("See pages 3,4 and 12,13; (12,5)", "See pages three, four and twelve, thirteen; twelve, five"),
    (
        "100 200 300 sheep, Windows 11 500 users, take 1 500 mg",
        "One hundred two hundred three hundred sheep, Windows eleven five hundred users, take one five hundred milligrams",
    ),
    ("₹1,00,000 and 10,00,000 people", "One hundred thousand rupees and one million people"),
    (
        "18,446,744,073,709,551,615 and 18,446,744,073,709,551,616",
        "Eighteen quintillion four hundred forty-six quadrillion seven hundred forty-four trillion seventy-three billion seven hundred nine million five hundred fifty-one thousand six hundred fifteen and one eight four four six seven four four zero seven three seven zero nine five five one six one six",
    ),
    ("Lotto: 5 12 23 34 41 45", "Lotto: five twelve twenty-three thirty-four forty-one forty-five"),
    // years, decades and counts
    (
        "1250 people came in 1999 and 1500 hours later",
        "One thousand two hundred fifty people came in nineteen ninety-nine and fifteen hundred hours later",
    ),
    (
        "in the '60s, wait 60s, a 10s pause, the 1980s-90s, 100s of men, 49ers",
        "in the sixties, wait sixty seconds, a ten-second pause, the nineteen eighties to nineties, hundreds of men, forty-niners",
    ),
    (
        "class of '05, '24 Games, 'tis, c. 1850, ca. 300 BC–AD 100",
        "class of oh five, twenty-four Games, tis, circa eighteen fifty, circa three hundred BC to AD one hundred",
    ),
    (
        "2016-17, 2023/24, 1985-present, 2019–today",
        "Twenty sixteen to seventeen, twenty twenty-three twenty-four, nineteen eighty-five to present, twenty nineteen to today",
    ),
    // fractions
    (
        "5/8, 7/16, 11/12, 1/100, 51/100, 3/1000 and 1/20 of it",
        "Five eighths, seven sixteenths, eleven twelfths, one hundredth, fifty-one hundredths, three thousandths and one twentieth of it",
    ),
    (
        "Add ⅓ cup, ⅔ cup, 1½ cups and 2-1/2 inches.",
        "Add one third cup, two thirds cup, one and one half cups and two and one half inches.",
    ),
    (
        "2/3rds of them, 1/3rd, cut into 1/8ths, 3/4ths",
        "Two thirds of them, one third, cut into eighths, three quarters",
    ),
    (
        "rated 9/10, 10/10, odds are 7/2, 22/7, 120/80, 12/25 and 50/60",
        "rated nine out of ten, ten out of ten, odds are seven to two, twenty-two slash seven, one hundred twenty over eighty, twelve slash twenty-five and fifty slash sixty",
    ),
    // ordinals and models
    ("the 15th-18th and the 5TH, 2ⁿᵈ", "the fifteenth to eighteenth and the fifth, second"),
    (
        "A Boeing 737-800 and a Boeing 747 in 1080p",
        "A Boeing seven thirty-seven eight hundred and a Boeing seven forty-seven in ten eighty p",
    ),
    // codes digit by digit
    (
        "Ring the line 1300 555 027 or 020 7946 0958 or 0800 123 456.",
        "Ring the line one three zero zero, five five five, zero two seven or zero two zero, seven nine four six, zero nine five eight or zero eight zero zero, one two three, four five six.",
    ),
    (
        "Card 4111 1111 1111 1111, Amex 3782 822463 10005, 2019 2020 2021",
        "Card four one one one, one one one one, one one one one, one one one one, Amex three seven eight two, eight two two four six three, one zero zero zero five, twenty nineteen twenty twenty twenty twenty-one",
    ),
    (
        "Zip code 02139 or 90210, Boston, Massachusetts 02139-4307, Texas 73301.",
        "Zip code zero two one three nine or nine zero two one zero, Boston, Massachusetts zero two one three nine, four three zero seven, Texas seven three three zero one.",
    ),
    (
        "PIN 4821, account 12345678, order number 123-456, student number 20214477, code 500 times",
        "PIN four eight two one, account one two three four five six seven eight, order number one two three, four five six, student number two zero two one four four seven seven, code five hundred times",
    ),
    (
        "Tax ID 12-3456789 is 1234567890 but 3000000000 is not",
        "Tax ID one two, three four five six seven eight nine is one two three four five six seven eight nine zero but three billion is not",
    ),
    // telephone numbers
    (
        "Call (415) 555-2671 ext. 12, 555.123.4567 x 345, 917/555-0112 or 415 555 2671.",
        "Call four one five, five five five, two six seven one, extension twelve, five five five, one two three, four five six seven, extension three four five, nine one seven, five five five, zero one one two or four one five, five five five, two six seven one.",
    ),
    (
        "+1 (415) 555-2671, +44 20 7946 0958, +15551234567, +100 people",
        "Plus one, four one five, five five five, two six seven one, plus four four, two zero, seven nine four six, zero nine five eight, plus one five five five one two three four five six seven, plus one hundred people",
    ),
    (
        "1-800-FLOWERS, (02) 9876 5432, 06 12 34 56 78 and 06.12.34.56.78",
        "One, eight zero zero, FLOWERS, zero two, nine eight seven six, five four three two, zero six, one two, three four, five six, seven eight and zero six, one two, three four, five six, seven eight",
    ),
    (
        "Text STOP to 55512, dial *67, call 311, call 5550143 or call 10 people",
        "Text STOP to five five five one two, dial star six seven, call three one one, call five five five zero one four three or call ten people",
    ),
    (
        "Text \"HELP\" to 12345. Extension 2204, case 2023-0457",
        "Text HELP to one two three four five. Extension two two zero four, case twenty twenty-three-zero four five seven",
    ),
    // dates in figures
    (
        "Due on 2025/09/28, 28.09.2025, 9/28/2025, 28/9/2025, 28-Sep-2025 or 1999-1-2.",
        "Due on September twenty-eighth, twenty twenty-five, September twenty-eighth, twenty twenty-five, September twenty-eighth, twenty twenty-five, September twenty-eighth, twenty twenty-five, September twenty-eighth, twenty twenty-five or January second, nineteen ninety-nine.",
    ),
    (
        "On 6/6/44, by 10/31, due Mon 12/25, since 3/4 and 06/2026, expires 09/27, MAY 5, 1/1/00",
        "On June sixth, forty-four, by October thirty-first, due Monday December twenty-fifth, since three quarters and June twenty twenty-six, expires September twenty twenty-seven, May fifth, January first, zero zero",
    ),
    (
        "2025-03-09T08:30:00Z, 2024-05, 2004-05, 01/01/2024 - 12/31/2024",
        "March ninth, twenty twenty-five at eight thirty UTC, May twenty twenty-four, two thousand four to oh five, January first, twenty twenty-four to December thirty-first, twenty twenty-four",
    ),
    (
        "Version 1.2.2024-1, 3.4.25 and 2023.1.4",
        "Version one point two point two thousand twenty-four-one, three point four point twenty-five and two thousand twenty-three point one point four",
    ),
    // dates in words
    (
        "Mon–Fri and Jan–Mar 2024. From Mon. to Wed. it rained.",
        "Monday to Friday and January to March twenty twenty-four. From Monday to Wednesday it rained.",
    ),
    (
        "Born on the 5th of Nov. It was 28 Sept 2024, the 22nd November 1963.",
        "Born on the fifth of November. It was the twenty-eighth of September twenty twenty-four, the twenty-second November nineteen sixty-three.",
    ),
    (
        "5–10 May, the 1st-3rd of June, 5 May – 10 June 2024, Dec 24 - Jan 2",
        "The fifth to the tenth of May, the first to the third of June, the fifth of May to the tenth of June twenty twenty-four, December twenty-fourth to January second",
    ),
    (
        "March 2020 – June 2021, Q1–Q3, Q1-3 2024",
        "March twenty twenty to June twenty twenty-one, Q one to Q three, Q one to three twenty twenty-four",
    ),
    (
        "Jan sat in the Sun. Sun. 12 Nov. is it. The Mar report is in Dec. Sat 10am-2pm, mid-Aug. Closed on Sat and Sun.",
        "Jan sat in the Sun. Sunday the twelfth of November is it. The March report is in December. Saturday ten AM to two PM, mid-August. Closed on Saturday and Sunday.",
    ),
    (
        "May 5 people enter? March 3 miles. On May 5 people came. 5 May be it.",
        "May five people enter? March three miles. On May fifth people came. Five May be it.",
    ),
    // times
    (
        "Open 9am-5pm, 9 a.m. – 5 p.m., 9a-5p, noon-5pm, 9:30-11 AM.",
        "Open nine AM to five PM, nine AM to five PM, nine AM to five PM, noon to five PM, nine thirty to eleven AM.",
    ),
    (
        "Meet me at 5:30p or at 6p, 13:00Z, at 0930, 1430 hours, UTC+5:30, GMT-3",
        "Meet me at five thirty PM or at six PM, thirteen hundred Z, at zero nine thirty, fourteen thirty hours, UTC plus five thirty, GMT minus three",
    ),
    (
        "1h30m, 2h 5min, 8h30, at 8h30, 3m20s, 12d 4h, 2 hrs, 58:21.45",
        "One hour thirty minutes, two hours five minutes, eight hours thirty minutes, at eight thirty, three minutes twenty seconds, twelve days four hours, two hours, fifty-eight twenty-one point four five",
    ),
    (
        "7:30 - 9 pm, John 3:16, Psalm 119:105, a scale of 1:50,000, 16:9, RHSA-1999:030",
        "Seven thirty to nine PM, John three sixteen, Psalm one hundred nineteen one hundred five, a scale of one to fifty thousand, sixteen to nine, RHSA-nineteen ninety-nine zero three zero",
    ),
    // money
    (
        "₹500, ₩1000, ₿0.5, C$5, R$2, 20 USD, CHF 5, Rs. 50, kr 50 and 5 kr",
        "Five hundred rupees, one thousand won, zero point five bitcoin, five Canadian dollars, two Brazilian reais, twenty US dollars, five Swiss francs, fifty rupees, fifty kroner and five kroner",
    ),
    (
        "A tip of 15¢, 1¢ or ¢5. US$5 billion, $5T in debt, ¥1.2tn, £5m, $2MM",
        "A tip of fifteen cents, one cent or five cents. five billion dollars, five trillion dollars in debt, one point two trillion yen, five million pounds, two million dollars",
    ),
    (
        "$5/mo, $10/hr, $3.99/lb, €5/kg, £3/each, $1/xyz",
        "Five dollars per month, ten dollars per hour, three dollars and ninety-nine cents per pound, five euros per kilogram, three pounds each, one dollar slash xyz",
    ),
    (
        "A $5 million deal, a $2.50 fee, a $20 million fund, $2.5-million, $5 T-shirts",
        "A five-million-dollar deal, a two-dollar-and-fifty-cent fee, a twenty-million-dollar fund, two point five million dollars, five dollars T-shirts",
    ),
    (
        "50-100 USD, 5 €-10 €, $5m-$10m, C$5-6, −$5",
        "Fifty to one hundred US dollars, five euros to ten euros, five million to ten million dollars, five to six Canadian dollars, minus five dollars",
    ),
    // measures
    (
        "Drive at 60 km/h, 5kg, 1 kg, 0.5 kg, 1/2 lb, 1 1/2 lbs, 5 million km",
        "Drive at sixty kilometers per hour, five kilograms, one kilogram, zero point five kilograms, one half pound, one and one half pounds, five million kilometers",
    ),
    (
        "Ten lbs, 6 ft, 3 oz, 12 in., 12 in of rain, 12 in all, 3 in 4, a 3-in-1",
        "Ten pounds, six feet, three ounces, twelve inches, twelve inches of rain, twelve in all, three in four, a three-in-one",
    ),
    (
        "9.8 m/s², 85 m², 3 m³, 1.2 g/cm³, 100 sq. ft., 8 fl oz, 2 cu ft, area in km²",
        "Nine point eight meters per second squared, eighty-five square meters, three cubic meters, one point two grams per cubic centimeter, one hundred square feet, eight fluid ounces, two cubic feet, area in square kilometers",
    ),
    (
        "10 GB of RAM at 3.5GHz, 220V and 5A, Room 5A, 50 kWh, 30 dB, 1 Hz, 5 Mbps, 5 mg/kg/day, 7 L/100 km",
        "Ten gigabytes of RAM at three point five gigahertz, two hundred twenty volts and five amps, Room five A, fifty kilowatt hours, thirty decibels, one hertz, five megabits per second, five milligrams per kilogram per day, seven liters per one hundred kilometers",
    ),
    (
        "At 1°F or 1°C, −5 °C, 20°C-25°C, 45°, 40°26'46\"N, bake at 350F, seat 12C",
        "At one degree Fahrenheit or one degree Celsius, minus five degrees Celsius, twenty degrees Celsius to twenty-five degrees Celsius, forty-five degrees, forty degrees twenty-six minutes forty-six seconds north, bake at three hundred fifty degrees Fahrenheit, seat twelve C",
    ),
    (
        "A 5kg bag, an 8-oz glass, a 12-fl-oz can, a 6' wall, 5 yo",
        "A five-kilogram bag, an eight-ounce glass, a twelve-fluid-ounce can, a six-foot wall, five-year-old",
    ),
    (
        "He is 5'10\" tall, she's 5'4, 2'30\", a 27\" screen, 8.5\" x 11\", \"I am 12\" she said",
        "He is five feet ten inches tall, she's five foot four, two minutes thirty seconds, a twenty-seven-inch screen, eight point five inches by eleven inches, I am twelve she said",
    ),
    (
        "3 x 4 m, 2x4, 3 × 4 cm, 3 × 4, 5x5, 0x1F, 10x faster, 10x 5kg, a 4×4 truck",
        "Three by four meters, two by four, three by four centimeters, three times four, five by five, zero x one F, ten times faster, ten x five kilograms, a four by four truck",
    ),
    (
        "PCIe 4.0 x16, 12' x 15'; 12 N·m, 20mb, 10 mb, 3hr tour, 25¢/min, M-F 9-5",
        "PCIe four point zero x sixteen, twelve feet by fifteen feet; twelve newton meters, twenty megabytes, ten mb, three hours tour, twenty-five cents per minute, Monday to Friday nine to five",
    ),
    (
        "5k run, 10k people, 1.5M, 5bn, 5M users, 60 W, 5 C students, 3 A grades, 2 TVs",
        "Five k run, ten thousand people, one point five million, five billion, five million users, sixty watts, five C students, three A grades, two TVs",
    ),
    (
        "5-6 ft. tall. 20 kg - 30 kg, 5cm–10cm. He ran 5 mi. It was 10 min. long.",
        "Five to six feet tall. Twenty kilograms to thirty kilograms, five centimeters to ten centimeters. He ran five miles. It was ten minutes long.",
    ),
    // mathematics
    (
        "The result of 5 − 3 is 2, 10-5=5, 5 - 3 = 2, x - y = z, 6/2=3, 3 x 5 = 15",
        "The result of five minus three is two, ten minus five equals five, five minus three equals two, x minus y equals z, six divided by two equals three, three times five equals fifteen",
    ),
    (
        "2 1/2 + 3 1/4 = 5 3/4, 6/2=3, 3.2 - 1 is 2.2",
        "Two and one half plus three and one quarter equals five and three quarters, six divided by two equals three, three point two minus one is two point two",
    ),
    (
        "7-11, 5-2=3, 1-1; 3 - 2 is 1, 5 - 10 km, 10 - 5",
        "Seven to eleven, five minus two equals three, one to one; three minus two is one, five to ten kilometers, ten, five",
    ),
    (
        "√16 and ∛27, 10⁻³ of it, x², 2⁸, aⁿ, 5×10³, 6.02×10²³, 3.2e-5, H₂O",
        "square root of sixteen and cube root of twenty-seven, ten to the power of minus three of it, x squared, two to the power of eight, a to the power of n, five times ten cubed, six point zero two times ten to the power of twenty-three, three point two times ten to the power of minus five, H two O",
    ),
    (
        "∞ and π, α-rays, 5‰, ∑ of it, dy/dx, 5! = 120",
        "infinity and pi, alpha rays, five per mille, the sum of it, dy over dx, five factorial equals one hundred twenty",
    ),
    ("She got a B- in art, an A+ and a B-side", "She got a B minus in art, an A plus and a B-side"),
    (
        "2.39-1, 88-1200-XL are no ranges, 3 pct is 3 percent",
        "Two point three nine-one, eighty-eight-twelve hundred-XL are no ranges, three percent is three percent",
    ),
];

#[test]
fn numbers_become_words() {
    assert_said(FIGURES.iter().copied());
}
