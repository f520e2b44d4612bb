"""Recordings with compression: FLAC, MP3, Ogg, MP4, WebM; and files that are refused by name.

A case is a name, the bytes and an expectation: `SAME` as ffmpeg decodes the file (of so many samples,
if a number follows), `LIKE` a good file that is named beside it, `REFUSED` in words that hold the given name.
"""

import struct

from audio_kit import (
    LIKE,
    REFUSED,
    SAME,
    chunk,
    ffmpeg,
    fmt,
    frames,
    mended,
    ogg_pages,
    packed,
    riff,
    sox,
    sox_decoded,
)

# Samples of the signal at 24 kHz. ffmpeg 5.1 ends Vorbis elsewhere than its last page says, libvorbis there.
WHOLE = 21600


def flac(folder):
    """FLAC files, whole and not."""
    for rate, channels, bits in [(16000, 1, "s16"), (44100, 2, "s16"), (48000, 2, "s32"), (24000, 1, "s16")]:
        yield (
            f"{rate}-{channels}-{bits}",
            ffmpeg(folder, "x.flac", "-sample_fmt", bits, rate=rate, channels=channels),
            SAME,
        )
    for channels in (3, 4, 5, 6, 7, 8):
        yield f"channels-{channels}", ffmpeg(folder, "x.flac", rate=48000, channels=channels), SAME
    yield "2.1", ffmpeg(folder, "x.flac", "-af", "channelmap=0|1|2:2.1", rate=48000, channels=3), SAME
    good = ffmpeg(folder, "x.flac")
    place = good.index(b"fLaC") + 8
    yield "min-block-0", good[:place] + b"\0\0" + good[place + 2 :], LIKE, good
    yield "blocks-0", good[:place] + b"\0\0\0\0" + good[place + 4 :], LIKE, good
    yield "newline-behind", good + b"\n", LIKE, good
    yield "id3v1-behind", good + b"TAG" + b"\0" * 125, LIKE, good
    yield "junk-behind", good + bytes(range(256)) * 8, LIKE, good
    yield "id3v2-before", b"ID3\4\0\0\0\0\0\x0a" + b"\0" * 10 + good, LIKE, good
    info = bytearray(good)
    info[place + 13] &= 0xF0
    info[place + 14 : place + 18] = b"\0" * 4
    yield "total-0", bytes(info), LIKE, good
    info[place + 18 : place + 34] = b"\0" * 16
    yield "md5-0", bytes(info), LIKE, good
    yield "cut", good[:-700], SAME
    yield "large-comment", ffmpeg(folder, "x.flac", "-metadata", "lyrics=" + "la " * 30000), SAME
    yield "sox", sox(folder, "x.flac", "-C", "8"), SAME
    yield "small-blocks", ffmpeg(folder, "x.flac", "-frame_size", "256"), SAME
    yield "streamed", ffmpeg(folder, "x.flac", "-flush_packets", "1"), SAME


