"""Recordings without compression: WAV with wrong lengths and fields, AIFF, CAF and AU.

A case is a name, the bytes and an expectation: `SAME` as ffmpeg decodes the file (of so many samples,
if a number follows), `LIKE` a good file that is named beside it, `REFUSED` in words that hold the given name.
"""

import struct

import numpy as np
from audio_kit import (
    LIKE,
    REFUSED,
    SAME,
    chunk,
    extensible,
    ffmpeg,
    fmt,
    frames,
    ogg_pages,
    packed,
    riff,
    sox,
    wav,
)


def wav_sizes(_):
    """WAV files whose lengths were never filled in, or are wrong."""
    data_bytes = 28800
    for name, size in [
        ("0", 0),
        ("7fffffff", 0x7FFFFFFF),
        ("80000000", 0x80000000),
        ("2e9", 2000000000),
        ("ffffffff", 0xFFFFFFFF),
        ("ffffffff-36", 0xFFFFFFFF - 36),
        ("7ffff000", 0x7FFFF000),
    ]:
        yield f"data-{name}", wav(data_size=size, riff_size=size), SAME
        yield f"data-{name}-riff-right", wav(data_size=size), SAME
    yield "riff-0-only", wav(riff_size=0), SAME
    yield "riff-wrong", wav(riff_size=12), SAME
    yield "data-too-long", wav(data_size=data_bytes + 5000), SAME
    yield "data-too-short", wav(data_size=data_bytes - 5000), SAME
    yield "truncated", wav()[:-6001], SAME
    yield "truncated-stereo", wav(channels=2)[:-6001], SAME
    yield "odd-tail", wav()[:-1], SAME
    yield "odd-tail-stereo-24", wav(channels=2, bits=24)[:-4], SAME
    yield "extra-byte", wav() + b"\n", SAME
    yield "list-behind", wav(tail=chunk(b"LIST", b"INFOISFT\x0e\0\0\0Lavf59.27.100\0")), SAME
    yield "id3-behind", wav(tail=chunk(b"id3 ", b"ID3\3\0\0\0\0\0\0")), SAME
    yield "list-before", wav(before=chunk(b"LIST", b"INFOISFT\x04\0\0\0abc\0")), SAME
    yield "odd-chunk-before", wav(before=chunk(b"junk", b"abc")), SAME
    yield "bext-before", wav(before=chunk(b"bext", b"\0" * 602)), SAME


def wav_fields(_):
    """WAV files with a broken field that nobody needs."""
    yield "byte-rate-0", wav(byte_rate=0), SAME
    yield "byte-rate-wrong", wav(byte_rate=12345), SAME
    yield "align-0", wav(align=0), LIKE, wav()
    yield "align-wrong", wav(align=1), LIKE, wav()
    data = chunk(b"data", packed(frames(16000, 1), 16))
    yield "fmt-18", riff(fmt(extra=b"\0\0"), data), SAME
    yield "fmt-40-zeros", riff(fmt(extra=b"\0" * 24), data), SAME
    yield "fmt-20", riff(fmt(extra=b"\2\0\0\0"), data), SAME


