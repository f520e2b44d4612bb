//! Check of a Vorbis stream's setup header before the decoder reads it.
//!
//! The decoder trusts parts of that header. A few bytes can make it build codebooks of gigabytes,
//! and values outside the specification end in an index or a division that panics. Setups refused
//! here either break the specification or exceed what encoders write: libvorbis stays under 12,000
//! entries and 64,000 values in all.

/// Most entries of all codebooks together; each may cost the decoder a table of 256.
const MAX_ENTRIES: u32 = 48 * 1024;
/// Most vector elements of all codebooks together: 8 MiB as floats.
const MAX_VALUES: u64 = 2 * 1024 * 1024;
/// Most dimensions of a codebook that the decoder accepts.
const MAX_DIMENSIONS: u32 = 32;
/// Most entries of a codebook that holds the heights of a floor; heights in the specification end
/// at 255.
const MAX_FLOOR_ENTRIES: u32 = 8 * 1024;
/// Longest codeword, in bits.
const MAX_CODEWORD_BITS: u32 = 32;

type Check<T> = Result<T, &'static str>;

/// First bytes of a setup packet.
const HEAD: &[u8] = b"\x05vorbis";
const CUT_SHORT: &str = "its setup is cut short";

/// Checks a setup packet as far as its floors, the decoder checks the rest. Returns the packet with
/// the coupling steps of each mapping in reverse order: the decoder undoes them first to last, the
/// specification last to first (section 4.3.5).
pub(super) fn checked(packet: &[u8], channels: usize) -> Check<Vec<u8>> {
    let body = packet.strip_prefix(HEAD).ok_or("its third packet holds no setup")?;
    let mut bits = Bits { bytes: body, at: 0 };
    let books = codebooks(&mut bits)?;
    let transforms = bits.read(6)? + 1;
    for _ in 0..transforms {
        bits.read(16)?;
    }
    let floors = bits.read(6)? + 1;
    for _ in 0..floors {
        if bits.read(16)? != 1 {
            return Err("its floors are of a kind that no encoder has written since 2000");
        }
        floor(&mut bits, &books)?;
    }
    let residues = bits.read(6)? + 1;
    for _ in 0..residues {
        residue(&mut bits)?;
    }
    let mut mended = packet.to_vec();
    let mappings = bits.read(6)? + 1;
    for _ in 0..mappings {
        mapping(&mut bits, channels, &mut mended[HEAD.len()..])?;
    }
    Ok(mended)
}

/// Checks the codebooks and returns the number of entries of each.
fn codebooks(bits: &mut Bits<'_>) -> Check<Vec<u32>> {
    let count = bits.read(8)? + 1;
    let mut books = Vec::with_capacity(count as usize);
    let (mut all_entries, mut all_values) = (0, 0);
    for _ in 0..count {
        if bits.read(24)? != 0x56_4342 {
            return Err("a codebook does not begin as one");
        }
        let (dimensions, entries) = (bits.read(16)?, bits.read(24)?);
        all_entries += entries;
        all_values += u64::from(entries) * u64::from(dimensions);
        if entries == 0 || !(1..=MAX_DIMENSIONS).contains(&dimensions) {
            return Err("a codebook has no entries, or entries of no or too many dimensions");
        }
        if all_entries > MAX_ENTRIES || all_values > MAX_VALUES {
            return Err("its codebooks are larger than any encoder's");
        }
        codewords(bits, entries)?;
        lookup(bits, entries, dimensions)?;
        books.push(entries);
    }
    Ok(books)
}

fn codewords(bits: &mut Bits<'_>, entries: u32) -> Check<()> {
    if bits.read(1)? == 1 {
        let mut length = bits.read(5)? + 1;
        let mut seen = 0;
        // Each pass makes the codewords longer, so the loop ends.
        while seen < entries {
            seen += bits.read(width(entries - seen))?;
            if length > MAX_CODEWORD_BITS || seen > entries {
                return Err("a codebook's codewords are too long or too many");
            }
            length += 1;
        }
        return Ok(());
    }
    let sparse = bits.read(1)? == 1;
    let mut used = 0;
    for _ in 0..entries {
        if !sparse || bits.read(1)? == 1 {
            bits.read(5)?;
            used += 1;
        }
    }
    if used == 0 { Err("a codebook uses none of its entries") } else { Ok(()) }
}

fn lookup(bits: &mut Bits<'_>, entries: u32, dimensions: u32) -> Check<()> {
    let values = match bits.read(4)? {
        0 => return Ok(()),
        1 => values_of_lattice(entries, dimensions)?,
        2 => entries * dimensions,
        _ => return Err("a codebook looks its vectors up in an unknown way"),
    };
    bits.read(32)?;
    bits.read(32)?;
    let value_bits = bits.read(4)? + 1;
    bits.read(1)?;
    bits.skip(u64::from(values) * u64::from(value_bits))
}