def mp3(folder):
    """MP3 files of every rate, tags, and joined ones."""
    made = {}
    for rate in (8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000):
        for channels in (1, 2):
            made[rate, channels] = ffmpeg(
                folder, "x.mp3", "-b:a", "64k" if rate > 12000 else "24k", rate=rate, channels=channels
            )
            yield f"{rate}-{channels}ch", made[rate, channels], SAME
    good, stereo = made[24000, 1], made[24000, 2]
    yield "vbr", ffmpeg(folder, "x.mp3", "-q:a", "4", rate=44100, channels=2), SAME
    plain = ffmpeg(folder, "x.mp3", "-write_xing", "0", "-id3v2_version", "0", rate=24000)
    yield "no-xing", plain, SAME
    bare = ffmpeg(folder, "x.mp3", "-id3v2_version", "0", rate=24000)
    yield "no-tags", bare, SAME
    yield "joint", ffmpeg(folder, "x.mp3", "-joint_stereo", "1", "-b:a", "96k", rate=44100, channels=2), SAME
    yield "two-joined", good + good, SAME
    yield "two-joined-plain", plain + plain, SAME
    yield "two-joined-without-id3", bare + bare, SAME
    yield "three-joined", good + good + good, SAME
    yield "mono-then-stereo", good + stereo, SAME
    yield "stereo-then-mono", stereo + good, SAME
    yield "id3v1", good + b"TAG" + b"x" * 125, SAME
    ape = b"APETAGEX" + struct.pack("<IIII", 2000, 32, 0, 0x80000000) + b"\0" * 8
    yield "ape-behind", good + b"Title" + ape, SAME
    body = good[good.index(b"\xff\xf3") :] if b"\xff\xf3" in good else good
    yield "id3v2-too-small", b"ID3\3\0\0\0\0\0\x20" + b"picture " * 700 + plain, SAME
    yield "id3v2-two", b"ID3\3\0\0\0\0\0\x10" + b"\0" * 16 + b"ID3\4\0\0\0\0\0\x10" + b"\0" * 16 + body, SAME
    yield "id3v2-picture", b"ID3\3\0\0\0\0\x40\0" + b"\xff\xd8\xff\xe0" + b"\x55\xff\xfb\x90" * 2047 + plain, SAME
    yield "zeros-before", b"\0" * 1000 + plain, SAME
    yield "cut-in-front", plain[100:], SAME
    yield "cut-behind", plain[:-100], SAME
    yield "junk-behind", plain + b"\r\n<!-- end -->\r\n", SAME
    yield "sox", sox(folder, "x.mp3", rate=44100, channels=2), SAME
    for rate in (16000, 48000):
        for channels in (1, 2):
            yield (
                f"layer-2-{rate}-{channels}ch",
                ffmpeg(folder, "x.mp2", "-b:a", "64k", rate=rate, channels=channels),
                SAME,
            )