def wav_codings(folder):
    """WAV files of every coding."""
    for bits in (8, 12, 16, 20, 24, 32):
        for channels in (1, 2):
            yield f"int-{bits}-{channels}ch", wav(bits=bits, channels=channels), SAME
    for rate in (8000, 11025, 22050, 24000, 32000, 44100, 48000, 96000):
        yield f"int-16-{rate}", wav(rate=rate), SAME
    rows = frames(16000, 2)
    for bits in (32, 64):
        floats = rows.astype(f"<f{bits // 8}").tobytes()
        yield f"float-{bits}", riff(fmt(3, 2, bits=bits), chunk(b"data", floats)), SAME
        yield f"float-{bits}-fmt-18", riff(fmt(3, 2, bits=bits, extra=b"\0\0"), chunk(b"data", floats)), SAME
        yield f"float-{bits}-fmt-40", riff(fmt(3, 2, bits=bits, extra=b"\0" * 24), chunk(b"data", floats)), SAME
        yield f"float-{bits}-ext", riff(extensible(3, 2, 16000, bits, bits, 3), chunk(b"data", floats)), SAME
    for bits, valid in ((16, 16), (24, 24), (32, 32), (24, 20), (16, 12)):
        form = extensible(1, 2, 16000, bits, valid, 3)
        yield f"ext-{valid}-in-{bits}", riff(form, chunk(b"data", packed(rows, bits))), SAME
    good = wav(channels=2, bits=24)
    top = packed(np.round(rows * 2**23) / 2**23, 32)
    form = extensible(1, 2, 16000, 32, 24, 3)
    yield "ext-24-in-32", riff(form, chunk(b"data", top)), LIKE, good
    for codec in ("pcm_alaw", "pcm_mulaw", "adpcm_ms", "adpcm_ima_wav", "pcm_f32le", "pcm_f64le", "mp3"):
        for channels in (1, 2):
            name = f"{codec}-{channels}ch"
            yield name, ffmpeg(folder, "x.wav", "-c:a", codec, rate=16000, channels=channels), SAME
    for codec in ("pcm_alaw", "pcm_mulaw", "adpcm_ms", "adpcm_ima_wav"):
        yield f"{codec}-8k", ffmpeg(folder, "x.wav", "-c:a", codec, rate=8000), SAME
    yield "ima-sox", sox(folder, "x.wav", "-e", "ima-adpcm"), SAME
    yield "ms-sox", sox(folder, "x.wav", "-e", "ms-adpcm"), SAME
    yield "ima-cut", ffmpeg(folder, "x.wav", "-c:a", "adpcm_ima_wav")[:-300], SAME
    # ffmpeg 5.1 reads its samples lowest byte first.
    yield "rifx", sox(folder, "x.wav", "-B"), LIKE, wav()
    yield "rf64", ffmpeg(folder, "x.wav", "-rf64", "always"), SAME
    yield "rf64-stereo-24", ffmpeg(folder, "x.wav", "-rf64", "always", "-c:a", "pcm_s24le", channels=2), SAME
    yield "bw64", ffmpeg(folder, "x.wav", "-rf64", "always").replace(b"RF64", b"BW64", 1), SAME
    yield "w64", ffmpeg(folder, "x.w64"), SAME
    yield "w64-stereo-float", ffmpeg(folder, "x.w64", "-c:a", "pcm_f32le", channels=2), SAME
    yield "w64-sox", sox(folder, "x.w64"), SAME
    yield "gsm", sox(folder, "x.wav", "-e", "gsm-full-rate", rate=8000), REFUSED, "GSM"
    yield "g726", ffmpeg(folder, "x.wav", "-c:a", "g726", rate=8000), REFUSED, "G.726"


def wav_channels(_):
    """WAV files of many channels, with and without a mask."""
    for name, mask in [
        ("3.0", 7),
        ("2.1", 0xB),
        ("quad", 0x33),
        ("quad-side", 0x603),
        ("4.0", 0x107),
        ("5.0", 0x37),
        ("5.0-side", 0x607),
        ("5.1", 0x3F),
        ("5.1-side", 0x60F),
        ("6.1", 0x70F),
        ("7.1", 0x63F),
        ("7.1-wide", 0xFF),
        ("3.0-back", 0x103),
        ("4.1", 0x10F),
    ]:
        channels = bin(mask).count("1")
        data = chunk(b"data", packed(frames(48000, channels), 16))
        yield f"mask-{name}", riff(extensible(1, channels, 48000, 16, 16, mask), data), SAME
    for channels in range(3, 9):
        yield f"no-mask-{channels}", wav(channels=channels), SAME