/// Returns the greatest whole number whose `dimensions`-th power does not exceed `entries`. The
/// decoder takes a floating-point root and panics if that root is rounded up, so such values are
/// refused.
fn values_of_lattice(entries: u32, dimensions: u32) -> Check<u32> {
    let fits = |value: u32| value.checked_pow(dimensions).is_some_and(|power| power <= entries);
    let root = (entries as f32).powf(1.0 / dimensions as f32).floor() as u32;
    if root > 0 && fits(root) && !fits(root + 1) { Ok(root) } else { Err("a codebook's lattice has no whole root") }
}

/// Checks a floor of type 1.
fn floor(bits: &mut Bits<'_>, books: &[u32]) -> Check<()> {
    let partitions = bits.read(5)?;
    let mut classes = Vec::with_capacity(partitions as usize);
    for _ in 0..partitions {
        classes.push(bits.read(4)? as usize);
    }
    let mut dimensions = [0; 16];
    for class in dimensions.iter_mut().take(classes.iter().max().map_or(0, |most| most + 1)) {
        *class = bits.read(3)? + 1;
        let subclass_bits = bits.read(2)?;
        if subclass_bits > 0 {
            bits.read(8)?;
        }
        for _ in 0..1 << subclass_bits {
            let book = bits.read(8)?;
            if book > 0 && books.get(book as usize - 1).is_none_or(|&entries| entries > MAX_FLOOR_ENTRIES) {
                return Err("a floor reads its heights from no codebook, or from one that is too large");
            }
        }
    }
    bits.read(2)?;
    let place_bits = bits.read(4)?;
    for class in classes {
        for _ in 0..dimensions[class] {
            // The decoder divides by the distance between neighbours, and the first point stands at
            // 0.
            if bits.read(place_bits)? == 0 {
                return Err("two points of a floor stand at one place");
            }
        }
    }
    Ok(())
}

/// Steps over a residue.
fn residue(bits: &mut Bits<'_>) -> Check<()> {
    bits.skip(16 + 3 * 24)?;
    let classes = bits.read(6)? + 1;
    bits.skip(8)?;
    let mut books = 0;
    for _ in 0..classes {
        let low = bits.read(3)?;
        let high = if bits.read(1)? == 1 { bits.read(5)? } else { 0 };
        books += low.count_ones() + high.count_ones();
    }
    bits.skip(8 * u64::from(books))
}

/// Steps over a mapping, and reverses its coupling steps in `mended`.
fn mapping(bits: &mut Bits<'_>, channels: usize, mended: &mut [u8]) -> Check<()> {
    bits.skip(16)?;
    let submaps = if bits.read(1)? == 1 { bits.read(4)? + 1 } else { 1 };
    if bits.read(1)? == 1 {
        let steps = bits.read(8)? + 1;
        let step_bits = 2 * width(channels.saturating_sub(1) as u32);
        let start = bits.at;
        let read = (0..steps).map(|_| bits.read(step_bits)).collect::<Check<Vec<u32>>>()?;
        for (index, step) in read.into_iter().rev().enumerate() {
            write(mended, start + index as u64 * u64::from(step_bits), step_bits, step);
        }
    }
    bits.skip(2)?;
    if submaps > 1 {
        bits.skip(4 * channels as u64)?;
    }
    bits.skip(24 * u64::from(submaps))
}

/// Writes the lowest `count` bits of a value, lowest bit first.
fn write(bytes: &mut [u8], at: u64, count: u32, value: u32) {
    for place in 0..count {
        let at = at + u64::from(place);
        if let Some(byte) = usize::try_from(at / 8).ok().and_then(|byte| bytes.get_mut(byte)) {
            let bit = 1 << (at % 8);
            *byte = if value >> place & 1 == 1 { *byte | bit } else { *byte & !bit };
        }
    }
}

/// Returns the number of bits that `value` takes.
fn width(value: u32) -> u32 {
    u32::BITS - value.leading_zeros()
}

/// A reader of bits, lowest bit first.
struct Bits<'a> {
    bytes: &'a [u8],
    at: u64,
}

impl Bits<'_> {
    /// Reads the next `count` bits, 32 at most.
    fn read(&mut self, count: u32) -> Check<u32> {
        let mut value = 0;
        for place in 0..count {
            let byte = usize::try_from(self.at / 8).ok().and_then(|byte| self.bytes.get(byte)).ok_or(CUT_SHORT)?;
            value |= u32::from(byte >> (self.at % 8) & 1) << place;
            self.at += 1;
        }
        Ok(value)
    }

    fn skip(&mut self, count: u64) -> Check<()> {
        self.at = self.at.saturating_add(count);
        if self.at <= self.bytes.len() as u64 * 8 { Ok(()) } else { Err(CUT_SHORT) }
    }
}