def ogg(folder):
    """Ogg files: Opus, Vorbis and FLAC, chained, cut and damaged."""
    for channels in (1, 2, 3, 4, 5, 6, 7, 8):
        yield (
            f"opus-{channels}ch",
            ffmpeg(
                folder,
                "x.opus",
                "-b:a",
                "96k",
                "-mapping_family",
                "0" if channels < 3 else "1",
                rate=48000,
                channels=channels,
            ),
            SAME,
        )
        yield (
            f"vorbis-{channels}ch",
            ffmpeg(folder, "x.ogg", "-c:a", "libvorbis", "-q:a", "4", rate=48000, channels=channels),
            SAME,
            WHOLE,
        )
    for rate in (8000, 16000, 22050, 44100):
        yield f"vorbis-{rate}", ffmpeg(folder, "x.ogg", "-c:a", "libvorbis", rate=rate), SAME, WHOLE
    for milliseconds in ("2.5", "10", "60"):
        yield f"opus-{milliseconds}ms", ffmpeg(folder, "x.opus", "-frame_duration", milliseconds, rate=48000), SAME
    opus = ffmpeg(folder, "x.opus", "-page_duration", "60000", rate=48000)
    vorbis = ffmpeg(folder, "x.ogg", "-c:a", "libvorbis", "-page_duration", "60000", rate=24000)
    flac_ogg = ffmpeg(folder, "x.oga", "-c:a", "flac", "-page_duration", "60000", rate=24000)
    yield "flac", flac_ogg, SAME
    yield "flac-stereo", ffmpeg(folder, "x.oga", "-c:a", "flac", rate=44100, channels=2), SAME
    for gain in (-1536, 768, -5120):
        pages = ogg_pages(opus)
        place = pages[0].index(b"OpusHead") + 16
        pages[0][place : place + 2] = struct.pack("<h", gain)
        mended(pages[0])
        yield f"opus-gain-{gain}", b"".join(pages), SAME
    for name, one in (("opus", opus), ("vorbis", vorbis), ("flac", flac_ogg)):
        pages = ogg_pages(one)
        for page in pages:
            page[14:18] = b"\x01\x02\x03\x04"
            mended(page)
        if name != "flac":
            both = one + b"".join(pages)
            if name == "opus":
                yield "opus-chained", both, SAME
            else:
                # ffmpeg 5.1 ends the first of two Vorbis streams elsewhere, and the second is late by that.
                yield "vorbis-chained", both, LIKE, riff(fmt(rate=24000), chunk(b"data", 2 * sox_decoded(folder, one)))
        middle = len(pages) // 2
        yield f"{name}-lost-page", b"".join(pages[:middle] + pages[middle + 1 :]), SAME
        open_end = [bytearray(page) for page in pages]
        open_end[-1][5] &= ~4
        mended(open_end[-1])
        yield f"{name}-no-eos", b"".join(open_end), SAME
        yield f"{name}-cut", one[:-400], SAME
        broken = [bytearray(page) for page in pages]
        broken[middle][-3] ^= 0xFF
        yield f"{name}-wrong-sum", b"".join(broken), SAME
        yield f"{name}-junk-behind", one + b"junk" * 20, SAME
    large = ("-metadata", "lyrics=" + "la " * 30000)
    yield "opus-large-comment", ffmpeg(folder, "x.opus", *large, rate=48000), SAME
    yield "vorbis-large-comment", ffmpeg(folder, "x.ogg", "-c:a", "libvorbis", *large, rate=48000), SAME, WHOLE
    stereo = ffmpeg(folder, "x.opus", rate=48000, channels=2)
    yield "opus-mono-then-stereo", opus + stereo, SAME
    speex = ffmpeg(folder, "x.spx", "-c:a", "libspeex", rate=16000)
    yield "speex", speex, REFUSED, "Speex"
    yield (
        "video-and-vorbis",
        ffmpeg(
            folder,
            "x.ogv",
            "-f",
            "lavfi",
            "-i",
            "testsrc=d=0.9:s=64x64",
            "-map",
            "1:v",
            "-map",
            "0:a",
            "-c:v",
            "libtheora",
            "-c:a",
            "libvorbis",
            rate=24000,
        ),
        SAME,
        WHOLE,
    )