def other_pcm(folder):
    """AIFF, CAF and AU of every coding."""
    for codec in (
        "pcm_s16be",
        "pcm_s24be",
        "pcm_s32be",
        "pcm_s8",
        "pcm_s16le",
        "pcm_f32be",
        "pcm_f64be",
        "pcm_alaw",
        "pcm_mulaw",
        "adpcm_ima_qt",
    ):
        name = f"aiff-{codec}"
        yield name, ffmpeg(folder, "x.aiff", "-c:a", codec, channels=1 if "ima" in codec else 2), SAME
    yield "aiff-22050", ffmpeg(folder, "x.aiff", rate=22050), SAME
    yield "aiff-cut", ffmpeg(folder, "x.aiff")[:-3000], SAME
    yield "aiff-5.1", ffmpeg(folder, "x.aiff", channels=6), SAME
    yield "aiff-sox", sox(folder, "x.aiff", channels=2), SAME
    yield "aiff-12-bit", aiff_of_bits(12), SAME
    for codec in (
        "pcm_s16be",
        "pcm_s16le",
        "pcm_s24le",
        "pcm_f32le",
        "pcm_f64be",
        "pcm_alaw",
        "pcm_mulaw",
        "adpcm_ima_qt",
        "alac",
    ):
        name = f"caf-{codec}"
        yield name, ffmpeg(folder, "x.caf", "-c:a", codec, channels=1 if "ima" in codec else 2), SAME
    yield "caf-aac", caf_of_adts(ffmpeg(folder, "x.aac", "-c:a", "aac", rate=24000), 24000), SAME
    yield "caf-opus", caf_of_opus(ffmpeg(folder, "x.opus", rate=48000)), SAME
    yield "caf-5.1", ffmpeg(folder, "x.caf", channels=6), SAME
    for codec in ("pcm_s8", "pcm_s16be", "pcm_s24be", "pcm_s32be", "pcm_f32be", "pcm_f64be", "pcm_alaw", "pcm_mulaw"):
        yield f"au-{codec}", ffmpeg(folder, "x.au", "-c:a", codec, channels=2), SAME
    au = ffmpeg(folder, "x.au")
    yield "au-open", au[:8] + b"\xff" * 4 + au[12:], SAME
    yield "au-cut", au[:-2000], SAME


def aiff_of_bits(bits):
    """Returns an AIFF file of an uncommon number of bits."""
    rows = frames(16000, 1)
    common = struct.pack(">hIhHQ", 1, len(rows), bits, 16383 + 13, 16000 << 50)
    body = chunk(b"COMM", common, order=">") + chunk(b"SSND", b"\0" * 8 + packed(rows, bits, ">"), order=">")
    return b"FORM" + struct.pack(">I", len(body) + 4) + b"AIFF" + body


def caf_of_adts(adts, rate):
    """Returns a CAF file of the packets of an ADTS stream of one channel."""
    packets, at = [], 0
    while at < len(adts):
        length = (adts[at + 3] & 3) << 11 | adts[at + 4] << 3 | adts[at + 5] >> 5
        packets.append(adts[at + 7 : at + length])
        at += length
    config = struct.pack(">H", 2 << 11 | 6 << 7 | 1 << 3)
    inner = b"\5" + bytes([len(config)]) + config
    inner = b"\4" + bytes([13 + len(inner)]) + b"\x40\x15" + b"\0" * 11 + inner
    cookie = b"\0\0\0\0\3" + bytes([3 + len(inner)]) + b"\0\0\0" + inner
    return caf_of_packets(packets, b"aac ", rate, 1024, 0, cookie)


def caf_of_opus(data):
    """Returns a CAF file of the packets of an Ogg Opus file of one channel, as a phone's messages are."""
    packets, part = [], b""
    for page in ogg_pages(data):
        at = 27 + page[26]
        for length in page[27:at]:
            part += bytes(page[at : at + length])
            at += length
            if length < 255:
                packets.append(part)
                part = b""
    return caf_of_packets(packets[2:], b"opus", 48000, 960, 0)


def caf_of_packets(packets, name, rate, per_packet, priming, cookie=None):
    """Returns a CAF file of packets of one channel."""
    sizes = b"".join(bytes([0x80 | len(one) >> 7, len(one) & 127]) for one in packets)
    table = struct.pack(">qqii", len(packets), per_packet * len(packets) - priming, priming, 0) + sizes
    body = b"\0\0\0\0" + b"".join(packets)
    parts = [(b"desc", struct.pack(">d4sIIIII", rate, name, 0, 0, per_packet, 1, 0))]
    parts += [(b"kuki", cookie)] if cookie else []
    parts += [(b"pakt", table), (b"data", body)]
    return b"caff\0\1\0\0" + b"".join(name + struct.pack(">q", len(part)) + part for name, part in parts)