def mp4(folder):
    """MP4, M4A and MOV files, fragmented or not."""
    for rate in (8000, 16000, 22050, 24000, 44100, 48000):
        for channels in (1, 2):
            yield f"aac-{rate}-{channels}ch", ffmpeg(folder, "x.m4a", "-c:a", "aac", rate=rate, channels=channels), SAME
    yield "aac-faststart", ffmpeg(folder, "x.m4a", "-c:a", "aac", "-movflags", "faststart", rate=44100), SAME
    frag = ("-movflags", "frag_keyframe+empty_moov", "-frag_duration", "200000")
    yield "aac-fragmented", ffmpeg(folder, "x.mp4", "-c:a", "aac", *frag, rate=44100), SAME
    yield (
        "aac-dash",
        ffmpeg(
            folder,
            "x.mp4",
            "-c:a",
            "aac",
            "-movflags",
            "dash+frag_keyframe+empty_moov+default_base_moof",
            "-frag_duration",
            "200000",
            rate=48000,
            channels=2,
        ),
        SAME,
    )
    yield "opus-fragmented", ffmpeg(folder, "x.mp4", "-c:a", "libopus", *frag, rate=48000), SAME
    yield "opus", ffmpeg(folder, "x.mp4", "-c:a", "libopus", rate=48000), SAME
    yield "mp3-in-mp4", ffmpeg(folder, "x.mp4", "-c:a", "libmp3lame", rate=44100), SAME
    yield "flac-in-mp4", ffmpeg(folder, "x.mp4", "-c:a", "flac", "-strict", "-2", rate=44100), SAME
    for rate, channels in ((16000, 1), (44100, 2), (48000, 6)):
        yield f"alac-{rate}-{channels}ch", ffmpeg(folder, "x.m4a", "-c:a", "alac", rate=rate, channels=channels), SAME
    yield "alac-24", ffmpeg(folder, "x.m4a", "-c:a", "alac", "-sample_fmt", "s32p", rate=48000), SAME
    for codec in ("pcm_s16le", "pcm_s16be", "pcm_s24le", "pcm_f32le", "pcm_alaw", "pcm_mulaw"):
        yield f"mov-{codec}", ffmpeg(folder, "x.mov", "-c:a", codec, channels=2), SAME
    yield "mov-aac", ffmpeg(folder, "x.mov", "-c:a", "aac", rate=44100), SAME
    with_video = ("-f", "lavfi", "-i", "testsrc=d=0.9:s=64x64", "-map", "1:v", "-map", "0:a", "-c:v", "mpeg4")
    yield "video-and-aac", ffmpeg(folder, "x.mp4", *with_video, "-c:a", "aac", rate=44100), SAME
    long = ffmpeg(folder, "x.m4a", "-c:a", "aac", "-movflags", "faststart", rate=44100)
    yield "aac-cut", long[:-2000], SAME
    yield "no-index", ffmpeg(folder, "x.m4a", "-c:a", "aac", rate=44100)[:4000], REFUSED, "index"
    yield (
        "video-only",
        ffmpeg(folder, "x.mp4", "-f", "lavfi", "-i", "testsrc=d=0.5:s=64x64", "-map", "1:v", "-c:v", "mpeg4"),
        REFUSED,
        "without sound",
    )
    yield "ac3-in-mp4", ffmpeg(folder, "x.mp4", "-c:a", "ac3", rate=48000), REFUSED, "AC-3"
    yield "aac-5.1", ffmpeg(folder, "x.m4a", "-c:a", "aac", rate=48000, channels=6), REFUSED, "AAC"
    for rate, channels in ((16000, 1), (44100, 2), (48000, 1)):
        yield f"adts-{rate}-{channels}ch", ffmpeg(folder, "x.aac", "-c:a", "aac", rate=rate, channels=channels), SAME
    adts = ffmpeg(folder, "x.aac", "-c:a", "aac", rate=44100)
    yield "adts-cut", adts[:-60], SAME
    whole = ffmpeg(folder, "x.m4a", "-c:a", "aac", rate=44100)
    yield "aac-without-edits", whole.replace(b"edts", b"free"), SAME
    yield "3gp", ffmpeg(folder, "x.3gp", "-c:a", "aac", rate=16000), SAME
    yield "aac-large-comment", ffmpeg(folder, "x.m4a", "-c:a", "aac", "-metadata", "lyrics=" + "la " * 30000), SAME
    yield "adts-id3", b"ID3\4\0\0\0\0\0\x10" + b"\0" * 16 + adts, SAME
    yield "adts-cut-in-front", adts[50:], SAME
    yield "adts-joined", adts + adts, SAME


def webm(folder):
    """WebM and Matroska files."""
    for channels in (1, 2, 6):
        family = "0" if channels < 3 else "1"
        yield (
            f"opus-{channels}ch",
            ffmpeg(folder, "x.webm", "-c:a", "libopus", "-mapping_family", family, rate=48000, channels=channels),
            SAME,
        )
    live = ("-live", "1", "-cluster_time_limit", "200")
    yield "opus-live", ffmpeg(folder, "x.webm", "-c:a", "libopus", *live, rate=48000), SAME
    yield "opus-live-stereo", ffmpeg(folder, "x.webm", "-c:a", "libopus", *live, rate=48000, channels=2), SAME
    yield "vorbis", ffmpeg(folder, "x.webm", "-c:a", "libvorbis", rate=44100, channels=2), SAME
    yield "opus-cues-first", ffmpeg(folder, "x.webm", "-c:a", "libopus", "-cues_to_front", "1", rate=48000), SAME
    yield "vorbis-live", ffmpeg(folder, "x.webm", "-c:a", "libvorbis", *live, rate=48000), SAME
    for codec in (
        "flac",
        "aac",
        "libmp3lame",
        "pcm_s16le",
        "pcm_s16be",
        "pcm_s24le",
        "pcm_f32le",
        "pcm_u8",
        "alac",
        "libopus",
        "mp2",
    ):
        yield (
            f"mka-{codec}",
            ffmpeg(folder, "x.mka", "-c:a", codec, rate=44100 if codec != "libopus" else 48000, channels=2),
            SAME,
        )
    whole = ffmpeg(folder, "x.webm", "-c:a", "libopus", rate=48000)
    yield "opus-cut", whole[:-1500], SAME
    with_video = ("-f", "lavfi", "-i", "testsrc=d=0.9:s=64x64", "-map", "1:v", "-map", "0:a", "-c:v", "libvpx")
    yield "video-and-opus", ffmpeg(folder, "x.webm", *with_video, "-c:a", "libopus", rate=48000), SAME
    yield "ac3", ffmpeg(folder, "x.mka", "-c:a", "ac3", rate=48000), REFUSED, "AC-3"
    yield (
        "video-only",
        ffmpeg(folder, "x.webm", "-f", "lavfi", "-i", "testsrc=d=0.5:s=64x64", "-map", "1:v", "-c:v", "libvpx"),
        REFUSED,
        "without sound",
    )


def foreign(folder):
    """Files that are refused by name."""
    yield "amr", sox(folder, "x.amr-nb", rate=8000), REFUSED, "AMR-NB"
    yield "amr-wb", b"#!AMR-WB\n" + b"\x44" * 600, REFUSED, "AMR-WB"
    yield "wma", ffmpeg(folder, "x.wma", rate=44100), REFUSED, "WMA"
    yield "ac3", ffmpeg(folder, "x.ac3", rate=48000), REFUSED, "AC-3"
    yield "wavpack", ffmpeg(folder, "x.wv"), REFUSED, "WavPack"
    yield "tta", ffmpeg(folder, "x.tta"), REFUSED, "True Audio"
    yield "voc", sox(folder, "x.voc", rate=8000), REFUSED, "Creative Voice"
    yield "avi", ffmpeg(folder, "x.avi"), REFUSED, "AVI"
    yield "flv", ffmpeg(folder, "x.flv", "-ar", "44100"), REFUSED, "Flash"
    yield "mpegts", ffmpeg(folder, "x.ts"), REFUSED, "transport stream"
    yield "midi", b"MThd\0\0\0\6\0\0\0\1\0\x60MTrk\0\0\0\4\0\xff\x2f\0", REFUSED, "MIDI"
    for name, start, word in [
        ("pdf", b"%PDF-1.7\n", "PDF"),
        ("zip", b"PK\3\4\x14\0", "ZIP"),
        ("png", b"\x89PNG\r\n\x1a\n", "PNG"),
        ("jpeg", b"\xff\xd8\xff\xe0\0\x10JFIF", "JPEG"),
        ("gzip", b"\x1f\x8b\x08\0", "gzip"),
    ]:
        yield name, start + bytes(range(200)) * 3, REFUSED, word
    yield "html", b"<!DOCTYPE html><html><body>404</body></html>", REFUSED, "HTML"
    yield "json", b'{"error": "no such file"}', REFUSED, "JSON"
    yield "text", "Guten Tag, das ist ein Text über nichts.\n".encode() * 9, REFUSED, "text"
    yield "raw", packed(frames(16000, 1), 16), REFUSED, "unknown"
    yield "zeros", b"\0" * 30000, REFUSED, "unknown"
    yield "empty", b"", REFUSED, "no samples"
    yield "wav-without-samples", riff(fmt(), chunk(b"data", b"")), REFUSED, "no samples"
